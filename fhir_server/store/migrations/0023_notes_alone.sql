-- The table of notes made anew. Fourteen columns that migration 12 dropped were still in each of its rows, and a check of the number of
-- events was read and compiled for each statement: docs/performance.md.
--
-- seq        the order in which they are sealed
-- notes      a JSON array of objects, whose members are those of store.audit.Note; what is not known is left out
-- events     how many AuditEvents are made of them, at most
-- versions   version.seq of what each of the reads read; null where there was nothing to read, of which nothing is to be noted
-- callers    which of the notes each read is of, from 0; null where each note tells of one thing
-- requests   the request's own number in place of the note's
ALTER TABLE audit RENAME TO audit_before;
ALTER TABLE audit_before RENAME CONSTRAINT audit_pkey TO audit_before_pkey;
CREATE TABLE audit (
    seq      bigint NOT NULL DEFAULT nextval('audit_seq'),
    recorded timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant   integer NOT NULL,
    events   integer NOT NULL,
    notes    json NOT NULL,
    versions bigint[],
    callers  smallint[],
    requests text[],
    PRIMARY KEY (tenant, seq)
);
-- Kept a second or so, and small: not worth the time of compression, nor, up to a page, a row of another table.
ALTER TABLE audit
    ALTER COLUMN notes SET STORAGE EXTERNAL, ALTER COLUMN versions SET STORAGE EXTERNAL, ALTER COLUMN requests SET STORAGE EXTERNAL;
ALTER TABLE audit SET (toast_tuple_target = 8128);

ALTER TABLE audit_before NO FORCE ROW LEVEL SECURITY;
INSERT INTO audit (seq, recorded, tenant, events, notes, versions, callers, requests)
SELECT seq, recorded, tenant, events, notes, versions, callers, requests FROM audit_before;
DROP TABLE audit_before;

ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON audit USING
    (tenant = (SELECT NULLIF(current_setting('mediconnect.tenant', true), '')::integer));
