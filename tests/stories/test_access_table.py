"""The whole table of roles, types and interactions (access_table.md), asked over HTTP: a cell says what is answered with success.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bearing import Secured, secured
from tests.stories.bundles import Resource

TABLE = Path(__file__).with_name("access_table.md")
ROWS = [
    [cell.strip() for cell in line.strip("| ").split("|")]
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
]
ROLES, CELLS = ROWS[0][1:], {row[0]: row[1:] for row in ROWS[1:]}
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def about(patient: str) -> dict[str, Any]:
    return {"reference": f"Patient/{patient}"}


def observation(patient: str, performer: str, category: str) -> Resource:
    coding = {"system": CATEGORY, "code": category}
    return {"status": "final", "code": {"text": "a"}, "category": [{"coding": [coding]}], "subject": about(patient),
            "performer": [{"reference": performer}]}  # fmt: skip


ACTIVE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]}
MEDICINE = {"medicationCodeableConcept": {"text": "m"}}
REPORTER = {"who": {"display": "w"}, "requestor": True}
# Small resources by the kind of row, made for a patient.
CONTENT: dict[str, Callable[[str], Resource]] = {
    "Observation, laboratory": lambda name: observation(name, "Practitioner/doc", "laboratory"),
    "Observation, social": lambda name: observation(name, "Practitioner/doc", "social-history"),
    "Observation, by the patient": lambda name: observation(name, f"Patient/{name}", "survey"),
    "Condition": lambda name: {"subject": about(name)},
    "AllergyIntolerance": lambda name: {"patient": about(name), "clinicalStatus": ACTIVE},
    "MedicationRequest": lambda name: {"status": "active", "intent": "order", "subject": about(name), **MEDICINE},
    "MedicationDispense": lambda name: {"status": "completed", "subject": about(name), **MEDICINE},
    "Encounter": lambda name: {"status": "arrived", "class": {"code": "AMB"}, "subject": about(name)},
    "Appointment": lambda name: {"status": "proposed", "participant": [{"actor": about(name), "status": "accepted"}]},
    "Coverage": lambda name: {"status": "active", "beneficiary": about(name), "payor": [{"display": "p"}]},
    "QuestionnaireResponse": lambda name: {"status": "completed", "subject": about(name), "author": about(name)},
    "Task": lambda name: {"status": "requested", "intent": "order", "for": about(name)},
    "Device": lambda name: {"patient": about(name)},
    "Group": lambda name: {"type": "person", "actual": True, "member": [{"entity": about(name)}]},
    "Consent": lambda name: {
        "status": "active", "scope": {"text": "s"}, "category": [{"text": "c"}], "patient": about(name),
        "policyRule": {"text": "r"}},
    "Organization": lambda _: {"name": "o"},
    "Binary": lambda _: {"contentType": "text/plain", "data": "YQ=="},
    "Questionnaire": lambda _: {"status": "draft"},
    "Library": lambda _: {"status": "draft", "type": {"text": "t"}},
    "AuditEvent": lambda name: {
        "type": {"code": "rest"}, "recorded": "2024-01-01T00:00:00Z", "agent": [REPORTER],
        "source": {"observer": {"display": "another"}}, "entity": [{"what": about(name)}]},
}  # fmt: skip


def content(kind: str, patient: str) -> Resource:
    """A small resource of a kind of row; those about somebody are about the patient."""
    return CONTENT[kind](patient) if kind in CONTENT else {}


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url, rate_limit="", demo=False) as running:
        for kind, name in (("Patient", "ann"), ("Patient", "bob"), ("Practitioner", "doc"), ("RelatedPerson", "mum")):
            made: Resource = {"resourceType": kind, "id": name}
            made |= {"patient": about("ann")} if kind == "RelatedPerson" else {}
            assert running.setup.put(f"/{kind}/{name}", json=made).status_code == 201
        yield running


def person(role: str) -> dict[str, Any]:
    match role:
        case "patient":
            return {"roles": (role,), "fhir_user": "Patient/ann"}
        case "related-person":
            return {"roles": (role,), "fhir_user": "RelatedPerson/mum", "patient": "ann"}
        case _:
            return {"roles": (role,), "fhir_user": "Practitioner/doc"}


def answered(server: Secured, http: httpx.Client, row: str) -> str:
    """The letters of the interactions that succeed for a resource of the row."""
    kind, _, whose = row.partition(" of ")
    resource_type = kind.partition(",")[0]
    path = f"/{resource_type}"
    made = {"resourceType": resource_type, **content(kind, whose or "ann")}
    stored = kept(server, path, made, whose)
    one, changed = f"{path}/{stored['id']}", {**stored, "language": "en"}
    found = http.get(path, params={"_id": stored["id"]})
    letters = {
        "c": http.post(path, json=made).status_code == 201,
        "r": http.get(one).status_code == 200,
        "u": http.put(one, json=changed).status_code == 200,
        "d": http.delete(one).status_code == 204 if not (resource_type == "Patient" and whose) else None,
        "s": found.status_code == 200 and bool(found.json().get("entry")),
    }
    if letters["d"] is None:
        letters["d"] = http.delete(f"{path}/{kept(server, path, made, '')['id']}").status_code == 204
    return "".join(letter for letter, good in letters.items() if good) or "-"


def kept(server: Secured, path: str, made: Resource, whose: str) -> Resource:
    """The resource as it is stored: the patient himself where the row is about one."""
    if path == "/Patient" and whose:
        return dict(server.setup.get(f"/Patient/{whose}").json())
    answer = server.setup.post(path, json=made)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("role", ROLES)
def test_every_cell_of_the_table_is_true(server, role):
    with server.client("user/*.cruds user/AuditEvent.cruds", **person(role)) as http:
        found = {row: answered(server, http, row) for row in CELLS}
    expected = {row: cells[ROLES.index(role)] for row, cells in CELLS.items()}
    assert found == expected
