"""Units of measure in base units."""

from fractions import Fraction

import pytest

from profiles.fhirpath.units import canonical


@pytest.mark.parametrize(
    ("one", "factor", "other"),
    [
        ("kg", "1000", "g"),
        ("[lb_av]", "453.59237", "g"),
        ("[in_i]", "2.54", "cm"),
        ("wk", "168", "h"),
        ("mm[Hg]", "133.322", "Pa"),
        ("mg/dL", "10", "mg/L"),
        ("10*3/uL", "1e9", "/L"),
        ("kg/m2", "1", "kg.m-2"),
        ("mmol/L", "1", "mol/m3"),
        ("{beats}/min", "1", "/min"),
        ("ug/(8.h)", "0.125", "ug/h"),
        ("k[iU]", "1000", "[iU]"),
        ("%", "0.01", "1"),
    ],
)
def test_a_unit_is_so_many_of_another(one: str, factor: str, other: str) -> None:
    a, b = canonical(one), canonical(other)
    assert a is not None
    assert b is not None
    assert a[1] == b[1]
    assert a[0] == b[0] * Fraction(factor)


@pytest.mark.parametrize("unit", ["", "[s]", "foo", "mg/", "mg//L", "(mg", "mg)", "kwk", "m^2", "m99999"])
def test_what_is_no_unit_has_no_size(unit: str) -> None:
    assert canonical(unit) is None


def test_temperatures_are_not_converted() -> None:
    assert canonical("Cel") != canonical("K")
    assert canonical("Cel") is not None
