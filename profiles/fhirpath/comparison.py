"""Equality, equivalence and order of items.

https://hl7.org/fhirpath/N1/#equality and https://hl7.org/fhirpath/N1/#comparison
"""

from collections.abc import Hashable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from profiles.fhirpath.element import Element, plain, type_name
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import Items
from profiles.fhirpath.quantity import EXACT, Quantity, decimal
from profiles.fhirpath.temporal import Temporal


def is_number(value: Any) -> bool:
    """Whether a System value is an Integer or a Decimal."""
    return type(value) is int or isinstance(value, Decimal)


def _pair(one: Any, two: Any) -> tuple[Any, Any]:
    """Both as System values, a number beside a quantity as a quantity too."""
    a, b = plain(one), plain(two)
    if type(a) is Quantity and is_number(b):
        return a, Quantity(Decimal(b), "1")
    if type(b) is Quantity and is_number(a):
        return Quantity(Decimal(a), "1"), b
    return a, b


def equal(left: Items, right: Items) -> bool | None:
    """`=` of two collections: in order, item by item; None where either is empty or precision leaves it open."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answers = {_equal(one, two) for one, two in zip(left, right, strict=True)}
    return False if False in answers else None if None in answers else True


def _equal(one: Any, two: Any) -> bool | None:
    a, b = _pair(one, two)
    match a, b:
        case Temporal(), Temporal():
            if (a.kind == "Time") != (b.kind == "Time"):
                return False
            order = a.compare(b)
            return None if order is None else order == 0
        case Quantity(), Quantity():
            (value, dimension), (other, other_dimension) = a.base(), b.base()
            return None if dimension != other_dimension else value == other
        case (Element(), _) | (_, Element()):
            return identity(a) == identity(b)
        case bool(), _:
            return a is b
        case _, bool():
            return False
        case _:
            return bool(a == b)


def identity(item: Any) -> Hashable:
    """A key that is the same for items that are equal, by which unions and distinct() find duplicates."""
    value = plain(item)
    match value:
        case Temporal():
            return value.key()
        case Quantity():
            return ("quantity", *value.base())
        case Element():
            return (_frozen(value.value), _frozen(value.extra) if value.shape.primitive else None)
        case bool():
            return ("boolean", value)
        case _:
            return value  # type: ignore[no-any-return]  # numbers, text and type names hash as they compare


def _frozen(value: Any) -> Hashable:
    match value:
        case dict():
            return frozenset((key, _frozen(member)) for key, member in value.items())
        case list():
            return tuple(_frozen(member) for member in value)
        case bool():
            return ("boolean", value)
        case _:
            return value  # type: ignore[no-any-return]  # scalars


def equivalent(left: Items, right: Items) -> bool:
    """`~` of two collections: in any order, and item by item as far as the less precise one goes."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for one in left:
        match = next((i for i, two in enumerate(rest) if _equivalent(one, two)), None)
        if match is None:
            return False
        del rest[match]
    return True


def _equivalent(one: Any, two: Any) -> bool:
    a, b = _pair(one, two)
    match a, b:
        case str(), str():
            return _folded(a) == _folded(b)
        case Temporal(), Temporal():
            return a.key() == b.key()
        case Quantity(), Quantity():
            return _equivalent_quantities(a, b)
        case (bool(), _) | (_, bool()):
            return a is b
        case _ if is_number(a) and is_number(b):
            return _equivalent_numbers(Decimal(a), Decimal(b))
        case Element(), Element():
            return _loosely(a.value) == _loosely(b.value)
        case _:
            return bool(a == b)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def decimals(value: Decimal) -> int:
    """The number of digits after the point."""
    return max(0, -int(value.as_tuple().exponent))


def _equivalent_numbers(a: Decimal, b: Decimal) -> bool:
    digits = min(decimals(a), decimals(b))
    if max(a.adjusted(), b.adjusted()) + digits > 50:
        return a == b
    unit = Decimal(1).scaleb(-digits)
    return a.quantize(unit, ROUND_HALF_UP, EXACT) == b.quantize(unit, ROUND_HALF_UP, EXACT)


def _equivalent_quantities(a: Quantity, b: Quantity) -> bool:
    """In the larger of the two units, as numbers are."""
    sizes = [Quantity(Decimal(1), q.unit, q.calendar).base(loosely=True) for q in (a, b)]
    if sizes[0][1] != sizes[1][1]:
        return False
    if sizes[0][0] < sizes[1][0]:
        a, b, sizes = b, a, sizes[::-1]
    return _equivalent_numbers(a.value, decimal(b.base(loosely=True)[0] / sizes[0][0]))


def _loosely(value: Any) -> Hashable:
    match value:
        case dict():
            return frozenset((key, _loosely(member)) for key, member in value.items() if key not in ("id", "_id"))
        case list():
            return tuple(sorted((_loosely(member) for member in value), key=repr))
        case bool():
            return ("boolean", value)
        case str():
            return _folded(value)
        case Decimal():
            return value.quantize(Decimal("1e-8"), ROUND_HALF_UP).normalize() if abs(value.adjusted()) < 15 else value
        case _:
            return value  # type: ignore[no-any-return]  # scalars


def compare(one: Any, two: Any) -> int | None:
    """-1, 0 or 1; None where precision or dimensions leave it open; raises FhirPathError for types without an order."""
    a, b = _pair(one, two)
    match a, b:
        case Temporal(), Temporal() if (a.kind == "Time") == (b.kind == "Time"):
            return a.compare(b)
        case Quantity(), Quantity():
            (value, dimension), (other, other_dimension) = a.base(), b.base()
            return None if dimension != other_dimension else (value > other) - (value < other)
        case str(), str():
            return (a > b) - (a < b)
        case _ if is_number(a) and is_number(b):
            return int(a > b) - int(a < b)
    if any(type(x) is Element and x.shape.primitive for x in (a, b)):
        return None  # a primitive that has extensions in place of its value
    raise FhirPathError(f"{type_name(a).name} and {type_name(b).name} cannot be compared")
