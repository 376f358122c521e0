-- The authorization server: its keys, the clients it knows, and what it has granted.
--
-- tenant       in every row, under row level security as in 0001.
-- …_hash       SHA-256 of a random secret of 256 bits; the secret itself is kept nowhere.
-- sealed       AES-GCM under the installation's key: see smart_auth/cipher.py.
-- patient, encounter   ids of resources; fhir_user: a relative reference.

-- The newest key that has not retired signs; all that have not expired are published, so that what an older one signed
-- stays good until it runs out.
CREATE TABLE signing_key (
    tenant    integer NOT NULL,
    kid       text NOT NULL CHECK (length(kid) BETWEEN 1 AND 128),
    algorithm text NOT NULL CHECK (algorithm IN ('RS256', 'ES256')),
    public    jsonb NOT NULL,
    sealed    bytea NOT NULL,
    created   timestamptz NOT NULL DEFAULT now(),
    retired   timestamptz,
    expires   timestamptz,
    PRIMARY KEY (tenant, kid),
    CHECK ((retired IS NULL) = (expires IS NULL))
);
-- One key signs, whoever rotates or starts at the same time.
CREATE UNIQUE INDEX signing_key_current ON signing_key (tenant) WHERE retired IS NULL;

CREATE TABLE oauth_client (
    tenant          integer NOT NULL,
    id              text NOT NULL CHECK (length(id) BETWEEN 1 AND 128),
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    kind            text NOT NULL CHECK (kind IN ('public', 'symmetric', 'asymmetric')),
    status          text NOT NULL CHECK (status IN ('active', 'pending', 'disabled')),
    grants          text[] NOT NULL,
    scope           text NOT NULL CHECK (length(scope) <= 8192),
    redirect_uris   text[] NOT NULL DEFAULT '{}' CHECK (cardinality(redirect_uris) <= 20),
    origins         text[] NOT NULL DEFAULT '{}',
    launch_url      text,
    secret_hash     bytea,
    jwks            jsonb,
    jwks_url        text,
    self_registered boolean NOT NULL DEFAULT false,
    trusted         boolean NOT NULL DEFAULT false,
    homepage        text,
    logo            text,
    policy          text,
    contact         text,
    created         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id),
    CHECK ((kind = 'symmetric') = (secret_hash IS NOT NULL)),
    CHECK ((kind = 'asymmetric') = (num_nonnulls(jwks, jwks_url) = 1)),
    CHECK (kind = 'asymmetric' OR num_nonnulls(jwks, jwks_url) = 0),
    CHECK (NOT trusted OR NOT self_registered)
);
CREATE INDEX oauth_client_origin ON oauth_client USING gin (origins) WHERE status = 'active';

-- An app started from a record that is open already: what it is to find when it asks with this launch id.
CREATE TABLE launch (
    tenant    integer NOT NULL,
    id_hash   bytea NOT NULL,
    client    text,
    account   text,
    patient   text,
    encounter text,
    context   jsonb NOT NULL DEFAULT '[]',
    banner    boolean NOT NULL DEFAULT false,
    intent    text CHECK (length(intent) <= 200),
    created   timestamptz NOT NULL DEFAULT now(),
    expires   timestamptz NOT NULL,
    PRIMARY KEY (tenant, id_hash)
);

-- An authorization request that was found good and that a person has not yet decided on. `browser_hash` is null until a
-- browser whose cookie did not come along goes on with it; `silent`: no page may be shown (prompt=none); `encounter` is
-- empty where the person goes on without one.
CREATE TABLE pending_authorization (
    tenant        integer NOT NULL,
    id_hash       bytea NOT NULL,
    browser_hash  bytea,
    silent        boolean NOT NULL DEFAULT false,
    client        text NOT NULL,
    redirect_uri  text NOT NULL,
    scope         text NOT NULL,
    state         text NOT NULL,
    nonce         text,
    challenge     text NOT NULL,
    launched      boolean NOT NULL DEFAULT false,
    launched_by   text,
    patient       text,
    encounter     text,
    context       jsonb NOT NULL DEFAULT '[]',
    banner        boolean NOT NULL DEFAULT true,
    intent        text,
    not_before    timestamptz,
    chosen_by     text,
    created       timestamptz NOT NULL DEFAULT now(),
    expires       timestamptz NOT NULL,
    PRIMARY KEY (tenant, id_hash),
    FOREIGN KEY (tenant, client) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE
);
CREATE INDEX pending_authorization_expires ON pending_authorization (expires);
CREATE INDEX launch_expires ON launch (expires);

-- What was granted: everything that is issued names its grant, and ends with it. `access` says how long new tokens are
-- given: "none" without refresh, "online" as long as the session lasts, "offline" without the person.
CREATE TABLE oauth_grant (
    tenant    integer NOT NULL,
    id        text NOT NULL,
    client    text NOT NULL,
    account   text,
    session   text,
    access    text NOT NULL CHECK (access IN ('none', 'online', 'offline')),
    scope     text NOT NULL,
    patient   text,
    encounter text,
    context   jsonb NOT NULL DEFAULT '[]',
    banner    boolean,
    intent    text,
    authenticated timestamptz,
    created   timestamptz NOT NULL DEFAULT now(),
    used      timestamptz NOT NULL DEFAULT now(),
    expires   timestamptz NOT NULL,
    revoked   timestamptz,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, client) REFERENCES oauth_client (tenant, id) ON DELETE CASCADE,
    CHECK (access <> 'online' OR session IS NOT NULL)
);
CREATE INDEX oauth_grant_account ON oauth_grant (tenant, account);
CREATE INDEX oauth_grant_client ON oauth_grant (tenant, client);
CREATE INDEX oauth_grant_session ON oauth_grant (tenant, session) WHERE session IS NOT NULL;
CREATE INDEX oauth_grant_expires ON oauth_grant (tenant, expires);

CREATE TABLE authorization_code (
    tenant       integer NOT NULL,
    code_hash    bytea NOT NULL,
    grant_id     text NOT NULL,
    redirect_uri text NOT NULL,
    challenge    text NOT NULL,
    nonce        text,
    expires      timestamptz NOT NULL,
    redeemed     timestamptz,
    PRIMARY KEY (tenant, code_hash),
    FOREIGN KEY (tenant, grant_id) REFERENCES oauth_grant (tenant, id) ON DELETE CASCADE
);
CREATE INDEX authorization_code_grant ON authorization_code (tenant, grant_id);

CREATE TABLE refresh_token (
    tenant     integer NOT NULL,
    token_hash bytea NOT NULL,
    grant_id   text NOT NULL,
    issued     timestamptz NOT NULL DEFAULT now(),
    expires    timestamptz NOT NULL,
    used       timestamptz,
    PRIMARY KEY (tenant, token_hash),
    FOREIGN KEY (tenant, grant_id) REFERENCES oauth_grant (tenant, id) ON DELETE CASCADE
);
CREATE INDEX refresh_token_grant ON refresh_token (tenant, grant_id);

-- Ids of access tokens and of grants of which no token is accepted any more; kept until the last of them has expired.
CREATE TABLE token_revocation (
    tenant integer NOT NULL,
    id     text NOT NULL,
    noted  timestamptz NOT NULL DEFAULT now(),
    until  timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX token_revocation_until ON token_revocation (tenant, until);

-- The ids of client assertions that were accepted, so that none is accepted twice by whatever process.
CREATE TABLE client_assertion (
    tenant  integer NOT NULL,
    client  text NOT NULL,
    id_hash bytea NOT NULL,
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, client, id_hash)
);
CREATE INDEX client_assertion_expires ON client_assertion (tenant, expires);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['signing_key', 'oauth_client', 'launch', 'pending_authorization', 'oauth_grant',
                                'authorization_code', 'refresh_token', 'token_revocation', 'client_assertion'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON %I USING
            (tenant = (SELECT NULLIF(current_setting(''mediconnect.tenant'', true), '''')::integer))', name);
    END LOOP;
END
$$;
