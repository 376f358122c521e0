-- Versions are looked up by pk, the feed apart. Where nothing was analysed yet, PostgreSQL took the condition of this policy for one
-- worth looking up too, in version_feed, and read all of a tenant's entries there for each row of a page. So it is one that no index has.
ALTER POLICY one_tenant ON version USING (tenant + 0 = (SELECT NULLIF(current_setting('mediconnect.tenant', true), '')::integer));
