"""Batches of what is wanted at once: sizes, order, and who is told of which failure."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fhir_server.store.gather import ENOUGH, LATE, Gather

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


@pytest.mark.parametrize(("rounds", "batches"), [(9, [[0, 1, 2], [0, 1, 2]]), (1, [[0, 1, 2], [0], [1, 2]])])
def test_who_was_there_when_the_last_was_answered_is_waited_for_some_rounds(rounds: int, batches: list[list[int]]):
    served = Served()

    async def story() -> None:
        gather: Gather[int, int] = Gather(served, most=100, rounds=rounds)

        async def twice(one: int) -> None:
            await gather(one)
            for _ in range(3 * one):
                await asyncio.sleep(0)
            await gather(one)

        await asyncio.gather(*map(twice, range(3)))

    asyncio.run(story())
    assert served.batches == batches


def test_who_is_alone_waits_for_nobody():
    served = Served()

    async def story() -> list[int]:
        gather: Gather[int, int] = Gather(served, most=100, rounds=1000)
        await asked(gather, range(5))
        await gather(5)  # for whom the other four do not come again
        waited = []
        for n in (6, 7):
            asking = asyncio.create_task(gather(n))
            for rounds in itertools.count():
                await asyncio.sleep(0)
                if [n] in served.batches:
                    waited.append(rounds)
                    break
            await asking
        return waited

    assert max(asyncio.run(story())) < 5


def test_who_fill_a_batch_wait_for_nobody():
    rounds = 0
    began: list[int] = []

    async def serve(wanted: list[int]) -> list[int]:
        began.append(rounds)
        return wanted

    async def story() -> None:
        nonlocal rounds
        asking = asyncio.create_task(asked(Gather(serve, most=4, rounds=1000), range(8)))
        while not asking.done():
            rounds += 1
            await asyncio.sleep(0)

    asyncio.run(story())
    assert len(began) == 2
    assert began[1] - began[0] < 5


def test_there_is_one_batch_under_way():
    served = Served()
    asyncio.run(asked(Gather(served, most=2), range(40)))
    assert served.most_running == 1


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
