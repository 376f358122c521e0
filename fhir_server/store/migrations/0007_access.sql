-- Who may do what, and the record of who did.

-- Policies that replace the server's own: docs/access.md. One that cannot be understood grants nothing.
CREATE TABLE access_policy (
    tenant  integer NOT NULL,
    role    text COLLATE "C" NOT NULL,
    policy  text NOT NULL,
    changed timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, role)
);

-- What happened, as it happened: one row for each interaction, denial, login and token. A row is written in the transaction
-- of the write that it tells of, and before the answer to a read goes out. It stays until it is sealed: until there is an
-- AuditEvent of it, which is made in the transaction that removes the row: so each is sealed once, in whatever order they
-- were committed.
--
-- subtype   the interaction (read, search-type, …) or event (login, token, …)
-- outcome   that of AuditEvent: 0 success, 4 refused, 8 failed
-- entities  references to what it was about; patients: those of the patients it was about
-- query     a search as it was asked
CREATE SEQUENCE audit_seq;
CREATE TABLE audit (
    seq       bigint NOT NULL DEFAULT nextval('audit_seq'),
    recorded  timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant    integer NOT NULL,
    status    smallint NOT NULL,
    outcome   smallint NOT NULL CHECK (outcome IN (0, 4, 8, 12)),
    subtype   text NOT NULL,
    client    text,
    account   text,
    fhir_user text,
    token     text,
    network   text,
    request   text,
    patients  text[] NOT NULL,
    entities  text[] NOT NULL,
    query     text,
    detail    text,
    PRIMARY KEY (tenant, seq)
);

-- The sealed entries in order, each chained to the one before: `chain` is SHA-256 over the chain before and `digest`, which
-- is that of the AuditEvent's text. The server's role may add to it and change nothing.
CREATE TABLE audit_seal (
    tenant integer NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    id     text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    chain  bytea NOT NULL,
    sealed timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number),
    UNIQUE (tenant, id)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['access_policy', 'audit', 'audit_seal'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON %I USING
            (tenant = (SELECT NULLIF(current_setting(''mediconnect.tenant'', true), '''')::integer))', name);
    END LOOP;
END
$$;
