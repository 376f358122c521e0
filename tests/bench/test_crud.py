"""The bodies of the CRUD chain are valid, of the published sizes, and keep their digits when they are changed."""

import json

import pytest

from bench.crud import BODIES, CHANGES, PLACE, TYPES, body, changed, template
from bench.interactions import ENTRIES, bundle
from fhir_server.json import parse_json
from fhir_server.validation import base_issues

# Bytes of the source as it is published there, pretty printed: about.
PUBLISHED = {
    "Patient": 4700,
    "ExplanationOfBenefit": 7800,
    "Encounter": 1900,
    "Claim": 1400,
    "Location": 950,
    "Organization": 950,
    "Practitioner": 950,
    "Observation": 950,
    "MedicationRequest": 950,
}
IDS = {kind: f"{kind.lower()}-1" for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES)
def test_a_body_has_about_the_published_size(kind):
    size = (BODIES / f"{kind.lower()}.json").stat().st_size
    assert 0.75 * PUBLISHED[kind] <= size <= 1.25 * PUBLISHED[kind]


@pytest.mark.parametrize("kind", TYPES)
def test_a_body_is_valid_and_refers_only_to_what_was_created_before_it(kind):
    before = {other: IDS[other] for other in TYPES[: TYPES.index(kind)]}
    text = body(kind, before)
    assert PLACE not in text
    assert not [issue for issue in base_issues(parse_json(text)) if issue.severity in ("error", "fatal")]


@pytest.mark.parametrize("kind", TYPES)
def test_an_update_changes_one_member_and_no_digit(kind):
    member, value = CHANGES[kind]
    before, after = parse_json(body(kind, IDS)), parse_json(changed(kind, body(kind, IDS)))
    assert before[member] != value
    assert after == {**before, member: value}
    assert not [issue for issue in base_issues(after) if issue.severity in ("error", "fatal")]
    if kind == "Observation":
        assert b"71.50" in changed(kind, body(kind, IDS))


def test_a_template_has_no_white_space_between_its_members():
    assert b"\n" not in template("Patient")
    assert json.loads(template("Patient"))["resourceType"] == "Patient"


def test_the_transaction_of_a_hundred_has_a_hundred_valid_entries_that_refer_to_its_first():
    entries = parse_json(bundle())["entry"]
    assert len(entries) == ENTRIES
    assert len({entry["fullUrl"] for entry in entries}) == ENTRIES
    assert {entry["resource"]["subject"]["reference"] for entry in entries[1:]} == {entries[0]["fullUrl"]}
    assert not [issue for issue in base_issues(entries[1]["resource"]) if issue.severity == "error"]
