"""How the tests of the search types ask: a resource, and a query as a client writes it.

https://hl7.org/fhir/R4/search.html
"""

from datetime import UTC, datetime
from typing import Any

from fhir_server.search.parameter import Parameter, r4_parameters
from fhir_server.search.types import BY_TYPE
from fhir_server.search.types.context import Context

BASE = "https://hospital.example/fhir"
CONTEXT = Context(BASE, 1, datetime(2024, 1, 1, tzinfo=UTC))
TENANT = 1


def parsed(resource_type: str, query: str, context: Context = CONTEXT) -> tuple[Parameter, str | None, Any]:
    """Parameter, modifier and value of `code:modifier=value`."""
    name, _, text = query.partition("=")
    code, _, modifier = name.partition(":")
    parameter = r4_parameters().get(resource_type, code)
    assert parameter is not None, f"{resource_type} has no parameter {code}"
    return parameter, modifier or None, BY_TYPE[parameter.type].parse(parameter, modifier or None, text, context)


def found(resource: dict[str, Any], query: str, context: Context = CONTEXT) -> bool:
    """Whether the query finds the resource, in memory."""
    parameter, modifier, value = parsed(resource["resourceType"], query, context)
    return BY_TYPE[parameter.type].matches(parameter, modifier, value, resource, TENANT)
