"""Requests that are wrong in ways nobody listed are refused, never stumbled over: https://hl7.org/fhir/R4/security.html."""

import copy
import json
import random
from typing import Any

import httpx
import pytest

from tests.stories.bundles import bundle, entry

U = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
DIV = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{U}">x</a></div>'
QUANTITY = {"value": 1.5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"tag": [{"system": "http://example.org", "code": "a"}], "profile": ["http://example.org/p"]},
    "text": {"status": "generated", "div": DIV},
    "identifier": [{"system": "http://example.org", "value": "1", "period": {"start": "2020-01-01"}}],
    "name": [{"family": "A", "given": ["B", None], "_given": [None, {"id": "x"}]}],
    "birthDate": "1970",
    "extension": [{"url": "http://example.org/e", "valueQuantity": QUANTITY}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "x"}],
    "managingOrganization": {"reference": "#o"},
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1-1"}]},
    "subject": {"reference": U},
    "valueQuantity": QUANTITY,
    "effectivePeriod": {"start": "2020-01-01T00:00:00Z"},
    "component": [{"code": {"text": "x"}, "valueRange": {"low": {"value": 1}}}],
}
FHIRPATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "Patient"},
                {"name": "name", "valueString": "gender"},
                {"name": "value", "valueCode": "male"},
            ],
        }
    ],
}
JSON_PATCH = [
    {"op": "add", "path": "/active", "value": True},
    {"op": "replace", "path": "/name/0", "value": {"family": "x"}},
    {"op": "move", "from": "/name/0", "path": "/name/-"},
]
ENTRIES = (
    entry("POST", "Patient", PATIENT, full_url=U, ifNoneExist="identifier=http://example.org|1"),
    entry("PUT", "Observation?code=1-1", OBSERVATION),
    entry("PUT", "Patient/q", {"resourceType": "Patient", "id": "q"}, ifMatch="*", ifNoneMatch="*"),
    entry("PATCH", "Patient/r", FHIRPATH_PATCH),
    entry("DELETE", "Patient?identifier=zz"),
    entry("GET", "Patient?name=x", ifModifiedSince="2020-01-01T00:00:00Z"),
)
REQUESTS: list[tuple[str, str, Any, str]] = [
    ("POST", "", bundle("transaction", *ENTRIES), "application/fhir+json"),
    ("POST", "", bundle("batch", *ENTRIES), "application/fhir+json"),
    ("POST", "/Patient", PATIENT, "application/fhir+json"),
    ("POST", "/Observation", OBSERVATION, "application/fhir+json"),
    ("PATCH", "/Patient/r", FHIRPATH_PATCH, "application/fhir+json"),
    ("PATCH", "/Patient/r", JSON_PATCH, "application/json-patch+json"),
]
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 1e30, "", [], {}, "x", " ", "*", "#", "?", "%zz", "../..", 'W/"1"', U, [[]], [None], [{}],
    [1, 2], {"a": 1}, {"resourceType": "Patient"}, {"resourceType": []}, "Patient/1", "Patient?x", "Patient?name=%zz",
    "2020", "2020-13-45", "\0", "ü" * 70, "http://", "POST",
]  # fmt: skip
NAMES = ("resourceType", "id", "meta", "extension", "contained", "request", "entry", "reference", "_id", "x")


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every object and array with each of its keys or indexes."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [(node, key) for key in keys] + [place for key in keys for place in places(node[key])]


def mutated(chance: random.Random, value: Any) -> Any:
    """The value with up to three members replaced, removed or added."""
    changed = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        found = places(changed)
        if not found:
            break
        node, key = chance.choice(found)
        kind = chance.random()
        if kind < 0.2 and isinstance(node, dict):
            del node[key]
        elif kind < 0.4 and isinstance(node, dict):
            node[chance.choice(NAMES)] = copy.deepcopy(chance.choice(VALUES))
        else:
            node[key] = copy.deepcopy(chance.choice(VALUES))
    return changed


@pytest.mark.parametrize("seed", range(4))
def test_no_mutant_of_a_request_is_answered_with_500(fhir: httpx.Client, seed: int):
    chance = random.Random(seed)
    fhir.put("/Patient/r", json={"resourceType": "Patient", "id": "r", "name": [{"family": "x"}]})
    for _ in range(15):
        for method, url, sound, kind in REQUESTS:
            body = json.dumps(mutated(chance, sound))
            answer = fhir.request(method, url, content=body, headers={"content-type": kind})
            assert answer.status_code < 500, body
            assert '"status":"500' not in answer.text, body
            assert answer.json()["resourceType"] in ("OperationOutcome", "Bundle", "Patient", "Observation")
