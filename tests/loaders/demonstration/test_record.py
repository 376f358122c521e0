"""Whether the people of the demonstration hospital could be people: ages, dates, drugs, values.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from collections import defaultdict
from datetime import date, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from loaders.demonstration import generate
from loaders.demonstration.condition import DISEASES
from loaders.demonstration.datatypes import age_on
from loaders.demonstration.medication import DRUGS

Record = dict[str, list[dict[str, Any]]]

TODAY = date(2026, 3, 18)
BY_CODE = {disease.snomed[0]: disease for disease in DISEASES}


def owner(resource: dict[str, Any]) -> str | None:
    """The patient a resource is about, as a reference."""
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}"
    about = resource.get("subject") or resource.get("patient") or resource.get("beneficiary") or resource.get("for")
    if about is None and resource["resourceType"] == "Appointment":
        about = resource["participant"][0]["actor"]
    return about["reference"] if about else None


@cache
def people() -> list[Record]:
    found: dict[str, Record] = defaultdict(lambda: defaultdict(list))
    for resource in generate(500, 21, TODAY):
        about = owner(resource)
        if about is not None:
            found[about][resource["resourceType"]].append(resource)
    return list(found.values())


def patient(record: Record) -> dict[str, Any]:
    return record["Patient"][0]


def birth(record: Record) -> date:
    return date.fromisoformat(patient(record)["birthDate"])


def day(value: str) -> date:
    return date.fromisoformat(value[:10])


# Where each kind of resource says when something took place that is over by today.
PAST = {
    "Encounter": ("period.start", "period.end"),
    "Condition": ("onsetDateTime", "recordedDate", "abatementDateTime"),
    "AllergyIntolerance": ("recordedDate",),
    "MedicationRequest": ("authoredOn",),
    "MedicationDispense": ("whenPrepared", "whenHandedOver"),
    "Observation": ("effectiveDateTime", "issued"),
    "DiagnosticReport": ("effectiveDateTime", "issued"),
    "Immunization": ("occurrenceDateTime",),
    "Procedure": ("performedPeriod.start", "performedPeriod.end"),
    "CarePlan": ("period.start", "created"),
    "CareTeam": ("period.start",),
    "Coverage": ("period.start",),
    "Appointment": ("created",),
    "Task": ("authoredOn",),
    "Communication": ("sent",),
}


def moments(resource: dict[str, Any], paths: tuple[str, ...]) -> list[str]:
    found = []
    for path in paths:
        value: Any = resource
        for part in path.split("."):
            value = value.get(part) if value else None
        if value:
            found.append(value)
    return found


@pytest.mark.parametrize("kind", PAST)
def test_nothing_happens_before_birth_after_death_or_after_today(kind):
    checked = 0
    for record in people():
        died = patient(record).get("deceasedDateTime")
        last = day(died) if died else TODAY
        for resource in record[kind]:
            for moment in moments(resource, PAST[kind]):
                assert birth(record) <= day(moment) <= last, resource
                checked += 1
    assert checked


def test_periods_end_after_they_begin():
    for record in people():
        for encounter in record["Encounter"]:
            period = encounter["period"]
            assert "end" not in period or period["start"] < period["end"]
            assert (encounter["status"] == "finished") == ("end" in period)
        for condition in record["Condition"]:
            assert condition["onsetDateTime"] <= condition["recordedDate"][:10]
            assert condition.get("abatementDateTime", "9") >= condition["onsetDateTime"]


def test_what_belongs_to_an_encounter_lies_within_it_or_on_its_day():
    for record in people():
        encounters = {f"Encounter/{each['id']}": each["period"] for each in record["Encounter"]}
        for kind, name in (("Observation", "effectiveDateTime"), ("MedicationRequest", "authoredOn")):
            for resource in record[kind]:
                period = encounters[resource["encounter"]["reference"]]
                assert period["start"] <= resource[name] <= period.get("end", "9999")


def test_nobody_is_in_two_places_at_once():
    for record in people():
        periods = sorted((each["period"]["start"], each["period"].get("end", "9999")) for each in record["Encounter"])
        assert all(end < start for (_, end), (start, _) in pairwise(periods))


def test_no_clinician_sees_two_people_by_appointment_at_once():
    booked = [
        (appointment["participant"][1]["actor"]["reference"], appointment["start"])
        for record in people()
        for appointment in record["Appointment"]
        if "start" in appointment
    ]
    assert len(booked) == len(set(booked))


def test_diseases_fit_age_and_gender():
    for record in people():
        for condition in record["Condition"]:
            disease = BY_CODE[condition["code"]["coding"][0]["code"]]
            age = age_on(birth(record), day(condition["onsetDateTime"]))
            # The first days of a short illness may lie before the birthday that is asked for.
            assert age >= disease.ages[0] - (not disease.chronic)
            assert age <= disease.ages[1]
            assert disease.gender in (None, patient(record)["gender"])


def test_every_prescription_is_for_a_disease_that_it_treats():
    treatments = {disease.snomed[0]: {*disease.drugs, *disease.children} for disease in DISEASES}
    instead = {"azithromycin-500", "azithromycin-suspension"}
    for record in people():
        codes = {f"Condition/{each['id']}": each["code"]["coding"][0]["code"] for each in record["Condition"]}
        for request in record["MedicationRequest"]:
            drug = request["medicationReference"]["reference"].removeprefix("Medication/medication-")
            code = codes[request["reasonReference"][0]["reference"]]
            assert drug in treatments[code] | instead


def test_nobody_with_a_penicillin_allergy_is_given_penicillin():
    penicillins = {drug.medication for drug in DRUGS if drug.penicillin}
    allergic = [
        record
        for record in people()
        if any(each["code"]["coding"][0]["code"] == "91936005" for each in record["AllergyIntolerance"])
    ]
    given = {
        request["medicationReference"]["reference"] for record in allergic for request in record["MedicationRequest"]
    }
    assert allergic
    assert not given & penicillins


# LOINC code: the least and the greatest value that would not be an error of the writer.
LIMITS = {
    "8480-6": (75, 190),
    "8462-4": (40, 115),
    "8867-4": (48, 175),
    "8310-5": (35.5, 40.5),
    "29463-7": (2.5, 160),
    "8302-2": (44, 200),
    "39156-5": (12, 40),
    "9279-1": (10, 30),
    "2708-6": (88, 100),
    "4548-4": (4, 11),
    "2345-7": (60, 250),
    "718-7": (8, 18),
    "2160-0": (0.4, 1.5),
    "6301-6": (0.8, 3.6),
}


def measured() -> list[tuple[str, float]]:
    return [
        (part["code"]["coding"][0]["code"], float(part["valueQuantity"]["value"]))
        for record in people()
        for observation in record["Observation"]
        for part in observation.get("component", [observation])
        if "valueQuantity" in part
    ]


def test_values_are_those_of_living_people():
    seen = set()
    for code, value in measured():
        low, high = LIMITS.get(code, (0, 1000))
        assert low <= value <= high, (code, value)
        seen.add(code)
    assert set(LIMITS) <= seen


def test_an_interpretation_says_where_the_value_lies_in_its_range():
    checked = set()
    for record in people():
        for observation in record["Observation"]:
            for limits in observation.get("referenceRange", []):
                value, code = (
                    observation["valueQuantity"]["value"],
                    observation["interpretation"][0]["coding"][0]["code"],
                )
                low = "low" in limits and value < limits["low"]["value"]
                high = "high" in limits and value > limits["high"]["value"]
                assert code == ("L" if low else "H" if high else "N")
                checked.add(code)
    assert checked == {"L", "H", "N"}


@pytest.mark.parametrize(("disease", "code"), [("44054006", "4548-4"), ("55822004", "18262-6")])
def test_treatment_works(disease, code):
    first, last = [], []
    for record in people():
        if any(each["code"]["coding"][0]["code"] == disease for each in record["Condition"]):
            values = [
                (each["effectiveDateTime"], each["valueQuantity"]["value"])
                for each in record["Observation"]
                if each["code"]["coding"][0]["code"] == code
            ]
            if len(values) > 1:
                first.append(min(values)[1])
                last.append(max(values)[1])
    assert len(first) > 5
    assert sum(last) < 0.9 * float(sum(first)) if first else False


def test_children_grow():
    for record in people():
        if age_on(birth(record), TODAY) < 16:
            heights = sorted(
                (each["effectiveDateTime"], each["valueQuantity"]["value"])
                for each in record["Observation"]
                if each["code"]["coding"][0]["code"] == "8302-2"
            )
            assert [height for _, height in heights] == sorted(height for _, height in heights)


def test_minors_have_parents_and_a_paediatrician_and_no_marriage():
    for record in people():
        minor = age_on(birth(record), TODAY) < 18
        assert bool(record["RelatedPerson"]) == minor
        if minor:
            assert patient(record)["maritalStatus"]["coding"][0]["code"] == "S"
            assert all((birth(record) - day(parent["birthDate"])).days > 20 * 365 for parent in record["RelatedPerson"])
            assert "subscriber" not in record["Coverage"][0]


def test_the_dead_are_old_and_have_nothing_before_them():
    dead = [record for record in people() if "deceasedDateTime" in patient(record)]
    assert dead
    for record in dead:
        assert age_on(birth(record), day(patient(record)["deceasedDateTime"])) >= 66
        assert patient(record)["active"] is False
        assert not [each for each in record["Appointment"] if each["status"] in ("booked", "pending", "proposed")]
        assert {request["status"] for request in record["MedicationRequest"]} <= {"completed"}


def test_there_are_patients_of_every_sort():
    everyone = [patient(record) for record in people()]
    for name in ("deceasedDateTime", "contact", "multipleBirthInteger", "multipleBirthBoolean", "generalPractitioner"):
        assert any(name in each for each in everyone), name
    languages = {each["communication"][0]["language"]["coding"][0]["code"] for each in everyone}
    assert len(languages) >= 10
    assert any(each["status"] == "in-progress" for record in people() for each in record["Encounter"])
    ages = [age_on(date.fromisoformat(each["birthDate"]), TODAY) for each in everyone]
    assert min(ages) < 3
    assert max(ages) > 85


def test_each_report_refers_to_results_of_its_own_encounter():
    for record in people():
        encounters = {f"Observation/{each['id']}": each["encounter"]["reference"] for each in record["Observation"]}
        for report in record["DiagnosticReport"]:
            assert {encounters[each["reference"]] for each in report["result"]} == {report["encounter"]["reference"]}


def test_mail_goes_to_example_com_and_calls_to_an_area_code_that_is_not():
    for record in people():
        for contact in patient(record)["telecom"]:
            value = contact["value"]
            assert value.endswith("@example.com") if contact["system"] == "email" else value.startswith("+90 000 ")


def test_vaccinations_come_in_the_order_of_their_doses():
    for record in people():
        doses: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for each in record["Immunization"]:
            code = each["vaccineCode"]["coding"][0]["code"]
            if "protocolApplied" in each and code != "140":
                doses[code].append((each["occurrenceDateTime"], each["protocolApplied"][0]["doseNumberPositiveInt"]))
        for given in doses.values():
            assert [number for _, number in sorted(given)] == list(range(1, len(given) + 1))


def test_a_reminder_comes_before_its_appointment():
    for record in people():
        starts = {f"Appointment/{each['id']}": each.get("start") for each in record["Appointment"]}
        for reminder in record["Communication"]:
            start = starts[reminder["about"][0]["reference"]]
            assert datetime.fromisoformat(reminder["sent"]) < datetime.fromisoformat(start)
