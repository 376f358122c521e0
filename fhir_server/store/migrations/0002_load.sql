-- Which parts of a load are durably done. A row is written in the transaction that writes the resources it stands for, so
-- that whatever is killed, a resumed load neither loses nor doubles a unit.
--
-- load    the load: a digest of what was asked to be loaded, and when it began.
-- unit    a file, or a run of entries or lines of it, with a digest of its bytes.
-- failed  the ordinals of the parts of the unit (entries, lines, whole transactions) that were refused; a resumed load
--         tries these again.

CREATE TABLE load_unit (
    tenant integer NOT NULL,
    load   text COLLATE "C" NOT NULL,
    unit   text COLLATE "C" NOT NULL,
    failed integer[] NOT NULL,
    done   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, load, unit)
);

ALTER TABLE load_unit ENABLE ROW LEVEL SECURITY;
ALTER TABLE load_unit FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON load_unit USING
    (tenant = (SELECT NULLIF(current_setting('mediconnect.tenant', true), '')::integer));
