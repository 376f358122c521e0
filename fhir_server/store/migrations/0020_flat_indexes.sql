-- What waits to be merged into the index of words is read by every search for a word, and merged at once by the writer that fills the
-- list, who waits the longer the longer it is: 64 kB instead of the 4 MB of PostgreSQL. Writes take no more of the processor by it.
ALTER INDEX index_text_content SET (gin_pending_list_limit = 64);
ALTER INDEX index_text_narrative SET (gin_pending_list_limit = 64);

-- No wider than two bigints, for the same reason as in 0018. What was written at one instant is put in the order of pk when it is read.
DROP INDEX resource_updated;
CREATE INDEX resource_updated ON resource (tenant, type, updated) WHERE NOT deleted;
