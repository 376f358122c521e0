"""Percentiles, rates and processor time are what their definitions say."""

import pytest

from bench.measurement import Cpu, Figures, Memory, Samples, measurement, percentile


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([1], 50, 1),
        ([1], 99, 1),
        ([1, 2, 3, 4], 50, 2),
        ([1, 2, 3, 4, 5], 50, 3),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 11)), 95, 10),
        ([1, 2, 3], 0, 1),
        ([1, 2, 3], 100, 3),
    ],
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values, q, expected):
    assert percentile(values, q) == expected


def test_figures_are_milliseconds_of_values_in_any_order():
    assert Figures.of([0.003, 0.001, 0.002]) == Figures(3, 2.0, 3.0, 3.0)
    assert Figures.of([]) == Figures(0, 0.0, 0.0, 0.0)


def samples() -> Samples:
    found = Samples(seconds=2.0, cpu=Cpu(0.3, 0.1, 0.05))
    for _ in range(90):
        found.add("read", 0.01, "")
    for _ in range(10):
        found.add("transaction", 0.2, "", units=11)
    found.add("read", 5.0, "404")
    return found


def test_a_wrong_answer_counts_as_an_error_and_in_nothing_else():
    row = measurement("w", "n", 4, samples(), Memory(100, 120))
    assert row.errors == 1
    assert row.faults == ("1 x read: 404",)
    assert row.all.count == 100
    assert row.labels["read"] == Figures(90, 10.0, 10.0, 10.0)


def test_rates_and_processor_time_are_of_units():
    row = measurement("w", "n", 4, samples(), Memory())
    assert row.rate == 100.0
    assert (row.server_ms, row.database_ms, row.load_ms) == pytest.approx((1.5, 0.5, 0.25))
    assert row.cpu_ms == pytest.approx(2.0)


def test_a_row_is_compared_with_the_floor_where_there_is_one():
    floor = Samples(units=800, seconds=2.0, cpu=Cpu(0.2, 0.2, 9.0))
    row = measurement("w", "n", 4, samples(), Memory(), floor=floor)
    assert (row.floor, row.floor_ms, row.of_floor) == (400.0, 0.5, 0.25)
    assert measurement("w", "n", 4, samples(), Memory()).of_floor == 0.0


def test_a_row_without_a_right_answer_has_figures_too():
    row = measurement("w", "n", 4, Samples(), Memory())
    assert (row.rate, row.errors, row.all.count) == (0.0, 0, 0)


def test_stretches_of_processor_time_add_up():
    assert Cpu(3, 2, 1) - Cpu(1, 1, 1) + Cpu(1, 0, 0) == Cpu(3, 1, 0)
