"""HTTP/1.1 as uvicorn speaks it, but an answer goes out in one write: its head waits for the body, which comes next.

https://docs.python.org/3/library/asyncio-protocol.html#transports. uvloop writes to the socket at once. A head by itself is one
more call of the system for the server, and one more packet to wake up for whoever asked: docs/performance.md.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_END_OF_HEAD = b"\r\n\r\n"
_COPIED = 65_536  # bytes of a body that are put behind the head; more go beside it


class Joining:
    """A transport that holds back the head of an answer until its body follows, or until the event loop takes its next turn.

    Whatever else ends like a head waits for that turn too: an interim answer, the last chunk of a body.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Writes the data behind what waits, or has it wait."""
        if self._head:
            self._write_behind(data)
        elif data.endswith(_END_OF_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Closes the connection when all that was written has gone out."""
        self._flush()
        self._transport.close()

    def _write_behind(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if len(data) <= _COPIED:
            self._transport.write(head + data)
        else:
            self._transport.writelines((head, data))

    def _flush(self) -> None:
        if self._head and not self._transport.is_closing():  # who asked may have gone meanwhile
            self._write_behind(b"")


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol on such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows what asyncio declares
        """A client has connected."""
        super().connection_made(cast(asyncio.Transport, Joining(transport, self.loop)))
