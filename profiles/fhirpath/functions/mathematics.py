"""Mathematics, and the boundaries and precision of values.

https://hl7.org/fhirpath/N1/#math and https://hl7.org/fhirpath/2018Sep/#utility-functions
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from profiles.fhirpath.arithmetic import number
from profiles.fhirpath.comparison import decimals, is_number
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, Items, boolean
from profiles.fhirpath.functions.function import of_value
from profiles.fhirpath.quantity import EXACT, Quantity
from profiles.fhirpath.temporal import Temporal
from profiles.fhirpath.units import canonical

# Results that need rounding are given to as many digits as FHIRPath asks of a Decimal.
_DIGITS = 28
_BOUNDARY_DIGITS = 8


def _of_number(name: str, calculate: Callable[..., int | Decimal | None], least: int = 0, most: int = 0) -> None:
    """Registers a function of numbers; empty for an argument that is missing and where there is no answer."""

    def function(value: Any, *arguments: Any) -> Items:
        if None in arguments:
            return EMPTY
        if not all(is_number(x) for x in (value, *arguments)):
            raise FhirPathError(f"{name}() needs numbers")
        try:
            result = calculate(value, *arguments)
        except (DecimalException, OverflowError):
            return EMPTY
        return EMPTY if result is None else number(result)

    of_value(name, least, most)(function)


def _whole(rounding: str) -> Callable[[int | Decimal], int]:
    return lambda value: int(Decimal(value).to_integral_value(rounding))


def _rounded(value: Decimal) -> Decimal:
    """To 28 significant digits, without trailing zeros."""
    near = EXACT.quantize(value, Decimal(1).scaleb(value.adjusted() - _DIGITS + 1)) if value else Decimal(0)
    return near.normalize(EXACT)


def _round(value: int | Decimal, precision: int | Decimal = 0) -> Decimal | None:
    if type(precision) is not int or not 0 <= precision <= _DIGITS:
        raise FhirPathError(f"round() takes a precision from 0 to {_DIGITS}")
    return Decimal(value).quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP, EXACT)


def _power(value: int | Decimal, exponent: int | Decimal) -> int | Decimal | None:
    result = EXACT.power(Decimal(value), Decimal(exponent))
    if type(value) is int and type(exponent) is int and exponent >= 0:
        return int(result) if result.adjusted() < 12 else None
    return _rounded(result) if result.is_finite() else None


def _log(value: int | Decimal, base: int | Decimal) -> Decimal | None:
    if value <= 0 or base <= 0 or base == 1:
        return None
    return _rounded(EXACT.divide(EXACT.ln(Decimal(value)), EXACT.ln(Decimal(base))))


_of_number("ceiling", _whole(ROUND_CEILING))
_of_number("floor", _whole(ROUND_FLOOR))
_of_number("truncate", _whole(ROUND_DOWN))
_of_number("round", _round, 0, 1)
_of_number("power", _power, 1, 1)
_of_number("log", _log, 1, 1)
_of_number("ln", lambda value: _rounded(EXACT.ln(Decimal(value))) if value > 0 else None)
_of_number("exp", lambda value: _rounded(EXACT.exp(Decimal(value))))
_of_number("sqrt", lambda value: _rounded(EXACT.sqrt(Decimal(value))) if value >= 0 else None)


@of_value("abs")
def absolute(value: Any) -> Items:
    if type(value) is Quantity:
        return [Quantity(abs(value.value), value.unit, value.calendar)]
    if not is_number(value):
        raise FhirPathError("abs() needs a number or a quantity")
    return [abs(value)]


@of_value("precision")
def precision(value: Any) -> Items:
    """The digits after the point of a number; the digits of a date or time."""
    match value:
        case bool():
            raise FhirPathError("precision() needs a number, date or time")
        case int() | Decimal():
            return [decimals(Decimal(value))]
        case Temporal():
            return [value.precision()]
        case _:
            raise FhirPathError("precision() needs a number, date or time")


@of_value("lowBoundary", 0, 1)
def low_boundary(value: Any, digits: Any = None) -> Items:
    return _boundary(value, digits, high=False)


@of_value("highBoundary", 0, 1)
def high_boundary(value: Any, digits: Any = None) -> Items:
    return _boundary(value, digits, high=True)


def _boundary(value: Any, digits: Any, *, high: bool) -> Items:
    """The least or greatest value it may stand for, given its precision, in so many digits."""
    if digits is not None and type(digits) is not int:
        raise FhirPathError("a boundary takes its precision as an integer")
    match value:
        case bool():
            raise FhirPathError("a Boolean has no boundary")
        case int() | Decimal():
            found: Any = _number_boundary(Decimal(value), digits, high=high)
        case Quantity():
            edge = _number_boundary(value.value, digits, high=high)
            found = None if edge is None else Quantity(edge, value.unit, value.calendar)
        case Temporal():
            found = value.boundary(digits, high=high)
        case _:
            raise FhirPathError("a boundary is asked of a number, quantity, date or time")
    return EMPTY if found is None else [found]


def _number_boundary(value: Decimal, digits: int | None, *, high: bool) -> Decimal | None:
    wanted = _BOUNDARY_DIGITS if digits is None else digits
    if not 0 <= wanted <= _DIGITS or value.adjusted() > _DIGITS:
        return None
    unit = Decimal(1).scaleb(-wanted)
    # HL7's tests keep 0.0034 at 0.0 to one digit, both ways: what vanishes at the wanted precision has no boundary there.
    if wanted and value and not value.quantize(unit, ROUND_HALF_UP, EXACT):
        return Decimal(0).quantize(unit)
    half = Decimal(5).scaleb(-decimals(value) - 1)
    edge = EXACT.add(value, half if high else -half)
    return edge.quantize(unit, ROUND_CEILING if high else ROUND_FLOOR, EXACT)


@of_value("comparable", 1)
def comparable(value: Any, other: Any) -> Items:
    """Whether two quantities are of one dimension; false for a unit that UCUM does not define."""
    if other is None:
        return EMPTY
    if type(value) is not Quantity or type(other) is not Quantity:
        raise FhirPathError("comparable() needs quantities")
    known = all(q.calendar or canonical(q.unit) for q in (value, other))
    return boolean(known and value.base()[1] == other.base()[1])
