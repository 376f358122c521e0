"""Every note becomes an AuditEvent that is valid FHIR.

https://profiles.ihe.net/ITI/BALP/
"""

from datetime import UTC, datetime
from typing import get_args

import pytest
from msgspec.structs import replace

from fhir_server.access.audit import MOST_PATIENTS, Trail, note_of, outcome_of, patients_in
from fhir_server.access.balp import RESTFUL, audit_event, claims_to_be, for_each_patient
from fhir_server.store.audit import Note
from fhir_server.validation import base_issues
from smart_auth.event import Event, Kind

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
BASE = "https://hospital.example/fhir"


def made(note: Note) -> dict:
    return audit_event(note, NOW, "id-1", NOW, BASE)


@pytest.mark.parametrize("subtype", sorted(RESTFUL))
@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize("known", [True, False])
def test_interactions_are_valid_whatever_is_known(subtype, status, known):
    more = {"client": "app", "account": "a", "fhir_user": "Practitioner/1", "token": "t", "network": "::1", "request": "r",
            "patients": ("Patient/1", "Patient/2"), "entities": ("Observation/1",), "query": "Patient?name=ä", "detail": "d"}  # fmt: skip
    event = made(Note(subtype=subtype, status=status, outcome=outcome_of(status), **(more if known else {})))
    assert [issue for issue in base_issues(event) if issue.severity in ("error", "fatal")] == []
    assert event["recorded"] == "2026-01-02T03:04:05.678Z"
    assert claims_to_be(event, BASE)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_events_of_the_authorization_server_are_valid(kind, outcome):
    event = made(note_of(Event(kind, outcome, "app", "account", "Patient/1", "::1", "what it was about")))
    assert [issue for issue in base_issues(event) if issue.severity in ("error", "fatal")] == []
    assert event["outcome"] == {"success": "0", "failure": "4"}[outcome]


def test_a_command_is_of_whoever_ran_it_on_the_machine():
    event = made(
        note_of(Event("keys", "success", network="host-1", detail="mediconnect keys rotate k", operator="opal"))
    )
    assert [issue for issue in base_issues(event) if issue.severity in ("error", "fatal")] == []
    asked = [one["who"]["display"] for one in event["agent"] if one["requestor"]]
    assert (asked, event["agent"][0]["network"]) == (["opal"], {"address": "host-1", "type": "1"})
    assert (event["outcomeDesc"], claims_to_be(event, BASE)) == ("mediconnect keys rotate k", True)


def test_a_single_patient_has_a_pattern_of_its_own():
    def profiles(*patients: str) -> list[str]:
        note = Note(subtype="search-type", status=200, outcome=0, patients=patients, query="q")
        return [one.rpartition(".")[2] for one in made(note)["meta"]["profile"]]

    assert profiles("Patient/1") == ["PatientQuery"]
    assert profiles() == profiles("Patient/1", "Patient/2") == ["Query"]


def test_a_search_is_an_event_for_each_patient_it_found():
    def patients(subtype: str, found: int, status: int = 200) -> list[tuple[str, ...]]:
        names = tuple(f"Patient/{n}" for n in range(found))
        note = Note(subtype=subtype, status=status, outcome=outcome_of(status), patients=names, query="q")
        made = for_each_patient(note, 3)
        assert {replace(one, patients=()) for one in made} == {replace(note, patients=())}
        return [one.patients for one in made]

    assert patients("search-type", 0) == [()]
    assert patients("search-type", 2) == patients("search-system", 2) == [("Patient/0",), ("Patient/1",)]
    assert [len(one) for one in patients("search-type", 4)] == [4], "very many are named together"
    assert [len(one) for one in patients("search-type", 3, 403)] == [3]
    assert [len(one) for one in patients("read", 2)] == [2]
    own = Note(
        subtype="search-type", status=200, outcome=0, patients=("Patient/1", "Patient/2"), query="AuditEvent?a=b"
    )
    assert for_each_patient(own, 3) == [own], "a look at the trail does not multiply it"


def test_more_patients_than_a_note_names_are_counted():
    note = Trail("r", "::1").note("search-type", 200, patients=(f"Patient/{n}" for n in range(MOST_PATIENTS + 5)))
    assert len(note.patients) == MOST_PATIENTS
    assert note.detail == "and 5 more patients"


def test_patients_are_read_off_a_text():
    text = b'{"subject":{"reference":"Patient/1"},"x":[{"fullUrl":"https://a/fhir/Patient/2"}],"y":"Patient/ 3"}'
    assert patients_in(text) == ["Patient/1", "Patient/2"]
    assert patients_in(b"{}", "Patient", "7") == ["Patient/7"]
    assert patients_in(None, "Observation", "7") == []
