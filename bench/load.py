"""Load: clients that repeat a scenario for a time, each on its own connection, the next request when the last is answered.

https://en.wikipedia.org/wiki/Little%27s_law: such clients measure how much a server can do, not how it does when overrun.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from bench.client import Answer, Connection, Target, Unanswered, request_bytes
from bench.expectation import Expectation
from bench.measurement import Cpu, Samples

PATIENCE = 60.0  # seconds that requests under way get when the time is over
TAPE_LENGTH, TAPE_BYTES = 400, 64 << 20


class Exhausted(Exception):
    """The scenario has nothing left to ask."""


@dataclass(frozen=True, slots=True)
class Taped:
    """A request that was answered rightly, for the floor to answer again."""

    method: str
    path: str
    body: bytes
    answer: bytes
    units: int


@dataclass(slots=True)
class Tape:
    """The first requests of a workload and their answers, as many as there is room for."""

    requests: list[Taped] = field(default_factory=list)
    room: int = TAPE_BYTES

    def add(self, taped: Taped) -> None:
        self.room -= len(taped.body) + len(taped.answer)
        if self.room >= 0 and len(self.requests) < TAPE_LENGTH:
            self.requests.append(taped)


@dataclass(slots=True)
class Stage:
    """What the clients of one stretch share. `tape` keeps what was asked, None keeps nothing."""

    samples: Samples
    counting: bool = False
    ending: bool = False
    tape: Tape | None = None


class Client:
    """One user: a connection, and a source of chance of their own."""

    def __init__(self, target: Target, stage: Stage, number: int, seed: str) -> None:
        self.number = number
        self.random = Random(f"{seed}/{number}")
        self._target = target
        self._lines = target.lines
        self._connection = Connection(target)
        self._stage = stage

    async def ask(
        self,
        label: str,
        method: str,
        path: str,
        expected: Expectation,
        body: bytes = b"",
        units: int = 1,
    ) -> Answer | None:
        """Sends one request and counts its answer under the label; None where the answer is wrong or missing."""
        stage = self._stage
        try:
            answer = await self._connection.ask(request_bytes(self._target, self._lines, method, path, body))
        except Unanswered as error:
            stage.samples.add(label, 0.0, str(error))
            await asyncio.sleep(0.1)  # a server that is gone is not asked ten thousand times a second
            return None
        fault = expected(answer)
        if stage.counting or fault:
            stage.samples.add(label, answer.seconds, fault, units)
        if stage.tape is not None and not fault:
            stage.tape.add(Taped(method, path, body, answer.body, units))
        return None if fault else answer

    def close(self) -> None:
        self._connection.close()


Scenario = Callable[[Client], Awaitable[None]]
Meter = Callable[[], Cpu]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a workload is measured: a stretch of at most `seconds` after `warm`, then `floor_seconds` for the floor."""

    clients: int
    seconds: float
    warm: float = 1.0
    floor_seconds: float = 2.0
    seed: str = "1"


@dataclass(slots=True)
class Trial:
    """A scenario and what it gave so far."""

    target: Target
    scenario: Scenario
    plan: Plan
    samples: Samples = field(default_factory=Samples)

    async def stretch(self, meter: Meter, seconds: float, tape: Tape | None = None) -> None:
        """Lets the clients work for the seconds, after the warm-up, or until the scenario is exhausted."""
        stage = Stage(self.samples, tape=tape)
        clients = [Client(self.target, stage, n, self.plan.seed) for n in range(self.plan.clients)]
        tasks = [asyncio.create_task(_work(client, self.scenario, stage)) for client in clients]
        try:
            if self.plan.warm:
                await asyncio.sleep(self.plan.warm)
            stage.counting = True
            begun, spent = time.perf_counter(), meter()
            await asyncio.wait(tasks, timeout=seconds)
            stage.counting, stage.ending = False, True
            self.samples.seconds += time.perf_counter() - begun
            self.samples.cpu += meter() - spent
            await self._end(tasks)
        finally:
            for client in clients:
                client.close()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Waits for what is under way; what does not end is an error, and what went wrong in a scenario is raised."""
        done, late = await asyncio.wait(tasks, timeout=PATIENCE)
        for task in late:
            task.cancel()
            self.samples.add("(end)", 0.0, f"not answered within {PATIENCE:.0f} s")
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            task.result()


async def _work(client: Client, scenario: Scenario, stage: Stage) -> None:
    try:
        while not stage.ending:
            await scenario(client)
    except Exhausted:
        return
