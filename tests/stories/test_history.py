"""History of a resource, a type and everything: https://hl7.org/fhir/R4/http.html#history."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.stories.bundles import create, fresh, issue


@pytest.fixture(scope="module")
def story(fhir: httpx.Client) -> list[dict[str, Any]]:
    """The versions of one Patient, oldest first: created, updated, patched, deleted (only its meta), brought back."""
    made = create(fhir, {"resourceType": "Patient", "active": True})
    url = f"/Patient/{made['id']}"
    versions = [made]
    time.sleep(0.02)
    versions.append(fhir.put(url, json={**made, "gender": "other"}).json())
    patch = [{"op": "replace", "path": "/gender", "value": "female"}]
    versions.append(fhir.patch(url, json=patch, headers={"content-type": "application/json-patch+json"}).json())
    fhir.delete(url)
    versions.append({"id": made["id"], "meta": {"versionId": "4"}})
    versions.append(fhir.put(url, json=made).json())
    return versions


def pages(fhir: httpx.Client, url: str) -> Iterator[dict[str, Any]]:
    """The pages of a history, by their next links."""
    following: str | None = url
    while following is not None:
        page = fhir.get(following).json()
        assert page["resourceType"] == "Bundle", page
        yield page
        following = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)


def versions_of(bundle: dict[str, Any]) -> list[str]:
    return [one["response"]["etag"] for one in bundle.get("entry", [])]


def test_the_history_of_a_resource_tells_every_version_newest_first(fhir: httpx.Client, base: str, story: list):
    name = story[0]["id"]
    bundle = fhir.get(f"/Patient/{name}/_history").json()
    assert bundle["type"] == "history"
    assert bundle["total"] == 5
    assert bundle["link"] == [{"relation": "self", "url": f"{base}/Patient/{name}/_history"}]
    told = [(one["request"]["method"], one["request"]["url"], one["response"]["status"]) for one in bundle["entry"]]
    assert told == [
        ("PUT", f"Patient/{name}", "201 Created"),
        ("DELETE", f"Patient/{name}", "204 No Content"),
        ("PATCH", f"Patient/{name}", "200 OK"),
        ("PUT", f"Patient/{name}", "200 OK"),
        ("POST", "Patient", "201 Created"),
    ]
    assert versions_of(bundle) == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]
    assert [one.get("resource") for one in bundle["entry"]] == [story[4], None, story[2], story[1], story[0]]
    assert {one["fullUrl"] for one in bundle["entry"]} == {f"{base}/Patient/{name}"}
    for one in bundle["entry"]:
        if "resource" in one:
            assert one["response"]["lastModified"] == one["resource"]["meta"]["lastUpdated"]


def test_histories_of_a_type_and_of_everything_hold_it_too(fhir: httpx.Client, story: list):
    create(fhir, {"resourceType": "Organization", "name": "Birkenhof"})
    for url, kinds in (("/Patient/_history?_count=1000", {"Patient"}), ("/_history?_count=1000", {"Organization"})):
        bundle = fhir.get(url).json()
        own = [one for one in bundle["entry"] if one["fullUrl"].endswith(story[0]["id"])]
        assert [one["response"]["etag"] for one in own] == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]
        found = {one["resource"]["resourceType"] for one in bundle["entry"] if "resource" in one}
        assert kinds <= found
        assert kinds == {"Organization"} or found == {"Patient"}
        times = [one["response"]["lastModified"] for one in bundle["entry"]]
        assert times == sorted(times, reverse=True)


def shifted(version: dict[str, Any], milliseconds: int) -> str:
    moment = datetime.fromisoformat(version["meta"]["lastUpdated"]) + timedelta(milliseconds=milliseconds)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_since_leaves_what_was_written_before(fhir: httpx.Client, story: list):
    url = f"/Patient/{story[0]['id']}/_history"
    cases = [(story[1], 0, [5, 4, 3, 2]), (story[1], 1, [5, 4, 3]), (story[0], -1, [5, 4, 3, 2, 1]), (story[4], 1, [])]
    for version, milliseconds, left in cases:
        answer = fhir.get(url, params={"_since": shifted(version, milliseconds)})
        assert answer.status_code == 200
        assert versions_of(answer.json()) == [f'W/"{n}"' for n in left]


def test_at_gives_the_versions_that_were_current_at_some_time_in_the_span(fhir: httpx.Client, story: list):
    url = f"/Patient/{story[0]['id']}/_history"
    year = story[0]["meta"]["lastUpdated"][:4]
    cases = [
        (shifted(story[1], 0), [2]),
        (shifted(story[1], -1), [1]),  # version 1 was current until version 2 was written
        (shifted(story[4], 5), [5]),
        (shifted(story[0], -1), []),
        (year, [5, 4, 3, 2, 1]),
        ("1999", []),
        ("1999-12-31", []),
        (str(int(year) + 5), [5]),
    ]
    for at, left in cases:
        answer = fhir.get(url, params={"_at": at})
        assert answer.status_code == 200, at
        assert versions_of(answer.json()) == [f'W/"{n}"' for n in left], at


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_pages_hold_every_version_once(fhir: httpx.Client, base: str, story: list, count: int):
    found = list(pages(fhir, f"/Patient/{story[0]['id']}/_history?_count={count}"))
    assert [tag for page in found for tag in versions_of(page)] == [f'W/"{n}"' for n in (5, 4, 3, 2, 1)]
    assert {page["total"] for page in found} == {5}
    assert all(len(page["entry"]) <= count for page in found)
    for page in found:
        for link in page["link"]:
            assert link["url"].startswith(f"{base}/Patient/{story[0]['id']}/_history")
            assert fhir.get(link["url"]).status_code == 200


def test_count_zero_tells_the_total_alone(fhir: httpx.Client, story: list):
    bundle = fhir.get(f"/Patient/{story[0]['id']}/_history?_count=0").json()
    assert bundle["total"] == 5
    assert "entry" not in bundle


@pytest.mark.parametrize(
    "query",
    [
        "_count=-1",
        "_count=many",
        "_count=1e3",
        "_count=%D9%A3",  # a digit, but not one of ours
        "_since=yesterday",
        "_since=2026-13-01T00:00:00Z",
        "_since=2026-01-01T00:00:00",  # an instant says its zone
        "_at=someday",
        "_cursor=AAAA",
        "_cursor=%C3%A4",
        "_sort=_lastUpdated",
        "_list=42",
        "name=Linde",
        "_count=1&_count=2",
    ],
)
@pytest.mark.parametrize("level", ["/Patient/ID/_history", "/Patient/_history", "/_history"])
def test_parameters_that_history_does_not_understand_are_refused(
    fhir: httpx.Client, story: list, level: str, query: str
):
    answer = fhir.get(f"{level.replace('ID', story[0]['id'])}?{query}")
    assert answer.status_code == 400, answer.text
    assert issue(answer)["severity"] == "error"


def test_a_page_link_that_was_changed_or_belongs_elsewhere_is_refused(fhir: httpx.Client, story: list):
    name = story[0]["id"]
    first = fhir.get(f"/Patient/{name}/_history?_count=2").json()
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    cursor = httpx.URL(following).params["_cursor"]
    changed = ("B" if cursor[20] == "A" else "A").join((cursor[:20], cursor[21:]))
    other = create(fhir, {"resourceType": "Patient"})["id"]
    for url in (
        f"/Patient/{name}/_history?_count=2&_cursor={changed}",
        f"/Patient/{name}/_history?_count=3&_cursor={cursor}",
        f"/Patient/{other}/_history?_count=2&_cursor={cursor}",
        f"/_history?_count=2&_cursor={cursor}",
        f"/Patient?_count=2&_cursor={cursor}",
    ):
        assert fhir.get(url).status_code == 400


def test_pages_are_neither_cut_nor_doubled_while_others_write(fhir: httpx.Client, base: str):
    kept = [create(fhir, {"resourceType": "Basic", "code": {"text": fresh()}})["id"] for _ in range(40)]
    stop = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=base, timeout=30) as other:
            while not stop.is_set():
                other.post("/Basic", json={"resourceType": "Basic", "code": {"text": "meanwhile"}})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [one["fullUrl"] for page in pages(fhir, "/Basic/_history?_count=7") for one in page["entry"]]
    finally:
        stop.set()
        writer.join()
    assert len(seen) == len(set(seen))
    assert {f"{base}/Basic/{name}" for name in kept} <= set(seen)


def test_lenient_handling_overlooks_what_is_not_understood(fhir: httpx.Client, story: list):
    answer = fhir.get(f"/Patient/{story[0]['id']}/_history?nonsense=1", headers={"prefer": "handling=lenient"})
    assert answer.status_code == 200
    assert "nonsense" not in answer.json()["link"][0]["url"]
