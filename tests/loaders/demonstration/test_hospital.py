"""The demonstration hospital as a whole: the same again, nothing dangling, nothing that is not R4.

https://hl7.org/fhir/R4/resourcelist.html
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from loaders.demonstration import bundles, generate
from tests.reference import reference

TODAY = date(2026, 3, 18)
CORE = "packages/hl7.fhir.r4.core-4.0.1.tgz"
HL7 = "http://terminology.hl7.org/"


@cache
def hospital() -> tuple[dict[str, Any], ...]:
    return tuple(generate(60, 7, TODAY))


def text(resources: Any) -> str:
    return json.dumps(resources, default=str, ensure_ascii=False)


def values(element: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every member in a resource, at any depth, with its value."""
    match element:
        case dict():
            for key, value in element.items():
                yield key, value
                yield from values(value, key)
        case list():
            for item in element:
                yield from values(item, name)


def address(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def test_the_same_seed_and_day_give_the_same_bytes():
    assert text(list(generate(12, 3, TODAY))) == text(list(generate(12, 3, TODAY)))


def test_another_seed_gives_other_people():
    names = [
        {resource["name"][0]["text"] for resource in generate(12, seed, TODAY) if resource["resourceType"] == "Patient"}
        for seed in (3, 4)
    ]
    assert names[0] != names[1]


def test_today_is_the_default_day():
    assert text(next(generate(1))) == text(next(generate(1)))
    assert any(resource["resourceType"] == "Slot" for resource in generate(0))


def test_a_negative_number_of_patients_is_refused():
    with pytest.raises(ValueError, match="-1 patients"):
        next(generate(-1))


def test_an_empty_hospital_has_staff_and_free_slots_only():
    kinds = Counter(resource["resourceType"] for resource in generate(0, 7, TODAY))
    assert kinds["Patient"] == kinds["Appointment"] == 0
    assert kinds["Practitioner"] > 10
    assert kinds["Slot"] > 1000


def test_ids_are_unique_and_within_the_rules():
    addresses = [address(resource) for resource in generate(400, 5, TODAY)]
    assert len(addresses) == len(set(addresses))
    assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", each.partition("/")[2]) for each in addresses)


@pytest.mark.parametrize(("patients", "seed"), [(0, 7), (1, 1), (60, 7), (150, 11)])
def test_every_reference_has_its_target_before_it(patients, seed):
    seen: set[str] = set()
    for resource in generate(patients, seed, TODAY):
        targets = [value for name, value in values(resource) if name == "reference"]
        assert set(targets) <= seen, address(resource)
        seen.add(address(resource))


def test_every_kind_that_the_hospital_promises_is_there():
    promised = (
        "Organization Location Practitioner PractitionerRole HealthcareService Schedule Slot Patient RelatedPerson "
        "Encounter Condition AllergyIntolerance Medication MedicationRequest MedicationDispense Observation "
        "DiagnosticReport Immunization Procedure CarePlan CareTeam Coverage Appointment Task Communication"
    )
    assert {resource["resourceType"] for resource in hospital()} == set(promised.split())


def test_counts_grow_with_the_patients():
    small, large = (
        Counter(resource["resourceType"] for resource in generate(patients, 7, TODAY)) for patients in (60, 480)
    )
    assert (small["Patient"], large["Patient"]) == (60, 480)
    for kind in ("Encounter", "Observation", "Condition", "Immunization", "Appointment"):
        assert 5 * small[kind] < large[kind] < 12 * small[kind], kind


def test_numbers_are_decimals_or_integers():
    numbers = [
        value for resource in hospital() for _, value in values(resource) if isinstance(value, int | float | Decimal)
    ]
    assert not any(isinstance(number, float) for number in numbers)
    assert any(isinstance(number, Decimal) for number in numbers)


def test_moments_have_an_offset():
    moments = [
        value
        for resource in hospital()
        for name, value in values(resource)
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value)
    ]
    assert moments
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+03:00", moment) for moment in moments)


def test_nothing_is_empty():
    for resource in hospital():
        assert all(value not in ("", None) and value not in ([], {}) for _, value in values(resource))


def test_no_part_of_one_resource_is_shared_with_another():
    seen: dict[int, str] = {}
    resources = list(generate(5, 7, TODAY))  # kept, so that no identity is used twice
    for resource in resources:
        parts = [id(value) for _, value in values(resource) if isinstance(value, dict | list)]
        assert not [seen[part] for part in parts if part in seen], address(resource)
        assert len(parts) == len(set(parts)), address(resource)
        seen.update(dict.fromkeys(parts, address(resource)))


def test_every_resource_is_valid_for_the_r4b_models():
    # R4B differs from R4 in none of the elements that are used here, so nothing is left out but slots like others.
    slots = [resource for resource in hospital() if resource["resourceType"] == "Slot"]
    others = [resource for resource in hospital() if resource["resourceType"] != "Slot"]
    for resource in (*others, *slots[::25]):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_every_code_of_hl7_has_the_display_that_its_code_system_gives_it():
    used = {
        (value["system"], value["code"], value.get("display", ""))
        for resource in hospital()
        for name, coding in values(resource)
        for value in (coding if isinstance(coding, list) else [coding])
        if isinstance(value, dict) and str(value.get("system", "")).startswith((HL7, "http://hl7.org/fhir/CodeSystem"))
    }
    systems = code_systems({system for system, _, _ in used})
    assert {system for system, _, _ in used} <= set(systems)
    wrong = [each for each in used if systems[each[0]].get(each[1], "").strip() != each[2].strip()]
    assert wrong == []


def code_systems(wanted: set[str]) -> dict[str, dict[str, str]]:
    """Code to display of those code systems of HL7's package."""
    found: dict[str, dict[str, str]] = {}
    with tarfile.open(reference(CORE)) as package:
        for member in package:
            stream = package.extractfile(member) if "/CodeSystem-" in member.name else None
            content = json.loads(stream.read()) if stream else {}
            url = str(content.get("url", "")).partition("|")[0]
            if url in wanted:
                found.setdefault(url, {}).update(codes(content.get("concept", [])))
    return found


def codes(concepts: list[dict[str, Any]]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for concept in concepts:
        pairs[concept["code"]] = concept.get("display", "")
        pairs.update(codes(concept.get("concept", [])))
    return pairs


def test_bundles_put_the_same_resources_in_the_same_order():
    made = list(bundles(60, 7, TODAY))
    entries = [entry for bundle in made for entry in bundle["entry"]]
    assert text([entry["resource"] for entry in entries]) == text(list(hospital()))
    assert all(len(bundle["entry"]) <= 500 for bundle in made)
    assert {(bundle["resourceType"], bundle["type"]) for bundle in made} == {("Bundle", "transaction")}
    for entry in entries:
        assert entry["request"] == {"method": "PUT", "url": address(entry["resource"])}
        assert entry["fullUrl"].endswith("/" + address(entry["resource"]))


def test_bundles_can_be_smaller():
    assert max(len(bundle["entry"]) for bundle in bundles(3, 7, TODAY, entries=40)) == 40


def test_a_bundle_is_valid_for_the_r4b_model():
    get_fhir_model_class("Bundle").model_validate(next(bundles(2, 7, TODAY, entries=150)))
