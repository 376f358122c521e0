"""Browsers of other origins, and what can be done where: https://fetch.spec.whatwg.org/#http-cors-protocol."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import client, running
from tests.stories.bundles import create

ORIGIN = "https://app.example.org"

ALLOWED = [
    ("", "POST, GET, HEAD, OPTIONS"),
    ("metadata", "GET, HEAD, OPTIONS"),
    ("_history", "GET, HEAD, OPTIONS"),
    ("_search", "POST, OPTIONS"),
    ("Patient", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ("Patient/_search", "POST, OPTIONS"),
    ("Patient/_history", "GET, HEAD, OPTIONS"),
    ("Patient/1", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ("Patient/1/_history", "GET, HEAD, OPTIONS"),
    ("Patient/1/_history/1", "GET, HEAD, OPTIONS"),
    ("Patient/1/Observation", "GET, HEAD, OPTIONS"),
    ("Patient/1/Observation/_search", "POST, OPTIONS"),
]


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
def test_options_says_what_can_be_done(fhir: httpx.Client, path: str, allowed: str):
    answer = fhir.options(f"/{path}" if path else "")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == allowed
    assert ("accept-patch" in answer.headers) is ("PATCH" in allowed)
    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        if method not in allowed:
            refused = fhir.request(method, f"/{path}" if path else "", content=b"{}")
            assert (refused.status_code, refused.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/Patience", "/_nothing", "/Patient/1/_history/1/2"])
def test_options_of_what_means_nothing_is_404(fhir: httpx.Client, path: str):
    assert fhir.options(path).status_code == 404


def test_a_preflight_is_answered_with_what_fhir_needs(fhir: httpx.Client):
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-type, if-match",
    }
    answer = fhir.options("/Patient/1", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    for name in ("authorization", "content-type", "if-match", "if-none-exist", "prefer", "x-request-id"):
        assert name in allowed
    assert "access-control-allow-credentials" not in answer.headers


def test_every_answer_can_be_read_with_its_headers_by_a_page(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    for path in (f"/Patient/{made['id']}", "/Patient/none", "/Patience", "/Patient?name=%zz", "/Patient"):
        answer = fhir.get(path, headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = answer.headers["access-control-expose-headers"].lower()
        for name in (
            "etag", "location", "content-location", "last-modified", "retry-after", "www-authenticate", "x-progress", "x-request-id",
        ):  # fmt: skip
            assert name in exposed
    assert "access-control-allow-origin" not in fhir.get("/Patient").headers


@pytest.fixture(scope="module")
def guarded(module_database_url: str) -> Iterator[httpx.Client]:
    """A server that one page may call."""
    with running(module_database_url, cors_origins=f"{ORIGIN}, https://other.example.org/") as url, client(url) as http:
        yield http


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (ORIGIN, True),
        ("https://other.example.org", True),
        ("https://evil.example.org", False),
        ("https://app.example.org.evil.example.org", False),
        ("null", False),
    ],
)
def test_where_origins_are_named_only_they_may_call(guarded: httpx.Client, origin: str, known: bool):
    preflight = {"origin": origin, "access-control-request-method": "PUT"}
    for answer in (
        guarded.get("/Patient", headers={"origin": origin}),
        guarded.options("/Patient", headers=preflight),
    ):
        assert answer.headers.get("access-control-allow-origin") == (origin if known else None)
        assert "Origin" in answer.headers.get("vary", "")
    assert ("access-control-allow-methods" in guarded.options("/Patient", headers=preflight).headers) is known


def test_what_the_server_can_do_is_read_by_every_page_also_where_origins_are_named(guarded: httpx.Client):
    """https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, CORS @16; a resource of that id is no such thing"""
    for path in ("/metadata", "/metadata?mode=terminology", "/.well-known/smart-configuration"):
        answer = guarded.get(path, headers={"origin": "https://evil.example.org"})
        assert answer.headers["access-control-allow-origin"] == "*", path
    answer = guarded.get("/Patient/metadata", headers={"origin": "https://evil.example.org"})
    assert "access-control-allow-origin" not in answer.headers
