-- Indexes that give a page without reading more than it needs; docs/performance.md has the plans.
--
-- A page in the order of pk passes over the rows of one key, so the key comes before pk: no other type's rows are between
-- them, and no bounds on pk are needed, which the planner would take for a narrowing beside that of the key.
DROP INDEX index_date_source;
CREATE INDEX index_date_source ON index_date (key, pk, low, high) INCLUDE (tenant);
DROP INDEX index_number_source;
CREATE INDEX index_number_source ON index_number (key, pk, low, high);
DROP INDEX index_quantity_source;
CREATE INDEX index_quantity_source ON index_quantity (key, pk, low, high) INCLUDE (code, label);
DROP INDEX index_string_source;
CREATE INDEX index_string_source ON index_string (key, pk);

-- With the tenant, which the policy compares, a walk over the texts of a key reads no table.
DROP INDEX index_string_value;
CREATE INDEX index_string_value ON index_string (key, value, pk) INCLUDE (tenant);

-- Nearly all numbers are points: what lies above a value is one range of `low`, and of the few ranges one of `high`. The
-- planner would expect `low < high` of a third of all rows; of an equality it expects a few.
CREATE INDEX index_number_range ON index_number (key, high, low, pk) WHERE sign(high - low) = 1;
CREATE INDEX index_quantity_range ON index_quantity (key, high, low, pk) WHERE sign(high - low) = 1;
CREATE INDEX index_quantity_canonical_range ON index_quantity (canonical_key, canonical_high, canonical_low, pk)
    WHERE sign(canonical_high - canonical_low) = 1;
