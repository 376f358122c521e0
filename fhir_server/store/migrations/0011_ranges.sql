-- With the tenant, which the policy compares, a range of dates is read from its index alone. A plan that is kept for all
-- values then takes the index of the range, and never passes over a whole key.
DROP INDEX index_date_low;
CREATE INDEX index_date_low ON index_date (key, low, high, pk) INCLUDE (tenant);
DROP INDEX index_date_high;
CREATE INDEX index_date_high ON index_date (key, high, low, pk) INCLUDE (tenant);
