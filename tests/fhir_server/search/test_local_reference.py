"""Chains into contained resources: https://hl7.org/fhir/R4/search.html#contained."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fhir_server.search.world import World, query_of, world


def concept(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://example.org/medications", "code": code}]}


def request(name: str, medication: str, *contained: dict[str, Any]) -> dict[str, Any]:
    inside = {"contained": list(contained)} if contained else {}
    return {"resourceType": "MedicationRequest", "id": name, **inside, "medicationReference": {"reference": medication}}


def medication(name: str, ingredient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Medication",
        "id": name,
        "ingredient": [{"itemCodeableConcept": concept(ingredient)}],
        **more,
    }


RESOURCES: list[dict[str, Any]] = [
    medication("m1", "abc", code=concept("x")),
    request("outside", "Medication/m1"),
    request("inside", "#m", medication("m", "abc", code=concept("y"), manufacturer={"reference": "Organization/o"})),
    request("other", "#m", medication("m", "def")),
    request("dangling", "#n", medication("m", "abc")),
    {"resourceType": "Organization", "id": "o", "name": "Acme"},
    {
        "resourceType": "DiagnosticReport", "id": "report", "status": "final", "code": {"text": "r"},
        "contained": [
            {"resourceType": "Observation", "id": "a", "status": "final", "code": concept("k"), "valueQuantity": {"value": 5}},
            {"resourceType": "Observation", "id": "b", "status": "final", "code": concept("na"), "valueQuantity": {"value": 140}},
            {"resourceType": "Observation", "id": "c", "status": "final", "code": concept("unused")},
            {"resourceType": "Patient", "id": "p", "name": [{"family": "Anna"}]},
        ],
        "result": [{"reference": "#a"}, {"reference": "#b"}], "subject": {"reference": "#p"},
    },
]  # fmt: skip

CASES: list[tuple[str, list[str]]] = [
    ("MedicationRequest?medication.ingredient-code=abc", ["MedicationRequest/inside", "MedicationRequest/outside"]),
    ("MedicationRequest?medication.code=y", ["MedicationRequest/inside"]),
    ("MedicationRequest?medication.code=http://example.org/medications|y", ["MedicationRequest/inside"]),
    ("MedicationRequest?medication.manufacturer.name=acme", ["MedicationRequest/inside"]),
    ("MedicationRequest?medication.manufacturer=Organization/o", ["MedicationRequest/inside"]),
    ("MedicationRequest?medication.ingredient-code=def", ["MedicationRequest/other"]),
    ("Medication?ingredient-code=abc", ["Medication/m1"]),
    ("DiagnosticReport?result.code=na", ["DiagnosticReport/report"]),
    ("DiagnosticReport?result.code=unused", []),
    ("DiagnosticReport?result.value-quantity=gt100", ["DiagnosticReport/report"]),
    ("DiagnosticReport?patient.name=anna", ["DiagnosticReport/report"]),
    ("DiagnosticReport?subject:Patient.family=anna", ["DiagnosticReport/report"]),
    ("DiagnosticReport?subject:Group.identifier=anna", []),
    ('DiagnosticReport?_filter=subject.name co "nn"', ["DiagnosticReport/report"]),
    ("DiagnosticReport?result.code-value-quantity=k$5", []),
    ("DiagnosticReport?result.code:not=k", []),
    ("DiagnosticReport?result:missing=false", ["DiagnosticReport/report"]),
]


@pytest.fixture(scope="module")
def stored(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as empty, empty.of(RESOURCES) as made:
        yield made


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_a_chain_looks_into_contained_resources(stored: World, query: str, expected: list[str]) -> None:
    assert sorted(stored.names(query)) == expected
    assert sorted(stored.in_memory(query_of(query))) == expected


def test_what_is_contained_adds_nothing_to_the_shape(stored: World) -> None:
    assert stored.names("MedicationRequest?identifier:missing=true&_id=inside") == ["MedicationRequest/inside"]
    assert stored.names("DiagnosticReport?code:missing=false") == ["DiagnosticReport/report"]
