"""A lean HTTP/1.1 client: one request at a time on a connection that stays open, and little processor time of its own.

https://www.rfc-editor.org/rfc/rfc9112
"""

import asyncio
import gzip
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

JSON_HEADERS = {"accept": "application/json", "content-type": "application/json"}
NO_BODY = frozenset((204, 304))
DECODER = msgspec.json.Decoder()
PATIENCE = 90.0


class Unanswered(Exception):
    """The connection ended, or nothing came in time."""


@dataclass(slots=True)
class Answer:
    """One response. `head` is the lower-case text of status line and headers; `seconds` from request to last byte."""

    status: int
    head: bytes
    body: bytes
    seconds: float = 0.0

    def header(self, name: bytes) -> bytes:
        """The value of a header by its lower-case name, empty where it is missing."""
        return header(self.head, name)

    @property
    def content(self) -> bytes:
        """The body as the server meant it."""
        return gzip.decompress(self.body) if b"gzip" in self.header(b"content-encoding") else self.body

    def json(self) -> Any:
        """The body as JSON; raises msgspec.DecodeError."""
        return DECODER.decode(self.content)


@dataclass(frozen=True, slots=True)
class Target:
    """A FHIR base to send requests to, and the headers each of them carries."""

    base: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base)
        return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if self.base.startswith("https:") else None

    @property
    def path(self) -> str:
        """The path of the base without a slash at the end."""
        return urlsplit(self.base).path.rstrip("/")

    @property
    def lines(self) -> str:
        """The headers of every request, as they are sent."""
        given = {"host": urlsplit(self.base).netloc, **JSON_HEADERS, **self.headers}
        return "".join(f"{name}: {value}\r\n" for name, value in given.items())


def request_bytes(target: Target, lines: str, method: str, path: str, body: bytes = b"") -> bytes:
    """A request; `path` is relative to the base and percent-encoded, with its query; `lines` are Target.lines."""
    full = f"{target.path}/{path}" if path else target.path or "/"
    length = f"content-length: {len(body)}\r\n" if body or method in ("POST", "PUT", "PATCH") else ""
    return f"{method} {full} HTTP/1.1\r\n{lines}{length}\r\n".encode("latin-1") + body


class Parser:
    """Cuts the bytes of a connection into answers."""

    __slots__ = ("_arrived", "_buffer", "_missing", "bodiless")

    def __init__(self) -> None:
        self._buffer = b""
        self._arrived: list[bytes] = []
        self._missing = 0  # bytes that have to arrive before it is worth looking again
        self.bodiless = False  # the answer to come is that to a HEAD

    def feed(self, data: bytes) -> Answer | None:
        """Takes what arrived; the answer, once it is whole. Raises Unanswered for what is no HTTP."""
        self._arrived.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return None
        self._missing = 0
        self._buffer = b"".join((self._buffer, *self._arrived)) if self._buffer or self._arrived[1:] else data
        self._arrived.clear()
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            status = _status(head)
            if 100 <= status < 200:
                self._buffer = self._buffer[end + 4 :]
                continue
            found = self._body(head, status, end + 4)
            if found is None:
                return None
            body, rest = found
            self._buffer = self._buffer[rest:]
            return Answer(status, head, body)
        return None

    def _body(self, head: bytes, status: int, start: int) -> tuple[bytes, int] | None:
        """The body that starts at `start` and where it ends, None while bytes are missing."""
        if self.bodiless or status in NO_BODY:
            return b"", start
        if length := header(head, b"content-length"):
            end = start + int(length)
            self._missing = max(0, end - len(self._buffer))
            return None if self._missing else (self._buffer[start:end], end)
        if b"chunked" in header(head, b"transfer-encoding"):
            return unchunked(self._buffer, start)
        raise Unanswered("an answer with neither content-length nor chunks")


def header(head: bytes, name: bytes) -> bytes:
    """The value of a header in a lower-case head, empty where it is missing."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    end = head.find(b"\r\n", at + 2)
    return head[at + 3 + len(name) : end if end >= 0 else None].strip()


def unchunked(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The chunks that start at `at` as one body, and where they end; None while bytes are missing."""
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        start = line + 2
        if size == 0:
            # Trailers, of which nobody has any, end with an empty line.
            end = start + 2 if data[start : start + 2] == b"\r\n" else data.find(b"\r\n\r\n", start) + 4
            return (b"".join(parts), end) if len(data) >= end >= start + 2 else None
        if len(data) < start + size + 2:
            return None
        parts.append(data[start : start + size])
        at = start + size + 2
    return None


def _status(head: bytes) -> int:
    try:
        return int(head[9:12])
    except ValueError as error:
        raise Unanswered("an answer that is not HTTP/1.1") from error


class Wire(asyncio.Protocol):
    """One TCP connection, of which at most one answer is awaited."""

    def __init__(self) -> None:
        self.parser = Parser()
        self.closed = False
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[Answer] | None = None

    async def exchange(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            answer = self.parser.feed(data)
        except (Unanswered, ValueError) as error:
            self._fail(str(error))
            return
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was closed{f': {exc}' if exc else ''}")

    def _fail(self, reason: str) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Unanswered(reason))


class Connection:
    """A client's connection: opened by the first request, and again by the next after the other side closed it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._wire: Wire | None = None

    async def ask(self, request: bytes) -> Answer:
        """Sends the request and waits for its answer; raises Unanswered."""
        if self._wire is None or self._wire.closed:
            self._wire = await self._opened()
        wire = self._wire
        wire.parser.bodiless = request.startswith(b"HEAD ")
        begun = time.perf_counter()
        answer = await wire.exchange(request)
        answer.seconds = time.perf_counter() - begun
        if b"close" in answer.header(b"connection"):
            wire.close()
        return answer

    async def _opened(self) -> Wire:
        host, port = self.target.address
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                _, wire = await loop.create_connection(Wire, host, port, ssl=self.target.tls)
        except (OSError, TimeoutError) as error:
            raise Unanswered(f"{host}:{port} does not accept the connection: {error}") from error
        return wire

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
