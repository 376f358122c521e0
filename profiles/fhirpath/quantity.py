"""Quantities with their units, converted where they can be.

https://hl7.org/fhirpath/N1/#quantity and https://hl7.org/fhirpath/N1/#quantity-equality
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

from profiles.fhirpath.units import Dimension, canonical

_NAMES = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR = {spelling: name for name in _NAMES for spelling in (name, f"{name}s")}
"""The calendar units as they may be written, singular and plural."""
# A second and what is made of it lasts the same in the calendar and in UCUM; months and years do not.
_DEFINITE = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
_INDEFINITE = {"year": "a", "month": "mo"}
_BY_UCUM = {code: name for name, code in _DEFINITE.items()}
EXACT = Context(prec=60)
_TEXT = re.compile(r"(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?:'(?P<unit>[^']+)'|(?P<word>[A-Za-z]+))?$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of units: `unit` is a UCUM code, or a calendar unit in the singular where `calendar` says so."""

    value: Decimal
    unit: str
    calendar: bool = False

    @classmethod
    def parse(cls, text: str) -> "Quantity | None":
        """`4 'mg'`, `4 days` or `4`, which has the unit '1'."""
        match = _TEXT.match(text.strip())
        if match is None:
            return None
        value = Decimal(match["value"])
        if match["word"]:
            return cls(value, CALENDAR[match["word"]], calendar=True) if match["word"] in CALENDAR else None
        return cls(value, match["unit"] or "1")

    def __str__(self) -> str:
        if not self.calendar:
            return f"{self.value} '{self.unit}'"
        return f"{self.value} {self.unit}{'' if self.value == 1 else 's'}"

    def calendar_unit(self) -> str | None:
        """The calendar unit by which it can move a date: year … millisecond; None for another unit, a UCUM year too."""
        if self.calendar:
            return self.unit
        return _BY_UCUM.get(self.unit) or CALENDAR.get(self.unit)

    def base(self, *, loosely: bool = False) -> tuple[Fraction, Dimension | str]:
        """Value and dimension in base units; a unit that nothing converts is a dimension of its own.

        A calendar's year and month are so too, in months, unless `loosely` takes them for UCUM's.
        """
        unit = self.unit
        if self.calendar:
            if unit in _INDEFINITE and not loosely:
                return Fraction(self.value) * (12 if unit == "year" else 1), "month"
            unit = _DEFINITE.get(unit) or _INDEFINITE[unit]
        found = canonical(unit)
        return (Fraction(self.value) * found[0], found[1]) if found else (Fraction(self.value), f"'{unit}'")

    def times(self, other: "Quantity") -> "Quantity":
        return Quantity(EXACT.multiply(self.value, other.value), _product(self, other, "."))

    def divided(self, other: "Quantity") -> "Quantity | None":
        """None where the other is nothing."""
        if not other.value:
            return None
        return Quantity(EXACT.divide(self.value, other.value), _product(self, other, "/"))

    def plus(self, other: "Quantity", sign: int = 1) -> "Quantity | None":
        """The sum in the unit of this one; None where the other cannot be converted to it."""
        if (self.unit, self.calendar) == (other.unit, other.calendar):
            return Quantity(EXACT.add(self.value, sign * other.value), self.unit, self.calendar)
        one, two = self.base(), other.base()
        if one[1] != two[1]:
            return None
        size = Quantity(Decimal(1), self.unit, self.calendar).base()[0]
        total = (one[0] + sign * two[0]) / size
        return Quantity(decimal(total), self.unit, self.calendar)


def decimal(number: Fraction) -> Decimal:
    """A fraction as a decimal of at most 60 digits, without trailing zeros."""
    return EXACT.divide(Decimal(number.numerator), Decimal(number.denominator)).normalize(EXACT)


def _product(left: Quantity, right: Quantity, operator: str) -> str:
    one, two = (_DEFINITE.get(q.unit) or _INDEFINITE[q.unit] if q.calendar else q.unit for q in (left, right))
    match one, two, operator:
        case _, "1", _:
            return one
        case "1", _, ".":
            return two
        case _, _, "/":
            return "1" if one == two else f"{one}/({two})" if re.search("[./]", two) else f"{one}/{two}"
        case _:
            return f"{one}.{two}"
