"""Every search parameter of R4 on every type that has it is answered by the database: https://hl7.org/fhir/R4/searchparameter-registry.html."""

from collections.abc import Iterator

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.parameter import Parameter, r4_parameters
from tests.fhir_server.search.world import World, query_of, world

# One value of each search type that can be searched for, and one more for codes with a system.
VALUES = {
    "string": ["a", "a,b"],
    "token": ["a", "http://a.example|b", "|c", "http://a.example|"],
    "date": ["2020", "ge2020-01-01T10:00:00Z"],
    "number": ["1", "gt1.50"],
    "quantity": ["1", "5.4|http://unitsofmeasure.org|mg", "lt3||mg"],
    "reference": ["a", "http://a.example/fhir/Patient/1"],
    "uri": ["http://a.example"],
}
OTHERS = {"_id": ["a", "a,b"], "near": ["41|29|10|km"], "_filter": ["_id eq a"], "_text": ["a"], "_content": ["a"]}
NOT_ASKED = {"_query"}  # the name of an operation; there are none


@pytest.fixture(scope="module")
def stored(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as empty, empty.of([{"resourceType": "Patient", "id": "a"}]) as made:
        yield made


def values_of(parameter: Parameter) -> list[str]:
    if parameter.type == "composite":
        return ["$".join(VALUES[one.parameter.type][0] for one in parameter.components)]
    if parameter.type == "token" and parameter.paths and all(path.types == ("boolean",) for path in parameter.paths):
        return ["true"]
    return OTHERS.get(parameter.code) or VALUES[parameter.type]


def own(kind: str) -> list[Parameter]:
    """The parameters of a type that are its own; for one type those of every resource as well."""
    found = r4_parameters().of(kind).values()
    return [one for one in found if one.code not in NOT_ASKED and (kind == "Patient" or not one.code.startswith("_"))]


@pytest.mark.parametrize("kind", r4_parameters().resource_types)
def test_every_parameter_of_a_type_is_answered(stored: World, kind: str) -> None:
    for parameter in own(kind):
        queries = [f"{kind}?{parameter.code}={value}" for value in values_of(parameter)]
        if parameter.paths or parameter.roots:
            queries += [f"{kind}?{parameter.code}:missing={truth}" for truth in ("true", "false")]
        if parameter.paths and parameter.type not in ("composite", "special"):
            queries.append(f"{kind}?_sort=-{parameter.code}")
        for query in queries:
            try:
                stored.page(query_of(query))
            except Refusal as refusal:
                raise AssertionError(query) from refusal
