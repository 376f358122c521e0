"""https://hl7.org/fhir/R4/location.html#near"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.types.special import Value, metres
from tests.fhir_server.search.types.asking import found, parsed


def location(latitude: str, longitude: str) -> dict[str, Any]:
    return {"resourceType": "Location", "position": {"latitude": Decimal(latitude), "longitude": Decimal(longitude)}}


def test_a_quarter_of_a_meridian_is_ten_thousand_kilometres() -> None:
    assert metres(Value(0.0, 0.0, 0.0), 90.0, 0.0) == pytest.approx(10_007_557, abs=1)
    assert metres(Value(0.0, 179.5, 0.0), 0.0, -179.5) == pytest.approx(111_195, abs=1)


CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("47.37|8.54|1|km", location("47.375", "8.545"), True),
    ("47.37|8.54|500|m", location("47.375", "8.545"), False),
    ("47.37|8.54|1", location("47.375", "8.545"), True),
    ("47.37|8.54", location("47.0", "8.5"), True),
    ("47.37|8.54", location("46.0", "8.5"), False),
    ("0|0|69|[mi_i]", location("0.99", "0"), True),
    ("0|0|69|mi", location("1.01", "0"), False),
    ("0|179.9|30|km", location("0", "-179.95"), True),
    ("0|179.9|10|km", location("0", "-179.95"), False),
    ("0|-179.9|30|km", location("0", "179.95"), True),
    ("89.9|0|30|km", location("89.9", "180"), True),
    ("89.9|0|20|km", location("89.9", "180"), False),
    ("-83.694810|42.256500|11.20|km", location("-83.694810", "42.256500"), True),
    ("0|0|0|km", location("0", "0"), True),
    ("0|0|25000|km", location("0", "180"), True),
]


@pytest.mark.parametrize(("query", "resource", "expected"), CASES)
def test_a_place_is_near_within_the_distance(query: str, resource: dict[str, Any], expected: bool) -> None:
    assert found(resource, "near=" + query) is expected


@pytest.mark.parametrize(
    "text", ["", "1", "91|0", "0|181", "a|b", "0|0|x|km", "0|0|1|kg", "0|0|-1|km", "0|0|1|km|x", "NaN|0"]
)
def test_what_is_no_circle_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Location", "near=" + text)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "position", [None, [], {"latitude": 1}, {"latitude": "1", "longitude": 1}, {"latitude": 100, "longitude": 1}]
)
def test_a_place_without_a_position_is_nowhere(position: object) -> None:
    assert not found({"resourceType": "Location", "position": position}, "near=0|0|30000|km")
