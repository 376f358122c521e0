"""What many requests want of the database at once, as one statement: what comes while one is under way goes with the next.

A statement for ten costs little more than one for one: a round trip, a plan, and for writes a commit
(https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-COMMIT-DELAY tells of the same idea inside PostgreSQL).
A request that comes alone is served at once. Where others are about to come, because that is known, or because they had their
answers a moment ago and are likely to ask again, a batch is filled with them first.
"""

import asyncio
import functools
import os
import types
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")
# A batch is so large before those who are about to come are not waited for any more, and they are for so many rounds.
ENOUGH = 16
# Seconds after which what is under way is held up, by a lock perhaps, and holds up nobody else.
LATE = 0.1


@types.coroutine
def _round() -> Generator[None, None, None]:
    """Lets the event loop go round once, as asyncio.sleep(0) does by one coroutine more."""
    yield


class Gather(Generic[W, R]):
    """Serves what is wanted in batches of at most `most`, one at a time.

    `rounds`: how often at most the event loop goes round before a batch is closed, so that those who were there when the last was
    answered go along. `more`: whether others are about to come, for whom a batch that is not large waits a little.
    A batch that is late counts no more: what waits, or comes, is served beside it. `serve` answers a batch in its order: an
    exception for whoever is refused, a task for whoever is answered later; where it raises, all of the batch are refused.
    """

    def __init__(
        self,
        serve: Callable[[list[W]], Awaitable[Sequence[R | BaseException | asyncio.Task[R]]]],
        *,
        most: int,
        rounds: int = 1,
        more: Callable[[], bool] = lambda: False,
    ) -> None:
        self._serve = serve
        self._rounds = rounds
        self._more = more
        self._most = most
        self._there = 0  # how many were served or waited when the last batch was answered
        self._open: set[object] = set()
        self._waiting: list[tuple[W, asyncio.Future[R]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __call__(self, wanted: W) -> R:
        """The answer to one; what is wanted is done also where whoever asked has gone."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if not self._open:
            self._start()
        return await answer

    @property
    def busy(self) -> bool:
        """Whether something is under way, which what is wanted now would follow."""
        return bool(self._open)

    def _start(self) -> None:
        lane = object()
        self._open.add(lane)
        self._keep(asyncio.create_task(self._run(lane)))

    async def _run(self, lane: object) -> None:
        try:
            while True:
                await self._fill()
                if not self._waiting or lane not in self._open:
                    break
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                late = asyncio.get_running_loop().call_later(LATE, self._leave, lane)
                await self._answer(batch)
                self._there = len(batch) + len(self._waiting)
                late.cancel()
        finally:
            self._open.discard(lane)  # here and not when the task is done: who came in between would wait for nobody

    async def _fill(self) -> None:
        for number in range(self._rounds):
            if number:
                os.sched_yield()  # to whoever is about to ask, or the database, where they wait for this very processor
            await _round()  # what has come in the meantime goes along
            if not self._waiting or len(self._waiting) >= min(self._there, self._most):
                break
        for _ in range(ENOUGH):
            if len(self._waiting) >= ENOUGH or not self._more():
                return
            await _round()

    def _leave(self, lane: object) -> None:
        self._open.discard(lane)
        if self._waiting:
            self._start()

    async def _answer(self, batch: list[tuple[W, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._serve([wanted for wanted, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            answers = [error] * len(batch)
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if isinstance(answer, asyncio.Task):
                self._keep(answer)
                answer.add_done_callback(functools.partial(_follow, waiting))
            else:
                _settle(waiting, answer)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)  # the loop itself holds its tasks weakly
        task.add_done_callback(self._tasks.discard)


def _settle(waiting: asyncio.Future[R], answer: R | BaseException) -> None:
    if waiting.done():
        return
    if isinstance(answer, BaseException):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)


def _follow(waiting: asyncio.Future[R], task: asyncio.Task[R]) -> None:
    if task.cancelled():
        waiting.cancel()
    else:
        _settle(waiting, task.exception() or task.result())
