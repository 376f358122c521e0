"""The audit trail, over HTTP: everything that happens is on record, can be searched, and cannot be altered unnoticed.

https://profiles.ihe.net/ITI/BALP/ and https://hl7.org/fhir/R4/auditevent.html
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import httpx
import psycopg
import pytest

from fhir_server.access.seal import verify
from fhir_server.store.migrate import SCHEMA
from fhir_server.store.pool import Pool
from fhir_server.validation import base_issues
from tests.bearing import AUDIENCE, Secured, bearer, secured
from tests.stories.bundles import Resource, bundle, entry, fresh, observation


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url) as running:
        yield running


def events(server: Secured, query: str) -> list[Resource]:
    """The AuditEvents of a search; what was just answered may be sealed by another process a moment later."""
    for _ in range(50):
        answer = server.setup.get(f"/AuditEvent?{query}")
        assert answer.status_code == 200, answer.text
        found = [one["resource"] for one in answer.json().get("entry", [])]
        if found:
            return found
        time.sleep(0.1)
    return []


def only(server: Secured, query: str) -> Resource:
    found = events(server, query)
    assert len(found) == 1, found
    assert [issue for issue in base_issues(found[0]) if issue.severity in ("error", "fatal")] == []
    return found[0]


def coded(event: Resource) -> tuple[str, str, str]:
    return event["subtype"][0]["code"], event["action"], event["outcome"]


def whats(event: Resource) -> list[str]:
    return [one["what"]["reference"] for one in event["entity"] if "reference" in one.get("what", {})]


def written(server: Secured, resource: Resource) -> str:
    answer = server.setup.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code == 201, answer.text
    return f"{resource['resourceType']}/{resource['id']}"


def test_a_read_says_who_read_what_of_whom(server):
    patient = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
    name = written(server, {**observation(patient), "id": fresh()[:20]})
    doctor: dict[str, Any] = {"roles": ("practitioner",), "fhir_user": "Practitioner/doc", "id": "token-of-the-doctor"}
    with server.client("user/*.rs", **doctor) as http:
        assert http.get(f"/{name}", headers={"x-request-id": "request-7"}).status_code == 200
    event = only(server, f"entity={name}&agent=Practitioner/doc")
    assert coded(event) == ("read", "R", "0")
    assert whats(event) == [name, patient]
    assert event["entity"][-1]["what"]["identifier"]["value"] == "request-7"
    client, itself, person = event["agent"]
    assert [one["type"]["coding"][0]["code"] for one in (client, itself, person)] == ["110152", "110153", "IRCP"]
    assert client["who"]["identifier"]["value"] == "app"
    assert client["network"]["address"] == "127.0.0.1"
    assert person["who"]["reference"] == "Practitioner/doc"
    assert person["policy"] == ["token-of-the-doctor"]
    assert [one.rpartition(".")[2] for one in event["meta"]["profile"]] == ["PatientRead", "Minimal"]
    assert event["source"]["site"] == AUDIENCE


def test_every_read_is_on_record_once_whatever_came_of_it(server):
    """Those of what is there are noted by the statement that reads, all others when it is known what came of them."""
    name = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
    gone = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
    server.setup.delete(f"/{gone}")
    never = f"Patient/{fresh()[:20]}"
    doctor: dict[str, Any] = {"roles": ("practitioner",), "fhir_user": "Practitioner/reader"}
    with server.client("user/*.rs", **doctor) as http:
        assert http.get(f"/{name}").status_code == 200
        assert http.get(f"/{name}", headers={"if-none-match": 'W/"1"'}).status_code == 304
        assert http.get(f"/{name}?_summary=true").status_code == 200
        assert http.get(f"/{gone}").status_code == 410
        assert http.get(f"/{never}").status_code == 404
    found = events(server, "agent=Practitioner/reader&_count=50")
    told = sorted((whats(event)[0], event["outcome"]) for event in found)
    assert told == sorted([(name, "0")] * 3 + [(gone, "4"), (never, "4")])
    assert {coded(event)[0] for event in found} == {"read"}


def test_reads_at_the_same_time_are_on_record_each_with_its_own_patient(server):
    patients = [written(server, {"resourceType": "Patient", "id": fresh()[:20]}) for _ in range(8)]
    names = [written(server, {**observation(one), "id": fresh()[:20]}) for one in patients]
    missing = [f"Observation/{fresh()[:20]}" for _ in names]
    headers = bearer("user/*.rs", roles=("practitioner",), fhir_user="Practitioner/many")

    async def asked() -> None:
        async with httpx.AsyncClient(base_url=server.base, headers=headers, timeout=60) as http:
            wanted = [one for pair in zip(names, missing, strict=True) for one in pair]
            answers = await asyncio.gather(*(http.get(f"/{one}") for one in wanted))
        assert [one.status_code for one in answers] == [200, 404] * len(names)

    asyncio.run(asked())
    found = events(server, "agent=Practitioner/many&_count=50")
    assert sorted(whats(one) for one in found if one["outcome"] == "0") == sorted(
        map(list, zip(names, patients, strict=True))
    )
    assert sorted(whats(one) for one in found if one["outcome"] == "4") == sorted([one] for one in missing)


def test_a_write_is_on_record_with_the_version_it_made(server):
    name = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
    server.setup.put(f"/{name}", json={"resourceType": "Patient", "id": name.partition("/")[2], "active": True})
    patch = [{"op": "replace", "path": "/active", "value": False}]
    server.setup.patch(f"/{name}", json=patch, headers={"content-type": "application/json-patch+json"})
    server.setup.delete(f"/{name}")
    found = events(server, f"patient={name}&_sort=_id&_count=50")
    told = {(*coded(one), whats(one)[0].rpartition("/")[2]) for one in found}
    assert told == {
        ("create", "C", "0", "1"),
        ("update", "U", "0", "2"),
        ("patch", "U", "0", "3"),
        ("delete", "D", "0", "4"),
    }


def test_a_search_is_on_record_as_it_was_asked(server):
    patient = written(server, {"resourceType": "Patient", "id": fresh()[:20], "name": [{"family": fresh()}]})
    asked = f"_id={patient.partition('/')[2]}&name:contains=nobody%2Czero&_total=none"
    assert server.setup.get(f"/Patient?{asked}").status_code == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert server.setup.post("/Patient/_search", content=f"_id={patient[8:]}", headers=form).status_code == 200
    found = [one for one in events(server, "subtype=search-type&_count=200") if any(
        patient[8:] in base64.b64decode(part.get("query", "")).decode() for part in one["entity"])]  # fmt: skip
    assert len(found) == 2
    assert {coded(one) for one in found} == {("search-type", "E", "0")}
    assert sum(patient in whats(one) for one in found) == 1, "the one that found the patient names it"


def test_a_search_that_finds_several_patients_is_on_record_for_each(server):
    family = fresh()
    names = [
        written(server, {"resourceType": "Patient", "id": fresh()[:20], "name": [{"family": family}]}) for _ in "abc"
    ]
    assert len(server.setup.get(f"/Patient?family={family}").json()["entry"]) == 3
    for name in names:
        event = only(server, f"patient={name}&subtype=search-type")
        assert whats(event) == [name], "it names no other patient"
        assert event["meta"]["profile"][0].endswith(".PatientQuery")
        assert family in base64.b64decode(event["entity"][1]["query"]).decode()


def test_denials_are_on_record_and_name_nothing_secret(server):
    header = bearer("system/Observation.r", client="curious")
    assert httpx.get(f"{server.base}/Patient/1", headers=header).status_code == 403
    event = only(server, "agent:identifier=curious")
    assert coded(event) == ("read", "R", "4")
    assert "system/Patient.r" in event["outcomeDesc"]
    assert "profile" not in event["meta"]
    assert httpx.get(f"{server.base}/Patient/1", headers={"authorization": "Bearer a.b.c"}).status_code == 401
    assert "a.b.c" not in str(events(server, "subtype=denied"))


def test_each_entry_of_a_batch_and_each_write_of_a_transaction_is_on_record(server):
    one, other = fresh()[:20], fresh()[:20]
    made = [entry("PUT", f"Patient/{name}", {"resourceType": "Patient", "id": name}) for name in (one, other)]
    assert server.setup.post("/", json=bundle("transaction", *made)).status_code == 200
    assert server.setup.post("/", json=bundle("batch", entry("GET", f"Patient/{one}"))).status_code == 200
    assert {coded(event)[0] for event in events(server, f"patient=Patient/{one}")} >= {"create", "read"}
    assert coded(only(server, f"patient=Patient/{other}&action=C"))[0] == "create"


@contextlib.contextmanager
def at_commit_of_reads(url: str, does: str) -> Iterator[psycopg.Connection]:
    """The database does something when what was read is noted for good."""
    with psycopg.connect(url, options=f"-c search_path={SCHEMA}", autocommit=True) as conn:
        body = f"$$ BEGIN IF NEW.callers IS NOT NULL THEN {does}; END IF; RETURN NULL; END $$"
        conn.execute(f"CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS {body}")
        late = "AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit()"
        conn.execute(f"CREATE CONSTRAINT TRIGGER late {late}")
        yield conn
        conn.execute("DROP TRIGGER late ON audit")


def test_a_read_that_cannot_be_noted_for_good_is_withheld(database_url):
    with secured(database_url) as server:
        name = written(server, {"resourceType": "Patient", "id": fresh()[:20], "name": [{"family": "Geheim"}]})
        batch = bundle("batch", entry("GET", name), entry("GET", "Patient/never"))
        with at_commit_of_reads(database_url, "RAISE 'the disk is on fire'"):
            refused = server.setup.get(f"/{name}")
            entries = server.setup.post("/", json=batch)
            assert server.setup.get("/Patient/never").status_code == 404, "of what is not there is another note"
        assert refused.status_code == 503
        assert "withheld" in refused.json()["issue"][0]["diagnostics"]
        assert [one["response"]["status"][:3] for one in entries.json()["entry"]] == ["503", "404"]
        assert "Geheim" not in refused.text + entries.text
        assert "on fire" not in refused.text + entries.text
        assert server.setup.get(f"/{name}").json()["name"][0]["family"] == "Geheim"
        assert [one["response"]["status"][:3] for one in server.setup.post("/", json=batch).json()["entry"]] == [
            "200",
            "404",
        ]
        assert len(events(server, f"entity={name}&subtype=read&_count=50")) == 2


def test_a_read_whose_answer_cannot_be_made_waits_for_its_note_too(database_url, monkeypatch):
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    with secured(database_url) as server:
        name = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
        monkeypatch.setattr("fhir_server.rest.endpoint.shaped", failing)
        assert server.setup.get(f"/{name}").status_code == 500
        with at_commit_of_reads(database_url, "RAISE 'not kept'"):
            assert server.setup.get(f"/{name}").status_code == 503


def test_nothing_is_told_of_a_read_before_its_note_is_kept(database_url):
    with secured(database_url) as server, ThreadPoolExecutor() as others:
        name = written(server, {"resourceType": "Patient", "id": fresh()[:20]})
        with at_commit_of_reads(database_url, "PERFORM pg_advisory_xact_lock(7)") as conn:
            conn.execute("SELECT pg_advisory_lock(7)")
            read = others.submit(httpx.get, f"{server.base}/{name}", headers=server.setup.headers)
            in_batch = others.submit(
                httpx.post, server.base, headers=server.setup.headers, json=bundle("batch", entry("GET", name))
            )
            assert not wait((read, in_batch), timeout=1).done
            conn.execute("SELECT pg_advisory_unlock(7)")
            assert [one.result().status_code for one in (read, in_batch)] == [200, 200]


def test_nobody_alters_the_trail(server):
    event = events(server, "_count=1")[0]
    path = f"/AuditEvent/{event['id']}"
    assert server.setup.put(path, json={**event, "action": "C"}).status_code == 403
    assert server.setup.delete(path).status_code == 403
    assert server.setup.delete("/AuditEvent?action=C").status_code == 403
    with server.client("user/*.cruds user/AuditEvent.cruds", roles=("super-administrator",)) as http:
        assert http.put(path, json=event).status_code == 403
        assert http.post("/", json=bundle("transaction", entry("DELETE", path[1:]))).status_code == 403
        forged = {name: one for name, one in event.items() if name not in ("id", "meta")}
        assert http.post("/AuditEvent", json=forged).status_code == 403
        own = {**forged, "source": {"observer": {"display": "another system"}}}
        assert http.post("/AuditEvent", json=own).status_code == 201
    with server.client("user/*.cruds", roles=("administrator",)) as http:
        assert http.get("/AuditEvent").status_code == 403, "the trail has a scope of its own"


def checked(url: str) -> Any:
    async def run() -> Any:
        pool = Pool(url, size=1)
        await pool.open()
        try:
            async with pool.connection() as conn:
                return await verify(conn, 1)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE version SET content = content || ' '::bytea WHERE id = (SELECT id FROM audit_seal WHERE number = 2)",
         "entry 2, AuditEvent/"),
        ("DELETE FROM version WHERE id = (SELECT id FROM audit_seal WHERE number = 3)", "entry 3, AuditEvent/"),
        ("DELETE FROM audit_seal WHERE number = 1", "entry 1 is missing"),
        ("UPDATE audit_seal SET digest = sha256('x') WHERE number = 2", "entry 2, AuditEvent/"),
        ("UPDATE resource SET version = 2 WHERE id = (SELECT id FROM audit_seal WHERE number = 2)", "was altered"),
    ],
)  # fmt: skip
def test_what_is_altered_behind_the_servers_back_is_found(database_url, change, problem):
    with secured(database_url) as server:
        for _ in range(4):
            server.setup.get("/Patient?_id=1")
        events(server, "_count=1")
    good = checked(database_url)
    assert good.problem is None
    assert good.good >= 4
    with psycopg.connect(database_url, options=f"-c search_path={SCHEMA}", autocommit=True) as conn:
        conn.execute(change)
    assert problem in checked(database_url).problem


def test_too_many_requests_are_told_when_to_come_again(database_url):
    with secured(database_url, rate_limit="3/minute", rate_limit_denied="2/minute") as server:
        with server.client("system/*.rs", client="eager") as http:
            answers = [http.get("/Patient") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        # The window slides: in the next minute what was counted in this one fades, and lets one more in after a third of it.
        assert 0 < int(answers[3].headers["retry-after"]) <= 80
        assert answers[3].json()["issue"][0]["code"] == "throttled"
        with server.client("system/*.rs", client="patient-one") as http:
            assert http.get("/Patient").status_code == 200
        tried = [httpx.get(f"{server.base}/Patient").status_code for _ in range(3)]
        assert tried == [401, 401, 429]
