-- write_versions answers the pk of each version, in order: who has written a resource can write it again without reading it first.
-- Servers of before take no notice of the answer.
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
) RETURNS bigint[] LANGUAGE plpgsql AS $function$
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
    RETURN pks;
END
$function$;
