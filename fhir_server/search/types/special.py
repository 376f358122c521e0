"""The search type special, of which `near` is ours: places within a distance, measured along the surface of the earth.

https://hl7.org/fhir/R4/location.html#near

A position is one row of index_number with its latitude in `low` and its longitude in `high`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import split, unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.number import decimal
from fhir_server.search.types.selection import check_modifier, keys, union
from fhir_server.store.rows import Rows
from terminology import ucum

MODIFIERS: frozenset[str] = frozenset()
RADIUS = 6_371_008.8
"""Mean radius of the earth in metres."""
NEAR = Decimal(50_000)
"""The distance in metres that is meant where none is given."""

_MILES = {"mi": "[mi_i]", "mile": "[mi_i]", "miles": "[mi_i]", "ft": "[ft_i]", "nmi": "[nmi_i]"}
_SLACK = 1e-9  # degrees by which the box is larger than the circle, so that rounding never cuts the circle

SELECT: LiteralString = "SELECT pk FROM index_number WHERE key = %s AND low BETWEEN %s AND %s AND "
HAVERSINE: LiteralString = (
    " AND %s::float8 * asin(least(1.0, sqrt(sin(radians(low::float8 - %s::float8) / 2) ^ 2 + cos(radians(low::float8))"
    " * %s::float8 * sin(radians(high::float8 - %s::float8) / 2) ^ 2))) <= %s::float8"
)


@dataclass(frozen=True, slots=True)
class Value:
    """A circle: its centre in degrees, its radius in metres."""

    latitude: float
    longitude: float
    distance: float


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The circle of `latitude|longitude|distance|unit`; kilometres where there is no unit, 50 of them without a distance."""
    check_modifier(parameter, modifier, MODIFIERS)
    if parameter.code != "near":
        raise refuse("not-supported", f"'{parameter.code}' cannot be searched by here", parameter.code)
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        raise refuse("value", f"near={text}: write latitude|longitude|distance|unit", parameter.code)
    latitude, longitude = _degrees(parts[0], 90), _degrees(parts[1], 180)
    return Value(latitude, longitude, _distance(parts[2:]))


def _number(text: str, what: str) -> Decimal:
    try:
        found = decimal(Decimal(text))
    except ArithmeticError:
        found = None
    if found is None:
        raise refuse("value", f"near: '{text}' is no {what}", "near")
    return found


def _degrees(text: str, most: int) -> float:
    found = _number(text, "number of degrees")
    if abs(found) > most:
        raise refuse("value", f"near: {text} is not between -{most} and {most} degrees", "near")
    return float(found)


def _distance(parts: list[str]) -> float:
    if not parts or not parts[0]:
        return float(NEAR)
    code = (parts[1] if len(parts) > 1 else "") or "km"
    metres = ucum.canonical(_number(parts[0], "distance"), _MILES.get(code, code))
    if metres is None or metres[1] != "m" or metres[0] < 0:
        raise refuse("value", f"near: '{' '.join(parts)}' is no distance; write a number and m, km or [mi_i]", "near")
    return float(metres[0])


def positions(nodes: Iterable[Node]) -> Iterator[tuple[Decimal, Decimal]]:
    """Latitude and longitude of each node that has both within their limits."""
    for _, value in nodes:
        if isinstance(value, dict):
            latitude, longitude = decimal(value.get("latitude")), decimal(value.get("longitude"))
            if latitude is not None and longitude is not None and abs(latitude) <= 90 and abs(longitude) <= 180:
                yield latitude, longitude


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds a row of index_number for each position."""
    found = key(tenant, path.resource_type, path.text, "position")

    def extract(nodes: list[Node], rows: Rows) -> None:
        for latitude, longitude in positions(nodes):
            rows.numbers.add((found, latitude, longitude))

    return extract


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_number`: a box on the b-tree, the circle within it."""
    south, north, west, east = _box(value)
    sides = sql("high BETWEEN %s AND %s", _numeric(west), _numeric(east))
    if west < -180 or east > 180:
        sides = sql("(high >= %s OR high <= %s)", _numeric(_turned(west)), _numeric(_turned(east)))
    circle = sql(
        HAVERSINE, 2 * RADIUS, value.latitude, math.cos(math.radians(value.latitude)), value.longitude, value.distance
    )
    return union(
        sql(SELECT, one, _numeric(south), _numeric(north)) + sides + circle
        for one in keys(parameter, tenant, "position")
    )


def _numeric(degrees: float) -> Decimal:
    """To the type of the columns, or the comparison would not be the index's."""
    return Decimal(repr(degrees))


def _turned(longitude: float) -> float:
    """A longitude beyond the date line as it is written, between -180 and 180."""
    return (longitude + 180) % 360 - 180


def _box(value: Value) -> tuple[float, float, float, float]:
    """South, north, west and east of the circle, in degrees; west below -180 or east above 180 where it crosses the line."""
    angle = value.distance / RADIUS
    height = math.degrees(angle) + _SLACK
    south, north = value.latitude - height, value.latitude + height
    if south <= -90 or north >= 90:
        return max(south, -90.0), min(north, 90.0), -180.0, 180.0
    ratio = math.sin(angle) / math.cos(math.radians(value.latitude))
    width = math.degrees(math.asin(min(1.0, ratio))) + _SLACK
    return south, north, value.longitude - width, value.longitude + width


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    return any(
        metres(value, float(latitude), float(longitude)) <= value.distance
        for path in parameter.paths
        for latitude, longitude in positions(path.nodes(resource))
    )


def metres(value: Value, latitude: float, longitude: float) -> float:
    """The distance of a place from the centre of the circle, by the haversine formula."""
    rise = math.sin(math.radians(latitude - value.latitude) / 2) ** 2
    run = math.sin(math.radians(longitude - value.longitude) / 2) ** 2
    part = rise + math.cos(math.radians(latitude)) * math.cos(math.radians(value.latitude)) * run
    return 2 * RADIUS * math.asin(min(1.0, math.sqrt(part)))
