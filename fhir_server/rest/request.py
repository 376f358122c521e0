"""What was asked: method, path, parameters, headers and body of a FHIR request, within bounds.

https://hl7.org/fhir/R4/http.html#general
"""

import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from fhir_server.outcome import Refusal, refuse
from fhir_server.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Pairs = list[tuple[str, str]]

BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MOST_PARAMETERS = 2000


@dataclass(slots=True)
class Request:
    """One request, of HTTP or of a batch entry. `resource` is the body where it was parsed already."""

    method: str
    segments: tuple[str, ...]
    query: Pairs
    headers: Mapping[str, str]
    body: bytes = b""
    resource: dict[str, Any] | None = None
    raw_query: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return None

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


def split_path(raw: bytes) -> tuple[str, ...]:
    """The path's segments, each decoded; an empty one at the end is dropped."""
    parts = raw.strip(b"/").split(b"/")
    return tuple(_decoded(part, plus=False) for part in parts) if parts != [b""] else ()


def split_query(raw: bytes) -> Pairs:
    """The parameters in order, names and values decoded; refuses what is no valid encoding."""
    if not raw:
        return []
    parts = raw.split(b"&")
    if len(parts) > MOST_PARAMETERS:
        raise refuse("too-long", f"more than {MOST_PARAMETERS} parameters", status=400)
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((_decoded(name, plus=True), _decoded(value, plus=True)))
    return pairs


def _decoded(raw: bytes, *, plus: bool) -> str:
    if plus:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        if BAD_PERCENT.search(raw):
            raise refuse("invalid", "the URL has a '%' that is not followed by two hexadecimal digits")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse("invalid", "the URL is not UTF-8 once its percent-encoding is undone") from None
    if "\x00" in text:
        raise refuse("invalid", "the URL has a NUL character")
    return text


def request_of(scope: Mapping[str, Any], path: bytes, settings: Settings) -> Request:
    """The request of an ASGI scope, its body not yet read; `path` is raw and begins behind the FHIR base."""
    raw_query: bytes = scope["query_string"]
    if len(path) + len(raw_query) > settings.max_url:
        raise refuse("too-long", f"the URL is longer than {settings.max_url} bytes; use POST with _search", status=414)
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Request(
        scope["method"], split_path(path), split_query(raw_query), headers, raw_query=raw_query.decode("latin-1")
    )


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
