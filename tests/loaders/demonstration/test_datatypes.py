"""The small parts everything else is written with.

https://hl7.org/fhir/R4/datatypes.html
"""

from datetime import date
from decimal import Decimal

import pytest

from loaders.demonstration.datatypes import age_on, at, decimal, narrative, phone, years_after


@pytest.mark.parametrize(
    ("value", "digits", "expected"), [(7, 1, "7.0"), (36.65, 1, "36.6"), (120, 0, "120"), (0.9, 2, "0.90")]
)
def test_a_number_has_the_digits_that_were_asked_for(value, digits, expected):
    assert decimal(value, digits) == Decimal(expected)
    assert str(decimal(value, digits)) == expected


def test_a_narrative_is_escaped():
    assert "<p>a &lt; b &amp; c</p>" in narrative("x", "a < b & c")["div"]


def test_a_moment_is_on_the_hospital_s_clock():
    assert at(date(2026, 1, 2), 9, 30).isoformat() == "2026-01-02T09:30:00+03:00"


def test_leap_days_have_birthdays_too():
    assert years_after(date(2024, 2, 29), 1) == date(2025, 2, 28)
    assert years_after(date(2024, 2, 29), 4) == date(2028, 2, 29)


@pytest.mark.parametrize(("day", "age"), [(date(2026, 5, 3), 5), (date(2026, 5, 4), 6), (date(2026, 5, 5), 6)])
def test_ages_are_completed_years(day, age):
    assert age_on(date(2020, 5, 4), day) == age


def test_phone_numbers_are_in_an_area_code_that_is_not_used():
    assert phone(5_001_234)["value"] == "+90 000 500 12 34"
