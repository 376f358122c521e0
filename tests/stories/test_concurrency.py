"""Many clients at once: https://hl7.org/fhir/R4/http.html#concurrency."""

import asyncio
import uuid
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.running import FHIR_JSON, running

JSON = {"content-type": FHIR_JSON, "accept": FHIR_JSON}


def together(base: str, *, count: int, ask: Any) -> list[httpx.Response]:
    """The answers to `count` requests that are under way at the same time."""

    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=base, headers=JSON, limits=limits, timeout=60) as http:
            return list(await asyncio.gather(*(ask(http, n) for n in range(count))))

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module")
def other_base(module_database_url: str) -> Any:
    """A second server on the same database, as another process would be."""
    with running(module_database_url) as url:
        yield url


def test_fifty_conditional_creates_with_the_same_criteria_make_one_resource(base: str, other_base: str) -> None:
    value = uuid.uuid4().hex
    patient = {"resourceType": "Patient", "identifier": [{"system": "http://example.org/mrn", "value": value}]}
    header = {"if-none-exist": f"identifier=http://example.org/mrn|{value}"}

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        url = f"{base if n % 2 else other_base}/Patient"
        return await http.post(url, json=patient, headers=header)

    answers = together(base, count=50, ask=ask)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["id"] for answer in answers}) == 1
    found = httpx.get(f"{base}/Patient", params={"identifier": f"http://example.org/mrn|{value}"}).json()
    assert found["total"] == 1


def test_thirty_conditional_updates_with_the_same_criteria_make_one_resource_with_thirty_versions(base: str) -> None:
    value = uuid.uuid4().hex

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        patient = {
            "resourceType": "Patient",
            "identifier": [{"system": "http://example.org/mrn", "value": value}],
            "name": [{"family": f"Family{n}"}],
        }
        return await http.put("/Patient", params={"identifier": f"http://example.org/mrn|{value}"}, json=patient)

    answers = together(base, count=30, ask=ask)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 29}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {int(answer.json()["meta"]["versionId"]) for answer in answers} == set(range(1, 31))


def test_parallel_updates_of_one_resource_lose_none_and_fork_no_version(base: str, other_base: str) -> None:
    made = httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}, headers=JSON).json()

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        url = f"{base if n % 2 else other_base}/Patient/{made['id']}"
        return await http.put(url, json={**made, "name": [{"family": f"Family{n}"}]})

    answers = together(base, count=24, ask=ask)
    assert Counter(answer.status_code for answer in answers) == {200: 24}
    versions = [int(answer.json()["meta"]["versionId"]) for answer in answers]
    assert sorted(versions) == list(range(2, 26))
    history = httpx.get(f"{base}/Patient/{made['id']}/_history", params={"_count": "100"}).json()
    kept = {entry["resource"]["meta"]["versionId"]: entry["resource"] for entry in history["entry"]}
    for answer in answers:
        assert kept[answer.json()["meta"]["versionId"]] == answer.json()


def test_of_parallel_updates_with_the_same_if_match_one_wins_and_the_others_are_told(base: str) -> None:
    made = httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}, headers=JSON).json()

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        changed = {**made, "name": [{"family": f"Family{n}"}]}
        return await http.put(f"/Patient/{made['id']}", json=changed, headers={"if-match": 'W/"1"'})

    answers = together(base, count=20, ask=ask)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}


def test_parallel_creates_under_one_id_make_one_resource(base: str) -> None:
    name = f"chosen-{uuid.uuid4().hex[:12]}"

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        return await http.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name, "active": n % 2 == 0})

    answers = together(base, count=20, ask=ask)
    counts = Counter(answer.status_code for answer in answers)
    assert counts[201] == 1
    assert counts[200] == 19


def test_parallel_deletes_of_one_resource_make_one_deletion(base: str) -> None:
    made = httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}, headers=JSON).json()

    async def ask(http: httpx.AsyncClient, _n: int) -> httpx.Response:
        return await http.delete(f"/Patient/{made['id']}")

    assert {answer.status_code for answer in together(base, count=12, ask=ask)} == {204}
    history = httpx.get(f"{base}/Patient/{made['id']}/_history").json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "POST"]


def test_sixty_four_transactions_finish_on_a_pool_of_four(module_database_url: str) -> None:
    def bundle(n: int) -> dict[str, Any]:
        entries = []
        for k in range(10):
            resource = {"resourceType": "Observation", "status": "final", "code": {"text": f"{n}-{k}"}}
            entries.append({"resource": resource, "request": {"method": "POST", "url": "Observation"}})
        unless = {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=http://example.org/pool|{n % 8}"}
        patient = {
            "resourceType": "Patient",
            "identifier": [{"system": "http://example.org/pool", "value": str(n % 8)}],
        }
        entries.append({"resource": patient, "request": unless})
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        return await http.post("", json=bundle(n))

    with running(module_database_url, pool_size=4, pool_timeout=30) as small:
        answers = together(small, count=64, ask=ask)
        assert Counter(answer.status_code for answer in answers) == {200: 64}
        found = httpx.get(f"{small}/Patient", params={"identifier": "http://example.org/pool|"}).json()
    assert found["total"] == 8


def test_transactions_that_write_the_same_resources_in_opposite_order_both_succeed(base: str) -> None:
    names = [f"cross-{uuid.uuid4().hex[:8]}-{n}" for n in range(20)]

    async def ask(http: httpx.AsyncClient, n: int) -> httpx.Response:
        ordered = names if n % 2 else list(reversed(names))
        entries = [
            {
                "resource": {"resourceType": "Patient", "id": name, "name": [{"family": f"F{n}"}]},
                "request": {"method": "PUT", "url": f"Patient/{name}"},
            }
            for name in ordered
        ]
        return await http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})

    answers = together(base, count=12, ask=ask)
    assert Counter(answer.status_code for answer in answers) == {200: 12}
    families = {httpx.get(f"{base}/Patient/{name}").json()["name"][0]["family"] for name in names}
    assert len(families) == 1, "the last transaction wrote all of them, or none"
