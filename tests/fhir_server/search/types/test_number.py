"""https://hl7.org/fhir/R4/search.html#number"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.outcome import Refusal
from tests.fhir_server.search.types.asking import found, parsed

RANGES = [
    ("100", "99.5", "100.5"),
    ("100.00", "99.995", "100.005"),
    ("1e2", "95", "105"),
    ("1.00e2", "99.5", "100.5"),
    ("2.0", "1.95", "2.05"),
    ("-1", "-1.5", "-0.5"),
    ("8e-1", "0.75", "0.85"),
    ("5.40e-3", "0.005395", "0.005405"),
    ("0", "-0.5", "0.5"),
]


@pytest.mark.parametrize(("text", "low", "high"), RANGES)
def test_a_number_means_the_range_of_its_precision(text: str, low: str, high: str) -> None:
    value = parsed("RiskAssessment", "probability=" + text)[2]
    assert (value.low, value.high) == (Decimal(low), Decimal(high))


def risk(value: str) -> dict[str, Any]:
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": Decimal(value)}]}


def between(low: str | None, high: str | None) -> dict[str, Any]:
    limits = {name: {"value": Decimal(value)} for name, value in (("low", low), ("high", high)) if value}
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityRange": limits}]}


CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("100", risk("99.5"), True),
    ("100", risk("100.5"), False),
    ("100", risk("99.49"), False),
    ("100.00", risk("100.004"), True),
    ("100.00", risk("100.005"), False),
    ("1e2", risk("95"), True),
    ("1e2", risk("105"), False),
    ("ne100", risk("100.4"), False),
    ("ne100", risk("100.5"), True),
    ("lt100", risk("99.99"), True),
    ("lt100", risk("100"), False),
    ("le100", risk("100"), True),
    ("le100", risk("100.01"), False),
    ("gt100", risk("100.01"), True),
    ("gt100", risk("100"), False),
    ("ge100", risk("100"), True),
    ("ge100", risk("99.99"), False),
    ("gt8e-1", risk("0.81"), True),
    ("sa100", risk("100.01"), True),
    ("sa100", risk("100"), False),
    ("eb100", risk("99.99"), True),
    ("eb100", risk("100"), False),
    ("ap100", risk("110"), True),
    ("ap100", risk("110.1"), False),
    ("ap100", risk("90"), True),
    ("ap0", risk("0.5"), True),
    ("ap0", risk("0.6"), False),
    ("ap-100", risk("-110"), True),
    # the digits that are written count, of the search value only
    ("5.4", risk("5.35"), True),
    ("5.4", risk("5.449"), True),
    ("5.4", risk("5.45"), False),
    ("5.4", risk("5.40"), True),
    ("5.40", risk("5.4"), True),
    ("5.40", risk("5.404"), True),
    ("5.40", risk("5.395"), True),
    ("5.40", risk("5.405"), False),
    ("5.40", risk("5.44"), False),
    ("ne5.40", risk("5.44"), True),
    ("ne5.4", risk("5.44"), False),
    ("gt5.4", risk("5.4"), False),
    ("gt5.4", risk("5.401"), True),
    ("lt5.40", risk("5.399"), True),
    ("ge5.4", risk("5.39"), False),
    ("le5.4", risk("5.41"), False),
    ("1.0e1", risk("10.4"), True),
    ("1.0e1", risk("10.5"), False),
    ("1e-2", risk("0.0149"), True),
    ("1e-2", risk("0.015"), False),
    ("ap1e2", risk("110"), True),
    ("ap1e2", risk("89"), False),
    # below zero, more is nearer to zero
    ("-5.4", risk("-5.45"), True),
    ("-5.4", risk("-5.35"), False),
    ("-5.4", risk("5.4"), False),
    ("gt-5.4", risk("-5.3"), True),
    ("gt-5.4", risk("-5.5"), False),
    ("lt-5.4", risk("-5.5"), True),
    ("le-5.4", risk("-5.4"), True),
    ("sa-1", risk("0"), True),
    ("eb-1", risk("-1.5"), True),
    ("ap-100", risk("-90"), True),
    ("ap-100", risk("-89"), False),
    ("0", risk("-0.5"), True),
    ("0", risk("0.5"), False),
    ("0.0", risk("0.05"), False),
    # a Range is a range
    ("100", between("99.6", "100.4"), True),
    ("100", between("99", "100"), False),
    ("ne100", between("99", "100"), True),
    ("gt100", between("90", "101"), True),
    ("gt100", between("90", "100"), False),
    ("lt100", between("90", "110"), True),
    ("sa100", between("90", "110"), False),
    ("sa100", between("101", None), True),
    ("eb100", between(None, "99"), True),
    ("eb100", between("90", None), False),
    ("ap100", between("111", "120"), False),
    ("ap100", between("50", "91"), True),
]


@pytest.mark.parametrize(("query", "resource", "expected"), CASES)
def test_a_prefix_compares_numbers_as_the_specification_says(
    query: str, resource: dict[str, Any], expected: bool
) -> None:
    assert found(resource, "probability=" + query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("100", True), ("100.0", True), ("100.4", False), ("99.9", False), ("gt99", True), ("1e2", True)],
)
def test_an_integer_is_compared_as_the_number_it_is(query: str, expected: bool) -> None:
    sequence = {"resourceType": "MolecularSequence", "referenceSeq": {"windowStart": 100}}
    assert found(sequence, "window-start=" + query) is expected


@pytest.mark.parametrize(
    "text", ["", "ten", "1,5", ".5", "1.", "gt", "xx5", "1e99999", "NaN", "Infinity", "1e400", "٣"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("RiskAssessment", "probability=" + text)
    assert refused.value.status == 400


@pytest.mark.parametrize("value", [True, "1", None, Decimal("1E+999"), [], {}])
def test_a_value_that_is_no_number_is_not_found(value: object) -> None:
    resource = {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": value}]}
    assert not found(resource, "probability=ne7")
