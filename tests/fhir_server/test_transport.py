"""An answer goes out in one write, and nothing that ends like a head is lost: fhir_server/transport.py.

https://docs.python.org/3/library/asyncio-protocol.html#transports
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvicorn
import uvloop

from fhir_server.listen import options
from fhir_server.transport import Joining, WholeAnswers

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Recorded(asyncio.Transport):
    """A transport that keeps what is written, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def written(story: Callable[[Joining], Awaitable[None]]) -> list[bytes]:
    """What was written by a story, call by call; it ends with two turns of the event loop."""

    async def told() -> list[bytes]:
        recorded = Recorded()
        await story(Joining(recorded, asyncio.get_running_loop()))
        await turn()
        await turn()
        return recorded.calls

    return uvloop.run(told())


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("body", [b"{}", b"x" * 100_000], ids=["short", "long"])
def test_head_and_body_are_one_write(body: bytes):
    async def story(transport: Joining) -> None:
        transport.write(HEAD)
        transport.write(body)

    assert written(story) == [HEAD + body]


def test_a_head_without_a_body_does_not_wait_for_one():
    async def story(transport: Joining) -> None:
        transport.write(HEAD)
        transport.write(b"")
        transport.write(b"{}")

    assert written(story) == [HEAD, b"{}"]


def test_a_head_whose_body_takes_time_goes_out_with_the_next_turn():
    async def story(transport: Joining) -> None:
        transport.write(HEAD)
        await turn()
        transport.write(b"{}")

    assert written(story) == [HEAD, b"{}"]


def test_answers_one_behind_the_other_keep_their_order():
    async def story(transport: Joining) -> None:
        for number in range(3):
            transport.write(HEAD)
            transport.write(b"%d" % number)
        transport.write(b"0\r\n\r\n")

    assert written(story) == [HEAD + b"0", HEAD + b"1", HEAD + b"2", b"0\r\n\r\n"]


def test_closing_writes_what_waits_first():
    async def story(transport: Joining) -> None:
        transport.write(HEAD)
        transport.close()
        assert transport.is_closing(), "all else is asked of the transport below"

    assert written(story) == [HEAD]


def test_a_head_for_who_has_gone_is_dropped():
    async def story(transport: Joining) -> None:
        transport.write(HEAD)
        transport.abort()

    assert written(story) == []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers in parts, when it has read what was sent."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await turn()
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """A connection to the application as `mediconnect serve` would serve it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", **{**options(), "factory": False}))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    serving.start()
    with closing(socket.create_connection(listening.getsockname(), timeout=10)) as connected:
        yield connected
    server.should_exit = True
    serving.join()


STREAM = b"4\r\npart\r\n" * 3 + b"0\r\n\r\n"


def until(client: socket.socket, end: bytes) -> bytes:
    """What the server sends, up to what ends it."""
    received = b""
    while not received.endswith(end):
        part = client.recv(65_536)
        assert part, f"ended behind {received!r}"
        received += part
    return received


def test_a_stream_arrives_whole(client: socket.socket):
    assert options()["http"] is WholeAnswers
    for _ in range(2):
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head, _, body = until(client, b"\r\n0\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == STREAM


def test_who_waits_for_leave_to_send_a_body_gets_it(client: socket.socket):
    client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"{}")
    assert until(client, b"\r\n0\r\n\r\n").endswith(STREAM)


def test_who_asks_to_close_gets_all_of_the_answer_before(client: socket.socket):
    client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert until(client, b"\r\n0\r\n\r\n").endswith(STREAM)
    assert client.recv(1) == b""
