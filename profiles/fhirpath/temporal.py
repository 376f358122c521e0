"""Dates, date times and times that know their precision.

https://hl7.org/fhirpath/N1/#time-valued-quantities and https://hl7.org/fhirpath/N1/#datetime-arithmetic
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal

_TIME = r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?"
_DATE = r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
_PATTERNS = {
    "Date": re.compile(rf"{_DATE}$", re.ASCII),
    "DateTime": re.compile(rf"{_DATE}(?:T(?:{_TIME}(Z|[+-]\d\d:\d\d)?)?)?$", re.ASCII),
    "Time": re.compile(rf"T?{_TIME}$", re.ASCII),
}
# How many digits a value of 1, 2, 3 … parts has, as precision() and the boundaries count them; the last with milliseconds.
_DIGITS = {"Date": (4, 6, 8), "DateTime": (4, 6, 8, 10, 12, 14, 17), "Time": (2, 4, 6, 9)}
_ZERO, _SECOND, _MILLISECOND = Decimal(0), Decimal(1), Decimal("0.001")
# The part of a value (from its end: year, month, day …) that each unit changes, and what one unit is worth in it.
_MONTHS = {"year": 12, "month": 1}
SECONDS = {
    "week": Decimal(604800), "day": Decimal(86400), "hour": Decimal(3600), "minute": Decimal(60),
    "second": Decimal(1), "millisecond": Decimal("0.001"),
}  # fmt: skip

Part = int | Decimal


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Date, DateTime or Time: as many parts as were given, the seconds with their decimals, and perhaps an offset."""

    kind: str
    """Date, DateTime or Time."""
    parts: tuple[Part, ...]
    """Year, month, day, hour, minute, second; a Time begins with the hour."""
    offset: int | None = None
    """Minutes east of Greenwich."""

    @classmethod
    def parse(cls, text: str, kind: str) -> "Temporal | None":
        """The value that a text in FHIR's form stands for, None where there is no such date or time."""
        match = _PATTERNS[kind].match(text)
        if match is None:
            return None
        groups: tuple[str | None, ...] = match.groups()
        offset = None
        if kind == "DateTime":
            *numbers, zone = groups
            groups, offset = tuple(numbers), _offset(zone)
        first_second = 2 if kind == "Time" else 5
        parts = tuple(Decimal(g) if i == first_second else int(g) for i, g in enumerate(groups) if g is not None)
        return cls(kind, parts, offset) if _exists(kind, parts) else None

    @classmethod
    def of(cls, moment: datetime, kind: str) -> "Temporal":
        """A moment with zone as DateTime, its day as Date or its time of day as Time, to the millisecond."""
        day: tuple[Part, ...] = (moment.year, moment.month, moment.day)
        second = moment.second + Decimal(moment.microsecond // 1000) * _MILLISECOND
        time: tuple[Part, ...] = (moment.hour, moment.minute, second.quantize(_MILLISECOND))
        zone = moment.utcoffset() or timedelta()
        match kind:
            case "Date":
                return cls(kind, day)
            case "Time":
                return cls(kind, time)
            case _:
                return cls(kind, day + time, int(zone.total_seconds()) // 60)

    def __str__(self) -> str:
        day, time = ((), self.parts) if self.kind == "Time" else (self.parts[:3], self.parts[3:])
        text = "-".join(f"{part:0{4 if i == 0 else 2}}" for i, part in enumerate(day))
        if not time:
            return text
        clock = ":".join(_two_digits(part) for part in time)
        return f"{text}T{clock}{_zone(self.offset)}" if day else clock

    def key(self) -> tuple[object, ...]:
        """Equal for values that are one moment at one precision; a Date and a DateTime of a day are."""
        parts = self.in_utc().parts if self.offset is not None else self.parts
        return (self.kind == "Time", self.offset is None or len(parts) <= 3, *parts)

    def compare(self, other: "Temporal") -> int | None:
        """-1, 0 or 1; None where the precision or a missing offset leaves it open. Both must be times, or neither."""
        left, right = self, other
        if self.kind != "Time" and min(len(self.parts), len(other.parts)) > 3:
            if (self.offset is None) != (other.offset is None):
                return self._compare_apart(other)
            left, right = self.in_utc(), other.in_utc()
        for one, two in zip(left.parts, right.parts, strict=False):
            if one != two:
                return -1 if one < two else 1
        return 0 if len(left.parts) == len(right.parts) else None

    def _compare_apart(self, other: "Temporal") -> int | None:
        """The comparison of a value with an offset and one without, where it is the same in every zone on earth."""
        extremes = {
            Temporal(self.kind, self.parts, zone if self.offset is None else self.offset).compare(
                Temporal(other.kind, other.parts, zone if other.offset is None else other.offset)
            )
            for zone in (14 * 60, -12 * 60)
        }
        return extremes.pop() if len(extremes) == 1 else None

    def in_utc(self) -> "Temporal":
        """The same moment at Greenwich, where there is an offset; the value itself where there is none."""
        if not self.offset:
            return self
        year, month, day, hour, minute = (*(int(part) for part in self.parts[:5]), 0)[:5]
        try:
            moment = datetime(year, month, day, hour, minute, tzinfo=UTC) - timedelta(minutes=self.offset)
        except (OverflowError, ValueError):  # the first or last day of all years, or a year 0
            return self
        shifted = (moment.year, moment.month, moment.day, moment.hour, moment.minute, *self.parts[5:])
        return Temporal(self.kind, shifted[: len(self.parts)], 0)

    def plus(self, amount: Decimal, unit: str) -> "Temporal | None":
        """The value moved by an amount of calendar units (year … millisecond), whole ones but for seconds.

        What is finer than the value is turned into its own precision: a year plus 24 months is two years later, plus
        365 days one. None beyond the years 1 to 9999, and for a Time moved by days or more.
        """
        parts = len(self.parts) + (3 if self.kind == "Time" else 0)
        amount = amount if unit in ("second", "millisecond") else amount.to_integral_value(ROUND_DOWN)
        try:
            if unit in _MONTHS:
                return self._plus_months(int(amount) * _MONTHS[unit], parts)
            seconds = amount * SECONDS[unit]
            if parts < 3:
                days = seconds / SECONDS["day"]
                return self._plus_months(int(days / 365) * 12 if parts == 1 else int(days / 30), parts)
            return self._plus_seconds(seconds, parts)
        except (OverflowError, ValueError):
            return None

    def _plus_months(self, months: int, parts: int) -> "Temporal | None":
        if self.kind == "Time":
            return None
        if parts == 1:
            months = int(months / 12) * 12
        year, month = divmod(int(self.parts[0]) * 12 + (int(self.parts[1]) - 1 if parts > 1 else 0) + months, 12)
        if not 1 <= year <= 9999:
            return None
        rest = self.parts[2:]
        if rest:
            rest = (min(int(rest[0]), calendar.monthrange(year, month + 1)[1]), *rest[1:])
        return Temporal(self.kind, (year, month + 1, *rest)[:parts], self.offset)

    def _plus_seconds(self, seconds: Decimal, parts: int) -> "Temporal | None":
        worth = {3: SECONDS["day"], 4: SECONDS["hour"], 5: SECONDS["minute"], 6: _MILLISECOND}[parts]
        moved = (seconds / worth).to_integral_value(ROUND_DOWN) * worth
        year, month, day, *time = (1970, 1, 2, *self.parts) if self.kind == "Time" else self.parts
        hour, minute, second = (*time, 0, 0, 0)[:3]
        whole, fraction = divmod(Decimal(second) + moved, 1)
        if fraction < 0:
            whole, fraction = whole - 1, fraction + 1
        start = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC)
        moment = start + timedelta(seconds=int(whole))
        digits = -int(Decimal(second).as_tuple().exponent)
        exact = (moment.second + fraction).normalize()
        exact = exact.quantize(Decimal(1).scaleb(-max(digits, -int(exact.as_tuple().exponent), 0)))
        shifted: tuple[Part, ...] = (moment.year, moment.month, moment.day, moment.hour, moment.minute, exact)
        return Temporal(self.kind, shifted[3:parts] if self.kind == "Time" else shifted[:parts], self.offset)

    def precision(self) -> int:
        """The number of digits: 4 for a year, 8 for a day, 17 for milliseconds, 9 for a time with them."""
        count = _DIGITS[self.kind][len(self.parts) - 1]
        second = self.parts[-1]
        return count - int(second.as_tuple().exponent) if isinstance(second, Decimal) else count

    def boundary(self, digits: int | None, *, high: bool) -> "Temporal | None":
        """The earliest or latest value it can stand for, in so many digits; None where no value has so many."""
        counts = _DIGITS[self.kind]
        digits = counts[-1] if digits is None else digits
        if digits not in counts:
            return None
        wanted = min(counts.index(digits) + 1, len(counts) - (self.kind != "Date"))
        parts = list(self.parts[:wanted])
        first = 3 if self.kind == "Time" else 0
        while len(parts) < wanted:
            parts.append(_extreme(first + len(parts), parts, high=high))
        if first + wanted == 6:
            parts[-1] = _second(Decimal(parts[-1]), self, high=high, exact=digits == counts[-1])
        offset = self.offset
        if self.kind == "DateTime" and wanted > 3 and offset is None:
            offset = -12 * 60 if high else 14 * 60
        return Temporal(self.kind, tuple(parts), offset if wanted > 3 else None)


def _offset(zone: str | None) -> int | None:
    if zone is None or zone == "Z":
        return None if zone is None else 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:])
    return -minutes if zone[0] == "-" else minutes


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    sign = "-" if offset < 0 else "+"
    return "Z" if offset == 0 else f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"


def _two_digits(part: Part) -> str:
    return f"{part:02}" if isinstance(part, int) or part >= 10 else f"0{part}"


def _exists(kind: str, parts: tuple[Part, ...]) -> bool:
    day, time = ((), parts) if kind == "Time" else (parts[:3], parts[3:])
    if len(day) > 1 and not 1 <= day[1] <= 12:
        return False
    if len(day) > 2 and not 1 <= day[2] <= calendar.monthrange(int(day[0]), int(day[1]))[1]:
        return False
    return all(part < limit for part, limit in zip(time, (24, 60, 61), strict=False))


def _extreme(place: int, parts: list[Part], *, high: bool) -> Part:
    """The least or greatest value of the part at a place (0 the year), after the parts before it."""
    match place:
        case 1:
            return 12 if high else 1
        case 2:
            return calendar.monthrange(int(parts[0]), int(parts[1]))[1] if high else 1
        case 3:
            return 23 if high else 0
        case 4:
            return 59 if high else 0
        case _:
            return Decimal(59) if high else _ZERO


def _second(second: Decimal, value: Temporal, *, high: bool, exact: bool) -> Decimal:
    """The seconds of a boundary: cut to whole ones, or filled up with milliseconds where the value had none."""
    if not exact:
        return second.to_integral_value(ROUND_DOWN)
    given = value.parts[-1]
    had = -int(given.as_tuple().exponent) if isinstance(given, Decimal) else 0
    missing = _SECOND.scaleb(-had) - _MILLISECOND
    return (second + (missing if high and had < 3 else _ZERO)).quantize(_MILLISECOND, ROUND_DOWN)
