"""https://hl7.org/fhir/R4/search.html#quantity"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.outcome import Refusal
from tests.fhir_server.search.types.asking import found, parsed

UCUM = "http://unitsofmeasure.org"
LOCAL = "http://hospital.example/units"


def observed(
    value: str,
    code: str | None = None,
    system: str | None = UCUM,
    unit: str | None = None,
    comparator: str | None = None,
) -> dict[str, Any]:
    unit_parts = {"system": system if code else None, "code": code, "unit": unit, "comparator": comparator}
    quantity = {"value": Decimal(value)} | {name: text for name, text in unit_parts.items() if text}
    return {"resourceType": "Observation", "valueQuantity": quantity}


CASES: list[tuple[str, dict[str, Any], bool]] = [
    # the examples of search.html#quantity
    (f"5.4|{UCUM}|mg", observed("5.44", "mg"), True),
    (f"5.4|{UCUM}|mg", observed("5.45", "mg"), False),
    (f"5.40e-3|{UCUM}|g", observed("0.0054", "g"), True),
    (f"5.40e-3|{UCUM}|g", observed("0.005405", "g"), False),
    ("5.4||mg", observed("5.4", "mg"), True),
    ("5.4||mg", observed("5.4", None, unit="mg"), True),
    ("5.4||milligram", observed("5.4", "mg", unit="milligram"), True),
    ("5.4||mg", observed("5.4", "mg", unit="milligram"), True),
    ("5.4||mg", observed("5.4", "kg"), False),
    ("5.4", observed("5.4", "kg"), True),
    ("5.4||", observed("5.4"), True),
    (f"le5.4|{UCUM}|mg", observed("5.4", "mg"), True),
    (f"le5.4|{UCUM}|mg", observed("5.41", "mg"), False),
    (f"ap5.4|{UCUM}|mg", observed("5.9", "mg"), True),
    (f"ap5.4|{UCUM}|mg", observed("5.95", "mg"), False),
    # canonical units
    (f"5.4|{UCUM}|g", observed("5400", "mg"), True),
    (f"5.4|{UCUM}|g", observed("5450", "mg"), False),
    (f"23|{UCUM}|mm/h", observed("0.023", "m/h"), True),
    (f"37.0|{UCUM}|Cel", observed("98.6", "[degF]"), True),
    (f"gt37|{UCUM}|Cel", observed("100.4", "[degF]"), True),
    (f"gt37|{UCUM}|Cel", observed("98.6", "[degF]"), False),
    (f"ge71|{UCUM}|/min", observed("71", "{{beats}}/min"), False),
    (f"ge71|{UCUM}|/min", observed("71", "{beats}/min"), True),
    (f"gt71|{UCUM}|/min", observed("71", "/min"), False),
    (f"5.4|{UCUM}|m", observed("5.4", "g"), False),
    # another system, or no unit of UCUM
    (f"5.4|{LOCAL}|drops", observed("5.4", "drops", LOCAL), True),
    (f"5.4|{LOCAL}|drops", observed("5.4", "drops"), False),
    (f"5.4|{UCUM}|drops", observed("5.4", "drops"), True),
    (f"5.4|{UCUM}|mg", observed("5.4", "mg", LOCAL), False),
    # comparators
    ("lt4", observed("5", comparator="<"), True),
    ("ge5", observed("5", comparator="<"), False),
    ("ge5", observed("5", comparator="<="), True),
    ("5", observed("5", comparator="<"), False),
    ("gt5", observed("5", comparator=">"), True),
    ("le5", observed("5", comparator=">"), False),
    ("le5", observed("5", comparator=">="), True),
    ("sa4", observed("5", comparator=">"), True),
    (f"sa4|{UCUM}|g", observed("5000", "mg", comparator=">"), True),
    ("eb6", observed("5", comparator=">"), False),
]


@pytest.mark.parametrize(("query", "resource", "expected"), CASES)
def test_a_quantity_is_found_by_number_and_unit(query: str, resource: dict[str, Any], expected: bool) -> None:
    assert found(resource, "value-quantity=" + query) is expected


def test_a_range_is_a_range_in_its_unit() -> None:
    limits = {"low": {"value": 18, "system": UCUM, "code": "a"}, "high": {"value": 65, "system": UCUM, "code": "a"}}
    resource = {"resourceType": "ValueSet", "useContext": [{"valueRange": limits}]}
    assert found(resource, f"context-quantity=gt64|{UCUM}|a")
    assert found(resource, f"context-quantity=lt300|{UCUM}|mo")
    assert not found(resource, f"context-quantity=sa300|{UCUM}|mo")
    assert not found(resource, "context-quantity=40")


def test_money_has_its_currency_for_a_unit() -> None:
    resource = {"resourceType": "Invoice", "totalNet": {"value": Decimal("40.22"), "currency": "EUR"}}
    assert found(resource, "totalnet=40.22|urn:iso:std:iso:4217|EUR")
    assert found(resource, "totalnet=gt40||EUR")
    assert not found(resource, "totalnet=40.22|urn:iso:std:iso:4217|USD")


def test_samples_reach_from_the_least_to_the_greatest() -> None:
    sampled = {
        "origin": {"value": 100, "system": UCUM, "code": "mV"}, "period": 10, "factor": Decimal("0.5"),
        "upperLimit": 90, "dimensions": 1, "data": "2 10 E -4 U",
    }  # fmt: skip
    resource = {"resourceType": "Observation", "valueSampledData": sampled}
    assert found(resource, f"value-quantity=gt144|{UCUM}|mV")
    assert found(resource, f"value-quantity=lt99|{UCUM}|mV")
    assert not found(resource, f"value-quantity=gt145|{UCUM}|mV")
    assert not found(resource, f"value-quantity=lt98|{UCUM}|mV")


@pytest.mark.parametrize("text", ["", "mg", "5.4|mg", f"5.4|{UCUM}|", f"|{UCUM}|mg", "5.4|a|b|c", "xx5.4"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Observation", "value-quantity=" + text)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "value", [None, "5", True, {"value": "5"}, {"value": None}, [{"value": 5}], {"low": {"value": 5}}]
)
def test_a_value_that_is_no_quantity_is_not_found(value: object) -> None:
    assert not found({"resourceType": "Observation", "valueQuantity": value}, "value-quantity=ne9") or isinstance(
        value, list
    )
