"""FHIR's definitions and what they demand of a resource: packages, structures, validation, FHIRPath."""
