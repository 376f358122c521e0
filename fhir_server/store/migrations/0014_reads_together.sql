-- Reads by the same bearer differ in what was read and in the number of the request: so much is kept of each, and once what
-- they share.
--
-- versions  version.seq of what each of the reads read; null where there was nothing to read, of which nothing is to be noted
-- callers   which of the notes each read is of, from 0; null where each note tells of one thing
-- requests  the request's own number in place of the note's
ALTER TABLE audit ADD COLUMN callers smallint[], ADD COLUMN requests text[];
ALTER TABLE audit ALTER COLUMN versions SET STORAGE EXTERNAL, ALTER COLUMN requests SET STORAGE EXTERNAL;
