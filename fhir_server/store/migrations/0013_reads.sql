-- A read is noted by the statement that reads, which cannot tell whom the resource is about: that is found when it is sealed.
--
-- versions  version.seq of what each of the notes read; null where the notes say themselves which patients they are about
ALTER TABLE audit ADD COLUMN versions bigint[];
