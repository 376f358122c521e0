"""Long work of many requests takes turns."""

import asyncio

import pytest

from fhir_server.store.turn import Turns


def test_what_comes_of_one_turn_goes_out_before_the_next():
    told: list[str] = []

    async def work(turns: Turns, name: str) -> None:
        async with turns:
            told.append(f"{name} works")
        await asyncio.sleep(0)
        told.append(f"{name} is out")

    async def story() -> None:
        turns = Turns()
        await asyncio.gather(*(work(turns, name) for name in "abc"))

    asyncio.run(story())
    assert told == [f"{name} {what}" for name in "abc" for what in ("works", "is out")]


def test_who_fails_or_goes_leaves_the_turn_to_the_next():
    async def fail(turns: Turns) -> None:
        async with turns:
            raise ValueError("it fails")

    async def story() -> None:
        turns = Turns()
        with pytest.raises(ValueError, match="it fails"):
            await fail(turns)
        async with turns:
            waiting = asyncio.create_task(fail(turns))
            await asyncio.sleep(0)
            waiting.cancel()
        async with asyncio.timeout(5), turns:
            pass

    asyncio.run(story())
