"""A hospital's own SearchParameter, from the day it is stored: https://hl7.org/fhir/R4/searchparameter.html."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running import client, running

SHOE = "http://hospital.example/StructureDefinition/shoe-size"


def parameter(code: str, expression: str, kind: str = "number", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter", "id": code, "url": f"http://hospital.example/SearchParameter/{code}", "name": code,
        "status": "active", "description": code, "code": code, "base": ["Patient"], "type": kind, "expression": expression,
    } | more  # fmt: skip


SHOE_SIZE = parameter("shoe-size", f"Patient.extension('{SHOE}').value.as(integer)")


def patient(name: str, size: int) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "extension": [{"url": SHOE, "valueInteger": size}]}


def wait(fhir: httpx.Client, url: str) -> dict[str, Any]:
    """The latest job of a SearchParameter, once it has ended."""
    for _ in range(600):
        listed = fhir.get("/$reindex-status").json().get("parameter", [])
        jobs = [
            {part["name"]: next(v for k, v in part.items() if k != "name") for part in job["part"]} for job in listed
        ]
        latest = next((job for job in jobs if job.get("searchParameter") == url), None)
        if latest is not None and latest["state"] != "running":
            return latest
        time.sleep(0.05)
    raise AssertionError("the job did not end")


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))


@pytest.fixture
def fhir(database_url: str) -> Iterator[httpx.Client]:
    with running(database_url) as base, client(base) as http:
        yield http


def test_resources_from_before_and_after_are_found_once_the_index_is_complete(fhir: httpx.Client):
    for n in range(250):
        assert fhir.put(f"/Patient/old-{n}", json=patient(f"old-{n}", 30 + n % 10)).status_code == 201
    assert fhir.get("/Patient?shoe-size=35").status_code == 400
    assert fhir.put("/SearchParameter/shoe-size", json=SHOE_SIZE).status_code == 201
    early = fhir.get("/Patient?shoe-size=35")
    assert early.status_code in (200, 400)
    if early.status_code == 400:
        assert "are indexed" in early.json()["issue"][0]["diagnostics"]
    assert fhir.put("/Patient/new", json=patient("new", 35)).status_code == 201
    assert fhir.post("/$reindex").status_code == 200
    assert wait(fhir, SHOE_SIZE["url"])["done"] >= 250
    found = ids(fhir.get("/Patient?shoe-size=35&_count=100"))
    assert found == sorted(["new", *(f"old-{n}" for n in range(250) if n % 10 == 5)])
    assert len(ids(fhir.get("/Patient?shoe-size=gt38&_count=100"))) == 25
    assert ids(fhir.get("/Patient?shoe-size:missing=true")) == []
    assert len(ids(fhir.get("/Patient?_sort=-shoe-size&_count=300"))) == 251
    stated = fhir.get("/metadata").json()["rest"][0]["resource"]
    listed = next(one for one in stated if one["type"] == "Patient")["searchParam"]
    assert {"name": "shoe-size", "definition": SHOE_SIZE["url"], "type": "number"} in listed


def test_an_update_of_a_resource_moves_its_rows_and_a_deletion_removes_them(fhir: httpx.Client):
    fhir.put("/Patient/a", json=patient("a", 40))
    fhir.put("/SearchParameter/shoe-size", json=SHOE_SIZE)
    wait(fhir, SHOE_SIZE["url"])
    assert ids(fhir.get("/Patient?shoe-size=40")) == ["a"]
    fhir.put("/Patient/a", json=patient("a", 41))
    assert ids(fhir.get("/Patient?shoe-size=40")) == []
    assert ids(fhir.get("/Patient?shoe-size=41")) == ["a"]
    fhir.delete("/Patient/a")
    assert ids(fhir.get("/Patient?shoe-size=41")) == []


def test_another_process_knows_it_too_and_writes_its_rows(fhir: httpx.Client, database_url: str):
    with running(database_url) as base, client(base) as other:
        assert other.get("/Patient?_id=x").status_code == 200
        fhir.put("/SearchParameter/shoe-size", json=SHOE_SIZE)
        assert other.put("/Patient/b", json=patient("b", 44)).status_code == 201, (
            "written by a process that did not know"
        )
        wait(other, SHOE_SIZE["url"])
        time.sleep(1.1)  # a process looks once a second
        assert ids(other.get("/Patient?shoe-size=44")) == ["b"]
        assert ids(fhir.get("/Patient?shoe-size=44")) == ["b"]


def test_a_changed_definition_finds_by_the_new_one_only(fhir: httpx.Client):
    fhir.put("/Patient/a", json={"resourceType": "Patient", "id": "a", "name": [{"family": "Old", "text": "New"}]})
    nickname = parameter("nickname", "Patient.name.family", "string")
    fhir.put("/SearchParameter/nickname", json=nickname)
    wait(fhir, nickname["url"])
    assert ids(fhir.get("/Patient?nickname=old")) == ["a"]
    fhir.put("/SearchParameter/nickname", json={**nickname, "expression": "Patient.name.text"})
    wait(fhir, nickname["url"])
    assert ids(fhir.get("/Patient?nickname=old")) == []
    assert ids(fhir.get("/Patient?nickname=new")) == ["a"]


@pytest.mark.parametrize("end", ["retire", "delete"])
def test_retired_or_deleted_it_is_unknown_again(fhir: httpx.Client, end: str):
    fhir.put("/SearchParameter/shoe-size", json=SHOE_SIZE)
    wait(fhir, SHOE_SIZE["url"])
    assert fhir.get("/Patient?shoe-size=1").status_code == 200
    if end == "retire":
        fhir.put("/SearchParameter/shoe-size", json={**SHOE_SIZE, "status": "retired"})
    else:
        fhir.delete("/SearchParameter/shoe-size")
    answer = fhir.get("/Patient?shoe-size=1")
    assert answer.status_code == 400
    assert "unknown search parameter" in answer.json()["issue"][0]["diagnostics"]
    assert fhir.put("/Patient/c", json=patient("c", 1)).status_code == 201


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ({"expression": "Patient.nonsense"}, "expression"),
        ({"expression": "Patient.name.where("}, "expression"),
        ({"type": "composite"}, "component"),
        ({"base": ["Patientt"]}, "base"),
        ({"code": "name"}, "already"),
    ],
)
def test_one_that_cannot_be_searched_by_is_refused(fhir: httpx.Client, broken: dict[str, Any], what: str):
    answer = fhir.put("/SearchParameter/shoe-size", json={**SHOE_SIZE, **broken})
    assert answer.status_code == 422, answer.text
    assert what in answer.text
    draft = fhir.put("/SearchParameter/shoe-size", json={**SHOE_SIZE, **broken, "status": "draft"})
    assert draft.status_code in (201, 422), "a draft is only stored"


def test_it_can_come_in_a_transaction_together_with_resources(fhir: httpx.Client):
    entries = [
        {"resource": SHOE_SIZE, "request": {"method": "PUT", "url": "SearchParameter/shoe-size"}},
        {"resource": patient("t", 39), "request": {"method": "PUT", "url": "Patient/t"}},
    ]
    answer = fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    wait(fhir, SHOE_SIZE["url"])
    assert ids(fhir.get("/Patient?shoe-size=39")) == ["t"]


def test_the_like_of_a_core_parameter_changes_nothing(fhir: httpx.Client):
    like = parameter("name", "Patient.name", "string")
    stated = next(one for one in fhir.get("/metadata").json()["rest"][0]["resource"] if one["type"] == "Patient")
    known = next(one["definition"] for one in stated["searchParam"] if one["name"] == "name")
    answer = fhir.put("/SearchParameter/name", json={**like, "derivedFrom": known})
    assert answer.status_code == 201, answer.text
    for code, expression in (("family", "Patient.name.family"), ("birthdate", "Patient.birthDate")):
        same = parameter(code, expression, "string" if code == "family" else "date")
        assert fhir.put(f"/SearchParameter/{code}", json=same).status_code == 201, (
            "it says the same, and of nothing derived"
        )
    other = parameter("given", "Patient.name.text", "string")
    assert fhir.put("/SearchParameter/given", json=other).status_code == 422
    assert fhir.get("/$reindex-status").json().get("parameter", []) == []
