"""https://ucum.org/ucum"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminology.compile_ucum import compiled
from terminology.ucum import TABLE, _table, canonical, unit
from tests.reference import reference

EQUAL = [
    ("5.4", "g", "5400", "mg"),
    ("1", "L", "1", "dm3"),
    ("1", "l", "1000", "mL"),
    ("37", "Cel", "98.6", "[degF]"),
    ("0", "K", "-273.15", "Cel"),
    ("80", "[degRe]", "100", "Cel"),
    ("1000", "mCel", "1", "Cel"),
    ("23", "mm/h", "0.023", "m/h"),
    ("72", "/min", "1.2", "Hz"),
    ("72", "{beats}/min", "72", "/min"),
    ("5", "10*3/uL", "5", "10*9/L"),
    ("5", "10^3/uL", "5000", "/uL"),
    ("1", "[in_i]", "2.54", "cm"),
    ("1", "[lb_av]", "453.59237", "g"),
    ("1", "[IU]/mL", "1000", "[iU]/L"),
    ("1", "k[iU]", "1000", "[iU]"),
    ("1", "%", "0.01", "1"),
    ("1", "mm[Hg]", "133.322", "Pa"),
    ("12", "mo", "1", "a"),
    ("1", "mL/min/{1.73_m2}", "1", "mL/min"),
    ("1", "kg.m/s2", "1", "N"),
    ("1", "m/s/s", "1", "m.s-2"),
    ("1", "ug/(24.h)", "1", "ug/d"),
    ("1", "meq/L", "1", "mmol/L"),
    ("10", "dB[SPL]", "1", "B[SPL]"),
    ("2", "4.m", "8", "m"),
    ("1", "m2", "10000", "cm2"),
    ("1", "/m", "1", "m-1"),
]


@pytest.mark.parametrize(("value", "code", "same_value", "same_code"), EQUAL)
def test_equal_quantities_have_one_canonical_form(value: str, code: str, same_value: str, same_code: str) -> None:
    found = canonical(Decimal(value), code)
    assert found is not None
    assert found == canonical(Decimal(same_value), same_code)


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("g", "m"),
        ("[iU]", "[arb'U]"),
        ("[pH]", "1"),
        ("mol", "g"),
        ("Cel", "m"),
        ("rad", "1"),
        ("B", "1"),
        ("[hp_X]", "[hp_C]"),
    ],
)
def test_units_of_different_dimensions_are_not_converted(code: str, other: str) -> None:
    one, another = unit(code), unit(other)
    assert one is not None
    assert another is not None
    assert one.dimension != another.dimension


@pytest.mark.parametrize(
    "code",
    [
        "",
        "foo",
        "/",
        "m/",
        "m//s",
        "((m)",
        "m)",
        "Cel/s",
        "Cel2",
        "0.m",
        "m99",
        "kfoo",
        "[",
        "m{",
        "k[in_i]",
        "M G",
        "ms-",
        "g" * 200,
        "mg\n",
        "K²",
        "٣",
    ],
)
def test_what_is_no_unit_has_no_canonical_form(code: str) -> None:
    assert canonical(Decimal(1), code) is None


def test_every_unit_of_the_table_can_be_read() -> None:
    _, bases, units = _table()
    assert len(units) > 300
    assert [code for code in (*bases, *units) if unit(code) is None] == []


def test_an_infinite_value_stays_infinite() -> None:
    assert canonical(Decimal("-Infinity"), "mg") == (Decimal("-Infinity"), "g")


def test_a_value_that_has_no_end_is_rounded_to_34_digits() -> None:
    assert canonical(Decimal(1), "/min") == (Decimal("0.01666666666666666666666666666666667"), "s-1")


@given(st.text(alphabet="mgskLl0123456789.-/(){}[]*^ %ÅµΩ'\"_Hg", max_size=20))
def test_any_text_is_a_unit_or_none(code: str) -> None:
    found = unit(code)
    assert found is None or found.factor != 0


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=6),
    st.decimals(allow_nan=False, allow_infinity=False, places=6),
)
def test_conversion_keeps_the_order(left: Decimal, right: Decimal) -> None:
    for code in ("mg/dL", "[degF]", "/min", "[iU]"):
        one, another = canonical(left, code), canonical(right, code)
        assert one is not None
        assert another is not None
        assert (left <= right) <= (one[0] <= another[0])


def test_the_table_is_what_the_script_makes_of_the_published_file() -> None:
    essence = reference("fhir-test-cases/ucum/ucum-essence.xml")
    assert compiled(essence) == TABLE.read_text(encoding="utf-8")
