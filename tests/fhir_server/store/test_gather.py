"""Batches of what is wanted at once: sizes, order, and who is told of which failure."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fhir_server.store.gather import CROWD, ENOUGH, LATE, Gather

Serve = Callable[[list[int]], Awaitable[Sequence[int | BaseException]]]


class Served:
    """Doubles what is wanted, slowly, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = self.most_running = 0

    async def __call__(self, wanted: list[int]) -> list[int]:
        self.batches.append(wanted)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0.01)
        self.running -= 1
        return [2 * one for one in wanted]


async def asked(gather: Gather[int, int], numbers: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(gather(n) for n in numbers), return_exceptions=True)


def test_each_gets_the_answer_to_its_own():
    served = Served()
    assert asyncio.run(asked(Gather(served, most=7), range(50))) == [2 * n for n in range(50)]
    assert [n for batch in served.batches for n in batch] == list(range(50))
    assert max(map(len, served.batches)) == 7


def test_what_comes_while_a_batch_is_under_way_goes_with_the_next():
    served = Served()

    async def story() -> None:
        gather: Gather[int, int] = Gather(served, most=100)
        first = asyncio.create_task(gather(1))
        await asyncio.sleep(0.005)
        await asyncio.gather(first, *(gather(n) for n in (2, 3, 4)))

    asyncio.run(story())
    assert served.batches == [[1], [2, 3, 4]]


@pytest.mark.parametrize(("coming", "first"), [(5, 6), (3 * ENOUGH, ENOUGH)])
def test_who_is_about_to_come_is_waited_for_until_a_batch_is_large(coming: int, first: int):
    served = Served()

    async def story() -> None:
        left = list(range(coming))
        gather: Gather[int, int] = Gather(served, most=100, more=lambda: bool(left))
        tasks = [asyncio.create_task(gather(-1))]
        while left:
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(gather(left.pop())))
        await asyncio.gather(*tasks)

    asyncio.run(story())
    assert abs(len(served.batches[0]) - first) <= 2
    assert sum(map(len, served.batches)) == coming + 1


def test_who_is_about_to_come_and_does_not_holds_nobody_up():
    served = Served()
    assert asyncio.run(asked(Gather(served, most=100, more=lambda: True), [1])) == [2]


def test_what_comes_within_some_rounds_of_the_loop_goes_along():
    served = Served()

    async def story() -> None:
        gather: Gather[int, int] = Gather(served, most=100, rounds=3)
        first = asyncio.create_task(gather(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, gather(2))

    asyncio.run(story())
    assert served.batches == [[1, 2]]


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_there_are_never_more_batches_under_way_than_lanes(lanes: int):
    served = Served()
    asyncio.run(asked(Gather(served, most=2, lanes=lanes), range(40)))
    assert served.most_running == lanes


def test_a_second_lane_is_for_a_crowd():
    served = Served()

    async def story() -> None:
        gather: Gather[int, int] = Gather(served, most=100, lanes=2)
        first = asyncio.create_task(gather(0))
        await asyncio.sleep(0.001)
        await asyncio.gather(first, *(gather(n) for n in range(1, CROWD)))
        first = asyncio.create_task(gather(0))
        await asyncio.sleep(0.001)
        await asyncio.gather(first, *(gather(n) for n in range(1, CROWD + 1)))

    asyncio.run(story())
    assert [len(batch) for batch in served.batches] == [1, CROWD - 1, 1, CROWD]
    assert served.most_running == 2


def test_what_is_late_holds_up_nobody_who_comes_after_it():
    ended = asyncio.Event()

    async def serve(wanted: list[int]) -> list[int]:
        if 0 in wanted:
            await ended.wait()
        return wanted

    async def story() -> None:
        gather: Gather[int, int] = Gather(serve, most=10)
        stuck = asyncio.create_task(gather(0))
        await asyncio.sleep(0.01)
        assert await asyncio.wait_for(gather(1), 20 * LATE) == 1
        assert await asyncio.wait_for(gather(2), 20 * LATE) == 2
        ended.set()
        assert await stuck == 0
        assert await gather(3) == 3

    asyncio.run(story())


def test_who_comes_as_the_last_leave_is_served():
    async def serve(wanted: list[int]) -> list[int]:
        return wanted

    async def story() -> None:
        gather: Gather[int, int] = Gather(serve, most=1)
        for n in range(50):
            assert await asyncio.wait_for(gather(n), 1) == n

    asyncio.run(story())


def test_who_is_refused_is_refused_alone():
    async def serve(wanted: list[int]) -> list[int | BaseException]:
        return [ValueError(str(n)) if n % 2 else n for n in wanted]

    answers = asyncio.run(asked(Gather(serve, most=10), range(4)))
    assert [type(one) for one in answers] == [int, ValueError, int, ValueError]
    assert [str(one) for one in answers] == ["0", "1", "2", "3"]


def test_who_is_answered_later_holds_up_nobody():
    async def later(n: int) -> int:
        await asyncio.sleep(0.05)
        if n == 3:
            raise ValueError("three")
        return 10 * n

    async def serve(wanted: list[int]) -> list[int | asyncio.Task[int]]:
        return [asyncio.create_task(later(n)) if n % 2 else n for n in wanted]

    async def story() -> None:
        gather: Gather[int, int] = Gather(serve, most=10)
        asking = [asyncio.create_task(gather(n)) for n in range(4)]
        await asyncio.sleep(0.01)
        assert [one.done() for one in asking] == [True, False, True, False]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert answers[:3] == [0, 10, 2]
        assert isinstance(answers[3], ValueError)

    asyncio.run(story())


def test_a_batch_that_fails_fails_for_all_of_it_and_for_nobody_else():
    async def serve(wanted: list[int]) -> list[int]:
        if 3 in wanted:
            raise ConnectionError("gone")
        return wanted

    answers = asyncio.run(asked(Gather(serve, most=2), range(6)))
    assert [isinstance(one, ConnectionError) for one in answers] == [False, False, True, True, False, False]


def test_others_are_served_when_somebody_has_gone():
    served = Served()

    async def story() -> int:
        gather: Gather[int, int] = Gather(served, most=10)
        leaver = asyncio.create_task(gather(1))
        stayer = asyncio.create_task(gather(2))
        await asyncio.sleep(0.005)
        leaver.cancel()
        assert await stayer == 4
        return await gather(3)

    assert asyncio.run(story()) == 6
