"""Clients work until the time is over or nothing is left, and only right answers of the counted time count."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import cycle

import pytest

from bench.client import Target
from bench.expectation import resource, searchset, status, transaction_response
from bench.load import Client, Exhausted, Plan, Tape, Taped, Trial
from bench.measurement import Cpu, Samples
from tests.bench.test_client import parsed

PATIENT = b'{"resourceType":"Patient","id":"1"}'
OUTCOME = b'{"resourceType":"OperationOutcome","issue":[{"diagnostics":"not here"}]}'


def response(code: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (code, len(body), body)


class Answering(asyncio.Protocol):
    """A server that gives the answers in turn, whatever is asked; an empty one closes the connection."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self.answers = answers

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, _data: bytes) -> None:
        answer = next(self.answers)
        if answer:
            self.transport.write(answer)
        else:
            self.transport.close()


@contextlib.asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[Target]:
    turns = cycle(answers)
    server = await asyncio.get_running_loop().create_server(lambda: Answering(turns), "127.0.0.1", 0)
    async with server:
        yield Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/fhir")
    await asyncio.sleep(0.01)  # the closed connections end in the loop's next turns


def meter() -> Cpu:
    return Cpu()


def asking(times: int, body: bytes = b""):
    """A scenario of so many requests in all."""
    left = [times]

    async def scenario(client: Client) -> None:
        if not left[0]:
            raise Exhausted
        left[0] -= 1
        await client.ask("read", "POST" if body else "GET", "Patient/1", resource("Patient", 200), body)

    return scenario


def tried(*answers: bytes, times: int, tape: Tape | None = None, clients: int = 1, body: bytes = b"") -> Samples:
    async def run() -> Samples:
        async with serving(*answers) as target:
            trial = Trial(target, asking(times, body), Plan(clients, 30.0, warm=0.0))
            await trial.stretch(meter, 30.0, tape)
            return trial.samples

    return asyncio.run(run())


def test_every_request_of_an_exhausted_scenario_counts_once():
    found = tried(response(200, PATIENT), times=40, clients=4)
    assert (len(found.latencies["read"]), found.units, found.wrong.total()) == (40, 40, 0)
    assert found.seconds > 0


def test_a_wrong_answer_counts_as_what_is_wrong_with_it():
    found = tried(response(200, PATIENT), response(404, OUTCOME), response(200, OUTCOME), times=6)
    assert len(found.latencies["read"]) == 2
    assert dict(found.wrong) == {("read", "404 not here"): 2, ("read", "200, but no Patient"): 2}


def test_a_closed_connection_is_an_error_and_the_next_request_opens_another():
    found = tried(response(200, PATIENT), b"", times=4)
    assert (len(found.latencies["read"]), found.wrong.total()) == (2, 2)


def test_the_tape_keeps_what_was_answered_rightly():
    tape = Tape()
    tried(response(200, PATIENT), response(500, OUTCOME), times=4, tape=tape, body=b"{}")
    assert tape.requests == [Taped("POST", "Patient/1", b"{}", PATIENT, 1)] * 2


def test_a_tape_has_an_end():
    tape = Tape(room=100)
    for _ in range(20):
        tape.add(Taped("GET", "x", b"", b"0123456789", 1))
    assert len(tape.requests) == 10


def test_the_time_ends_a_scenario_that_does_not_end_by_itself():
    async def run() -> Samples:
        async with serving(response(200, PATIENT)) as target:
            trial = Trial(target, asking(10**9), Plan(2, 0.05, warm=0.02))
            await trial.stretch(meter, 0.05)
            return trial.samples

    found = asyncio.run(run())
    assert found.units == len(found.latencies["read"]) > 0
    assert found.wrong.total() == 0


def test_a_mistake_in_a_scenario_ends_the_run():
    async def scenario(client: Client) -> None:
        raise KeyError("mistake")

    async def run() -> None:
        trial = Trial(Target("http://127.0.0.1:1"), scenario, Plan(1, 5.0, warm=0.0))
        await trial.stretch(meter, 5.0)

    with pytest.raises(KeyError):
        asyncio.run(run())


BUNDLE = b'{"resourceType":"Bundle","type":"searchset","entry":[]}'
RESPONSE = (
    b'{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201"}},'
    b'{"response":{"status": "200 OK"}}]}'
)


@pytest.mark.parametrize(
    ("expected", "code", "body", "right"),
    [
        (status(200, 204), 204, b"", True),
        (status(200, 204), 201, b"", False),
        (resource("Patient", 200, has=b'"id"'), 200, PATIENT, True),
        (resource("Patient", 200, has=b"nothing of it"), 200, PATIENT, False),
        (resource("Patient", 201), 200, PATIENT, False),
        (searchset, 200, BUNDLE, True),
        (searchset, 200, RESPONSE, False),
        (searchset, 400, OUTCOME, False),
        (transaction_response(2), 200, RESPONSE, True),
        (transaction_response(3), 200, RESPONSE, False),
        (transaction_response(0), 200, BUNDLE, False),
    ],
)
def test_an_expectation_looks_at_status_and_body(expected, code, body, right):
    (answer,) = parsed(response(code, body), 10_000) if code != 204 else parsed(b"HTTP/1.1 204 X\r\n\r\n", 100)
    assert (expected(answer) == "") is right
