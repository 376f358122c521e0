"""What a token admits, over HTTP: scopes, the patient's compartment, and no trace of what is not admitted.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from fhir_server.store.migrate import SCHEMA
from tests.bearing import Secured, bearer, secured
from tests.stories.bundles import Resource, bundle, entry, observation

LABORATORY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]
}
VITALS = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url) as running:
        for resource in WORLD:
            answer = running.setup.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
            assert answer.status_code == 201, answer.text
        yield running


def patient(name: str, **members: Any) -> Resource:
    return {"resourceType": "Patient", "id": name, "name": [{"family": name.title()}], **members}


WORLD = [
    {"resourceType": "Practitioner", "id": "doctor", "name": [{"family": "Aardvark"}]},
    {"resourceType": "Organization", "id": "ward", "name": "Ward"},
    patient("ann", generalPractitioner=[{"reference": "Practitioner/doctor"}]),
    patient("bob", link=[{"other": {"reference": "Patient/ann"}, "type": "seealso"}]),
    {**observation("Patient/ann"), "id": "ann-lab", "category": [LABORATORY]},
    {**observation("Patient/ann"), "id": "ann-vital", "category": [VITALS]},
    {**observation("Patient/bob"), "id": "bob-lab", "category": [LABORATORY],
     "hasMember": [{"reference": "Observation/ann-lab"}]},
    {"resourceType": "Condition", "id": "ann-ill", "subject": {"reference": "Patient/ann"},
     "asserter": {"reference": "Practitioner/doctor"}},
    {"resourceType": "Device", "id": "ann-pump", "patient": {"reference": "Patient/ann"}},
    {"resourceType": "Group", "id": "both", "type": "person", "actual": True, "member": [
        {"entity": {"reference": "Patient/ann"}}, {"entity": {"reference": "Patient/bob"}}]},
    {"resourceType": "List", "id": "ann-list", "status": "current", "mode": "working",
     "subject": {"reference": "Patient/ann"}, "entry": [{"item": {"reference": "Observation/ann-lab"}}]},
    {"resourceType": "List", "id": "bob-list", "status": "current", "mode": "working",
     "subject": {"reference": "Patient/bob"}, "entry": [{"item": {"reference": "Observation/ann-lab"}}]},
]  # fmt: skip

ANN: dict[str, Any] = {"patient": "ann", "roles": ("patient",), "fhir_user": "Patient/ann"}


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in answer.json().get("entry", [])]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/Observation", ["Observation/ann-lab", "Observation/ann-vital"]),
        ("/Patient", ["Patient/ann"]),
        ("/Patient?name=bob", []),
        ("/Condition?subject=Patient/bob", []),
        ("/Practitioner", ["Practitioner/doctor"]),
        ("/Group", None),
        ("/Device", ["Device/ann-pump"]),
        ("/List", ["List/ann-list"]),
        ("/Patient/ann/Observation", ["Observation/ann-lab", "Observation/ann-vital"]),
        ("/Patient/bob/Observation", []),
        ("/Patient/bob/*", []),
        ("/?_type=Patient,Observation&_sort=_id", ["Patient/ann", "Observation/ann-lab", "Observation/ann-vital"]),
        ("/?_lastUpdated=gt2000&_type=Group,Organization", ["Organization/ward"]),
        ("/Observation?_revinclude=Observation:has-member", ["Observation/ann-lab", "Observation/ann-vital"]),
        ("/Observation?_has:Observation:has-member:_id=bob-lab", []),
        ("/Observation?_list=bob-list", []),
        ("/Observation?_list=ann-list", ["Observation/ann-lab"]),
        ("/Condition?_include=*", ["Condition/ann-ill", "Patient/ann", "Practitioner/doctor"]),
        ("/Patient?_revinclude=*&_summary=false", ["Patient/ann", "Observation/ann-lab", "Observation/ann-vital",
                                                   "Condition/ann-ill", "Device/ann-pump", "List/ann-list"]),
    ],
)  # fmt: skip
def test_a_patient_finds_the_own_record_and_what_is_shared(server, path, found):
    """S-S1, S-S5, S-S6."""
    with server.client("patient/*.rs", **ANN) as http:
        answer = http.get(path)
        if found is None:
            assert answer.status_code == 403
        else:
            assert sorted(names(answer)) == sorted(found)


@pytest.mark.parametrize(
    "path", ["Patient/bob", "Observation/bob-lab", "Patient/bob/_history", "Patient/bob/_history/1"]
)
def test_what_is_not_admitted_is_answered_as_what_does_not_exist(server, path):
    with server.client("patient/*.rs", **ANN) as http:
        hidden = http.get(f"/{path}")
        unknown = http.get(f"/{path.replace('bob', 'nob')}")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json() == {**unknown.json(), "issue": [
        {**one, "diagnostics": one["diagnostics"].replace("nob", "bob")} for one in unknown.json()["issue"]]}  # fmt: skip


def test_granular_scopes_are_alternatives(server):
    """S-S8."""
    laboratory = "patient/Observation.rs?category=laboratory"
    vitals = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    with server.client(laboratory, **ANN) as http:
        assert names(http.get("/Observation")) == ["Observation/ann-lab"]
        assert http.get("/Observation?_summary=count").json()["total"] == 1
        assert http.get("/Observation/ann-vital").status_code == 404
        assert http.get("/Condition").status_code == 403
    with server.client(f"{laboratory} {vitals}", **ANN) as http:
        assert len(names(http.get("/Observation"))) == 2


@pytest.mark.parametrize(
    ("letters", "method", "path", "status"),
    [
        ("r", "GET", "/Observation/ann-lab", 200),
        ("r", "GET", "/Observation/ann-lab/_history", 200),
        ("r", "GET", "/Observation/ann-lab/_history/1", 200),
        ("r", "GET", "/Observation", 403),
        ("r", "GET", "/Observation/_history", 403),
        ("r", "GET", "/_history", 403),
        ("s", "GET", "/Observation", 200),
        ("s", "GET", "/Observation/_history", 200),
        ("s", "GET", "/Observation/ann-lab", 403),
        ("s", "GET", "/Observation/ann-lab/_history", 403),
        ("cu", "GET", "/Observation/ann-lab", 403),
        ("cud", "GET", "/Observation", 403),
        ("rus", "POST", "/Observation", 403),
        ("crds", "PUT", "/Observation/ann-lab", 403),
        ("crds", "PATCH", "/Observation/ann-lab", 403),
        ("crus", "DELETE", "/Observation/ann-lab", 403),
        ("cruds", "POST", "/$reindex", 403),
        ("cruds", "GET", "/Observation?_explain=true", 403),
        ("", "GET", "/metadata", 200),
    ],
)
def test_each_interaction_needs_its_letter(server, letters, method, path, status):
    """S-S2."""
    scope = f"system/Observation.{letters}" if letters else "system/Patient.r"
    with server.client(scope) as http:
        answer = http.request(method, path, json={"resourceType": "Observation"} if method in ("POST", "PUT") else None)
        assert answer.status_code == status, answer.text
        if status == 403 and "$" not in path and "_explain" not in path:
            assert "system/" in answer.json()["issue"][0]["diagnostics"]
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "login"),
        ({"authorization": "Basic YTpi"}, "login"),
        ({"authorization": "Bearer x.y.z"}, "login"),
        (bearer("system/*.rs", expires=1), "expired"),
        (bearer("system/*.rs", audience="https://elsewhere.example/fhir"), "login"),
        (bearer("system/*.rs", tenant=2), "login"),
        (bearer("system/*.rs", issuer="https://elsewhere.example/auth"), "login"),
    ],
)
def test_without_a_good_token_nothing_is_told(server, headers, code):
    """S-S1."""
    answer = httpx.get(f"{server.base}/Patient/ann", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["issue"][0]["code"] == code
    assert answer.headers["www-authenticate"].startswith('Bearer realm="')
    assert ('error="invalid_token"' in answer.headers["www-authenticate"]) == bool(headers)
    assert httpx.get(f"{server.base}/metadata").status_code == 200


def test_patients_write_what_is_their_own(server):
    mine = {**observation("Patient/ann"), "performer": [{"reference": "Patient/ann"}]}
    with server.client("patient/*.cruds", **ANN) as http:
        made = http.post("/Observation", json=mine)
        assert made.status_code == 201, made.text
        path = f"/Observation/{made.json()['id']}"
        assert http.post("/Observation", json=observation("Patient/ann")).status_code == 403
        assert http.post("/Observation", json={**mine, "subject": {"reference": "Patient/bob"}}).status_code == 403
        assert http.put(path, json={**made.json(), "subject": {"reference": "Patient/bob"}}).status_code == 403
        assert http.put(path, json={**made.json(), "status": "amended"}).status_code == 200
        assert http.delete(path).status_code == 403
        ann = http.get("/Patient/ann").json()
        assert http.put("/Patient/ann", json={**ann, "telecom": [{"system": "phone", "value": "1"}]}).status_code == 200
        assert http.put("/Patient/ann", json={**ann, "birthDate": "1980-01-01"}).status_code == 403
    server.setup.delete(path)
    server.setup.put("/Patient/ann", json=ann)


def test_writing_over_what_is_not_admitted_tells_nothing(server):
    with server.client("patient/*.cruds", **ANN) as http:
        for method in ("PUT", "PATCH", "DELETE"):
            answers = []
            for name in ("bob-lab", "nob-lab"):
                body = {**observation("Patient/ann"), "id": name, "performer": [{"reference": "Patient/ann"}]}
                patch = [{"op": "replace", "path": "/status", "value": "amended"}]
                headers = {"content-type": "application/json-patch+json"} if method == "PATCH" else {}
                sent = None if method == "DELETE" else patch if method == "PATCH" else body
                answer = http.request(method, f"/Observation/{name}", json=sent, headers=headers)
                assert answer.status_code == 403
                answers.append(answer.text.replace(name, ""))
            assert answers[0] == answers[1]


def test_a_batch_is_judged_by_entry_and_a_transaction_whole(server):
    """S-S4."""
    entries = [entry("GET", "Observation/ann-lab"), entry("GET", "Observation/bob-lab"), entry("GET", "Group"),
               entry("POST", "Group", {"resourceType": "Group", "type": "person", "actual": True})]  # fmt: skip
    with server.client("patient/*.cruds", **ANN) as http:
        answer = http.post("/", json=bundle("batch", *entries))
        assert [one["response"]["status"][:3] for one in answer.json()["entry"]] == ["200", "404", "403", "403"]
        answer = http.post("/", json=bundle("transaction", entries[0], entries[3]))
        assert answer.status_code == 403
        assert "Bundle.entry[1]" in answer.json()["issue"][0]["diagnostics"]


def test_hidden_elements_neither_go_out_nor_are_searched_by_nor_are_lost(server):
    encounter = {
        "resourceType": "Encounter", "id": "visit", "status": "arrived", "class": {"code": "AMB"},
        "subject": {"reference": "Patient/ann"}, "reasonCode": [{"text": "a secret reason"}],
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a secret reason</div>'},
    }  # fmt: skip
    server.setup.put("/Encounter/visit", json=encounter)
    desk: dict[str, Any] = {"roles": ("front-desk",), "fhir_user": "Practitioner/doctor"}
    with server.client("user/*.cruds", **desk) as http:
        for path in (
            "/Encounter/visit",
            "/Encounter",
            "/Encounter/_history",
            "/Encounter/visit/_history",
            "/Patient?_revinclude=*",
        ):
            answer = http.get(path)
            assert answer.status_code == 200
            assert "secret" not in answer.text
            assert "SUBSETTED" in answer.text
        for path in ("/Encounter?reason-code=x", "/Encounter?_content=secret", "/Patient?_has:Encounter:patient:reason-code=x",
                     "/Encounter?_sort=reason-code", "/Encounter?_filter=reason-code eq x"):  # fmt: skip
            assert http.get(path).status_code == 403, path
        seen = http.get("/Encounter/visit").json()
        del seen["meta"]
        answer = http.put("/Encounter/visit", json={**seen, "status": "in-progress"})
        assert answer.status_code == 200, answer.text
        assert "secret" not in answer.text
        patch = [{"op": "test", "path": "/reasonCode/0/text", "value": "a secret reason"}]
        headers = {"content-type": "application/json-patch+json"}
        assert http.patch("/Encounter/visit", json=patch, headers=headers).status_code >= 400
    kept = server.setup.get("/Encounter/visit").json()
    assert (kept["status"], kept["reasonCode"]) == ("in-progress", encounter["reasonCode"])
    server.setup.delete("/Encounter/visit")


def test_discovery_needs_no_token_and_is_json_for_every_page(server):
    """S-D1, S-S7."""
    url = f"{server.base}/.well-known/smart-configuration"
    answer = httpx.get(url, headers={"accept": "text/html, application/fhir+xml", "origin": "https://app.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["token_endpoint"] == "https://hospital.example/auth/token"
    security = httpx.get(f"{server.base}/metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert "Patient.link" in security["description"]


def test_hidden_content_of_a_binary_does_not_go_out_raw(database_url):
    policy = json.dumps({"grants": [{"letters": "r", "types": ["Binary"]}], "hidden": ["Binary.data"]})
    with psycopg.connect(database_url, options=f"-c search_path={SCHEMA}", autocommit=True) as conn:
        conn.execute("INSERT INTO access_policy (tenant, role, policy) VALUES (1, 'auditor', %s)", (policy,))
    with secured(database_url) as server:
        made = server.setup.post("/Binary", content=b"secret", headers={"content-type": "text/plain"}).json()
        with server.client("user/*.rs", roles=("auditor",)) as http:
            for accept in ("text/plain", "application/fhir+json"):
                answer = http.get(f"/Binary/{made['id']}", headers={"accept": accept})
                assert answer.status_code == 200
                assert "secret" not in answer.text
                assert "c2VjcmV0" not in answer.text
