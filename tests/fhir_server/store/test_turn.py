"""Long work of many requests takes turns."""

import asyncio

import pytest

from fhir_server.store.turn import EACH, Turns


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


def test_of_many_who_wait_several_have_their_turn_in_one_round():
    """One more for each EACH, so that all are through in fewer rounds, and nobody twice."""
    rounds: list[int] = []

    async def work(turns: Turns, now: list[int]) -> None:
        async with turns:
            rounds.append(now[0])

    async def story() -> None:
        turns, now = Turns(), [0]
        working = asyncio.gather(*(work(turns, now) for _ in range(2 * EACH + 1)))
        while not working.done():
            now[0] += 1
            await asyncio.sleep(0)
        assert not turns.waiting

    asyncio.run(story())
    assert len(rounds) == 2 * EACH + 1
    assert [rounds.count(one) for one in sorted(set(rounds))][:3] == [1, 3, 2]


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
