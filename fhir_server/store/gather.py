"""What many requests want of the database at once, as one statement: what comes while one is under way goes with the next.

A statement for ten costs little more than one for one: a round trip, a plan, and for writes a commit
(https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-COMMIT-DELAY tells of the same idea inside PostgreSQL).
Nobody waits for others to come: a request that finds nothing under way is served at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")
# So many who wait make another statement worth its cost while one is under way; fewer are served sooner by the next.
CROWD = 8


class Gather(Generic[W, R]):
    """Serves what is wanted in batches of at most `most`, up to `lanes` of them at a time where many wait.

    `serve` answers a batch in its order, an exception for whoever is refused; where it raises, all of the batch are.
    """

    def __init__(
        self,
        serve: Callable[[list[W]], Awaitable[Sequence[R | BaseException]]],
        *,
        most: int,
        lanes: int = 1,
    ) -> None:
        self._serve = serve
        self._most = most
        self._most_lanes = lanes
        self._open = 0
        self._waiting: list[tuple[W, asyncio.Future[R]]] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def __call__(self, wanted: W) -> R:
        """The answer to one; what is wanted is done also where whoever asked has gone."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if not self._open or (self._open < self._most_lanes and len(self._waiting) >= CROWD):
            self._open += 1
            lane = asyncio.create_task(self._lane())
            self._lanes.add(lane)  # the loop itself holds its tasks weakly
            lane.add_done_callback(self._lanes.discard)
        return await answer

    async def _lane(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._open -= 1  # here and not when the task is done: who came in between would wait for nobody

    async def _answer(self, batch: list[tuple[W, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._serve([wanted for wanted, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            answers = [error] * len(batch)
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, BaseException):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)
