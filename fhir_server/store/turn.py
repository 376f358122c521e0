"""Turns: long work of many requests one after another, with a round of the event loop in between.

https://docs.python.org/3/library/asyncio-dev.html#running-blocking-code. What is ready in one round runs before anything that
comes of it goes out: sixteen resources that are validated and indexed in a row keep the database waiting, and then all wait
for the database.
"""

import asyncio


class Turns:
    """`async with` it what takes a millisecond without waiting for anything; what comes first has the first turn."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        asyncio.get_running_loop().call_soon(self._lock.release)  # the next has its turn in the next round
