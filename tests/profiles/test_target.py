from typing import Any

import pytest

from profiles.fhirpath.element import members, root
from profiles.target import nested, target

UUID = "urn:uuid:0b2dd65a-54ac-4a3b-9c5e-5f6e7c3b1f01"
ONE, OTHER = "http://one.example.org/fhir", "http://other.example.org/fhir"


def patient(identity: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": identity, **more}


def bundle(reference: str) -> dict[str, Any]:
    """Two Patients of one id on two servers, and an Observation of the second that refers to one."""
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": reference}}
    return {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": f"{ONE}/Patient/1", "resource": patient("1", gender="male")},
            {"fullUrl": f"{OTHER}/Patient/1", "resource": patient("1", gender="female")},
            {"fullUrl": f"{ONE}/Patient/2", "resource": patient("2", gender="other")},
            {"fullUrl": UUID, "resource": patient("3", gender="unknown")},
            {"fullUrl": f"{OTHER}/Patient/9"},
            {"fullUrl": f"{OTHER}/Observation/o", "resource": observation},
        ],
    }


@pytest.mark.parametrize(
    ("reference", "gender"),
    [
        ("Patient/1", "female"),
        ("Patient/1/_history/4", "female"),
        ("Patient/2", "other"),
        (f"{ONE}/Patient/1", "male"),
        (UUID, "unknown"),
        ("Patient/3", None),
        ("Patient/9", None),
        ("http://elsewhere.example.org/Patient/1", None),
        ("#1", None),
    ],
)
def test_a_reference_in_a_bundle_leads_to_an_entry_of_its_own_server_first(reference: str, gender: str | None) -> None:
    (entry,) = members(root(bundle(reference)), "entry")[-1:]
    ((subject,),) = [members(one, "subject") for one in members(entry, "resource")]
    found = target(reference, subject)
    assert (found and found.value["gender"]) == gender
    assert found is None or found.parent is not None


def test_a_local_reference_leads_to_what_the_outermost_resource_contains_or_to_itself() -> None:
    inner = {"resourceType": "Basic", "id": "b", "subject": {"reference": "#p"}, "author": {"reference": "#"}}
    outer = {"resourceType": "Observation", "id": "o", "contained": [patient("p"), inner]}
    for resource in (
        root(outer),
        members(members(root({"resourceType": "Bundle", "entry": [{"resource": outer}]}), "entry")[0], "resource")[0],
    ):
        basic = members(resource, "contained")[1]
        (subject,), (author,) = members(basic, "subject"), members(basic, "author")
        patients, around = target("#p", subject), target("#", author)
        assert patients is not None
        assert patients.value["id"] == "p"
        assert around is not None
        assert around.value is outer
        assert target("#nobody", subject) is None


def test_the_resources_inside_one_are_found_at_any_depth() -> None:
    part = {"name": "a", "part": [{"name": "b", "resource": patient("1", contained=[patient("2")])}]}
    parameters = {"resourceType": "Parameters", "parameter": [part, {"name": "c", "resource": patient("3")}]}
    batch = {"resourceType": "Bundle", "entry": [{"resource": parameters}, {"request": {"method": "GET"}}]}
    assert [one.value.get("id") for one in nested(root(batch))] == [None, "1", "2", "3"]
    operation = {"resourceType": "OperationDefinition", "resource": ["Patient"], "parameter": [{"part": []}]}
    assert list(nested(root(operation))) == []
    basic = {"resourceType": "Basic", "contained": [patient("4")]}
    assert [one.path() for one in nested(root(basic))] == ["Basic.contained[0]"]
