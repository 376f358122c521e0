"""The floor: the least that could answer at all, on the same database, by the same HTTP server, asked by the same client.

https://asgi.readthedocs.io/en/latest/specs/www.html: a bare application that answers a GET by one prepared SELECT of the bytes
that MediConnect had answered, and everything else by one INSERT of the bytes that came.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.client import Answer, Target
from bench.expectation import told
from bench.load import Client, Meter, Scenario, Tape, Taped, Trial
from bench.server import Meter as ProcessMeter
from bench.server import Server, free_port
from fhir_server.listen import listen
from fhir_server.settings import Settings
from fhir_server.store.beside import bring_beside

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.floor;
CREATE TABLE bench.floor (path text COLLATE "C" NOT NULL, seq bigint GENERATED ALWAYS AS IDENTITY, content bytea);
CREATE UNIQUE INDEX floor_path ON bench.floor (path, seq DESC);
"""
SELECT = "SELECT content FROM bench.floor WHERE path = %s ORDER BY seq DESC LIMIT 1"
INSERT = "INSERT INTO bench.floor (path, content) VALUES (%s, %s)"
URL = "MEDICONNECT_BENCH_DATABASE_URL"
POOL = 8
HEADERS = [(b"content-type", b"application/fhir+json")]
STATUS = {"POST": 201, "DELETE": 204}

Pool = AsyncConnectionPool[AsyncConnection[Any]]


class Floor:
    """The application. Its pool is as large as the server's default."""

    def __init__(self, url: str) -> None:
        self._pool: Pool = AsyncConnectionPool(
            url, kwargs={"autocommit": True}, min_size=2, max_size=POOL, open=False, max_waiting=0, timeout=30,
            configure=_beside,
        )  # fmt: skip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path = scope["raw_path"].decode("latin-1").lstrip("/")
        if query := scope["query_string"]:
            path = f"{path}?{query.decode('latin-1')}"
        if scope["method"] == "GET":
            code, content = await self._read(path)
        else:
            body = await _body(receive)
            await self._write(path, body)
            code, content = STATUS.get(scope["method"], 200), body if path else b"{}"
        headers = [*HEADERS, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": content if code != 204 else b""})

    async def _read(self, path: str) -> tuple[int, bytes]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(SELECT, (path,), prepare=True, binary=True)
            row = await cursor.fetchone()
        return (200, row[0]) if row else (404, b"{}")

    async def _write(self, path: str, body: bytes) -> None:
        async with self._pool.connection() as conn:
            await conn.execute(INSERT, (path, body), prepare=True, binary=True)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._pool.open(wait=True)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._pool.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _beside(conn: AsyncConnection[Any]) -> None:
    bring_beside(conn.fileno(), conn.info.backend_pid)


async def _body(receive: Any) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def application() -> Floor:
    """The factory that uvicorn calls."""
    return Floor(os.environ[URL])


def fill(url: str, tape: Sequence[Taped]) -> None:
    """Makes the floor's table anew, with what the GETs of the tape were answered."""
    answers = {taped.path: taped.answer for taped in tape if taped.method == "GET"}
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SCHEMA)
        conn.cursor().executemany(INSERT, list(answers.items()))
        conn.execute("VACUUM ANALYZE bench.floor")


def replay(tape: Sequence[Taped]) -> Scenario:
    """The scenario that asks again what stands on the tape, from its beginning when it ends."""
    turns = count()

    async def scenario(client: Client) -> None:
        taped = tape[next(turns) % len(tape)]
        await client.ask("floor", taped.method, taped.path, _success, taped.body, taped.units)

    return scenario


def _success(answer: Answer) -> str:
    return "" if 200 <= answer.status < 300 else told(answer)


async def beside(trial: Trial, rounds: Sequence[Scenario], meter: Meter, floor: "Running | None") -> Trial | None:
    """Measures the trial, a stretch for each of the rounds, and between them the floor with what the trial asked first.

    In turns, so that a machine that gets slower meanwhile does so for both. None where there is no floor.
    """
    below: Trial | None = None
    for scenario in rounds:
        trial.scenario = scenario
        tape = Tape() if floor is not None and below is None else None
        await trial.stretch(meter, trial.plan.seconds, tape)
        if floor is not None and tape is not None and tape.requests:
            fill(floor.url, tape.requests)
            below = Trial(floor.target, replay(tape.requests), trial.plan)
        if floor is not None and below is not None:
            await below.stretch(floor.meter, trial.plan.floor_seconds)
    return below


@dataclass(frozen=True, slots=True)
class Running:
    """The floor where it runs, on the database of this URL."""

    target: Target
    url: str
    meter: Meter


@contextlib.contextmanager
def running(server: Server, workers: int, log: Path) -> Iterator[Running]:
    """The floor in a process of its own on a free port, on the database of the server."""
    url, port = server.url, free_port()
    assert url is not None, "the database of a server of somebody else's is not known"
    fill(url, ())
    command = [sys.executable, "-m", "bench.floor", "--port", str(port), "--workers", str(workers)]
    with (
        log.open("ab") as out,
        subprocess.Popen(
            command, env={**os.environ, URL: url}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ) as process,
    ):
        try:
            _wait(process, port, log)
            own = ProcessMeter(process.pid, server.meter.database)
            yield Running(Target(f"http://127.0.0.1:{port}"), url, own.cpu)
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the floor has ended with {process.returncode}; its log is {log}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the floor does not answer on port {port}")


def main() -> None:
    """`python -m bench.floor`: serves until it is told to stop, as the server does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    bound = socket.create_server(("127.0.0.1", given.port))
    processors = Settings(workers=given.workers).own_processors
    listen("bench.floor:application", bound, given.workers, lambda: None, lambda: None, processors)


if __name__ == "__main__":
    main()
