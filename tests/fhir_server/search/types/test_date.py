"""https://hl7.org/fhir/R4/search.html#date"""

from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.types.date import column_condition, span
from tests.fhir_server.search.types.asking import found, parsed

SPANS = [
    ("2013", "2013-01-01T00:00:00", "2014-01-01T00:00:00"),
    ("2013-12", "2013-12-01T00:00:00", "2014-01-01T00:00:00"),
    ("2012-02", "2012-02-01T00:00:00", "2012-03-01T00:00:00"),
    ("2012-02-28", "2012-02-28T00:00:00", "2012-02-29T00:00:00"),
    ("2013-01-14T10:00", "2013-01-14T10:00:00", "2013-01-14T10:01:00"),
    ("2013-01-14T10:00:30", "2013-01-14T10:00:30", "2013-01-14T10:00:31"),
    ("2013-01-14T10:00:30Z", "2013-01-14T10:00:30", "2013-01-14T10:00:31"),
    ("2013-01-14T10:00:30.5Z", "2013-01-14T10:00:30.500000", "2013-01-14T10:00:30.600000"),
    ("2013-01-14T10:00:30.123Z", "2013-01-14T10:00:30.123000", "2013-01-14T10:00:30.124000"),
    ("2013-01-14T10:00:30.1234567Z", "2013-01-14T10:00:30.123456", "2013-01-14T10:00:30.123457"),
    ("2013-01-14T00:30:00+02:00", "2013-01-13T22:30:00", "2013-01-13T22:30:01"),
    ("2013-12-31T23:30:00-05:00", "2014-01-01T04:30:00", "2014-01-01T04:30:01"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00", "2017-01-01T00:00:01"),
]


@pytest.mark.parametrize(("text", "low", "high"), SPANS)
def test_a_date_is_the_range_of_its_precision_in_utc(text: str, low: str, high: str) -> None:
    made = span(text)
    assert made is not None
    assert [one.removesuffix("+00:00").removesuffix(".000000") for one in made] == [low, high]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2013-01-14T10:00:30+24:00", "2013-01-13T10:00:30Z"),
        ("2013-01-14T10:00:30-99:99", "2013-01-18T14:39:30Z"),
        ("2013-01-14T10:00:60.25+01:30", "2013-01-14T08:31:00.25Z"),
        ("2013-01-14T10:00:30-00:00", "2013-01-14T10:00:30Z"),
    ],
)
def test_zones_and_seconds_that_no_clock_shows_are_counted_on(text: str, same: str) -> None:
    assert span(text) == span(same) != None  # noqa: E711 - neither of the two is None


@pytest.mark.parametrize("text", ["2013-01-14T24:00:00Z", "2013-01-14T10:61:00Z", "2013-02-29T10:00:00Z"])
def test_a_time_that_does_not_exist_is_none(text: str) -> None:
    assert span(text) is None


def test_the_first_and_last_years_reach_to_infinity() -> None:
    assert span("9999") == ("9999-01-01T00:00:00.000000+00:00", "infinity")
    assert span("0001-01-01T00:00:00+14:00") == ("-infinity", "-infinity")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "13",
        "2013-13",
        "2013-02-30",
        "2013-01-14T10",
        "2013-01-14T25:00",
        "2013-1-1",
        "0000",
        "2013-01-14 ",
        "二〇一三",
    ],
)
def test_what_is_no_date_has_no_range(text: str) -> None:
    assert span(text) is None


def at(value: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "effectiveDateTime": value}


def during(start: str | None, end: str | None) -> dict[str, Any]:
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    return {"resourceType": "Observation", "effectivePeriod": period}


# The first block is the table of search.html#date; the second the table of search.html#prefix, worked by hand.
CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("eq2013-01-14", at("2013-01-14T00:00:00Z"), True),
    ("eq2013-01-14", at("2013-01-14T10:00:00Z"), True),
    ("eq2013-01-14", at("2013-01-15T00:00:00Z"), False),
    ("ne2013-01-14", at("2013-01-15T00:00:00Z"), True),
    ("ne2013-01-14", at("2013-01-14T00:00:00Z"), False),
    ("ne2013-01-14", at("2013-01-14T10:00:00Z"), False),
    ("lt2013-01-14T10:00", at("2013-01-14"), True),
    ("gt2013-01-14T10:00", at("2013-01-14"), True),
    ("ge2013-03-14", during("2013-01-21", None), True),
    ("le2013-03-14", during("2013-01-21", None), True),
    ("sa2013-03-14", during("2013-03-15", None), True),
    ("sa2013-03-14", during("2013-01-21", None), False),
    ("sa2013-03-14", during(None, "2013-01-21"), False),
    ("eb2013-03-14", during("2013-03-15", None), False),
    ("eb2013-03-14", during("2013-01-21", None), False),
    ("eb2013-03-14", during(None, "2013-01-21"), True),
    ("ap2013-03-14", at("2013-03-14"), True),
    ("ap2013-03-14", at("2013-01-21"), True),
    ("ap2013-03-14", at("2015-06-15"), False),
    # eq: the search range contains the target's
    ("2013", at("2013-06"), True),
    ("2013-06", at("2013"), False),
    ("2013-06", during("2013-06-01", "2013-06-30"), True),
    ("2013-06", during("2013-06-01", "2013-07-01"), False),
    ("2013-06", during("2013-06-01", None), False),
    ("2013-06-01T00:00:00+02:00", at("2013-05-31T22:00:00Z"), True),
    ("2013-06-01T00:00:00 02:00", at("2013-05-31T22:00:00Z"), True),
    ("2013-06-01", at("2013-05-31T23:59:59.999Z"), False),
    # each precision on both sides: a year, a month, a day, a minute, a second, a fraction
    ("2013", at("2013"), True),
    ("2013", at("2013-12-31T23:59:59.999Z"), True),
    ("2013", at("2014-01-01T00:00:00Z"), False),
    ("2013-02", at("2013-02-28T23:59:59Z"), True),
    ("2013-02-28", at("2013-02"), False),
    ("2012-02-29", at("2012-02-29T12:00:00Z"), True),
    ("2013-06-01T10:00Z", at("2013-06-01T10:00:59.9Z"), True),
    ("2013-06-01T10:00Z", at("2013-06-01T10:01:00Z"), False),
    ("2013-06-01T10:00:00Z", at("2013-06-01T10:00:00.999Z"), True),
    ("2013-06-01T10:00:00Z", at("2013-06-01T10:00:01Z"), False),
    ("2013-06-01T10:00:00.5Z", at("2013-06-01T10:00:00.599Z"), True),
    ("2013-06-01T10:00:00.50Z", at("2013-06-01T10:00:00.599Z"), False),
    ("2013-06-01T10:00:00.500Z", at("2013-06-01T10:00:00Z"), False),
    ("2013-06-01T10:00:00Z", at("2013-06-01"), False),
    ("gt2013-06-01T10:00:00Z", at("2013-06-01T10:00:00.5Z"), False),
    ("gt2013-06-01T10:00:00.000Z", at("2013-06-01T10:00:00.500Z"), True),
    ("ge2013-06-01T10:00:00Z", at("2013-06-01T10:00:00.5Z"), True),
    ("lt2013-06-01T10:00:00.500Z", at("2013-06-01T10:00:00.499Z"), True),
    ("sa2013-06-01T10:00Z", at("2013-06-01T10:01:00Z"), True),
    ("eb2013-06-01T10:00Z", at("2013-06-01T09:59:59Z"), True),
    # zones on both sides; half an hour, and over the ends of days and years
    ("2013-06-01", at("2013-06-01T01:00:00+02:00"), False),
    ("2013-05-31", at("2013-06-01T01:00:00+02:00"), True),
    ("2014", at("2013-12-31T20:00:00-05:00"), True),
    ("2013", at("2013-12-31T20:00:00-05:00"), False),
    ("2013-06-01T10:00:00+05:30", at("2013-06-01T04:30:00Z"), True),
    ("2013-06-01T10:00:00-03:00", at("2013-06-01T15:00:00+02:00"), True),
    ("gt2013-06-01T00:30:00+01:00", at("2013-05-31T23:30:00Z"), False),
    ("gt2013-06-01T00:30:00+01:00", at("2013-05-31T23:30:01Z"), True),
    ("lt2013-06-01T00:30:00+01:00", at("2013-05-31T23:29:59Z"), True),
    ("2013-06-01T10:00:00", at("2013-06-01T10:00:00Z"), True),
    # ne: it does not
    ("ne2013-06", at("2013"), True),
    ("ne2013", at("2013-06"), False),
    ("ne2013-06", during("2013-06-01", "2013-07-01"), True),
    # gt and lt: the target reaches beyond the search range
    ("gt2013-06", at("2013-06-30"), False),
    ("gt2013-06", at("2013-07-01"), True),
    ("gt2013-06", at("2013"), True),
    ("gt2013-06", during("2013-06-30", "2013-07-01"), True),
    ("gt2013-06", during(None, "2013-06-30"), False),
    ("gt2013-06", during("2010", None), True),
    ("lt2013-06", at("2013-05-31"), True),
    ("lt2013-06", at("2013-06-01"), False),
    ("lt2013-06", at("2013"), True),
    ("lt2013-06", during("2013-05-31", None), True),
    ("lt2013-06", during("2013-06-01", None), False),
    # ge and le: the target reaches into the search range, or beyond it
    ("ge2013-06", at("2013-06-01"), True),
    ("ge2013-06", at("2013-06"), True),
    ("ge2013-06", at("2013-05-31"), False),
    ("ge2013-06", at("2014"), True),
    ("ge2013-06", during("2013-05-01", "2013-06-15"), True),
    ("le2013-06", at("2013-06-30"), True),
    ("le2013-06", at("2013-07-01"), False),
    ("le2013-06", at("2012"), True),
    ("le2013-06", during("2013-06-15", "2013-07-15"), True),
    # sa and eb: wholly after, wholly before
    ("sa2013-06", at("2013-07-01"), True),
    ("sa2013-06", at("2013-06-30T23:59:59Z"), False),
    ("sa2013-06", at("2013"), False),
    ("eb2013-06", at("2013-05-31T23:59:59Z"), True),
    ("eb2013-06", at("2013-06-01"), False),
    ("eb2013-06", at("2013"), False),
    # ap: a tenth of the distance from now (2024-01-01), here about 384 days, at both ends
    ("ap2013-06", at("2012-05-14"), True),
    ("ap2013-06", at("2012-05-12"), False),
    ("ap2013-06", at("2014-07"), True),
    ("ap2013-06", at("2014-08"), False),
    ("ap2024-01-01", at("2024-01-01T12:00:00Z"), True),
    ("ap2024-01-01", at("2024-01-02"), False),
    ("ap2034-01-01", at("2033-01-01"), True),
    ("ap2034-01-01", at("2032-12-30"), False),
]


@pytest.mark.parametrize(("query", "resource", "expected"), CASES)
def test_a_prefix_compares_ranges_as_the_specification_says(
    query: str, resource: dict[str, Any], expected: bool
) -> None:
    assert found(resource, "date=" + query) is expected


TIMINGS = [
    ({"event": ["2013-01-31", "2013-03-24"]}, "2013-02-01", False),
    ({"event": ["2013-01-31", "2013-03-24"]}, "2013", True),
    ({"event": ["2013-01-31", "2013-03-24"]}, "ge2013-03", True),
    ({"event": ["2013-01-31", "2013-03-24"]}, "sa2013-01-30", True),
    ({"repeat": {"boundsPeriod": {"start": "2013-01-31", "end": "2013-03-24"}}}, "ap2013-02-01", True),
    ({"repeat": {"boundsPeriod": {"start": "2013-01-31"}}}, "gt2020", True),
    ({"repeat": {"frequency": 1}}, "ne2013", False),
]


@pytest.mark.parametrize(("timing", "query", "expected"), TIMINGS)
def test_of_a_timing_only_the_outer_limits_count(timing: dict[str, Any], query: str, expected: bool) -> None:
    assert found({"resourceType": "Observation", "effectiveTiming": timing}, "date=" + query) is expected


@pytest.mark.parametrize(
    "resource",
    [
        during("2014", "2013"),
        during("soon", None),
        during(None, None),
        at("soon"),
        {"resourceType": "Observation", "effectivePeriod": []},
    ],
)
def test_a_value_that_is_no_range_of_time_is_not_found(resource: dict[str, Any]) -> None:
    assert not found(resource, "date=ne1900")


@pytest.mark.parametrize("text", ["soon", "xx2013", "2013-13", "gt", "2013-01-01T10", "2013-1-1", ""])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Patient", "birthdate=" + text)
    assert refused.value.status == 400


def test_a_modifier_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Refusal, match=":missing"):
        parsed("Patient", "birthdate:exact=2013")


def test_a_column_of_instants_is_compared_without_index_rows() -> None:
    _, _, value = parsed("Patient", "_lastUpdated=gt2013-01")
    condition = column_condition(value, "r.updated")
    assert (condition.text, condition.parameters) == (
        "r.updated >= %s::timestamptz",
        ("2013-02-01T00:00:00.000000+00:00",),
    )
