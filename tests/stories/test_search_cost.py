"""A search that costs too much is ended, and hurts nobody else: https://hl7.org/fhir/R4/http.html#Status-Codes."""

import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.running import client, running


@pytest.fixture
def fhir(database_url: str) -> Iterator[httpx.Client]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SET search_path = mediconnect")
        code = conn.execute("SELECT code FROM resource_type WHERE name = 'Observation'").fetchone()
        assert code is not None
        conn.execute(
            "INSERT INTO resource (pk, reference, updated, tenant, version, shape, type, deleted, id)"
            " SELECT (%(code)s::bigint << 48) | n, n, now(), 1, 1, 0, %(code)s, false, 'o' || n FROM generate_series(1, 300000) n",
            {"code": code[0]},
        )
    with running(database_url, statement_timeout=0.05, pool_size=2) as base, client(base) as http:
        yield http


def test_it_is_answered_with_503_cancelled_and_the_server_stays_well(fhir: httpx.Client, database_url: str):
    costly = "/Observation?code:not=a&status:not=b&category:not=c&_summary=count"
    for _ in range(5):
        begun = time.monotonic()
        answer = fhir.get(costly)
        assert answer.status_code == 503, answer.text
        assert time.monotonic() - begun < 5
        issue = answer.json()["issue"][0]
        assert issue["code"] == "too-costly"
        assert "too costly" in issue["diagnostics"]
    with psycopg.connect(database_url, autocommit=True) as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()"
        running_still = conn.execute(query).fetchone()
    assert running_still == (0,)
    assert fhir.get("/Patient?_id=x").status_code == 200
    assert fhir.put("/Patient/x", json={"resourceType": "Patient", "id": "x"}).status_code == 201


def test_an_explanation_and_a_page_that_cost_too_much_are_ended_as_well(fhir: httpx.Client):
    costly = "/Observation?code:not=a&status:not=b&category:not=c&_sort=-_lastUpdated"
    for more in ("", "&_summary=count&_explain=true", "&_total=accurate&_count=1"):
        answer = fhir.get(costly + more)
        assert answer.status_code == 503, (more, answer.text[:300])
        assert "too costly" in answer.json()["issue"][0]["diagnostics"]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": f"{costly[1:]}&_summary=count"}}, {"request": {"method": "GET", "url": "Patient?_id=x"}},
    ]}  # fmt: skip
    first, second = fhir.post("", json=batch).json()["entry"]
    assert first["response"]["status"].startswith("503")
    assert second["response"]["status"].startswith("200")


def test_a_search_that_is_asked_too_much_is_refused_before_it_begins(fhir: httpx.Client):
    chain = ".".join(["partof"] * 12)
    assert fhir.get(f"/Organization?{chain}.name=a").status_code == 400
    assert fhir.get("/Patient?_id=" + ",".join(str(n) for n in range(1001))).status_code == 400
    assert fhir.get("/Patient?_sort=family,given,birthdate,gender,_id").status_code == 400
    nested = "(" * 40 + "active eq true" + ")" * 40
    assert fhir.get(f"/Patient?_filter={nested}").status_code == 400
