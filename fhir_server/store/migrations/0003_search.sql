-- Search made whole: full text, SearchParameters of a hospital's own, and what the planner has to know.
--
-- Row level security binds all tables but three. Under it PostgreSQL looks an operator up in an index only where the
-- operator is known not to leak its operands, which the comparisons of numeric and @@ are not: a search for a number would
-- read all numbers of its key, one for a word all words. index_number, index_quantity and index_text hold no resource:
-- their keys are made with the tenant, and what they find is read from resource and version, which are bound.

ALTER TABLE index_number NO FORCE ROW LEVEL SECURITY;
ALTER TABLE index_number DISABLE ROW LEVEL SECURITY;
DROP POLICY one_tenant ON index_number;
ALTER TABLE index_quantity NO FORCE ROW LEVEL SECURITY;
ALTER TABLE index_quantity DISABLE ROW LEVEL SECURITY;
DROP POLICY one_tenant ON index_quantity;

-- With the tenant, which the policy compares, in the index, counting and intersecting keys reads no table.
ALTER TABLE index_token DROP CONSTRAINT index_token_pkey;
ALTER TABLE index_token ADD PRIMARY KEY (key, pk) INCLUDE (tenant);
ALTER TABLE index_reference DROP CONSTRAINT index_reference_pkey;
ALTER TABLE index_reference ADD PRIMARY KEY (target, key, pk) INCLUDE (tenant);
DROP INDEX index_reference_source;
CREATE INDEX index_reference_source ON index_reference (key, pk, target) INCLUDE (tenant);

-- A page in the order of pk passes over the values of a key without a look at the table.
DROP INDEX index_number_source;
CREATE INDEX index_number_source ON index_number (pk, key, low, high);
DROP INDEX index_quantity_source;
CREATE INDEX index_quantity_source ON index_quantity (pk, key, low, high);

-- Keys are skewed: one code may stand on half of all rows, most on a few.
ALTER TABLE index_token ALTER COLUMN key SET STATISTICS 1000;
ALTER TABLE index_reference ALTER COLUMN key SET STATISTICS 500;
ALTER TABLE index_reference ALTER COLUMN target SET STATISTICS 500;
ALTER TABLE index_string ALTER COLUMN key SET STATISTICS 500;
ALTER TABLE index_date ALTER COLUMN key SET STATISTICS 500;
ALTER TABLE index_quantity ALTER COLUMN key SET STATISTICS 500;
-- Most targets are encounters with a few references, but most references lead to patients with hundreds. Who expects too
-- many does little harm; who expects two follows a chain from the wrong end.
ALTER TABLE index_reference ALTER COLUMN target SET (n_distinct = -0.0005);

-- The words of a resource, made by search/words.py: those of its narrative, and all that are for people to read. Each vector
-- holds the resource's type as one word more.
CREATE TABLE index_text (
    pk        bigint PRIMARY KEY,
    tenant    integer NOT NULL,
    narrative tsvector,
    content   tsvector NOT NULL
);
CREATE INDEX index_text_narrative ON index_text USING gin (narrative);
CREATE INDEX index_text_content ON index_text USING gin (content);

-- How often the set of a tenant's SearchParameters has changed. A writer says which set its rows were made by.
CREATE TABLE search_generation (
    tenant     integer PRIMARY KEY,
    generation bigint NOT NULL
);

-- SearchParameters of the tenant's own, one row for each definition there was. The generation it came with is part of its
-- index keys, so rows of an earlier definition are never taken for its own.
-- waiting: rows are written for it, those of older resources are being added; complete: it can be searched by.
CREATE TABLE search_parameter (
    tenant     integer NOT NULL,
    generation bigint NOT NULL,
    id         text COLLATE "C" NOT NULL,
    url        text NOT NULL,
    state      text NOT NULL CHECK (state IN ('waiting', 'complete', 'retired')),
    definition text NOT NULL,
    PRIMARY KEY (tenant, generation)
);
CREATE UNIQUE INDEX search_parameter_url ON search_parameter (tenant, url) WHERE state <> 'retired';
CREATE INDEX search_parameter_id ON search_parameter (tenant, id) WHERE state <> 'retired';

-- The jobs that make index rows for resources that are there already, and how far they are. generation: of the
-- SearchParameter it is for; NULL: all rows are made anew. position: the pk up to which it is done. xid: of who began it;
-- what older transactions write has no rows by it, so it waits for them to end.
CREATE TABLE reindex (
    tenant     integer NOT NULL,
    job        bigint GENERATED ALWAYS AS IDENTITY,
    generation bigint,
    types      smallint[] NOT NULL,
    position   bigint NOT NULL DEFAULT 0,
    done       bigint NOT NULL DEFAULT 0,
    total      bigint NOT NULL,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    begun      timestamptz NOT NULL DEFAULT now(),
    touched    timestamptz NOT NULL DEFAULT now(),
    ended      timestamptz,
    PRIMARY KEY (tenant, job)
);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['search_generation', 'search_parameter', 'reindex'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON %I USING
            (tenant = (SELECT NULLIF(current_setting(''mediconnect.tenant'', true), '''')::integer))', name);
    END LOOP;
END
$$;

-- Raises SQLSTATE MC002 where the set of SearchParameters is another one than the rows at hand were made by.
CREATE FUNCTION check_generation(_tenant integer, _generation bigint) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF _generation <> coalesce((SELECT generation FROM search_generation WHERE tenant = _tenant), 0) THEN
        RAISE EXCEPTION 'the search parameters have changed meanwhile' USING ERRCODE = 'MC002';
    END IF;
END
$function$;

-- Adds and removes index rows: in the *_of arrays n adds a row for the n-th of pks and -n removes it.
CREATE FUNCTION write_index(
    _tenant integer, pks bigint[],
    _token_of integer[], _token_key bigint[],
    _reference_of integer[], _reference_key bigint[], _reference_target bigint[],
    _string_of integer[], _string_key bigint[], _string_value text[], _string_full text[], _string_exact text[],
    _date_of integer[], _date_key bigint[], _date_low timestamptz[], _date_high timestamptz[],
    _number_of integer[], _number_key bigint[], _number_low numeric[], _number_high numeric[],
    _quantity_of integer[], _quantity_key bigint[], _quantity_low numeric[], _quantity_high numeric[],
    _quantity_code bigint[], _quantity_label bigint[], _quantity_canonical bigint[],
    _quantity_canonical_low numeric[], _quantity_canonical_high numeric[],
    _text_of integer[], _text_narrative text[], _text_content text[],
    _removes boolean
) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF _removes THEN
        -- What is to go is worked out first, behind OFFSET 0: row level security lets only a plain comparison with a column
        -- reach an index before the policy has been asked, and all rows of a key would be read.
        DELETE FROM index_token x
        USING (SELECT pks[-o] AS pk, k FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o < 0 OFFSET 0) d
        WHERE x.key = d.k AND x.pk = d.pk;
        DELETE FROM index_reference x
        USING (SELECT pks[-o] AS pk, k, t FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t)
               WHERE o < 0 OFFSET 0) d
        WHERE x.target = d.t AND x.key = d.k AND x.pk = d.pk;
        DELETE FROM index_string x
        USING (SELECT pks[-o] AS pk, k, v, f, e
               FROM unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS a (o, k, v, f, e)
               WHERE o < 0 OFFSET 0) d
        WHERE x.key = d.k AND x.value = d.v AND x.pk = d.pk
          AND x.full_value IS NOT DISTINCT FROM d.f AND x.exact IS NOT DISTINCT FROM d.e;
        DELETE FROM index_date x
        USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
               WHERE o < 0 OFFSET 0) d
        WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk;
        DELETE FROM index_number x
        USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h)
               WHERE o < 0 OFFSET 0) d
        WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk;
        DELETE FROM index_quantity x
        USING (SELECT pks[-o] AS pk, k, l, h, c, t
               FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label)
                   AS a (o, k, l, h, c, t)
               WHERE o < 0 OFFSET 0) d
        WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk
          AND x.code IS NOT DISTINCT FROM d.c AND x.label IS NOT DISTINCT FROM d.t;
        DELETE FROM index_text x
        USING (SELECT pks[-o] AS pk FROM unnest(_text_of) AS a (o) WHERE o < 0 OFFSET 0) d WHERE x.pk = d.pk;
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
    IF cardinality(_text_of) > 0 THEN
        INSERT INTO index_text (pk, tenant, narrative, content)
        SELECT pks[o], _tenant, nullif(n, '')::tsvector, c::tsvector
        FROM unnest(_text_of, _text_narrative, _text_content) AS a (o, n, c) WHERE o > 0;
    END IF;
END
$function$;

-- As in 0001, with full text, and with a check that the rows were made by the current set of SearchParameters.
DROP FUNCTION write_versions;
CREATE FUNCTION write_versions(
    _tenant integer, _generation bigint,
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
    _text_of integer[], _text_narrative text[], _text_content text[],
    _removes boolean
) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    pks      bigint[];
    expected integer;
    done     integer;
BEGIN
    PERFORM check_generation(_tenant, _generation);
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

    PERFORM write_index(
        _tenant, pks, _token_of, _token_key, _reference_of, _reference_key, _reference_target, _string_of,
        _string_key, _string_value, _string_full, _string_exact, _date_of, _date_key, _date_low, _date_high,
        _number_of, _number_key, _number_low, _number_high, _quantity_of, _quantity_key, _quantity_low,
        _quantity_high, _quantity_code, _quantity_label, _quantity_canonical, _quantity_canonical_low,
        _quantity_canonical_high, _text_of, _text_narrative, _text_content, _removes);
END
$function$;
