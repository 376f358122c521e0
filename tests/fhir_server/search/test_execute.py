"""Joins over references however they are written: relative, or as a URL below the server's own base.

https://hl7.org/fhir/R4/search.html#reference, #chaining, #has and #include
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fhir_server.search.world import CONTEXT, World, query_of, world

OWN, OTHER = CONTEXT.base, "https://other.example/fhir"


def observation(name: str, subject: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": name, "status": "final", "code": {"text": "c"}, "subject": {"reference": subject}}  # fmt: skip


RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "1", "name": [{"family": "Anna"}]},
    observation("relative", "Patient/1"),
    observation("absolute", f"{OWN}/Patient/1"),
    observation("versioned", f"{OWN}/Patient/1/_history/2"),
    observation("elsewhere", f"{OTHER}/Patient/1"),
    {"resourceType": "List", "id": "l", "entry": [{"item": {"reference": f"{OWN}/Patient/1"}}]},
]
OURS = ["Observation/absolute", "Observation/relative", "Observation/versioned"]

CASES: list[tuple[str, list[str]]] = [
    ("Observation?subject=Patient/1", OURS),
    ("Observation?subject=1", OURS),
    ("Observation?patient=1", OURS),
    (f"Observation?subject={OWN}/Patient/1", OURS),
    (f"Observation?subject={OWN}/Patient/1/_history/2", ["Observation/versioned"]),
    (f"Observation?subject={OTHER}/Patient/1", ["Observation/elsewhere"]),
    ("Observation?subject.name=anna", OURS),
    ("Observation?subject:Patient.name=anna", OURS),
    ("Observation?patient.name=anna", OURS),
    ('Observation?_filter=subject.name co "nn"', OURS),
    ("Patient?_has:Observation:patient:_id=absolute", ["Patient/1"]),
    ("Patient?_has:Observation:patient:_id=elsewhere", []),
    ("Patient?_list=l", ["Patient/1"]),
    (f"Patient?_list={OWN}/List/l", ["Patient/1"]),
]


@pytest.fixture(scope="module")
def stored(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as empty, empty.of(RESOURCES) as made:
        yield made


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_a_url_below_the_own_base_and_a_relative_reference_are_one(
    stored: World, query: str, expected: list[str]
) -> None:
    assert sorted(stored.names(query)) == expected
    assert sorted(stored.in_memory(query_of(query))) == expected


def test_what_a_url_below_the_own_base_refers_to_is_included(stored: World) -> None:
    for name in ("absolute", "versioned"):
        found = stored.page(query_of(f"Observation?_id={name}&_include=Observation:subject"))
        assert [f"{one.type}/{one.id}" for one in found.included] == ["Patient/1"]
    found = stored.page(query_of("Observation?_id=elsewhere&_include=*"))
    assert found.included == ()
    back = stored.page(query_of("Patient?_id=1&_revinclude=Observation:subject"))
    assert sorted(f"{one.type}/{one.id}" for one in back.included) == OURS
