-- Notes that were made together are one row, which costs what one note does.
--
-- notes   a JSON array of objects, whose members are those of store.audit.Note; what is not known is left out
-- events  how many AuditEvents are made of them, at most
ALTER TABLE audit ADD COLUMN notes json, ADD COLUMN events integer NOT NULL DEFAULT 1 CHECK (events > 0);
-- Kept a second or so, and small: not worth the time of compression, nor, up to a page, a row of another table.
ALTER TABLE audit ALTER COLUMN notes SET STORAGE EXTERNAL;
ALTER TABLE audit SET (toast_tuple_target = 8128);

ALTER TABLE audit NO FORCE ROW LEVEL SECURITY;
UPDATE audit SET events = greatest(1, cardinality(patients)), notes = json_build_array(json_strip_nulls(json_build_object(
    'subtype', subtype, 'status', status, 'outcome', outcome, 'client', client, 'account', account, 'fhir_user', fhir_user,
    'token', token, 'network', network, 'request', request, 'patients', patients, 'entities', entities, 'query', query,
    'detail', detail, 'operator', operator)));
ALTER TABLE audit FORCE ROW LEVEL SECURITY;

ALTER TABLE audit ALTER COLUMN notes SET NOT NULL, ALTER COLUMN events DROP DEFAULT;
ALTER TABLE audit
    DROP COLUMN status, DROP COLUMN outcome, DROP COLUMN subtype, DROP COLUMN client, DROP COLUMN account,
    DROP COLUMN fhir_user, DROP COLUMN token, DROP COLUMN network, DROP COLUMN request, DROP COLUMN patients,
    DROP COLUMN entities, DROP COLUMN query, DROP COLUMN detail, DROP COLUMN operator;
