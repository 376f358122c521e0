"""One entry of a batch or transaction: what its request asks, and what it is answered.

https://hl7.org/fhir/R4/bundle.html#transaction and https://hl7.org/fhir/R4/http.html#transaction
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from fhir_server.context import Context
from fhir_server.outcome import did_you_mean, refuse
from fhir_server.search.bundle import quoted

STATUSES = frozenset(HTTPStatus)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
WITH_RESOURCE = frozenset(("POST", "PUT", "PATCH"))
HEADERS = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Entry:
    """The request of one entry; `url` is relative to the base, `headers` are those its conditions stand for."""

    place: str
    method: str
    url: str
    full_url: str
    resource: dict[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of one entry; content and outcome are JSON texts."""

    status: int
    location: str = ""
    etag: str = ""
    last_modified: str = ""
    content: bytes | None = None
    outcome: bytes | None = None


class Dispatch(Protocol):
    """Runs one entry as the request that it is; raises its refusal."""

    def __call__(self, context: Context, entry: Entry) -> Awaitable[Answer]: ...


PatchOf = Callable[[Context, Entry], Callable[[dict[str, Any]], dict[str, Any]]]


def items_of(context: Context, bundle: dict[str, Any]) -> list[tuple[str, Any]]:
    """The entries of a batch or transaction Bundle as they came, each with its place: `Bundle.entry[3]`."""
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        raise refuse("structure", "Bundle.entry is an array", "Bundle.entry")
    most = context.settings.max_bundle_entries
    if len(listed) > most:
        raise refuse("too-long", f"{len(listed)} entries, at most {most} are taken (MEDICONNECT_MAX_BUNDLE_ENTRIES)")
    return [(f"Bundle.entry[{n}]", item) for n, item in enumerate(listed)]


def entry_of(context: Context, place: str, item: Any) -> Entry:
    """The request that an entry is. Raises Refusal (400) for what is none."""
    request = item.get("request") if isinstance(item, dict) else None
    if not isinstance(request, dict):
        text = f"{place} has no request, which an entry of a batch or transaction needs"
        raise refuse("required", text, f"{place}.request")
    method, url = request.get("method"), request.get("url")
    if method not in METHODS:
        hint = did_you_mean(str(method).upper(), METHODS) or f"; known are {', '.join(METHODS)}"
        raise refuse("value", f"{place}.request.method is {str(method)[:80]!r}{hint}", f"{place}.request.method")
    if not isinstance(url, str) or not url:
        raise refuse("required", f"{place}.request.url is missing", f"{place}.request.url")
    resource = item.get("resource")
    if method in WITH_RESOURCE and not isinstance(resource, dict) and not _bodiless(url):
        raise refuse("required", f"{place}.resource is missing, which {method} needs", f"{place}.resource")
    full_url = item.get("fullUrl")
    return Entry(
        place, method, relative(context, place, url), full_url if isinstance(full_url, str) else "",
        resource if isinstance(resource, dict) else None, _headers(place, request),
    )  # fmt: skip


def _bodiless(url: str) -> bool:
    """Whether a POST to the url may come without a resource: a search, or an operation."""
    path = url.partition("?")[0]
    return "$" in path or path.endswith("_search")


def _headers(place: str, request: dict[str, Any]) -> dict[str, str]:
    """The headers that an entry's conditions stand for. One that cannot be read is refused rather than ignored."""
    found = {}
    for name, header in HEADERS.items():
        value = request.get(name)
        if isinstance(value, str):
            found[header] = value
        elif value is not None:
            raise refuse("structure", f"{place}.request.{name} is not a string", f"{place}.request.{name}")
    if (since := found.get("if-modified-since")) and not INSTANT.fullmatch(since):
        text = f"{place}.request.ifModifiedSince is no instant such as 2026-01-31T10:00:00Z"
        raise refuse("value", text, f"{place}.request.ifModifiedSince")
    return found


def relative(context: Context, place: str, url: str) -> str:
    """The url below the base, without a slash in front. Raises Refusal (400) for one of another server."""
    below = url.removeprefix(context.base)
    if "://" in below.partition("?")[0]:
        raise refuse("invalid", f"{place}.request.url leads to another server: {url[:200]}", f"{place}.request.url")
    return below.lstrip("/")


def rendered(answer: Answer) -> bytes:
    """The Bundle entry of an answer."""
    phrase = HTTPStatus(answer.status).phrase if answer.status in STATUSES else ""
    response = [b'"response":{"status":', quoted(f"{answer.status} {phrase}".strip())]
    for name, value in (("location", answer.location), ("etag", answer.etag), ("lastModified", answer.last_modified)):
        if value:
            response.extend((b',"', name.encode(), b'":', quoted(value)))
    if answer.outcome is not None:
        response.extend((b',"outcome":', answer.outcome))
    resource = [b'"resource":', answer.content, b","] if answer.content is not None else []
    return b"".join([b"{", *resource, *response, b"}}"])
