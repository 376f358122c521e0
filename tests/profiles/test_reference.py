import pytest

from profiles.definitions import r4
from profiles.reference import all_referred, contained_types, fault, named_type, unreferred

UUID = "urn:uuid:0b2dd65a-54ac-4a3b-9c5e-5f6e7c3b1f01"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", "Patient"),
        ("Patient/1/_history/2", "Patient"),
        ("Patient?identifier=a|b", "Patient"),
        ("https://example.org/fhir/Patient/1", "Patient"),
        ("http://example.org/Patient/1/_history/3", "Patient"),
        ("Patinet/1", "Patinet"),
        ("https://example.org/Documents/1", None),
        ("https://example.org/", None),
        ("https://example.org/fhir/Patient/a_b", None),
        (UUID, None),
        ("urn:oid:1.2.3", None),
        ("#p1", None),
        ("#", None),
        ("Patient", None),
        ("patient/1", None),
    ],
)
def test_a_literal_reference_names_a_type(reference, expected):
    assert named_type(reference, r4()) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"reference": "Patient/1"}, None),
        ({"reference": UUID}, None),
        ({"reference": "#p"}, None),
        ({"reference": "#nothing"}, None),
        ({"identifier": {"value": "1"}, "type": "Group"}, None),
        ({"type": "http://example.org/StructureDefinition/mine"}, None),
        ({"reference": "Organization/1"}, "'Organization/1' leads to an Organization, which may not stand here; allowed: Patient, Group"),
        ({"reference": "#o"}, "'#o' leads to an Organization"),
        ({"reference": "#"}, "'#' leads to an Encounter"),
        ({"reference": UUID, "type": "Device"}, "a reference to a Device may not stand here"),
    ],
)  # fmt: skip
def test_a_reference_leads_to_one_of_its_targets(value, text):
    contained = [{"resourceType": "Patient", "id": "p"}, {"resourceType": "Organization", "id": "o"}]
    types = contained_types({"resourceType": "Encounter", "contained": contained})
    found = fault(value, types, ("Patient", "Group"), r4())
    assert found is None if text is None else text in str(found)


def test_a_contained_resource_is_referred_to_or_refers_to_what_contains_it():
    basic = {"resourceType": "Basic", "id": "b"}
    for lost, resource in (
        ([], {"resourceType": "Patient"}),
        ([0], {"resourceType": "Patient", "contained": [basic]}),
        ([], {"resourceType": "Patient", "contained": [basic], "link": [{"other": {"reference": "#b"}}]}),
        ([], {"resourceType": "Patient", "contained": [{**basic, "subject": {"reference": "#"}}]}),
        ([], {"resourceType": "PlanDefinition", "contained": [basic], "library": ["#b"]}),
        (
            [1],
            {"resourceType": "Patient", "contained": [{**basic, "subject": {"reference": "#b"}}, {**basic, "id": "c"}]},
        ),
    ):
        assert unreferred({"contained": [], **resource}) == lost
        assert all_referred(resource) == (not lost)
