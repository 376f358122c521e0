"""What was asked: method, path, parameters, headers and body of a FHIR request, within bounds.

https://hl7.org/fhir/R4/http.html#general
"""

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from fhir_server.access.audit import Trail
from fhir_server.interactions.url import Pairs, split_path, split_query
from fhir_server.outcome import Refusal, refuse
from fhir_server.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Request(msgspec.Struct):
    """One request, of HTTP or of a batch entry. `resource` is the body where it was parsed already.

    `trail` is what an HTTP request leaves behind, where an audit trail is kept; that of an entry is part of it.
    `awaits`: whoever has the answer waits for the trail to be kept, before it goes out; else it is kept before there is an answer.
    """

    method: str
    segments: tuple[str, ...]
    query: Pairs
    headers: Mapping[str, str]
    body: bytes = b""
    resource: dict[str, Any] | None = None
    trail: Trail | None = None
    awaits: bool = False

    def only(self, name: str) -> str | None:
        """The value of a query parameter that may be given once. Raises Refusal (400) where two values contradict."""
        found: str | None = None
        for key, value in self.query:
            if key == name:
                if found is not None and found != value:
                    raise refuse("invalid", f"'{name}' is given twice, with different values", name)
                found = value
        return found

    @property
    def path(self) -> str:
        return "/".join(self.segments)

    def prefers(self, name: str) -> str | None:
        """The value of one preference of the Prefer header: `return`, `handling`."""
        return preferences(self.headers.get("prefer", "")).get(name)


def preferences(header: str) -> dict[str, str]:
    """The Prefer header as names and values (RFC 7240)."""
    found: dict[str, str] = {}
    for part in header.replace(";", ",").split(","):
        name, _, value = part.strip().partition("=")
        if name:
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers by their names in lower case; of one that came twice the values joined by a comma."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def request_of(scope: Mapping[str, Any], path: bytes, headers: Mapping[str, str], settings: Settings) -> Request:
    """The request of an ASGI scope, its body not yet read; `path` is raw and begins behind the FHIR base."""
    raw_query: bytes = scope["query_string"]
    if len(path) + len(raw_query) > settings.max_url:
        raise refuse("too-long", f"the URL is longer than {settings.max_url} bytes; use POST with _search", status=414)
    return Request(scope["method"], split_path(path), split_query(raw_query), headers)


async def read_body(receive: Receive, headers: Mapping[str, str], most: int) -> bytes:
    """The whole body, decompressed; 413 where it is larger than `most` bytes, before or after."""
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refuse("incomplete", "the client went away before its request was complete", status=400)
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body"):
            return decompressed(b"".join(chunks), headers.get("content-encoding", ""), most)


def _too_large(most: int) -> Refusal:
    return refuse("too-long", f"the body is larger than {most} bytes (setting MEDICONNECT_MAX_BODY)")


WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """The body without its content encoding; never more than `most` bytes, whatever it claims."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOW:
        raise refuse("not-supported", f"Content-Encoding '{name}' is not supported; gzip and deflate are", status=415)
    inflater = zlib.decompressobj(WINDOW[name])
    try:
        plain = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise refuse("structure", f"the body is not valid {name}: {error}") from None
    if len(plain) > most:
        raise _too_large(most)
    if not inflater.eof or inflater.unused_data:
        raise refuse("structure", f"the {name} body ends too early, or goes on behind its end")
    return plain
