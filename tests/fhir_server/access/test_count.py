"""Counts within a sliding window are those of all processes together.

https://limits.readthedocs.io/en/stable/strategies.html#sliding-window-counter
"""

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from fhir_server.access import count
from fhir_server.access.count import Counts

NOW = 1_000_000.0 * 60  # a span of a minute begins


@pytest.fixture
def clock(monkeypatch):
    moment = [NOW]
    monkeypatch.setattr(count.time, "time", lambda: moment[0])
    return moment


def taken(counts: Counts, most: int = 10) -> int:
    return sum(counts.acquire_sliding_window_entry("k", most, 60) for _ in range(2 * most))


def test_no_more_than_the_limit_is_let_through_in_a_window(clock):
    counts = Counts()
    assert taken(counts) == 10
    clock[0] += 59
    assert taken(counts) == 0
    clock[0] += 31  # the window reaches half of the span before
    assert taken(counts) == 5
    clock[0] += 120
    assert taken(counts) == 10


@pytest.mark.parametrize("later", [0, 20, 59])
def test_who_waits_as_long_as_told_is_let_through(clock, later):
    counts = Counts()
    clock[0] += later
    assert counts.wait("k", 10, 60) == 0
    taken(counts)
    for _ in range(3):
        wait = counts.wait("k", 10, 60)
        assert 0 < wait <= 120
        clock[0] += wait + 0.001
        assert counts.acquire_sliding_window_entry("k", 10, 60)
        assert not counts.acquire_sliding_window_entry("k", 10, 60)


def test_what_others_counted_is_added(clock):
    one, other = Counts(), Counts()
    assert sum(one.acquire_sliding_window_entry("k", 10, 60) for _ in range(7)) == 7
    told = one.untold()
    for row in told:
        other.hear(1, *row)
        other.hear(1, *row)  # again, as rows are read twice
    one.told(told)
    assert one.untold() == []
    assert taken(other) == 3


def test_counts_that_are_too_low_to_matter_are_not_told(clock):
    counts = Counts()
    for _ in range(9):
        counts.acquire_sliding_window_entry("k", 1000, 60)
    assert counts.untold() == []
    counts.acquire_sliding_window_entry("k", 1000, 60)
    assert [row[2] for row in counts.untold()] == [10]


def test_memory_is_bounded_and_high_counts_are_kept(clock, monkeypatch):
    monkeypatch.setattr(count, "MOST", 100)
    counts = Counts()
    assert taken(counts) == 10
    for n in range(1000):
        counts.acquire_sliding_window_entry(f"k{n}", 10, 60)
    assert counts.reset() <= 101
    assert taken(counts) == 10


def test_high_counts_outlive_a_flood_of_names(clock, monkeypatch):
    monkeypatch.setattr(count, "MOST", 100)
    counts = Counts()
    taken(counts)
    for n in range(1000):
        counts.acquire_sliding_window_entry(f"k{n}", 10, 60)
    assert taken(counts) == 0


def test_the_library_knows_it_as_a_storage():
    storage = storage_from_string("mediconnect://")
    limiter = SlidingWindowCounterRateLimiter(storage)
    limit = parse("2/minute")
    assert [limiter.hit(limit, "a") for _ in range(3)] == [True, True, False]
    assert not limiter.test(limit, "a")
    assert limiter.get_window_stats(limit, "a").remaining == 0
    limiter.clear(limit, "a")
    assert limiter.test(limit, "a")
    assert storage.check()
    assert storage.incr("b/1", 60, 3) == storage.get("b/1") == 3
    assert storage.get_expiry("b/1") == 180
    storage.clear("b/1")
    assert storage.get("b/1") == 0
