"""The search type date: date, dateTime and instant by their precision, Period and Timing by their outer limits.

https://hl7.org/fhir/R4/search.html#date

A time without a zone is taken as UTC, and so is a date: the days of index and search begin at midnight UTC.
"""

import functools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.prefix import Span, instant_condition, span_condition, span_holds, split_prefix
from fhir_server.search.types.selection import Over, check_modifier, keys, union
from fhir_server.store.rows import Rows

Value = Span
MODIFIERS: frozenset[str] = frozenset()
SELECT: LiteralString = "SELECT pk FROM index_date WHERE key = %s AND "
SELECT_ROWS: LiteralString = "SELECT pk, low, high FROM index_date WHERE key = (SELECT %s::int8)"

PAST, FUTURE = "-infinity", "infinity"
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(?P<fraction>\d+))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_MICROSECOND, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


@functools.lru_cache(maxsize=4096)
def span(text: str) -> tuple[str, str] | None:
    """[low, high) of a date at any precision, in UTC: `2013-01` is the whole of January. None where it is no date."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return (_with_seconds(text, found["fraction"]) if found["zone"] else None) or _limits(*found.groups())
    except ValueError:
        return None


def _with_seconds(text: str, fraction: str | None) -> tuple[str, str] | None:
    """The limits of an instant, as nearly all times are written; None where it is no plain one, for another look."""
    if text[16] != ":" or text[11:13] == "24":
        return None
    try:
        low = datetime.fromisoformat(text).astimezone(UTC)
        high = low + (_width(fraction) if fraction else _SECOND)
    except (ValueError, OverflowError):  # a leap second, an unheard-of zone, the ends of time
        return None
    return low.isoformat(timespec="microseconds"), high.isoformat(timespec="microseconds")


def _width(fraction: str) -> timedelta:
    return timedelta(microseconds=10 ** max(0, 6 - len(fraction)))


def _limits(year: str, month: str | None, day: str | None, *time: str | None) -> tuple[str, str]:
    low = datetime(int(year), int(month or 1), int(day or 1))  # noqa: DTZ001 - UTC throughout, written by _instant
    if day is None:
        return _instant(low), _next_month(low) if month else _next_year(low)
    hour, minute, second, fraction, zone = time
    if hour is None or minute is None:
        return _instant(low), _moved(low, _DAY)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:  # FHIR allows the leap second
        raise ValueError("no time of day")
    offset = timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0)) - _zone(zone)
    width = _SECOND if second else _MINUTE
    if fraction:
        offset += int(fraction[:6].ljust(6, "0")) * _MICROSECOND
        width = _width(fraction)
    return _moved(low, offset), _moved(low, offset + width)


def _zone(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    return -size if zone[0] == "-" else size


def _next_month(first: datetime) -> str:
    return _next_year(first) if first.month == 12 else _instant(first.replace(month=first.month + 1))


def _next_year(first: datetime) -> str:
    return FUTURE if first.year == 9999 else _instant(first.replace(year=first.year + 1, month=1))


def _moved(moment: datetime, by: timedelta) -> str:
    """A moment later or earlier; what is beyond the years 1 to 9999 is infinitely far."""
    try:
        return _instant(moment + by)
    except OverflowError:
        return PAST if by < timedelta() else FUTURE


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "+00:00"


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The range meant by `ge2013-01-14`; raises a `value` refusal for what is no date or prefix."""
    check_modifier(parameter, modifier, MODIFIERS)
    prefix, rest = split_prefix(unescape(text), parameter.code)
    # A plus sign that was not percent-encoded arrives as a space.
    limits = span(rest.replace(" ", "+"))
    if limits is None:
        raise refuse(
            "value",
            f"{parameter.code}={text}: '{rest}' is no date; write yyyy, yyyy-mm, yyyy-mm-dd or yyyy-mm-ddThh:mm[:ss[.fff]] "
            "with Z or +hh:mm, after an optional prefix",
            parameter.code,
        )
    low, high = limits
    return Span(prefix, *_widened(low, high, context)) if prefix == "ap" else Span(prefix, low, high)


def _widened(low: str, high: str, context: Context) -> tuple[str, str]:
    """The range widened at both ends by a tenth of its distance from now."""
    now = context.now.replace(tzinfo=None) - (context.now.utcoffset() or timedelta())
    start, end = _moment(low), _moment(high)
    tenth = max(start - now, now - end, timedelta()) / 10
    return _moved(start, -tenth), _moved(end, tenth)


def _moment(instant: str) -> datetime:
    match instant:
        case "-infinity":
            return datetime.min  # noqa: DTZ901 - as in _limits
        case "infinity":
            return datetime.max  # noqa: DTZ901 - as in _limits
    return datetime.fromisoformat(instant).replace(tzinfo=None)


def spans(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    """[low, high) of each node that has one; odd values and ranges that end before they begin have none."""
    for kind, value in nodes:
        found = _timing(value) if kind == "Timing" else _period(value) if isinstance(value, dict) else _point(value)
        if found is not None and found[0] < found[1]:
            yield found


def _point(value: Any) -> tuple[str, str] | None:
    return span(value) if isinstance(value, str) else None


def _period(value: dict[str, Any]) -> tuple[str, str] | None:
    start, end = value.get("start"), value.get("end")
    first, last = _point(start), _point(end)
    if (first is None and start is not None) or (last is None and end is not None):
        return None
    if first is None and last is None:
        return None
    return first[0] if first else PAST, last[1] if last else FUTURE


def _timing(value: Any) -> tuple[str, str] | None:
    """From the first to the last instant of the events and bounds; how often in between does not count."""
    if not isinstance(value, dict):
        return None
    events = value.get("event")
    repeat = value.get("repeat")
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    found = [_point(event) for event in events] if isinstance(events, list) else []
    found.append(_period(bounds) if isinstance(bounds, dict) else None)
    known = [one for one in found if one is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds a row of index_date for each node."""
    found = key(tenant, path.resource_type, path.text, "date")

    def extract(nodes: list[Node], rows: Rows) -> None:
        for low, high in spans(nodes):
            rows.dates.add((found, low, high))

    return extract


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_date`, one branch for each path: each is one range of a b-tree."""
    return union(ranges(parameter, value, tenant))


def ranges(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `condition` finds, in selections each of which is one range of a b-tree."""
    limits = span_condition(value)
    return [sql(SELECT, one) + limits for one in keys(parameter, tenant, "date")]


def over(parameter: Parameter, value: Value, tenant: int) -> Over:
    """What `condition` finds, as rows of each path and the test for them."""
    return Over(tuple(sql(SELECT_ROWS, one) for one in keys(parameter, tenant, "date")), span_condition(value))


def column_condition(value: Value, column: LiteralString) -> Fragment:
    """The condition on a column of points in time: `r.updated` for _lastUpdated."""
    return instant_condition(value, column)


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    return any(span_holds(value, low, high) for path in parameter.paths for low, high in spans(path.nodes(resource)))
