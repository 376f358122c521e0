-- Who may sign in: accounts bound to people of the FHIR store, what they sign in with, and where they are signed in.
--
-- hash        SHA-256 of at least 256 random bits that only the browser or the mail holds: cookies, links in mails, states.
-- network     the address a request came from, narrowed to its network (/24, /64) where guesses are counted.

CREATE TABLE account (
    tenant        integer NOT NULL,
    id            text COLLATE "C" NOT NULL,
    email         text NOT NULL CHECK (length(email) BETWEEN 3 AND 254 AND email = lower(email)),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    fhir_user     text CHECK (fhir_user ~ '^(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/[A-Za-z0-9.-]{1,64}$'),
    roles         text[] NOT NULL CHECK (cardinality(roles) BETWEEN 1 AND 16),
    password      text CHECK (password LIKE '$argon2id$%'),
    totp_secret   bytea,
    totp_step     bigint,
    created       timestamptz NOT NULL DEFAULT now(),
    disabled      timestamptz,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, email)
);

-- factors: what the person proved at sign-in, in the words of RFC 8176 (pwd, otp, hwk, fed).
CREATE TABLE account_session (
    tenant  integer NOT NULL,
    hash    bytea NOT NULL CHECK (length(hash) = 32),
    id      text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    factors text[] NOT NULL,
    agent   text NOT NULL CHECK (length(agent) <= 300),
    network text NOT NULL CHECK (length(network) <= 64),
    created timestamptz NOT NULL DEFAULT now(),
    proved  timestamptz NOT NULL DEFAULT now(),
    seen    timestamptz NOT NULL DEFAULT now(),
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, hash),
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX account_session_of ON account_session (tenant, account);
CREATE INDEX account_session_expires ON account_session (expires);

CREATE TABLE account_passkey (
    tenant     integer NOT NULL,
    credential bytea NOT NULL CHECK (length(credential) BETWEEN 16 AND 1023),
    id         text COLLATE "C" NOT NULL,
    account    text COLLATE "C" NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) <= 2048),
    sign_count bigint NOT NULL,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created    timestamptz NOT NULL DEFAULT now(),
    used       timestamptz,
    PRIMARY KEY (tenant, credential),
    UNIQUE (tenant, id),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX account_passkey_of ON account_passkey (tenant, account);

CREATE TABLE account_recovery_code (
    tenant  integer NOT NULL,
    account text COLLATE "C" NOT NULL,
    mac     bytea NOT NULL CHECK (length(mac) = 32),
    PRIMARY KEY (tenant, account, mac),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);

-- A browser from which the account was opened before: others' guesses never slow it down.
CREATE TABLE account_device (
    tenant  integer NOT NULL,
    account text COLLATE "C" NOT NULL,
    hash    bytea NOT NULL CHECK (length(hash) = 32),
    seen    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, account, hash),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);

-- The same person at another OpenID provider.
CREATE TABLE account_identity (
    tenant  integer NOT NULL,
    issuer  text NOT NULL CHECK (length(issuer) <= 500),
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    account text COLLATE "C" NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, issuer, subject),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX account_identity_of ON account_identity (tenant, account);

-- What a person has begun and not finished: a link in a mail, a second factor still to give, a passkey's challenge, a way
-- to another provider and back. Each is taken once.
CREATE TABLE account_ticket (
    tenant  integer NOT NULL,
    hash    bytea NOT NULL CHECK (length(hash) = 32),
    kind    text NOT NULL,
    account text COLLATE "C",
    content jsonb NOT NULL,
    tries   integer NOT NULL DEFAULT 0,
    expires timestamptz NOT NULL,
    PRIMARY KEY (tenant, hash),
    FOREIGN KEY (tenant, account) REFERENCES account (tenant, id) ON DELETE CASCADE
);
CREATE INDEX account_ticket_of ON account_ticket (tenant, account);
CREATE INDEX account_ticket_expires ON account_ticket (expires);

-- How often something was tried lately, by a MAC over what is counted: nobody reads addresses or networks from it.
CREATE TABLE account_attempt (
    tenant integer NOT NULL,
    mac    bytea NOT NULL CHECK (length(mac) = 32),
    count  integer NOT NULL,
    until  timestamptz NOT NULL,
    latest timestamptz NOT NULL,
    PRIMARY KEY (tenant, mac)
);
CREATE INDEX account_attempt_latest ON account_attempt (latest);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['account', 'account_session', 'account_passkey', 'account_recovery_code', 'account_device',
                                'account_identity', 'account_ticket', 'account_attempt'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON %I USING
            (tenant = (SELECT NULLIF(current_setting(''mediconnect.tenant'', true), '''')::integer))', name);
    END LOOP;
END
$$;
