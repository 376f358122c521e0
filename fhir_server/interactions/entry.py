"""One entry of a batch or transaction: what its request asks, and what it is answered.

https://hl7.org/fhir/R4/bundle.html#transaction and https://hl7.org/fhir/R4/http.html#transaction
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from fhir_server.interactions.context import Context
from fhir_server.outcome import did_you_mean, refuse
from fhir_server.search.bundle import quoted

STATUSES = frozenset(HTTPStatus)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS = {"ifMatch": "if-match", "ifNoneMatch": "if-none-match", "ifModifiedSince": "if-modified-since", "ifNoneExist": "if-none-exist"}


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
    """Runs one entry as the request that it is."""

    def __call__(self, context: Context, entry: Entry) -> Awaitable[Answer]: ...


PatchOf = Callable[[Context, Entry], Callable[[dict[str, Any]], dict[str, Any]]]


def entries_of(context: Context, bundle: dict[str, Any]) -> list[Entry]:
    """The entries of a batch or transaction Bundle; refuses what is no request."""
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        raise refuse("structure", "Bundle.entry is an array", "Bundle.entry")
    most = context.settings.max_bundle_entries
    if len(listed) > most:
        raise refuse("too-long", f"{len(listed)} entries, at most {most} are taken (MEDICONNECT_MAX_BUNDLE_ENTRIES)")
    return [_entry(context, f"Bundle.entry[{n}]", item) for n, item in enumerate(listed)]


def _entry(context: Context, place: str, item: Any) -> Entry:
    request = item.get("request") if isinstance(item, dict) else None
    if not isinstance(request, dict):
        raise refuse("required", f"{place} has no request, which an entry of a batch or transaction needs", f"{place}.request")
    method, url = request.get("method"), request.get("url")
    if method not in METHODS:
        hint = did_you_mean(str(method).upper(), METHODS)
        raise refuse("value", f"{place}.request.method is {method!r}{hint}", f"{place}.request.method")
    if not isinstance(url, str) or not url:
        raise refuse("required", f"{place}.request.url is missing", f"{place}.request.url")
    resource = item.get("resource")
    if method in ("POST", "PUT", "PATCH") and not isinstance(resource, dict) and "$" not in url:
        raise refuse("required", f"{place}.resource is missing, which {method} needs", f"{place}.resource")
    headers = {HEADERS[name]: value for name, value in request.items() if name in HEADERS and isinstance(value, str)}
    full_url = item.get("fullUrl")
    return Entry(
        place, method, relative(context, url), full_url if isinstance(full_url, str) else "",
        resource if isinstance(resource, dict) else None, headers,
    )  # fmt: skip


def relative(context: Context, url: str) -> str:
    """The url below the base, without a slash in front."""
    return url.removeprefix(context.base).lstrip("/")


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
