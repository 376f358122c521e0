"""Dates and times: what exists, in which order, moved by what."""

from decimal import Decimal

import pytest

from profiles.fhirpath.temporal import Temporal


def moment(text: str) -> Temporal:
    kind = "Time" if text.startswith("T") else "DateTime" if "T" in text else "Date"
    value = Temporal.parse(text, kind)
    assert value is not None
    return value


@pytest.mark.parametrize(
    "text", ["2020", "2020-02", "2020-02-29", "2020-02-29T10:00:00.000Z", "2020-01-01T00:00:00-05:30"]
)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    assert str(moment(text)) == text


@pytest.mark.parametrize("text", ["2020-13", "2021-02-29", "2020-01-01T25:00", "20", "2020-1-1", "2020-01-01T10:61"])
def test_there_is_no_such_date(text: str) -> None:
    assert Temporal.parse(text, "DateTime") is None


@pytest.mark.parametrize(
    ("one", "two", "order"),
    [
        ("2020", "2021", -1),
        ("2020", "2020-01", None),
        ("2020-01-02", "2020-01-01T10:00:00Z", 1),
        ("2020-01-01", "2020-01-01T10:00:00Z", None),
        ("2020-01-01T10:00:00", "2020-01-01T10:00:00.000", 0),
        ("2020-01-01T10:00:00Z", "2020-01-01T12:00:00+02:00", 0),
        ("2020-01-01T10:00:00Z", "2020-01-01T10:00:00", None),
        ("2020-01-03T10:00:00Z", "2020-01-01T10:00:00", 1),
        ("2020-01-01T23:30:00-01:00", "2020-01-02T00:29:59Z", 1),
        ("T10:00", "T10:00:00", None),
        ("T09:59", "T10:00:00", -1),
    ],
)
def test_order_depends_on_precision_and_offset(one: str, two: str, order: int | None) -> None:
    assert moment(one).compare(moment(two)) == order
    assert moment(two).compare(moment(one)) == (None if order is None else -order)


@pytest.mark.parametrize(
    ("start", "amount", "unit", "result"),
    [
        ("2020-01-31", "1", "month", "2020-02-29"),
        ("2020-02-29", "1", "year", "2021-02-28"),
        ("2020", "24", "month", "2022"),
        ("2020", "25", "month", "2022"),
        ("2020-03", "365", "day", "2021-03"),
        ("2020-03-01", "-1", "day", "2020-02-29"),
        ("2020-03-01", "1.9", "day", "2020-03-02"),
        ("2020-03-01", "23", "hour", "2020-03-01"),
        ("2020-12-31T23:59:59.5Z", "1.5", "second", "2021-01-01T00:00:01.0Z"),
        ("2020-01-01T00:00:00Z", "1", "millisecond", "2020-01-01T00:00:00.001Z"),
        ("T23:30", "45", "minute", "00:15"),
        ("9999-12-31", "1", "day", None),
        ("2020-01-01", "99999999999999999999", "year", None),
    ],
)
def test_a_date_is_moved_in_its_own_precision(start: str, amount: str, unit: str, result: str | None) -> None:
    moved = moment(start).plus(Decimal(amount), unit)
    assert (None if moved is None else str(moved)) == result


def test_boundaries_fill_what_is_missing() -> None:
    assert str(moment("2020-02").boundary(None, high=True)) == "2020-02-29"
    assert str(moment("2020T").boundary(None, high=False)) == "2020-01-01T00:00:00.000+14:00"
    assert str(moment("2020-01-01T08").boundary(17, high=True)) == "2020-01-01T08:59:59.999-12:00"
    assert moment("2020").boundary(5, high=True) is None
