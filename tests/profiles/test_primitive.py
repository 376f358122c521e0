import datetime as dt
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.definitions import r4
from profiles.primitive import MAX_STRING, PRIMITIVES, fault

ZONED = "2015-02-07T13:28:17"
RIGHT = {
    "boolean": [True, False],
    "integer": [0, -1, 2**31 - 1, -(2**31)],
    "unsignedInt": [0, 2**31 - 1],
    "positiveInt": [1, 2**31 - 1],
    "decimal": [0, -1, 10**30, Decimal("0.010"), Decimal("1E-8"), Decimal("-0")],
    "string": ["x", " ", "é\u00a0\u2003", "a\tb\r\nc", "𝄞", "\u200b", "x" * MAX_STRING],
    "markdown": ["# a\n\n* b"],
    "uri": ["urn:oid:1.2", "http://example.org/é", "x", "a#b?c|1", "http://example.org/" + "x" * 5000],
    "url": ["http://example.org"],
    "canonical": ["http://example.org/a|1.0#b"],
    "code": ["a", "a b", "4.0.1", "ø-1", "<=", "a b c"],
    "id": ["a", "A-1.b", "0", "x" * 64],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.16.840.1.113883"],
    "uuid": ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
    "base64Binary": ["AAAA", "AAA=", "AA==", "AAAA\nAAAA", " AAAA ", "AA AA", "+/9A"],
    "date": ["2015", "2015-02", "2015-02-28", "2016-02-29", "2000-02-29", "0001-01-01", "9999-12-31", "0004-02-29"],
    "dateTime": [
        *("2015", "2015-02", "2015-02-07", f"{ZONED}Z", f"{ZONED}+00:00", f"{ZONED}-05:00", f"{ZONED}.239+14:00"),
        *("2016-12-31T23:59:60Z", "2015-02-07T00:00:00-00:00", f"{ZONED}.123456789Z"),
    ],
    "instant": [f"{ZONED}Z", f"{ZONED}.1+13:59"],
    "time": ["00:00:00", "23:59:60", "14:35:45.123"],
}
WRONG = {
    "boolean": [0, 1, "true", None],
    "integer": [2**31, -(2**31) - 1, True, Decimal(1), Decimal("1.0"), "1"],
    "unsignedInt": [-1, 2**31, False],
    "positiveInt": [0, -1, 2**31],
    "decimal": ["1", True, None, [1]],
    "string": ["", "a\x00", "\x1b[0m", "a\x0bb", "x" * (MAX_STRING + 1), 1, True],
    "markdown": ["", "\x08"],
    "uri": ["", " ", "a b", "http://example.org\n", "\ta"],
    "url": ["http://example.org/a b"],
    "canonical": ["", "a |1"],
    "code": ["", " a", "a ", "a  b", "a\tb", "a\n"],
    "id": ["", "a_b", "a/b", "x" * 65, "é", "a\n"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:"],
    "uuid": ["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:C757873D-ec9a-4326-a141-556f43239520", "urn:uuid:x"],
    "base64Binary": ["", "A", "AAA", "A===", "AA=A", "AAA*", "====A", "ÄAAA", "    "],
    "date": [
        *(
            "",
            "15",
            "2015-13",
            "2015-00",
            "2015-2",
            "2015-02-30",
            "2015-02-29",
            "1900-02-29",
            "2015-04-31",
            "0000-01-01",
        ),
        *("2015-02-07T10:00:00Z", "2015-02-07\n", "٢٠١٥", "20150207"),
    ],
    "dateTime": [
        *(ZONED, "2015-02-07T13:28Z", "2015-02-07T24:00:00Z", "2015-02-07 13:28:17Z", f"{ZONED}+15:00", f"{ZONED}z"),
        *("2015-02-30T00:00:00Z", "2015-02T10:00:00Z", f"{ZONED}.Z", "0000", "2015-02-07T13:60:00Z"),
    ],
    "instant": ["2015", "2015-02-07", ZONED, "2015-02-29T00:00:00Z"],
    "time": ["24:00:00", "14:35", "14:35:45Z", "1:00:00", ""],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values], ids=ascii
)
def test_a_right_value_has_no_fault(name, value):
    assert fault(PRIMITIVES[name], value) is None
    assert fault(PRIMITIVES[name], value) is None, "nor when it is seen again"


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values], ids=ascii
)
def test_a_wrong_value_has_a_fault_that_can_be_read(name, value):
    text = fault(PRIMITIVES[name], value)
    assert text
    assert text.isprintable()
    assert len(text) < 300


def test_every_primitive_type_of_the_definitions_has_its_rules():
    assert {*PRIMITIVES, "xhtml"} == {*r4().primitive_types}
    assert set(RIGHT) == set(WRONG) == set(PRIMITIVES)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("dateTime", ZONED, f"'{ZONED}' has a time without a time zone: add Z or an offset such as +02:00"),
        ("date", "2015-02-30", "'2015-02-30' is no date: 2015-02-30 does not exist"),
        ("date", "7.2.2015", "'7.2.2015' is not of the form YYYY, YYYY-MM or YYYY-MM-DD"),
        ("string", "", "'' is an empty string; leave the element out"),
        ("string", "a\x07", "'a�' holds the control character U+0007"),
        ("code", " a", "' a' is no code: it has white space at its start or end, or other than single spaces inside"),
        ("uri", "a b", "'a b' has white space inside, which a uri never has"),
        ("positiveInt", 0, "0 is not between 1 and 2147483647"),
        ("boolean", "true", "'true' is a string; a boolean is a JSON boolean"),
        ("string", {}, "this is an object; a string is a JSON string"),
        ("decimal", "1", "'1' is a string; a decimal is a JSON number"),
    ],
)
def test_a_fault_says_what_is_expected(name, value, text):
    assert fault(PRIMITIVES[name], value) == text


@given(st.dates(min_value=dt.date(1, 1, 1)))
def test_every_day_of_the_calendar_is_a_date(day):
    assert fault(PRIMITIVES["date"], day.isoformat()) is None


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_no_other_day_is_a_date(year, month, day):
    try:
        dt.date(year, month, day)
    except ValueError:
        assert fault(PRIMITIVES["date"], f"{year:04}-{month:02}-{day:02}")


@pytest.mark.parametrize("name", [name for name, regex in r4().primitive_types.items() if regex and name in PRIMITIVES])
def test_what_is_right_matches_the_expression_of_the_specification(name):
    expression = re.compile(r4().primitive_types[name])
    for value in RIGHT[name]:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if len(text) < 1000 and "\u00a0" not in text and "AA AA" not in text:
            assert expression.fullmatch(text), value
