"""How many processors there are for a server, in a container and outside."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhir_server.processors import Shares, allowed, keep_to, kept_to, one_each, processors
from fhir_server.settings import MOST_PROCESSES, Settings

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 1),
        ("99900000 100000", None),
        ("nonsense", None),
        ("1 0", None),
        ("", None),
    ],
)
def test_a_containers_quota_counts_and_never_less_than_one(tmp_path: Path, text: str, granted: int | None):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert processors(quota) == (granted or ALL)


def test_without_control_groups_it_is_what_the_process_may_use(tmp_path: Path):
    assert processors(tmp_path / "missing") == ALL


def test_the_server_takes_as_many_processes_as_it_is_told_else_one_for_each_processor():
    assert Settings(workers=3).processes == 3
    assert Settings(workers=0).processes == min(MOST_PROCESSES, processors())


def test_connections_of_all_processes_fit_into_what_postgresql_allows_by_default():
    assert Settings(workers=MOST_PROCESSES).connections <= 97  # of 100 three are for superusers


@pytest.mark.parametrize(
    ("found", "processes", "shared"),
    [
        ((0, 1), 2, (0, 1)),
        ((2, 5), 4, (2, 5)),
        ((0, 1), 1, ()),  # the other processor would be idle
        ((0, 1), 3, ()),  # one would have twice the work
        ((0, 1, 2, 3), 2, ()),
        ((0,), 1, ()),
        ((0,), 2, ()),
        ((), 2, ()),
    ],
)
def test_processors_are_shared_out_where_all_get_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[int, ...], processes: int, shared: tuple[int, ...]
):
    monkeypatch.setattr("fhir_server.processors.allowed", lambda: found)
    assert one_each(processes, tmp_path / "missing") == shared


def test_a_container_with_a_quota_keeps_to_no_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fhir_server.processors.allowed", lambda: (0, 1, 2, 3))
    quota = tmp_path / "cpu.max"
    quota.write_text("200000 100000")
    assert one_each(4, quota) == one_each(2, quota) == ()


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fhir_server.settings.one_each", lambda processes: tuple(range(processes)))
    assert Settings(workers=4).own_processors == (0, 1, 2, 3)
    assert Settings(workers=4, pin=False).own_processors == ()


def test_each_process_gets_the_processor_that_fewest_have():
    shares = Shares((4, 7))
    assert [shares.take() for _ in range(4)] == [4, 7, 4, 7]
    shares.give_back(7)
    assert shares.take() == 7


def test_a_process_that_begins_before_the_other_ends_has_its_processor():
    shares = Shares((0, 1))
    given = [shares.take(), shares.take()]
    for _ in range(3):  # restarts of all, one after the other
        for place, old in enumerate(given):
            given[place] = shares.take()
            shares.give_back(old)
        assert given == [0, 1]


def test_where_there_is_nothing_to_share_out_each_runs_anywhere():
    shares = Shares(())
    assert shares.take() is None
    shares.give_back(None)


@pytest.mark.skipif(not allowed(), reason="the system does not tell where a thread may run")
def test_who_keeps_to_a_processor_runs_there_alone_and_nobody_else():
    def on_thread() -> tuple[tuple[int, ...], int | None]:
        keep_to(allowed()[-1])
        return allowed(), kept_to()

    before = allowed()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(on_thread).result() == ((before[-1],), before[-1])
    assert (allowed(), kept_to()) == (before, None)


@pytest.mark.skipif(not allowed(), reason="the system does not tell where a thread may run")
def test_a_processor_that_was_taken_away_is_told_and_everywhere_else_is_good(caplog: pytest.LogCaptureFixture):
    before, gone = allowed(), allowed()[-1] + 1000
    with caplog.at_level(logging.WARNING, "mediconnect"):
        keep_to(gone)
    assert (allowed(), kept_to()) == (before, None)
    assert f"processor {gone} cannot be kept to" in caplog.text
