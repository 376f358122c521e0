-- What is kept: every version of every resource once, the current one by its key, and the search index beside it.
--
-- tenant      in every row; row level security compares it with the setting mediconnect.tenant of the connection.
-- pk          the surrogate key of a resource: its type in the 16 high bits, a sequence number below, so that one index
--             gives all resources of a type in the order they were created.
-- key         64 bits of BLAKE2b over (tenant, type, path, form, value): see search/key.py and docs/implementation/index.md.
-- reference   the key under which references to a resource ("Patient/123") are indexed.

CREATE TABLE tenant (
    id      integer PRIMARY KEY CHECK (id > 0),
    name    text NOT NULL UNIQUE,
    created timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenant (id, name) VALUES (1, 'default');

CREATE TABLE resource_type (
    code smallint PRIMARY KEY CHECK (code > 0),
    name text NOT NULL UNIQUE
);

-- Keys that all processes of one installation share, such as the one that signs page links.
CREATE TABLE secret (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE SEQUENCE resource_seq;
CREATE SEQUENCE version_seq;

CREATE TABLE resource (
    pk        bigint NOT NULL,
    reference bigint NOT NULL,
    updated   timestamptz NOT NULL,
    tenant    integer NOT NULL,
    version   integer NOT NULL CHECK (version > 0),
    shape     bigint NOT NULL,
    type      smallint NOT NULL,
    deleted   boolean NOT NULL,
    id        text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, type, id)
);
CREATE UNIQUE INDEX resource_current ON resource (tenant, pk) WHERE NOT deleted;
CREATE UNIQUE INDEX resource_reference ON resource (reference) WHERE NOT deleted;
CREATE INDEX resource_updated ON resource (tenant, type, updated, pk) WHERE NOT deleted;
CREATE INDEX resource_shape ON resource (shape, pk) WHERE NOT deleted;

-- The event log. `seq` is not commit order: a reader of the feed passes a position only when no older transaction
-- can still commit (xid < pg_snapshot_xmin). Content is the exact text of the resource in UTF-8; NULL is a deletion.
CREATE TABLE version (
    pk      bigint NOT NULL,
    seq     bigint NOT NULL DEFAULT nextval('version_seq'),
    written timestamptz NOT NULL,
    xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant  integer NOT NULL,
    version integer NOT NULL,
    type    smallint NOT NULL,
    method  "char" NOT NULL CHECK (method IN ('C', 'U', 'P', 'D')),
    id      text COLLATE "C" NOT NULL,
    content bytea,
    PRIMARY KEY (pk, version),
    CHECK ((method = 'D') = (content IS NULL))
);
CREATE INDEX version_of_type ON version (tenant, type, seq);
CREATE INDEX version_feed ON version (tenant, seq);

-- Which paths a resource has values for, as a dictionary of the sets that occur: what :missing asks. The id is a hash of
-- the set, so that a writer knows it without asking.
CREATE TABLE shape (
    id     bigint PRIMARY KEY,
    tenant integer NOT NULL,
    type   smallint NOT NULL,
    paths  bigint[] NOT NULL
);
CREATE INDEX shape_of_type ON shape (tenant, type);

CREATE TABLE index_token (
    key    bigint NOT NULL,
    pk     bigint NOT NULL,
    tenant integer NOT NULL,
    PRIMARY KEY (key, pk)
);

CREATE TABLE index_reference (
    key    bigint NOT NULL,
    target bigint NOT NULL,
    pk     bigint NOT NULL,
    tenant integer NOT NULL,
    PRIMARY KEY (target, key, pk)
);
CREATE INDEX index_reference_source ON index_reference (key, pk, target);

-- value: lower case, without accents, at most 128 characters. full_value: the whole of it where that is longer.
-- exact: the text as it stands in the resource, where it differs from value.
CREATE TABLE index_string (
    key        bigint NOT NULL,
    pk         bigint NOT NULL,
    tenant     integer NOT NULL,
    value      text COLLATE "C" NOT NULL,
    full_value text COLLATE "C",
    exact      text COLLATE "C"
);
CREATE INDEX index_string_value ON index_string (key, value, pk);
CREATE INDEX index_string_source ON index_string (pk, key);

-- low <= t < high; open ends are -infinity and infinity.
CREATE TABLE index_date (
    key    bigint NOT NULL,
    low    timestamptz NOT NULL,
    high   timestamptz NOT NULL,
    pk     bigint NOT NULL,
    tenant integer NOT NULL
);
CREATE INDEX index_date_low ON index_date (key, low, high, pk);
CREATE INDEX index_date_high ON index_date (key, high, low, pk);
CREATE INDEX index_date_source ON index_date (pk, key, low, high);

-- low <= value <= high, both the number itself unless the element is a Range or carries a comparator; open ends are infinite.
CREATE TABLE index_number (
    key    bigint NOT NULL,
    pk     bigint NOT NULL,
    tenant integer NOT NULL,
    low    numeric NOT NULL,
    high   numeric NOT NULL
);
CREATE INDEX index_number_low ON index_number (key, low, high, pk);
CREATE INDEX index_number_source ON index_number (pk, key);

-- As index_number, with the unit as it is written (code: key of system and code; label: key of code or unit text alone) and,
-- where the unit is UCUM, the value in canonical units under canonical_key.
CREATE TABLE index_quantity (
    key            bigint NOT NULL,
    pk             bigint NOT NULL,
    code           bigint,
    label          bigint,
    canonical_key  bigint,
    tenant         integer NOT NULL,
    low            numeric NOT NULL,
    high           numeric NOT NULL,
    canonical_low  numeric,
    canonical_high numeric
);
CREATE INDEX index_quantity_value ON index_quantity (key, low, high, pk);
CREATE INDEX index_quantity_source ON index_quantity (pk, key);
CREATE INDEX index_quantity_canonical ON index_quantity (canonical_key, canonical_low, canonical_high, pk)
    WHERE canonical_key IS NOT NULL;

-- Writes versions, one array element each, with their index rows, in one statement: all or nothing.
-- _pk 0 stands for a resource that does not exist yet (_version 1); every other version must follow the stored one, else
-- SQLSTATE MC001. In the *_of arrays n adds a row for the n-th version and -n removes it.
CREATE FUNCTION write_versions(
    _tenant integer,
    _pk bigint[], _type smallint[], _id text[], _reference bigint[], _version integer[], _written timestamptz[],
    _method "char"[], _shape bigint[], _content bytea[],
    _shape_id bigint[], _shape_type smallint[], _shape_paths text[],
    _token_of integer[], _token_key bigint[],
    _reference_of integer[], _reference_key bigint[], _reference_target bigint[],
    _string_of integer[], _string_key bigint[], _string_value text[], _string_full text[], _string_exact text[],
    _date_of integer[], _date_key bigint[], _date_low timestamptz[], _date_high timestamptz[],
    _number_of integer[], _number_key bigint[], _number_low numeric[], _number_high numeric[],
    _quantity_of integer[], _quantity_key bigint[], _quantity_low numeric[], _quantity_high numeric[],
    _quantity_code bigint[], _quantity_label bigint[], _quantity_canonical bigint[],
    _quantity_canonical_low numeric[], _quantity_canonical_high numeric[],
    _removes boolean
) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    pks      bigint[];
    expected integer;
    done     integer;
BEGIN
    pks := ARRAY(
        SELECT CASE WHEN p = 0 THEN (t::bigint << 48) | nextval('resource_seq') ELSE p END
        FROM unnest(_pk, _type) WITH ORDINALITY AS w (p, t, n) ORDER BY n);

    IF cardinality(_shape_id) > 0 THEN
        INSERT INTO shape (id, tenant, type, paths)
        SELECT i, _tenant, t, p::bigint[] FROM unnest(_shape_id, _shape_type, _shape_paths) AS s (i, t, p) ORDER BY i
        ON CONFLICT DO NOTHING;
    END IF;

    IF 1 = ANY (_version) THEN
        INSERT INTO resource (pk, reference, updated, tenant, version, shape, type, deleted, id)
        SELECT pks[n], r, w, _tenant, 1, s, t, false, i
        FROM unnest(_type, _id, _reference, _version, _written, _shape) WITH ORDINALITY AS v (t, i, r, o, w, s, n)
        WHERE o = 1 ORDER BY t, i;
    END IF;
    IF 1 <> ANY (_version) THEN
        SELECT count(*) INTO expected FROM unnest(_version) AS v (o) WHERE o > 1;
        UPDATE resource r
        SET version = v.o, updated = v.w, shape = v.s, deleted = (v.m = 'D')
        FROM unnest(_type, _id, _version, _written, _method, _shape) AS v (t, i, o, w, m, s)
        WHERE r.tenant = _tenant AND r.type = v.t AND r.id = v.i AND r.version = v.o - 1 AND v.o > 1;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> expected THEN
            RAISE EXCEPTION 'a version was written by another request meanwhile' USING ERRCODE = 'MC001';
        END IF;
    END IF;
    INSERT INTO version (pk, written, tenant, version, type, method, id, content)
    SELECT pks[n], w, _tenant, o, t, m, i, c
    FROM unnest(_type, _id, _version, _written, _method, _content) WITH ORDINALITY AS v (t, i, o, w, m, c, n)
    ORDER BY n;

    IF _removes THEN
        DELETE FROM index_token x USING unnest(_token_of, _token_key) AS d (o, k)
        WHERE o < 0 AND x.key = k AND x.pk = pks[-o];
        DELETE FROM index_reference x USING unnest(_reference_of, _reference_key, _reference_target) AS d (o, k, t)
        WHERE o < 0 AND x.target = t AND x.key = k AND x.pk = pks[-o];
        DELETE FROM index_string x
        USING unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS d (o, k, v, f, e)
        WHERE o < 0 AND x.key = k AND x.value = v AND x.pk = pks[-o]
          AND x.full_value IS NOT DISTINCT FROM f AND x.exact IS NOT DISTINCT FROM e;
        DELETE FROM index_date x USING unnest(_date_of, _date_key, _date_low, _date_high) AS d (o, k, l, h)
        WHERE o < 0 AND x.key = k AND x.low = l AND x.high = h AND x.pk = pks[-o];
        DELETE FROM index_number x USING unnest(_number_of, _number_key, _number_low, _number_high) AS d (o, k, l, h)
        WHERE o < 0 AND x.key = k AND x.low = l AND x.high = h AND x.pk = pks[-o];
        DELETE FROM index_quantity x
        USING unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label)
            AS d (o, k, l, h, c, t)
        WHERE o < 0 AND x.key = k AND x.low = l AND x.high = h AND x.pk = pks[-o]
          AND x.code IS NOT DISTINCT FROM c AND x.label IS NOT DISTINCT FROM t;
    END IF;

    IF cardinality(_token_of) > 0 THEN
        INSERT INTO index_token (key, pk, tenant)
        SELECT k, pks[o], _tenant FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o > 0
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(_reference_of) > 0 THEN
        INSERT INTO index_reference (key, target, pk, tenant)
        SELECT k, t, pks[o], _tenant
        FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t) WHERE o > 0
        ON CONFLICT DO NOTHING;
    END IF;
    IF cardinality(_string_of) > 0 THEN
        INSERT INTO index_string (key, pk, tenant, value, full_value, exact)
        SELECT k, pks[o], _tenant, v, f, e
        FROM unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS a (o, k, v, f, e)
        WHERE o > 0;
    END IF;
    IF cardinality(_date_of) > 0 THEN
        INSERT INTO index_date (key, low, high, pk, tenant)
        SELECT k, l, h, pks[o], _tenant FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
        WHERE o > 0;
    END IF;
    IF cardinality(_number_of) > 0 THEN
        INSERT INTO index_number (key, pk, tenant, low, high)
        SELECT k, pks[o], _tenant, l, h
        FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h) WHERE o > 0;
    END IF;
    IF cardinality(_quantity_of) > 0 THEN
        INSERT INTO index_quantity
            (key, pk, code, label, canonical_key, tenant, low, high, canonical_low, canonical_high)
        SELECT k, pks[o], c, t, ck, _tenant, l, h, cl, ch
        FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label,
                    _quantity_canonical, _quantity_canonical_low, _quantity_canonical_high)
            AS a (o, k, l, h, c, t, ck, cl, ch)
        WHERE o > 0;
    END IF;
END
$function$;

-- Row level security: under the predicates of our own queries, a connection sees one tenant. FORCE binds the owner too;
-- a superuser is bound because the server's connections take the role mediconnect_server.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['resource', 'version', 'shape', 'index_token', 'index_reference', 'index_string',
                                'index_date', 'index_number', 'index_quantity'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON %I USING
            (tenant = (SELECT NULLIF(current_setting(''mediconnect.tenant'', true), '''')::integer))', name);
    END LOOP;
END
$$;
