"""Errors that a person can act on: https://hl7.org/fhir/R4/http.html#Status-Codes and operationoutcome.html."""

import logging
import threading
import time

import httpx
import psycopg
import pytest

from fhir_server.interactions import write
from tests.running import client, running
from tests.stories.bundles import bundle, create, entry, fresh, issue

CASES = [
    # method, path, status, code, what it says
    ("GET", "Patience", 404, "not-supported", "'Patience' is not an R4 resource type; did you mean 'Patient'?"),
    ("GET", "Patient/x", 404, "not-found", "Patient/x is not known"),
    ("GET", "Patient?nmae=x", 400, "not-supported", "unknown search parameter 'nmae' on Patient; did you mean 'name'?"),
    ("GET", "Patient?name:exactly=x", 400, "invalid", "exact"),
    ("GET", "Patient?birthdate=soon", 400, "value", "soon"),
    ("GET", "Patient?_count=-1", 400, "value", "a whole number is needed"),
    ("GET", "Patient?_sort=nmae", 400, "not-supported", "did you mean 'name'?"),
    ("GET", "Patient?_total=maybe", 400, "value", "none, estimate, accurate"),
    ("GET", "metadata?mode=fulll", 400, "value", "did you mean 'full'?"),
    ("GET", "", 400, "too-costly", "_type"),
    ("GET", "Patient/$everythin", 404, "not-supported", "$everythin"),
    ("GET", "$nothing", 404, "not-supported", "$nothing"),
    ("GET", "_histroy", 404, "not-found", "_history"),
    ("GET", "Patient/1/_history/1/x", 404, "not-found", "no such path"),
    ("GET", "Patient/1/Patience", 404, "not-supported", "Patience"),
    ("GET", "Organization/1/Observation", 404, "not-supported", "no Organization compartment"),
    ("PUT", "", 405, "not-supported", "PUT is not possible here"),
    ("POST", "Patient/1", 405, "not-supported", "POST is not possible here"),
    ("PUT", "Patient/1/_history/1", 405, "not-supported", "PUT is not possible here"),
    ("GET", "Patient/_search", 405, "not-supported", "POST"),
    ("POST", "metadata", 405, "not-supported", "POST is not possible here"),
    ("POST", "_history", 405, "not-supported", "POST is not possible here"),
    ("TRACE", "Patient", 405, "not-supported", "TRACE is not possible here"),
]


@pytest.mark.parametrize(("method", "path", "status", "code", "says"), CASES)
def test_errors_say_what_is_wrong(fhir: httpx.Client, method: str, path: str, status: int, code: str, says: str):
    answer = fhir.request(method, f"/{path}" if path else "")
    assert answer.status_code == status, answer.text
    told = issue(answer)
    assert says in told["diagnostics"]
    assert told["severity"] == "error"
    assert (told["code"], answer.headers["content-type"]) == (code, "application/fhir+json; charset=utf-8")
    if status == 405:
        assert method not in answer.headers["allow"].split(", ")
        assert "OPTIONS" in answer.headers["allow"]


def test_an_issue_of_a_resource_leads_to_its_place(fhir: httpx.Client):
    sent = {"resourceType": "Patient", "name": [{"family": "Linde"}, {"familie": "Linde"}], "gender": "feminine"}
    answer = fhir.post("/Patient", json=sent)
    assert answer.status_code in (400, 422)
    places = [place for one in answer.json()["issue"] for place in one.get("expression", ())]
    assert any(place.startswith("Patient.name[1]") for place in places), answer.text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/Patient/x"), ("POST", "/Patient"), ("DELETE", ""), ("GET", "/Patient?name=%zz")]
)
def test_every_answer_has_a_request_id(fhir: httpx.Client, method: str, path: str):
    ids = {fhir.request(method, path).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(("own", "kept"), [("order-4711.b_2", True), ("x" * 65, False), ("a b", False), ("é", False)])
def test_the_clients_own_request_id_is_kept_where_it_is_fit_for_a_log(fhir: httpx.Client, own: str, kept: bool):
    answer = fhir.get("/metadata", headers={"x-request-id": own.encode()})
    assert (answer.headers["x-request-id"] == own) is kept


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stumbles over creates, in a way that quotes the resource."""

    async def broken(_context: object, _kind: str, resource: object) -> None:
        raise RuntimeError(f"cannot cope with {resource}")

    monkeypatch.setattr(write, "create", broken)


@pytest.mark.usefixtures("breaking")
def test_what_nobody_foresaw_is_500_with_a_request_id_that_the_log_has(
    fhir: httpx.Client, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        answer = fhir.post("/Patient", json={"resourceType": "Patient", "name": [{"family": "Geheimnis"}]})
    assert answer.status_code == 500
    number = answer.headers["x-request-id"]
    assert issue(answer)["code"] == "exception"
    assert number in issue(answer)["diagnostics"]
    assert "Traceback" not in answer.text
    assert "RuntimeError" not in answer.text
    logged = [record.getMessage() for record in caplog.records if number in record.getMessage()]
    assert any("RuntimeError at " in line for line in logged)
    assert "Geheimnis" not in answer.text
    assert "Geheimnis" not in caplog.text


@pytest.mark.usefixtures("breaking")
def test_what_nobody_foresaw_in_a_batch_is_the_answer_of_its_entry(fhir: httpx.Client):
    patient = {"resourceType": "Patient"}
    answer = fhir.post("", json=bundle("batch", entry("POST", "Patient", patient), entry("GET", "metadata")))
    statuses = [one["response"]["status"] for one in answer.json()["entry"]]
    assert statuses == ["500 Internal Server Error", "200 OK"]
    told = answer.json()["entry"][0]["response"]["outcome"]["issue"][0]["diagnostics"]
    assert answer.headers["x-request-id"] in told


def test_nothing_of_a_patient_is_logged_on_the_way_of_a_request(fhir: httpx.Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="mediconnect"):
        create(fhir, {"resourceType": "Patient", "name": [{"family": "Geheimnis"}]})
        fhir.get("/Patient?name=Geheimnis")
        fhir.get("/Patient?nmae=Geheimnis")
        fhir.post("/Patient", content='{"resourceType":"Patient","name":[{"family":"Geheimnis"]}')
    assert "Geheimnis" not in "".join(record.getMessage() for record in caplog.records if "mediconnect" in record.name)


def test_a_busy_pool_is_503_with_a_time_to_come_back(module_database_url: str):
    with (
        running(module_database_url, pool_size=1, pool_timeout=0.3, statement_timeout=5) as url,
        client(url) as fhir,
        psycopg.connect(module_database_url) as blocker,
    ):
        name = fresh()
        fhir.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name})
        blocker.execute("LOCK TABLE mediconnect.resource IN ACCESS EXCLUSIVE MODE")
        with client(url) as other:
            waiting = threading.Thread(target=lambda: other.get(f"/Patient/{name}"))
            waiting.start()
            time.sleep(0.3)
            answer = fhir.get(f"/Patient/{name}")
            blocker.rollback()
            waiting.join()
        assert answer.status_code == 503
        assert issue(answer)["code"] == "transient"
        assert int(answer.headers["retry-after"]) > 0
        assert fhir.get(f"/Patient/{name}").status_code == 200


def test_a_statement_that_takes_too_long_is_503_and_leaves_the_server_well(module_database_url: str):
    with (
        running(module_database_url, pool_size=2, statement_timeout=0.3) as url,
        client(url) as fhir,
        psycopg.connect(module_database_url) as blocker,
    ):
        blocker.execute("LOCK TABLE mediconnect.version IN ACCESS EXCLUSIVE MODE")
        answer = fhir.get("/Patient?active=true")
        blocker.rollback()
        assert (answer.status_code, issue(answer)["code"]) == (503, "too-costly")
        assert fhir.get("/Patient?active=true").status_code == 200
