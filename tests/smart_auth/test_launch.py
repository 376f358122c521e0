"""What can be said of an open record when an app is started from it."""

import pytest

from smart_auth.client import Client
from smart_auth.configuration import Configuration
from smart_auth.error import OAuthError
from smart_auth.launch import Launches, context_of, is_launchable, launch_address, launch_of, with_patient
from smart_auth.people import EncounterChoice
from smart_auth.store import Database
from tests.smart_auth.persons import village

APP = Client(
    "app", "App", "public", "launch", redirect_uris=("https://a.example/b",), launch_url="https://a.example/l?x=1"
)
FACTS = Configuration("https://h.example", "https://h.example/fhir", 1, ("Patient",))

GOOD = [
    {"reference": "ImagingStudy/1"},
    {"reference": "ImagingStudy/1", "role": "launch"},
    {"reference": "Patient/1", "role": "https://h.example/role"},
    {"canonical": "http://h.example/Questionnaire/q|1", "type": "Questionnaire"},
    {"identifier": {"system": "urn:a", "value": "1"}, "type": "DiagnosticReport"},
]
BAD = {
    "no pointer": {"type": "Patient"},
    "an absolute reference": {"reference": "https://h.example/fhir/ImagingStudy/1"},
    "a reference that is none": {"reference": "ImagingStudy"},
    "a number": {"reference": 1},
    "the patient": {"reference": "Patient/1"},
    "the encounter in its role": {"reference": "Encounter/1", "role": "launch"},
    "a patient by identifier": {"identifier": {"value": "1"}, "type": "Patient"},
    "an empty role": {"reference": "ImagingStudy/1", "role": ""},
    "a role without scheme": {"reference": "ImagingStudy/1", "role": "main"},
    "another member": {"reference": "ImagingStudy/1", "display": "x"},
    "an empty canonical": {"canonical": ""},
    "an identifier that is none": {"identifier": "1"},
    "no object": "ImagingStudy/1",
}


@pytest.mark.parametrize("entry", GOOD, ids=str)
def test_an_entry_of_fhir_context_that_smart_knows_is_taken(entry):
    """S-T6 @177 @178 @185 @188 @190"""
    assert context_of([entry]) == [entry]


@pytest.mark.parametrize("entry", BAD.values(), ids=BAD)
def test_an_entry_of_fhir_context_that_smart_does_not_know_is_refused(entry):
    """S-T6 @177 @178 @185 @188 @190"""
    with pytest.raises(OAuthError):
        context_of([entry])


def test_fhir_context_is_bounded():
    with pytest.raises(OAuthError):
        context_of([{"reference": "ImagingStudy/1"}] * 21)


@pytest.mark.parametrize("body", [
    {"client_id": "app", "patient": "Patient/1"}, {"client_id": "app", "patient": 1}, {"client_id": "app", "intent": "a\nb"},
    {"client_id": "app", "need_patient_banner": "yes"}, {"client_id": "app", "colour": "red"},
], ids=str)  # fmt: skip
def test_a_launch_that_says_something_strange_is_refused(body):
    with pytest.raises(OAuthError):
        launch_of(body, None)


STAFF, OWN, SYSTEM = ("practitioner",), ("patient",), None
OPENED = [
    ({}, STAFF, None),
    ({"patient": "p0"}, OWN, "p0"),
    ({"patient": "p0", "encounter": "visit"}, STAFF, "p0"),
    ({"patient": "p0", "encounter": "visit"}, SYSTEM, "p0"),
    ({"encounter": "visit"}, STAFF, "p0"),
    ({"encounter": "visit"}, SYSTEM, "p0"),
    ({"patient": "p1"}, SYSTEM, "p1"),
]
APART = [
    ({"patient": "p1", "encounter": "visit"}, STAFF, "access_denied"),
    ({"patient": "p1", "encounter": "visit"}, SYSTEM, "invalid_request"),
    ({"patient": "p0", "encounter": "none"}, STAFF, "access_denied"),
    ({"patient": "p0", "encounter": "none"}, SYSTEM, "invalid_request"),
    ({"encounter": "none"}, STAFF, "access_denied"),
    ({"encounter": "none"}, SYSTEM, "invalid_request"),
    ({"encounter": "other"}, OWN, "access_denied"),
    ({"patient": "p1"}, OWN, "access_denied"),
    ({"patient": "p9"}, SYSTEM, "invalid_request"),
]


def opened(asked, roles):
    people = village()
    people.encounters = {"p0": [EncounterChoice("visit", "Visit")], "p1": [EncounterChoice("other", "Visit")]}
    return with_patient(launch_of({"client_id": "app", **asked}, None), people, "Patient/p0", roles)


@pytest.mark.parametrize(("asked", "roles", "patient"), OPENED, ids=str)
def test_a_launch_opens_the_patient_of_its_encounter(asked, roles, patient):
    found = opened(asked, roles)
    assert (found.patient, found.encounter) == (patient, asked.get("encounter"))


@pytest.mark.parametrize(("asked", "roles", "code"), APART, ids=str)
def test_a_launch_whose_parts_do_not_belong_together_is_refused(asked, roles, code):
    with pytest.raises(OAuthError) as refused:
        opened(asked, roles)
    assert refused.value.code == code


def test_the_address_of_an_app_keeps_its_query():
    """@352"""
    url = launch_address(APP, FACTS, "abc")
    assert url == "https://a.example/l?x=1&iss=https%3A%2F%2Fh.example%2Ffhir&launch=abc"


def test_only_apps_with_a_launch_url_are_launched():
    closed = Client("app", "App", "public", "launch", status="disabled", launch_url="https://a.example/l")
    silent = Client("app", "App", "public", "launch")
    assert [is_launchable(one) for one in (APP, closed, silent, None)] == [True, False, False, False]


def test_a_launch_is_found_by_its_app_until_it_is_too_old(database_url):
    database = Database(database_url, 1)
    database.open()
    try:
        launches = Launches(database)
        id_ = launches.begin(launch_of({"client_id": "app", "patient": "1"}, "account"))
        found = launches.find(id_, "app")
        assert found is not None
        assert (found.patient, found.account) == ("1", "account")
        assert launches.find(id_, "other") is None
        assert launches.find("ä", "app") is None
        database.run("UPDATE launch SET expires = now() - interval '1 second' WHERE tenant = %(tenant)s")
        assert launches.find(id_, "app") is None
    finally:
        database.close()
