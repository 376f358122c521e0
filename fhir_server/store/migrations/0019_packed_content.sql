-- The server compresses the text of a version before it stores it (store/packed.py). PostgreSQL, which only does so with rows above 2 KB,
-- need not try again. Versions that are there stay as they are: text begins with a brace, a frame of zstd never does.
ALTER TABLE version ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON COLUMN version.content IS
    'The exact text in UTF-8, or a zstd frame of it, by the dictionary in store/dictionaries that the frame names; NULL is a deletion.';
