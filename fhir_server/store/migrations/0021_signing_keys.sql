-- One key signs for each algorithm: one for access tokens, one for ID tokens.
DROP INDEX signing_key_current;
CREATE UNIQUE INDEX signing_key_current ON signing_key (tenant, algorithm) WHERE retired IS NULL;
