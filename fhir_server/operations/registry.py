"""All operations of this server: routes, CapabilityStatement, OpenAPI and documentation are computed from this list.

https://hl7.org/fhir/R4/operations.html and https://hl7.org/fhir/R4/capabilitystatement.html
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.operations.fhirpath import FHIRPATH
from fhir_server.operations.operation import Operation
from fhir_server.operations.reindex import REINDEX, REINDEX_STATUS
from fhir_server.operations.validate import VALIDATE

OPERATIONS: tuple[Operation, ...] = (VALIDATE, FHIRPATH, REINDEX, REINDEX_STATUS)


def stated(resource_type: str) -> list[dict[str, str]]:
    """What the CapabilityStatement says of a type; of the system, where the type is empty."""
    return [{"name": one.code, "definition": one.url} for one in OPERATIONS if _is_at(one, resource_type)]


def _is_at(one: Operation, resource_type: str) -> bool:
    if not resource_type:
        return bool(one.definition["system"])
    return bool(one.definition["type"] or one.definition["instance"]) and one.is_for(resource_type)


def definition(resource_id: str) -> Mapping[str, Any] | None:
    """The OperationDefinition of our own with this id."""
    return next((one.definition for one in OPERATIONS if one.own and one.definition["id"] == resource_id), None)
