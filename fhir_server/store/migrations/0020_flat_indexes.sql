-- What waits to be merged into the index of words is read by every search for a word, and merged at once by the writer that fills the
-- list, who waits the longer the longer it is: 64 kB instead of the 4 MB of PostgreSQL. Writes take no more of the processor by it.
ALTER INDEX index_text_content SET (gin_pending_list_limit = 64);
ALTER INDEX index_text_narrative SET (gin_pending_list_limit = 64);

-- No wider than two bigints, for the same reason as in 0018. What was written at one instant is put in the order of pk when it is read.
DROP INDEX resource_updated;
CREATE INDEX resource_updated ON resource (tenant, type, updated) WHERE NOT deleted;

-- Without pk there is one entry for all rows of the same text, beginning or end: what codes are called, and when, comes again and again. What is
-- in order by such an index needs little more to be in order of pk as well, which is read from the table. Numbers, of which PostgreSQL keeps no
-- such entries, become narrower; what their rows say besides, the unit for one, was read from the table already.
DROP INDEX index_string_value, index_date_low, index_date_high, index_quantity_value, index_quantity_canonical;
CREATE INDEX index_string_value ON index_string (key, value);
CREATE INDEX index_date_low ON index_date (key, low);
CREATE INDEX index_date_high ON index_date (key, high);
CREATE INDEX index_quantity_value ON index_quantity (key, low, high);
CREATE INDEX index_quantity_canonical ON index_quantity (canonical_key, canonical_low, canonical_high)
    WHERE canonical_key IS NOT NULL;
