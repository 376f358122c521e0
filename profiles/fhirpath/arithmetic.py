"""Adding, subtracting, multiplying and dividing.

https://hl7.org/fhirpath/N1/#math-1
"""

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from profiles.fhirpath.comparison import is_number
from profiles.fhirpath.element import plain, type_name
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, Items, bounded, one
from profiles.fhirpath.quantity import EXACT, Quantity
from profiles.fhirpath.temporal import Temporal

MAX_INTEGER = 2**31 - 1


def number(value: int | Decimal) -> Items:
    """A result as a collection; nothing for an Integer of more than 32 bits, or what is no number."""
    if isinstance(value, int):
        return [value] if -MAX_INTEGER - 1 <= value <= MAX_INTEGER else EMPTY
    return [value] if value == value and abs(value.adjusted()) < 1000 else EMPTY  # noqa: PLR0124 - NaN is not itself


def calculate(operator: str, left: Items, right: Items) -> Items:
    """`left operator right`; empty where either is, and where there is no answer (division by nothing, overflow)."""
    a, b = plain(one(left)), plain(one(right))
    if operator == "&":
        return [bounded(_text(a) + _text(b))]
    if a is None or b is None:
        return EMPTY
    try:
        return _calculate(operator, a, b)
    except (DecimalException, OverflowError):
        return EMPTY


def _text(value: Any) -> str:
    if value is None or type(value) is str:
        return value or ""
    raise FhirPathError(f"& joins texts, not {type_name(value).name}")


def _calculate(operator: str, a: Any, b: Any) -> Items:
    match a, b:
        case str(), str() if operator == "+":
            return [bounded(a + b)]
        case Temporal(), Quantity() if operator in "+-":
            return _moved(a, b, -1 if operator == "-" else 1)
        case _ if is_number(a) and is_number(b):
            return _numbers(operator, a, b)
        case _ if _has_unit(a) and _has_unit(b):
            return _quantities(operator, _quantity(a), _quantity(b))
    raise FhirPathError(f"{type_name(a).name} {operator} {type_name(b).name} has no meaning")


def _has_unit(value: Any) -> bool:
    return type(value) is Quantity or is_number(value)


def _quantity(value: Any) -> Quantity:
    return value if type(value) is Quantity else Quantity(Decimal(value), "1")


def _moved(value: Temporal, by: Quantity, sign: int) -> Items:
    unit = by.calendar_unit()
    if unit is None:
        raise FhirPathError(f"a {value.kind} can be moved by time, not by '{by.unit}'")
    moved = value.plus(sign * by.value, unit)
    return EMPTY if moved is None else [moved]


_DECIMALS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply, "/": EXACT.divide, "mod": EXACT.remainder,
}  # fmt: skip


def _numbers(operator: str, a: int | Decimal, b: int | Decimal) -> Items:
    if operator in ("/", "div", "mod") and not b:
        return EMPTY
    if operator == "div":
        return number(int(EXACT.divide_int(Decimal(a), Decimal(b))))
    result = _DECIMALS[operator](Decimal(a), Decimal(b))
    whole = type(a) is int and type(b) is int and operator != "/"
    return number(int(result) if whole else result)


def _quantities(operator: str, a: Quantity, b: Quantity) -> Items:
    match operator:
        case "+" | "-":
            result = a.plus(b, -1 if operator == "-" else 1)
        case "*":
            result = a.times(b)
        case "/":
            result = a.divided(b)
        case _:
            raise FhirPathError(f"quantities have no {operator}")
    return EMPTY if result is None else [result]


def negative(items: Items) -> Items:
    """-operand, of a number or quantity."""
    match plain(one(items)):
        case None:
            return EMPTY
        case bool():
            raise FhirPathError("a Boolean has no sign")
        case Quantity() as quantity:
            return [Quantity(-quantity.value, quantity.unit, quantity.calendar)]
        case int() as whole:
            return [-whole]
        case Decimal() as value:
            return [value.copy_negate()]
        case other:
            raise FhirPathError(f"a {type_name(other).name} has no sign")
