"""Every note becomes an AuditEvent that is valid FHIR.

https://profiles.ihe.net/ITI/BALP/
"""

from datetime import UTC, datetime
from typing import get_args

import pytest

from fhir_server.access.audit import note_of, outcome_of, patients_in
from fhir_server.access.balp import RESTFUL, audit_event, claims_to_be
from fhir_server.store.audit import Note, Noted
from fhir_server.validation import base_issues
from smart_auth.event import Event, Kind

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
BASE = "https://hospital.example/fhir"


def made(note: Note) -> dict:
    return audit_event(Noted(1, NOW, note), "id-1", NOW, BASE)


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


def test_a_single_patient_has_a_pattern_of_its_own():
    def profiles(*patients: str) -> list[str]:
        note = Note(subtype="search-type", status=200, outcome=0, patients=patients, query="q")
        return [one.rpartition(".")[2] for one in made(note)["meta"]["profile"]]

    assert profiles("Patient/1") == ["PatientQuery"]
    assert profiles() == profiles("Patient/1", "Patient/2") == ["Query"]


def test_patients_are_read_off_a_text():
    text = b'{"subject":{"reference":"Patient/1"},"x":[{"fullUrl":"https://a/fhir/Patient/2"}],"y":"Patient/ 3"}'
    assert patients_in(text) == ["Patient/1", "Patient/2"]
    assert patients_in(b"{}", "Patient", "7") == ["Patient/7"]
    assert patients_in(None, "Observation", "7") == []
