"""Patching by JSON Patch and FHIRPath Patch, by id and by criteria: https://hl7.org/fhir/R4/http.html#patch."""

from typing import Any

import httpx
import pytest

from tests.stories.bundles import by, create, fresh, identified, issue

JSON_PATCH = {"content-type": "application/json-patch+json"}


def fhirpath(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    """A FHIRPath Patch of one operation."""
    listed = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        listed.append({"name": name, **value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": listed}]}


ADD_GENDER = fhirpath("add", "Patient", name={"valueString": "gender"}, value={"valueCode": "other"})


def test_a_json_patch_changes_what_it_names_and_makes_a_version(fhir: httpx.Client, base: str):
    made = create(fhir, {"resourceType": "Patient", "name": [{"family": "Linde", "given": ["Ida"]}]})
    patch = [
        {"op": "test", "path": "/name/0/family", "value": "Linde"},
        {"op": "add", "path": "/name/0/given/-", "value": "Marie"},
        {"op": "add", "path": "/active", "value": True},
    ]
    answer = fhir.patch(f"/Patient/{made['id']}", json=patch, headers=JSON_PATCH)
    assert answer.status_code == 200
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.headers["content-location"] == f"{base}/Patient/{made['id']}/_history/2"
    assert answer.json()["name"] == [{"family": "Linde", "given": ["Ida", "Marie"]}]
    assert answer.json()["active"] is True


def test_a_fhirpath_patch_comes_as_parameters_in_json_or_xml(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.patch(f"/Patient/{made['id']}", json=ADD_GENDER)
    assert (answer.status_code, answer.json()["gender"]) == (200, "other")
    xml = (
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
        '<part><name value="type"/><valueCode value="delete"/></part>'
        '<part><name value="path"/><valueString value="Patient.gender"/></part></parameter></Parameters>'
    )
    answer = fhir.patch(f"/Patient/{made['id']}", content=xml, headers={"content-type": "application/fhir+xml"})
    assert answer.status_code == 200
    assert "gender" not in answer.json()


def test_a_patch_that_changes_nothing_makes_no_version(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient", "active": True})
    patch = [{"op": "replace", "path": "/active", "value": True}]
    answer = fhir.patch(f"/Patient/{made['id']}", json=patch, headers=JSON_PATCH)
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


def test_a_patch_keeps_the_digits_of_what_it_does_not_touch(fhir: httpx.Client):
    text = '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":160.50}}'
    made = fhir.post("/Observation", content=text).json()
    patch = (
        '[{"op":"add","path":"/valueQuantity/extension","value":[{"url":"http://example.org/x","valueDecimal":1.00}]}]'
    )
    answer = fhir.patch(f"/Observation/{made['id']}", content=patch, headers=JSON_PATCH)
    assert answer.status_code == 200
    assert '"value":160.50' in answer.text
    assert '"valueDecimal":1.00' in answer.text


REFUSED = [
    ([{"op": "test", "path": "/active", "value": False}], 422),
    ([{"op": "remove", "path": "/birthDate"}], 422),
    ([{"op": "replace", "path": "/id", "value": "other"}], 422),
    ([{"op": "replace", "path": "/resourceType", "value": "Group"}], 422),
    ([{"op": "replace", "path": "/gender", "value": 5}], 422),
    ([{"op": "add", "path": "/nonsense", "value": 5}], 422),
    ([{"op": "explode", "path": "/active"}], 400),
    ([{"op": "add", "path": "active", "value": 1}], 400),
    ({"op": "add", "path": "/active", "value": 1}, 400),
    ([7], 400),
    (None, 400),
]


@pytest.mark.parametrize(("patch", "status"), REFUSED)
def test_a_patch_that_cannot_be_applied_changes_nothing(fhir: httpx.Client, patch: Any, status: int):
    made = create(fhir, {"resourceType": "Patient", "active": True, "gender": "other"})
    first = {"op": "replace", "path": "/active", "value": False}
    sent = [first, *patch[:]] if isinstance(patch, list) and patch[0] != REFUSED[0][0][0] else patch
    answer = fhir.patch(f"/Patient/{made['id']}", json=sent, headers=JSON_PATCH)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert fhir.get(f"/Patient/{made['id']}").json() == made


def test_malformed_patches_say_line_and_column(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.patch(f"/Patient/{made['id']}", content='[\n{"op": oops}]', headers=JSON_PATCH)
    assert answer.status_code == 400
    assert "line 2, column 8" in issue(answer)["diagnostics"]


@pytest.mark.parametrize("kind", ["application/merge-patch+json", "text/plain", ""])
def test_a_patch_in_a_format_there_is_not_is_415_and_names_those_there_are(fhir: httpx.Client, kind: str):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.patch(f"/Patient/{made['id']}", content="{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert answer.headers["accept-patch"].startswith("application/json-patch+json, ")


def test_a_resource_is_no_patch(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.patch(f"/Patient/{made['id']}", json=made)
    assert answer.status_code == 400
    assert "Parameters" in issue(answer)["diagnostics"]


def test_a_patch_of_what_is_not_there_is_404_and_of_what_was_deleted_410(fhir: httpx.Client):
    assert fhir.patch(f"/Patient/{fresh()}", json=ADD_GENDER).status_code == 404
    made = create(fhir, {"resourceType": "Patient"})
    fhir.delete(f"/Patient/{made['id']}")
    answer = fhir.patch(f"/Patient/{made['id']}", json=ADD_GENDER)
    assert answer.status_code == 410
    assert answer.headers["etag"] == 'W/"2"'


@pytest.mark.parametrize(("tag", "status"), [('W/"1"', 200), ('W/"2"', 412), ("*", 200)])
def test_a_patch_heeds_if_match(fhir: httpx.Client, tag: str, status: int):
    made = create(fhir, {"resourceType": "Patient"})
    assert fhir.patch(f"/Patient/{made['id']}", json=ADD_GENDER, headers={"if-match": tag}).status_code == status


def test_a_conditional_patch_changes_the_one_that_the_criteria_select(fhir: httpx.Client):
    value = fresh()
    assert fhir.patch(f"/Patient?{by(value)}", json=ADD_GENDER).status_code == 404
    made = create(fhir, identified(value))
    answer = fhir.patch(f"/Patient?{by(value)}", json=ADD_GENDER, headers={"if-match": 'W/"1"'})
    assert (answer.status_code, answer.json()["gender"]) == (200, "other")
    assert answer.json()["id"] == made["id"]
    assert fhir.patch(f"/Patient?{by(value)}", json=ADD_GENDER, headers={"if-match": 'W/"1"'}).status_code == 412
    create(fhir, identified(value))
    answer = fhir.patch(f"/Patient?{by(value)}", json=ADD_GENDER)
    assert (answer.status_code, issue(answer)["code"]) == (412, "multiple-matches")
    assert fhir.patch("/Patient", json=ADD_GENDER).status_code == 412
