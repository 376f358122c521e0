"""Turns: long work of many requests a little at a time, with a round of the event loop in between.

https://docs.python.org/3/library/asyncio-dev.html#running-blocking-code. What is ready in one round runs before anything that
comes of it goes out: sixteen resources that are validated and indexed in a row keep the database waiting, and then all wait
for the database.
"""

import asyncio
from collections import deque

EACH = 12
"""Of so many who wait one more has a turn in the same round: else the short work of others would have nearly all of the time."""


class Turns:
    """`async with` it what takes a millisecond without waiting for anything; what comes first has the first turn."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._under_way = 0  # how many have a turn in this round; until the next begins, at least one

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._waiting)

    async def __aenter__(self) -> None:
        if not self._under_way:
            self._under_way = 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._end()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._under_way == 1:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._under_way -= 1

    def _next(self) -> None:
        """Gives turns to those who have theirs in the next round."""
        self._under_way = 0
        most = 1 + len(self._waiting) // EACH
        while self._waiting and self._under_way < most:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._under_way += 1
