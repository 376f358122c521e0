-- How many requests each server process has counted, for the other processes of the installation to see: docs/access.md.
-- Nothing is lost with it that a minute does not bring back, so it is not logged.
--
-- process  a number that a process draws when it starts
-- name     who is counted, and by which limit
-- span     which stretch of time, as long as the limit's, counted from 1970
-- until    from when on the row says nothing any more
CREATE UNLOGGED TABLE request_count (
    tenant  integer NOT NULL,
    process bigint NOT NULL,
    span    bigint NOT NULL,
    count   integer NOT NULL CHECK (count >= 0),
    noted   timestamptz NOT NULL DEFAULT now(),
    until   timestamptz NOT NULL,
    name    text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, process, name, span)
);

ALTER TABLE request_count ENABLE ROW LEVEL SECURITY;
ALTER TABLE request_count FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON request_count USING
    (tenant = (SELECT NULLIF(current_setting('mediconnect.tenant', true), '')::integer));
