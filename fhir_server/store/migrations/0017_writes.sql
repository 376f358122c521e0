-- As in 0016 and 0003, but the rows of a new resource are added without a look at whether they are there: nobody else knows its number.
-- ON CONFLICT looks each row up first, marks it while it is added, and writes to the log once more that it was: an eighth of what a
-- create of a Patient costs the database. And resources are looked up by their keys whatever is known of the table.
--
-- fresh: for the n-th of pks whether it is new; null for one to which nothing comes. Without it any may have rows, as when a
-- reindex job adds to them.
DROP FUNCTION write_index;
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
    _removes boolean, fresh boolean[] DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF _removes THEN
        -- What is to go is worked out first, behind OFFSET 0: row level security lets only a plain comparison with a column
        -- reach an index before the policy has been asked, and all rows of a key would be read.
        IF 0 > ANY (_token_of) THEN
            DELETE FROM index_token x
            USING (SELECT pks[-o] AS pk, k FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.pk = d.pk;
        END IF;
        IF 0 > ANY (_reference_of) THEN
            DELETE FROM index_reference x
            USING (SELECT pks[-o] AS pk, k, t FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.target = d.t AND x.key = d.k AND x.pk = d.pk;
        END IF;
        IF 0 > ANY (_string_of) THEN
            DELETE FROM index_string x
            USING (SELECT pks[-o] AS pk, k, v, f, e
                   FROM unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS a (o, k, v, f, e)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.value = d.v AND x.pk = d.pk
              AND x.full_value IS NOT DISTINCT FROM d.f AND x.exact IS NOT DISTINCT FROM d.e;
        END IF;
        IF 0 > ANY (_date_of) THEN
            DELETE FROM index_date x
            USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk;
        END IF;
        IF 0 > ANY (_number_of) THEN
            DELETE FROM index_number x
            USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk;
        END IF;
        IF 0 > ANY (_quantity_of) THEN
            DELETE FROM index_quantity x
            USING (SELECT pks[-o] AS pk, k, l, h, c, t
                   FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label)
                       AS a (o, k, l, h, c, t)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.low = d.l AND x.high = d.h AND x.pk = d.pk
              AND x.code IS NOT DISTINCT FROM d.c AND x.label IS NOT DISTINCT FROM d.t;
        END IF;
        IF 0 > ANY (_text_of) THEN
            DELETE FROM index_text x
            USING (SELECT pks[-o] AS pk FROM unnest(_text_of) AS a (o) WHERE o < 0 OFFSET 0) d WHERE x.pk = d.pk;
        END IF;
    END IF;

    IF 0 < ANY (_token_of) AND true = ANY (fresh) THEN
        INSERT INTO index_token (key, pk, tenant)
        SELECT k, pks[o], _tenant FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o > 0 AND fresh[o];
    END IF;
    IF 0 < ANY (_token_of) AND (fresh IS NULL OR false = ANY (fresh)) THEN
        INSERT INTO index_token (key, pk, tenant)
        SELECT k, pks[o], _tenant FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o > 0 AND fresh[o] IS NOT TRUE
        ON CONFLICT DO NOTHING;
    END IF;
    IF 0 < ANY (_reference_of) AND true = ANY (fresh) THEN
        INSERT INTO index_reference (key, target, pk, tenant)
        SELECT k, t, pks[o], _tenant
        FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t) WHERE o > 0 AND fresh[o];
    END IF;
    IF 0 < ANY (_reference_of) AND (fresh IS NULL OR false = ANY (fresh)) THEN
        INSERT INTO index_reference (key, target, pk, tenant)
        SELECT k, t, pks[o], _tenant
        FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t) WHERE o > 0 AND fresh[o] IS NOT TRUE
        ON CONFLICT DO NOTHING;
    END IF;
    IF 0 < ANY (_string_of) THEN
        INSERT INTO index_string (key, pk, tenant, value, full_value, exact)
        SELECT k, pks[o], _tenant, v, f, e
        FROM unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS a (o, k, v, f, e)
        WHERE o > 0;
    END IF;
    IF 0 < ANY (_date_of) THEN
        INSERT INTO index_date (key, low, high, pk, tenant)
        SELECT k, l, h, pks[o], _tenant FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
        WHERE o > 0;
    END IF;
    IF 0 < ANY (_number_of) THEN
        INSERT INTO index_number (key, pk, tenant, low, high)
        SELECT k, pks[o], _tenant, l, h
        FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h) WHERE o > 0;
    END IF;
    IF 0 < ANY (_quantity_of) THEN
        INSERT INTO index_quantity
            (key, pk, code, label, canonical_key, tenant, low, high, canonical_low, canonical_high)
        SELECT k, pks[o], c, t, ck, _tenant, l, h, cl, ch
        FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label,
                    _quantity_canonical, _quantity_canonical_low, _quantity_canonical_high)
            AS a (o, k, l, h, c, t, ck, cl, ch)
        WHERE o > 0;
    END IF;
    IF 0 < ANY (_text_of) THEN
        INSERT INTO index_text (pk, tenant, narrative, content)
        SELECT pks[o], _tenant, nullif(n, '')::tsvector, c::tsvector
        FROM unnest(_text_of, _text_narrative, _text_content) AS a (o, n, c) WHERE o > 0;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION write_versions(
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
    fresh    boolean[];
    expected integer;
    done     integer;
BEGIN
    PERFORM check_generation(_tenant, _generation);
    pks := ARRAY(
        SELECT CASE WHEN p = 0 THEN (t::bigint << 48) | nextval('resource_seq') ELSE p END
        FROM unnest(_pk, _type) WITH ORDINALITY AS w (p, t, n) ORDER BY n);
    fresh := ARRAY(
        SELECT CASE WHEN m <> 'D' THEN p = 0 END FROM unnest(_pk, _method) WITH ORDINALITY AS w (p, m, n) ORDER BY n);

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
        -- Each is looked up by itself. A join that is planned before the table was analysed reads all that the tenant has.
        SELECT count(*) INTO expected FROM unnest(_version) AS v (o) WHERE o > 1;
        UPDATE resource r
        SET version = v.o, updated = v.w, shape = v.s, deleted = (v.m = 'D')
        FROM (SELECT o, w, m, s,
                     (SELECT x.ctid FROM resource x WHERE x.tenant = _tenant AND x.type = t AND x.id = i) AS place
              FROM unnest(_type, _id, _version, _written, _method, _shape) AS u (t, i, o, w, m, s) WHERE o > 1 OFFSET 0) v
        WHERE r.ctid = v.place AND r.version = v.o - 1;
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
        _quantity_canonical_high, _text_of, _text_narrative, _text_content, _removes, fresh);
END
$function$;
