"""Conditions and conversions between System types.

https://hl7.org/fhirpath/N1/#conversion
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from profiles.fhirpath.arithmetic import number
from profiles.fhirpath.element import Element
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, Code, Items, Scope, boolean, one, truth
from profiles.fhirpath.functions.function import lazily, of_value
from profiles.fhirpath.quantity import CALENDAR, Quantity
from profiles.fhirpath.temporal import Temporal

_INTEGER = re.compile(r"[+-]?\d{1,10}$", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?$", re.ASCII)
_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})


@lazily("iif", 2, 3)
def iif(source: Code, arguments: tuple[Code, ...]) -> Code:
    criterion, then, *otherwise = arguments

    def call(scope: Scope) -> Items:
        items = source(scope)
        one(items)
        inner = Scope(items, scope.environment, scope.total, scope.index) if items else scope
        if truth(criterion(inner)):
            return then(inner)
        return otherwise[0](inner) if otherwise else EMPTY

    return call


def to_boolean(value: Any) -> bool | None:
    match value:
        case bool():
            return value
        case int() | Decimal():
            return value == 1 if value in (0, 1) else None
        case str():
            word = value.lower()
            return True if word in _TRUE else False if word in _FALSE else None
        case _:
            return None


def to_integer(value: Any) -> int | None:
    match value:
        case bool():
            return int(value)
        case int():
            return value
        case str() if _INTEGER.match(value):
            return next(iter(number(int(value))), None)
        case _:
            return None


def to_decimal(value: Any) -> Decimal | None:
    match value:
        case bool() | int() | Decimal():
            return Decimal(value)
        case str() if _DECIMAL.match(value):
            return Decimal(value)
        case _:
            return None


def to_string(value: Any) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case str() | int() | Temporal() | Quantity():
            return str(value)
        case _:
            return None


def to_quantity(value: Any) -> Quantity | None:
    match value:
        case Quantity():
            return value
        case bool() | int() | Decimal():
            return Quantity(Decimal(value), "1")
        case str():
            return Quantity.parse(value)
        case _:
            return None


def _to_temporal(kind: str) -> Callable[[Any], Temporal | None]:
    def convert(value: Any) -> Temporal | None:
        match value:
            case Temporal() if value.kind == kind:
                return value
            case Temporal() if kind == "DateTime" and value.kind == "Date":
                return Temporal(kind, value.parts)
            case Temporal() if kind == "Date" and value.kind == "DateTime":
                return Temporal(kind, value.parts[:3])
            case str() if kind == "Date" and "T" in value:
                moment = Temporal.parse(value, "DateTime")
                return None if moment is None else Temporal(kind, moment.parts[:3])
            case str():
                return Temporal.parse(value, kind)
            case _:
                return None

    return convert


def _register(name: str, convert: Callable[[Any], Any]) -> None:
    """toX() and convertsToX() of one System type; toQuantity() may be told a unit."""

    def converted(value: Any, unit: str | None = None) -> Any:
        result = None if type(value) is Element else convert(value)
        return _in_unit(result, unit) if type(result) is Quantity and unit is not None else result

    most = 1 if name == "Quantity" else 0

    @of_value(f"to{name}", 0, most)
    def to(value: Any, unit: str | None = None) -> Items:
        result = converted(value, unit)
        return EMPTY if result is None else [result]

    @of_value(f"convertsTo{name}", 0, most)
    def converts_to(value: Any, unit: str | None = None) -> Items:
        return boolean(converted(value, unit) is not None)


def _in_unit(value: Quantity, unit: Any) -> Quantity | None:
    """A quantity in another unit, None where it cannot be."""
    if type(unit) is not str:
        raise FhirPathError("a unit is a text")
    zero = Quantity(Decimal(0), CALENDAR[unit], calendar=True) if unit in CALENDAR else Quantity(Decimal(0), unit)
    return zero.plus(value)


for _name, _convert in {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "Decimal": to_decimal,
    "String": to_string,
    "Quantity": to_quantity,
    "Date": _to_temporal("Date"),
    "DateTime": _to_temporal("DateTime"),
    "Time": _to_temporal("Time"),
}.items():
    _register(_name, _convert)
