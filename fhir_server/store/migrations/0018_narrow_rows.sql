-- Narrower index rows. What they say of a tenant, their keys say already: each is made with it (search/key.py), so no look-up
-- finds another's, and what is found is read from resource and version, where row level security holds.
--
-- PostgreSQL splits a full page of a b-tree behind the row that has just come, where the rows of one key come in the order of pk, and
-- leaves it full. But it does so only for rows of no more than two bigints; all others leave half of each page empty. So the table
-- of tokens and the walks in the order of pk have indexes of key and pk alone, half as large as with a column more.
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['index_token', 'index_reference', 'index_string', 'index_date'] LOOP
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', name);
        EXECUTE format('DROP POLICY one_tenant ON %I', name);
    END LOOP;
END
$$;

-- What is built anew by the column's going is built without it.
DROP INDEX index_reference_source, index_string_value, index_date_low, index_date_high, index_date_source, index_number_source,
    index_text_narrative;
ALTER TABLE index_token DROP CONSTRAINT index_token_pkey, DROP COLUMN tenant, ADD PRIMARY KEY (key, pk);
ALTER TABLE index_reference DROP CONSTRAINT index_reference_pkey, DROP COLUMN tenant, ADD PRIMARY KEY (target, key, pk);
CREATE INDEX index_reference_source ON index_reference (key, pk);
ALTER TABLE index_string DROP COLUMN tenant;
CREATE INDEX index_string_value ON index_string (key, value, pk);
ALTER TABLE index_date DROP COLUMN tenant;
CREATE INDEX index_date_low ON index_date (key, low, high, pk);
CREATE INDEX index_date_high ON index_date (key, high, low, pk);
CREATE INDEX index_date_source ON index_date (key, pk);
ALTER TABLE index_number DROP COLUMN tenant;
CREATE INDEX index_number_source ON index_number (key, pk);

-- This table is made anew: of a row with many columns, one that is gone would cost eight bytes for saying so.
CREATE TABLE narrow_quantity (
    key            bigint NOT NULL,
    pk             bigint NOT NULL,
    code           bigint,
    label          bigint,
    canonical_key  bigint,
    low            numeric NOT NULL,
    high           numeric NOT NULL,
    canonical_low  numeric,
    canonical_high numeric
);
INSERT INTO narrow_quantity
SELECT key, pk, code, label, canonical_key, low, high, canonical_low, canonical_high FROM index_quantity;
DROP TABLE index_quantity;
ALTER TABLE narrow_quantity RENAME TO index_quantity;
CREATE INDEX index_quantity_value ON index_quantity (key, low, high, pk);
CREATE INDEX index_quantity_source ON index_quantity (key, pk);
CREATE INDEX index_quantity_canonical ON index_quantity (canonical_key, canonical_low, canonical_high, pk)
    WHERE canonical_key IS NOT NULL;
CREATE INDEX index_quantity_range ON index_quantity (key, high, low, pk) WHERE sign(high - low) = 1;
CREATE INDEX index_quantity_canonical_range ON index_quantity (canonical_key, canonical_high, canonical_low, pk)
    WHERE sign(canonical_high - canonical_low) = 1;
ALTER TABLE index_quantity ALTER COLUMN key SET STATISTICS 500;
ANALYZE index_quantity;

-- Most resources have no narrative.
CREATE INDEX index_text_narrative ON index_text USING gin (narrative) WHERE narrative IS NOT NULL;

-- As in 0017, without the tenant, and in the order of keys, so that rows of one key lie side by side and pages are split behind them.
CREATE OR REPLACE FUNCTION write_index(
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
        -- What is to go is worked out first, behind OFFSET 0, and looked up by key and pk: IS TRUE keeps the values from the indexes
        -- of all rows that have them.
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
            WHERE x.key = d.k AND x.pk = d.pk AND (x.value = d.v) IS TRUE
              AND x.full_value IS NOT DISTINCT FROM d.f AND x.exact IS NOT DISTINCT FROM d.e;
        END IF;
        IF 0 > ANY (_date_of) THEN
            DELETE FROM index_date x
            USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.pk = d.pk AND (x.low = d.l) IS TRUE AND (x.high = d.h) IS TRUE;
        END IF;
        IF 0 > ANY (_number_of) THEN
            DELETE FROM index_number x
            USING (SELECT pks[-o] AS pk, k, l, h FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.pk = d.pk AND (x.low = d.l) IS TRUE AND (x.high = d.h) IS TRUE;
        END IF;
        IF 0 > ANY (_quantity_of) THEN
            DELETE FROM index_quantity x
            USING (SELECT pks[-o] AS pk, k, l, h, c, t
                   FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label)
                       AS a (o, k, l, h, c, t)
                   WHERE o < 0 OFFSET 0) d
            WHERE x.key = d.k AND x.pk = d.pk AND (x.low = d.l) IS TRUE AND (x.high = d.h) IS TRUE
              AND x.code IS NOT DISTINCT FROM d.c AND x.label IS NOT DISTINCT FROM d.t;
        END IF;
        IF 0 > ANY (_text_of) THEN
            DELETE FROM index_text x
            USING (SELECT pks[-o] AS pk FROM unnest(_text_of) AS a (o) WHERE o < 0 OFFSET 0) d WHERE x.pk = d.pk;
        END IF;
    END IF;

    IF 0 < ANY (_token_of) AND true = ANY (fresh) THEN
        INSERT INTO index_token (key, pk)
        SELECT k, pks[o] FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o > 0 AND fresh[o];
    END IF;
    IF 0 < ANY (_token_of) AND (fresh IS NULL OR false = ANY (fresh)) THEN
        INSERT INTO index_token (key, pk)
        SELECT k, pks[o] FROM unnest(_token_of, _token_key) AS a (o, k) WHERE o > 0 AND fresh[o] IS NOT TRUE
        ON CONFLICT DO NOTHING;
    END IF;
    IF 0 < ANY (_reference_of) AND true = ANY (fresh) THEN
        INSERT INTO index_reference (key, target, pk)
        SELECT k, t, pks[o]
        FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t) WHERE o > 0 AND fresh[o] ORDER BY k, o;
    END IF;
    IF 0 < ANY (_reference_of) AND (fresh IS NULL OR false = ANY (fresh)) THEN
        INSERT INTO index_reference (key, target, pk)
        SELECT k, t, pks[o]
        FROM unnest(_reference_of, _reference_key, _reference_target) AS a (o, k, t) WHERE o > 0 AND fresh[o] IS NOT TRUE
        ON CONFLICT DO NOTHING;
    END IF;
    IF 0 < ANY (_string_of) THEN
        INSERT INTO index_string (key, pk, value, full_value, exact)
        SELECT k, pks[o], v, f, e
        FROM unnest(_string_of, _string_key, _string_value, _string_full, _string_exact) AS a (o, k, v, f, e)
        WHERE o > 0 ORDER BY k, o;
    END IF;
    IF 0 < ANY (_date_of) THEN
        INSERT INTO index_date (key, low, high, pk)
        SELECT k, l, h, pks[o] FROM unnest(_date_of, _date_key, _date_low, _date_high) AS a (o, k, l, h)
        WHERE o > 0 ORDER BY k, o;
    END IF;
    IF 0 < ANY (_number_of) THEN
        INSERT INTO index_number (key, pk, low, high)
        SELECT k, pks[o], l, h
        FROM unnest(_number_of, _number_key, _number_low, _number_high) AS a (o, k, l, h) WHERE o > 0;
    END IF;
    IF 0 < ANY (_quantity_of) THEN
        INSERT INTO index_quantity
            (key, pk, code, label, canonical_key, low, high, canonical_low, canonical_high)
        SELECT k, pks[o], c, t, ck, l, h, cl, ch
        FROM unnest(_quantity_of, _quantity_key, _quantity_low, _quantity_high, _quantity_code, _quantity_label,
                    _quantity_canonical, _quantity_canonical_low, _quantity_canonical_high)
            AS a (o, k, l, h, c, t, ck, cl, ch)
        WHERE o > 0 ORDER BY k, o;
    END IF;
    IF 0 < ANY (_text_of) THEN
        INSERT INTO index_text (pk, tenant, narrative, content)
        SELECT pks[o], _tenant, nullif(n, '')::tsvector, c::tsvector
        FROM unnest(_text_of, _text_narrative, _text_content) AS a (o, n, c) WHERE o > 0;
    END IF;
END
$function$;
