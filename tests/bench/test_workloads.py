"""How long a row is measured, and in how many turns with the floor: docs/performance.md, Method."""

import asyncio

import pytest

from bench import workloads
from bench.client import Target
from bench.load import Client, Trial
from bench.server import Server
from bench.workloads import Options, Pace, Run


async def nothing(client: Client) -> None:
    """A scenario that is never run."""


def measured(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> tuple[Trial, int]:
    seen: list[tuple[Trial, int]] = []

    async def beside(trial: Trial, rounds: list[object], *_: object) -> None:
        seen.append((trial, len(rounds)))

    monkeypatch.setattr(workloads, "beside", beside)
    run = Run(Options(), Server(Target("http://127.0.0.1")), tell=lambda _: None)
    asyncio.run(workloads._repeated(run, "crud", "a chain", 16, nothing, pace=pace))
    return seen[0]


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_turns_make_stretches_shorter_but_no_more_time(monkeypatch: pytest.MonkeyPatch, turns: int):
    trial, stretches = measured(monkeypatch, Pace(turns=turns))
    assert stretches == 2 * turns
    assert trial.plan.seconds * stretches == 6.0
    assert trial.plan.floor_seconds * stretches == 3.0
    assert trial.plan.warm == (1.0 if turns == 1 else 0.5)


def test_what_has_to_be_planned_first_is_warmed_up_longer(monkeypatch: pytest.MonkeyPatch):
    trial, _ = measured(monkeypatch, Pace(ahead=3))
    assert (trial.plan.warm, trial.plan.seconds) == (3.0, 3.0)


def test_a_longer_row_leaves_the_floor_its_time(monkeypatch: pytest.MonkeyPatch):
    trial, stretches = measured(monkeypatch, Pace(9.0))
    assert (stretches, trial.plan.seconds, trial.plan.floor_seconds) == (2, 9.0, 1.5)
