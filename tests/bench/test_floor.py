"""The floor answers what stands on the tape, and stores what it is sent."""

import asyncio

import psycopg
import pytest

from bench.client import Target
from bench.floor import Floor, fill, replay
from bench.load import Exhausted, Plan, Taped, Trial
from bench.measurement import Cpu

SEARCH = "Patient?name=a%20b&_count=5"
TAPE = (
    Taped("GET", "Patient/1", b"", b'{"id":"1"}', 1),
    Taped("GET", SEARCH, b"", b"{}", 1),
    Taped("POST", "", b'{"resourceType":"Bundle"}', b"", 7),
    Taped("DELETE", "Patient/1", b"", b"", 1),
)


async def asked(floor: Floor, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request, as an ASGI server would have it."""
    sent: list[dict] = []
    raw, _, query = path.partition("?")
    parts = iter([{"body": body[:3], "more_body": True}, {"body": body[3:], "more_body": False}])

    async def receive():
        return next(parts)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "raw_path": b"/" + raw.encode(), "query_string": query.encode()}
    await floor(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def answers(url: str, *requests: tuple[str, str, bytes]) -> list[tuple[int, bytes]]:
    async def run() -> list[tuple[int, bytes]]:
        floor = Floor(url)
        await floor._pool.open(wait=True)
        try:
            return [await asked(floor, *request) for request in requests]
        finally:
            await floor._pool.close()

    return asyncio.run(run())


def test_a_get_is_answered_with_the_bytes_that_the_server_gave(empty_database_url):
    fill(empty_database_url, TAPE)
    found = answers(empty_database_url, ("GET", "Patient/1", b""), ("GET", SEARCH, b""), ("GET", "Patient/2", b""))
    assert found == [(200, b'{"id":"1"}'), (200, b"{}"), (404, b"{}")]


def test_everything_else_is_stored_and_answered_with_its_own_bytes(empty_database_url):
    fill(empty_database_url, ())
    found = answers(
        empty_database_url,
        ("POST", "Patient", b"created"),
        ("PUT", "Patient/1", b"updated"),
        ("GET", "Patient/1", b""),
        ("DELETE", "Patient/1", b""),
        ("POST", "", b"transaction"),
    )
    assert found == [(201, b"created"), (200, b"updated"), (200, b"updated"), (204, b""), (201, b"{}")]
    with psycopg.connect(empty_database_url) as conn:
        rows = conn.execute("SELECT path, content FROM bench.floor ORDER BY seq").fetchall()
    assert rows == [
        ("Patient", b"created"),
        ("Patient/1", b"updated"),
        ("Patient/1", b""),
        ("", b"transaction"),
    ]


def test_a_replay_asks_what_stands_on_the_tape_again_and_again():
    class Listening:
        def __init__(self) -> None:
            self.requests: list[tuple[str, str, bytes, int]] = []

        async def ask(self, _label, method, path, _expected, body=b"", units=1):
            self.requests.append((method, path, body, units))
            if len(self.requests) == 6:
                raise Exhausted

    client, scenario = Listening(), replay(TAPE)

    async def run() -> None:
        while True:
            await scenario(client)

    with pytest.raises(Exhausted):
        asyncio.run(run())
    assert client.requests == [(one.method, one.path, one.body, one.units) for one in (*TAPE, *TAPE[:2])]


def test_a_floor_that_is_gone_is_counted_as_errors():
    async def run() -> Trial:
        trial = Trial(Target("http://127.0.0.1:1"), replay(TAPE), Plan(1, 0.05, warm=0.0))
        await trial.stretch(Cpu, 0.05)
        return trial

    assert asyncio.run(run()).samples.wrong.total() > 0
