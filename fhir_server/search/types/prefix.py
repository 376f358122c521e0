"""The prefixes eq, ne, gt, lt, ge, le, sa, eb and ap over ranges, in SQL and in memory side by side.

https://hl7.org/fhir/R4/search.html#prefix

Two tables: dates are half-open ranges on both sides, [low, high); numbers are compared with points or closed ranges
[low, high], where eq and ne take the search value's implicit range [low, high) and the others the number itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@dataclass(frozen=True, slots=True)
class Span:
    """A search date: all instants in [low, high), ISO 8601 in UTC with microseconds, or -infinity and infinity.

    Such texts sort as the instants do. For `ap` the range is already widened.
    """

    prefix: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Amount:
    """A search number: itself, and the range of its implicit precision [low, high); for `ap` [low, high] is widened."""

    prefix: str
    value: Decimal
    low: Decimal
    high: Decimal


def split_prefix(text: str, parameter: str) -> tuple[str, str]:
    """The prefix (`eq` where there is none) and the rest; raises a `value` refusal for two other letters."""
    start = text[:2]
    if not start.isalpha():
        return "eq", text
    if start in PREFIXES:
        return start, text[2:]
    raise refuse("value", f"{parameter}={text}: '{start}' is no prefix; supported are {', '.join(PREFIXES)}", parameter)


# The range above a search value begins, for `ge`, where the value begins, and for `gt` where it ends; the specification's
# tables leave this open, and other servers read them so. The second comparison of `eq` follows from the third (no range
# is empty) and is there for the b-tree on low; IS TRUE keeps the third from the b-tree on high, of which it would be half.
_SPANS: Mapping[str, tuple[LiteralString, tuple[str, ...]]] = {
    "eq": (
        "low >= %s::timestamptz AND low < %s::timestamptz AND (high <= %s::timestamptz) IS TRUE",
        ("low", "high", "high"),
    ),
    "ne": ("(low < %s::timestamptz OR high > %s::timestamptz)", ("low", "high")),
    "gt": ("high > %s::timestamptz", ("high",)),
    "lt": ("low < %s::timestamptz", ("low",)),
    "ge": ("high > %s::timestamptz", ("low",)),
    "le": ("low < %s::timestamptz", ("high",)),
    "sa": ("low >= %s::timestamptz", ("high",)),
    "eb": ("high <= %s::timestamptz", ("low",)),
    "ap": ("low < %s::timestamptz AND high > %s::timestamptz", ("high", "low")),
}
_AMOUNTS: Mapping[str, tuple[LiteralString, tuple[str, ...]]] = {
    "eq": ("low >= %s AND low < %s AND high < %s", ("low", "high", "high")),
    "ne": ("(low < %s OR high >= %s)", ("low", "high")),
    "gt": ("high > %s", ("value",)),
    "lt": ("low < %s", ("value",)),
    "ge": ("high >= %s", ("value",)),
    "le": ("low <= %s", ("value",)),
    "sa": ("low > %s", ("value",)),
    "eb": ("high < %s", ("value",)),
    "ap": ("low <= %s AND high >= %s", ("high", "low")),
}
# The same as alternatives without a row in common, each of them one range of a b-tree: nearly all numbers are points, for
# which `low` says all, and the ranges have an index of their own. Its condition is told as the migration tells it.
# What has two ends begins with a row, which only an index that begins with `low` can answer: of two bounds the planner believes
# that hardly anything is between them, and that an index in the order of pk may as well skip to it.
_RANGES: LiteralString = "sign(high - low) = 1 AND high >= %s AND low < %s"
_ALTERNATIVES: Mapping[str, tuple[tuple[LiteralString, tuple[str, ...]], ...]] = {
    "gt": (("low > %s", ("value",)), ("sign(high - low) = 1 AND high > %s AND low <= %s", ("value", "value"))),
    "ge": (("low >= %s", ("value",)), (_RANGES, ("value", "value"))),
    "eb": (("low < %s AND high < %s", ("value", "value")),),
    "eq": (("(low, high) >= (%s, '-Infinity') AND low < %s AND high < %s", ("low", "high", "high")),),
    "ap": (("(low, high) >= (%s, '-Infinity') AND low <= %s", ("low", "high")), (_RANGES, ("low", "low"))),
}


def _bound(template: tuple[LiteralString, tuple[str, ...]], value: Any) -> Fragment:
    text, names = template
    return sql(text, *(getattr(value, name) for name in names))


def span_condition(span: Span) -> Fragment:
    """The condition on the columns low and high of index_date."""
    return _bound(_SPANS[span.prefix], span)


def amount_condition(amount: Amount, low: LiteralString = "low", high: LiteralString = "high") -> Fragment:
    """The condition on two numeric columns; the same column twice compares points."""
    return _on(low, high, _AMOUNTS[amount.prefix], amount)


def amount_alternatives(
    amount: Amount, low: LiteralString = "low", high: LiteralString = "high"
) -> tuple[Fragment, ...]:
    """Conditions one of which holds where amount_condition does, each of them one range of a b-tree that begins with `low`."""
    found = _ALTERNATIVES.get(amount.prefix, (_AMOUNTS[amount.prefix],))
    return tuple(_on(low, high, one, amount) for one in found)


def _on(
    low: LiteralString, high: LiteralString, template: tuple[LiteralString, tuple[str, ...]], value: Any
) -> Fragment:
    text, names = template
    text = text.replace("low", "\x01").replace("high", high).replace("\x01", low)
    return _bound((text, names), value)


def instant_condition(span: Span, column: LiteralString) -> Fragment:
    """The condition on a timestamptz column that holds points in time: resource.updated."""
    text: LiteralString
    values: tuple[str, ...]
    match span.prefix:
        case "eq" | "ap":
            text, values = "C >= %s::timestamptz AND C < %s::timestamptz", (span.low, span.high)
        case "ne":
            text, values = "(C < %s::timestamptz OR C >= %s::timestamptz)", (span.low, span.high)
        case "gt" | "sa":
            text, values = "C >= %s::timestamptz", (span.high,)
        case "ge":
            text, values = "C >= %s::timestamptz", (span.low,)
        case "le":
            text, values = "C < %s::timestamptz", (span.high,)
        case _:
            text, values = "C < %s::timestamptz", (span.low,)
    return sql(text.replace("C", column), *values)


def span_holds(span: Span, low: str, high: str) -> bool:
    """Whether a target [low, high) fulfils the search; the answer of span_condition."""
    contained = span.low <= low and high <= span.high
    match span.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return high > span.high
        case "lt":
            return low < span.low
        case "ge":
            return high > span.low
        case "le":
            return low < span.high
        case "sa":
            return low >= span.high
        case "eb":
            return high <= span.low
        case _:
            return low < span.high and high > span.low


def amount_holds(amount: Amount, low: Decimal, high: Decimal) -> bool:
    """Whether a target [low, high] fulfils the search; the answer of amount_condition."""
    contained = amount.low <= low and high < amount.high
    match amount.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return high > amount.value
        case "lt":
            return low < amount.value
        case "ge":
            return high >= amount.value
        case "le":
            return low <= amount.value
        case "sa":
            return low > amount.value
        case "eb":
            return high < amount.value
        case _:
            return low <= amount.high and high >= amount.low
