"""JSON Patch: HL7's own cases, and what FHIR asks beyond RFC 6902.

https://hl7.org/fhir/R4/http.html#patch
"""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.interactions.json_patch import apply
from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import Refusal
from tests.reference import ROOT

SUITE = ROOT / "fhir-test-cases/r4/patch/json-patch-tests.json"
KNOWN_DIFFERENCES = {
    "A.10.  Adding a nested Member Object": "FHIR has no empty objects: what is left empty is removed",
}


def cases() -> list[Any]:
    if not SUITE.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"reference data missing: {SUITE}"))]
    return [
        pytest.param(
            case,
            id=case["comment"],
            marks=pytest.mark.xfail(reason=KNOWN_DIFFERENCES[case["comment"]], strict=True)
            if case["comment"] in KNOWN_DIFFERENCES
            else (),
        )
        for case in json.loads(SUITE.read_text())
    ]


@pytest.mark.parametrize("case", cases())
def test_hl7_case(case: dict[str, Any]) -> None:
    document = {"resourceType": "Basic", **case["doc"]}
    if "error" in case:
        with pytest.raises(Refusal):
            apply(document, case["patch"])
    else:
        assert apply(document, case["patch"]) == {"resourceType": "Basic", **case["expected"]}


def patient(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **members}


def test_a_patch_leaves_its_arguments_alone() -> None:
    resource, value = patient(name=[{"family": "A"}]), {"family": "B"}
    operations = [{"op": "add", "path": "/name/-", "value": value}, {"op": "add", "path": "/name/1/text", "value": "T"}]
    before = copy.deepcopy((resource, operations))
    assert apply(resource, operations)["name"][1] == {"family": "B", "text": "T"}
    assert (resource, operations) == before


def test_numbers_keep_their_digits() -> None:
    resource = parse_json(b'{"resourceType":"Observation","valueQuantity":{"value":160.50},"x":1.0E2}')
    operations = [{"op": "copy", "from": "/valueQuantity", "path": "/copied"}]
    patched = apply(resource, operations)
    assert dump_json(patched["copied"]) == b'{"value":160.50}'
    assert dump_json(patched["x"]) == b"1.0E2"


def test_a_test_compares_numbers_by_value_and_booleans_with_booleans_only() -> None:
    resource = patient(active=True, multipleBirthInteger=1, n=Decimal("1.0"))
    assert apply(resource, [{"op": "test", "path": "/n", "value": 1}]) == resource
    with pytest.raises(Refusal):
        apply(resource, [{"op": "test", "path": "/active", "value": 1}])
    with pytest.raises(Refusal):
        apply(resource, [{"op": "test", "path": "/multipleBirthInteger", "value": True}])


def test_what_a_patch_empties_is_removed() -> None:
    resource = patient(name=[{"given": ["A"]}], contact=[{"name": {"text": "B"}}])
    operations = [{"op": "remove", "path": "/name/0/given/0"}, {"op": "remove", "path": "/contact/0/name/text"}]
    assert apply(resource, operations) == patient()


def test_null_stays_as_padding_in_arrays_of_primitives() -> None:
    resource = patient(name=[{"given": ["A", None], "_given": [None, {"id": "x"}]}])
    assert apply(resource, [{"op": "add", "path": "/active", "value": True}]) == {**resource, "active": True}


REFUSALS: dict[str, tuple[Any, int, str]] = {
    "no array": ({"op": "add"}, 400, "array of operations"),
    "no object": ([1], 400, r"operation \[0\]"),
    "an unknown op": ([{"op": "set", "path": "/a"}], 400, "'set'"),
    "no path": ([{"op": "remove"}], 400, "lacks its member 'path'"),
    "no value": ([{"op": "add", "path": "/a"}], 400, "lacks its member 'value'"),
    "no from": ([{"op": "move", "path": "/a"}], 400, "lacks its member 'from'"),
    "a path that is no pointer": ([{"op": "remove", "path": "gender"}], 400, "no JSON Pointer"),
    "a path that is no string": ([{"op": "remove", "path": 1}], 400, "no string"),
    "nothing to remove": ([{"op": "remove", "path": "/birthDate"}], 422, "birthDate"),
    "nothing to replace": ([{"op": "replace", "path": "/birthDate", "value": "2000"}], 422, "birthDate"),
    "a place in nothing": ([{"op": "add", "path": "/contact/0/gender", "value": "male"}], 422, "contact"),
    "an index beyond the list": ([{"op": "add", "path": "/name/5", "value": {}}], 422, "outside of list"),
    "a name for an index": ([{"op": "add", "path": "/name/first", "value": {}}], 422, "first"),
    "a test that fails": ([{"op": "test", "path": "/gender", "value": "male"}], 422, "there is 'female'"),
    "a test of nothing": ([{"op": "test", "path": "/birthDate", "value": "2000"}], 422, "there is nothing"),
    "a move into itself": ([{"op": "move", "from": "/name", "path": "/name/0/x"}], 422, "own children"),
    "another type": ([{"op": "replace", "path": "/resourceType", "value": "Person"}], 422, "resourceType"),
    "another id": ([{"op": "replace", "path": "/id", "value": "q"}], 422, "cannot change id"),
    "no id": ([{"op": "remove", "path": "/id"}], 422, "cannot change id"),
    "no resource": ([{"op": "replace", "path": "", "value": []}], 422, "no resource"),
    "a null": ([{"op": "add", "path": "/birthDate", "value": None}], 422, "null"),
    "too many operations": ([{"op": "test", "path": "/id", "value": "p"}] * 1001, 413, "1001"),
    "copies of copies": ([{"op": "copy", "from": "/name", "path": "/name/-"}] * 40, 413, "copies too much"),
    "copies within copies": (
        [{"op": "add", "path": "/a" * i, "value": {}} for i in range(1, 80)]
        + [{"op": "add", "path": "/a" * 79 + "/b", "value": 1}],
        422,
        "deeper than",
    ),
    "copies that nest without end": ([{"op": "copy", "from": "", "path": "/a"}] * 100, 422, "deeper than"),
    "a later operation": (
        [{"op": "test", "path": "/id", "value": "p"}, {"op": "remove", "path": "/x"}],
        422,
        r"operation \[1\]",
    ),
}


@pytest.mark.parametrize(("operations", "status", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_patch_is_refused(operations: Any, status: int, reason: str) -> None:
    resource = patient(gender="female", name=[{"family": "A"}])
    before = copy.deepcopy(resource)
    with pytest.raises(Refusal, match=reason) as refused:
        apply(resource, operations)
    assert refused.value.status == status
    assert resource == before


def test_a_refusal_names_the_element() -> None:
    with pytest.raises(Refusal) as refused:
        apply(patient(name=[{}]), [{"op": "remove", "path": "/name/0/given"}])
    assert refused.value.issues[0].expression == ("Patient.name[0].given",)
