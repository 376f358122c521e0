"""Reads with and without access control: the same demonstration hospital, open, and with tokens, policies and audit trail.

docs/access.md; `python -m bench.security` prints the table, `--record` writes it into docs/performance.md.

The two servers are measured in turn, in short rounds, so that what else the machine does falls on both. The other one stands still
meanwhile: it would else do what it has put off, such as sealing its audit trail, in the time of the one that is measured.
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import uvloop

from bench import report
from bench.client import Connection, Target, request_bytes
from bench.measurement import Cpu
from bench.server import Server, data_directory, environment, start
from fhir_server.settings import Settings

CLIENTS = (16, 64, 128)
"""Few of them wait, each for the note of its own read to be on the disk, and the servers wait for them; the more there are, the nearer is
what they get to what the servers can do."""
ROUNDS = 40
SECONDS = 0.4
WARM_UP = 1.5
LEAST = 0.75  # of the open server's reads in a second
BEARER = "practitioner@mediconnect.example"
BEGIN, END = "<!-- security: begin -->", "<!-- security: end -->"


@dataclass(slots=True)
class Side:
    """One of the two servers, and what was measured of it: reads in a second and CPU milliseconds a read, by round."""

    name: str
    server: Server
    requests: list[bytes]
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def connect(self, clients: int) -> None:
        """So many clients from now on."""
        self.connections = [Connection(self.server.target) for _ in range(clients)]

    def forget(self) -> None:
        """What was measured so far does not count."""
        self.rates.clear()
        self.cpu.clear()

    def close(self) -> None:
        """No clients any more."""
        while self.connections:
            self.connections.pop().close()

    async def round(self, seconds: float) -> None:
        """One stretch with all clients."""
        before, begun = self.server.meter.cpu(), time.perf_counter()
        reading = (self._read(one, n, begun + seconds) for n, one in enumerate(self.connections))
        reads = sum(await asyncio.gather(*reading))
        took = time.perf_counter() - begun
        self.rates.append(reads / took)
        self.cpu.append(_milliseconds(self.server.meter.cpu() - before) / reads)

    async def _read(self, connection: Connection, number: int, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            answer = await connection.ask(self.requests[(number * 7 + done) % len(self.requests)])
            if answer.status != 200:
                raise RuntimeError(f"{self.name}: a read was answered with {answer.status}")
            done += 1
        return done


def _milliseconds(cpu: Cpu) -> float:
    return 1000 * (cpu.server + cpu.database)


async def side(name: str, folder: Path, stack: ExitStack, more: dict[str, str], *, bearer: bool) -> Side:
    """A server on a folder of its own, with the hospital inside, and the reads of its patients."""
    settings = {"DEMO": "1", **more}
    server = start(folder, workers=Settings(workers=0).processes, more=settings)
    stack.callback(server.stop)
    port = server.target.address[1]
    headers = {"authorization": f"Bearer {_token(folder, port, settings)}"} if bearer else {}
    server.target = Target(server.target.base, headers)
    asking = Connection(server.target)
    lines = server.target.lines
    found = (await asking.ask(request_bytes(server.target, lines, "GET", "Patient?_count=50"))).json()
    asking.close()
    ids = [one["resource"]["id"] for one in found["entry"]]
    return Side(name, server, [request_bytes(server.target, lines, "GET", f"Patient/{one}") for one in ids])


def _token(folder: Path, port: int, settings: dict[str, str]) -> str:
    command = [sys.executable, "-m", "fhir_server", "account", "token", BEARER]
    done = subprocess.run(
        command, env=environment(folder, port, 1, settings), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """Meanwhile the server and its database do nothing."""
    server.tell(signal.SIGSTOP)
    try:
        yield
    finally:
        server.tell(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured with a number of clients, of the open server and of the other: medians, for machines are uneven."""

    clients: int
    rates: tuple[float, float]
    cpu: tuple[float, float]
    share: float  # of the open server's rate, round by round

    def row(self) -> str:
        """A row of the table."""
        rates, cpu = self.rates, self.cpu
        return (
            f"| {self.clients} | {rates[0]:,.0f} | {rates[1]:,.0f} | {cpu[0]:.2f} | {cpu[1]:.2f} | {self.share:.0%} |"
        )


async def measured(rounds: int, seconds: float) -> list[Figures]:
    """Both servers, in turn, with each number of clients."""
    with ExitStack() as stack:
        folders = [stack.enter_context(data_directory()) for _ in range(2)]
        sides = (
            await side("open", folders[0], stack, {"SECURITY": "open"}, bearer=False),
            await side("smart, audit on", folders[1], stack, {"SECURITY": "smart", "RATE_LIMIT": ""}, bearer=True),
        )
        return [await figures(sides, clients, rounds, seconds) for clients in CLIENTS]


async def figures(sides: tuple[Side, Side], clients: int, rounds: int, seconds: float) -> Figures:
    """The medians of some rounds, behind a stretch that warms up and does not count."""
    plain, smart = sides
    for one, other in ((plain, smart), (smart, plain)):
        with standing_still(other.server):
            one.connect(clients)
            await one.round(WARM_UP)
    for one in sides:
        one.forget()
    for number in range(rounds):
        turn = ((plain, smart), (smart, plain))
        for one, other in turn if number % 2 else turn[::-1]:
            with standing_still(other.server):
                await one.round(seconds)
    for one in sides:
        one.close()
    share = median(theirs / ours for ours, theirs in zip(plain.rates, smart.rates, strict=True))
    return Figures(clients, (median(plain.rates), median(smart.rates)), (median(plain.cpu), median(smart.cpu)), share)


def table(found: Sequence[Figures]) -> str:
    """The figures as Markdown."""
    head = "| clients | open: reads/s | smart, audit on: reads/s | open: CPU ms a read | smart: CPU ms a read | share |"
    return "\n".join([head, "|--:|--:|--:|--:|--:|--:|", *(one.row() for one in found)])


def throughput(found: Sequence[Figures]) -> tuple[float, float]:
    """Reads in a second that each server gives at most, with whatever number of clients that is."""
    return max(one.rates[0] for one in found), max(one.rates[1] for one in found)


def summary(found: Sequence[Figures]) -> str:
    """The table, and what it comes to."""
    plain, smart = throughput(found)
    return f"{table(found)}\n\nThroughput, the highest rate of each: {plain:,.0f} and {smart:,.0f} reads/s, {smart / plain:.0%}."


def main(arguments: Sequence[str] = (), rounds: int = ROUNDS, seconds: float = SECONDS) -> int:
    """Measures and prints, with `--record` into docs/performance.md, too; 1 where the secured server is too slow with any number of clients."""
    found = uvloop.run(measured(rounds, seconds))
    print(summary(found))
    if "--record" in arguments:
        on = report.machine()
        said = (
            f"Measured {datetime.now(UTC):%Y-%m-%d}, medians of {rounds} rounds of {seconds:g} s in turn, on"
            f" {on['cores']} cores ({on['processor']})."
        )
        report.between(report.PAGE, BEGIN, END, f"{said}\n\n{summary(found)}")
    return 0 if all(one.share >= LEAST for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
