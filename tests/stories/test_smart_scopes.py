"""Each interaction under each letter of a scope, and a wildcard over all types, asked over HTTP.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from profiles.definitions import r4
from tests.bearing import Secured, secured
from tests.stories.bundles import bundle, entry, fresh

BASIC: dict[str, Any] = {"resourceType": "Basic", "code": {"text": "a"}}
PATCH = [{"op": "replace", "path": "/code/text", "value": "b"}]
# Interaction: its letter, its method and path; ID is a resource that is there, NEW an id that is free.
INTERACTIONS = {
    "create": ("c", "POST", "/Basic"),
    "read": ("r", "GET", "/Basic/ID"),
    "read by HEAD": ("r", "HEAD", "/Basic/ID"),
    "vread": ("r", "GET", "/Basic/ID/_history/1"),
    "history of an instance": ("r", "GET", "/Basic/ID/_history"),
    "update": ("u", "PUT", "/Basic/ID"),
    "update that creates": ("u", "PUT", "/Basic/NEW"),
    "patch": ("u", "PATCH", "/Basic/ID"),
    "delete": ("d", "DELETE", "/Basic/ID"),
    "search": ("s", "GET", "/Basic?code=a"),
    "search by POST": ("s", "POST", "/Basic/_search"),
    "search of several types": ("s", "GET", "/?_type=Basic"),
    "history of a type": ("s", "GET", "/Basic/_history"),
}


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url, rate_limit="") as running:
        yield running


def answered(server: Secured, http: httpx.Client, method: str, path: str) -> int:
    """The status of an interaction with a resource that is there only for it."""
    id_, new = fresh(), fresh()
    if "ID" in path:
        assert server.setup.put(f"/Basic/{id_}", json={**BASIC, "id": id_}).status_code == 201
    url = path.replace("ID", id_).replace("NEW", new)
    match method:
        case "PATCH":
            return http.patch(url, json=PATCH, headers={"content-type": "application/json-patch+json"}).status_code
        case "PUT":
            return http.put(url, json={**BASIC, "id": url.rpartition("/")[2]}).status_code
        case "POST" if path.endswith("_search"):
            return http.post(
                url, data={"code": "a"}, headers={"content-type": "application/x-www-form-urlencoded"}
            ).status_code
        case "POST":
            return http.post(url, json=BASIC).status_code
        case _:
            return http.request(method, url).status_code


@pytest.mark.parametrize("level", ["system", "user"])
@pytest.mark.parametrize("letter", "cruds")
def test_each_letter_allows_its_interactions_and_no_other(server: Secured, level: str, letter: str):
    """S-S2 @95 @123 @140 @266 @369: an update that makes a new resource is one, too."""
    who: dict[str, Any] = {"roles": ("administrator",)} if level == "user" else {}
    with server.client(f"{level}/Basic.{letter} {level}/Patient.cruds", **who) as http:
        statuses = {name: answered(server, http, method, path) for name, (_, method, path) in INTERACTIONS.items()}
    allowed = {name for name, status in statuses.items() if 200 <= status < 300}
    expected = {name for name, (needed, _, _) in INTERACTIONS.items() if needed == letter}
    assert allowed == expected
    assert {status for name, status in statuses.items() if name not in expected} == {403}


@pytest.mark.parametrize("letter", "cruds")
def test_each_entry_of_a_batch_needs_its_own_letter(server: Secured, letter: str):
    """S-S4 @130"""
    there, new = fresh(), fresh()
    server.setup.put(f"/Basic/{there}", json={**BASIC, "id": there})
    entries = {
        "c": entry("POST", "Basic", BASIC),
        "r": entry("GET", f"Basic/{there}"),
        "u": entry("PUT", f"Basic/{new}", {**BASIC, "id": new}),
        "d": entry("DELETE", f"Basic/{fresh()}"),
        "s": entry("GET", "Basic?code=a"),
    }
    with server.client(f"system/Basic.{letter}") as http:
        told = http.post("/", json=bundle("batch", *entries.values())).json()
        whole = http.post("/", json=bundle("transaction", entries[letter]))
    found = [one["response"]["status"][:3] for one in told["entry"]]
    assert [status.startswith("2") for status in found] == [name == letter for name in entries], found
    assert found.count("403") == len(entries) - 1
    assert whole.status_code == 200


def test_a_wildcard_covers_every_type_there_is(server: Secured):
    """S-S9 @144: but the audit trail, whose scope is its own by the policy of the server."""
    with server.client("system/*.rs") as http:
        refused = {kind for kind in r4().resource_types if http.get(f"/{kind}?_summary=count").status_code != 200}
    assert refused == {"AuditEvent"}


def test_an_anonymous_request_is_answered_by_what_anybody_may_know_alone(server: Secured):
    """S-S1 @247: the CapabilityStatement and the SMART configuration; everything else asks for a token."""
    anonymous = {
        path: httpx.get(f"{server.base}{path}").status_code
        for path in ("/metadata", "/.well-known/smart-configuration", "/Patient", "/Patient/1", "/_history", "/$export", "/")
    }  # fmt: skip
    assert [path for path, status in anonymous.items() if status == 200] == [
        "/metadata",
        "/.well-known/smart-configuration",
    ]
    assert {status for path, status in anonymous.items() if status != 200} == {401}
