"""The search type quantity: a number with `|system|code`, `||unit` or no unit, in canonical units where it is UCUM.

https://hl7.org/fhir/R4/search.html#quantity

`5.4|http://unitsofmeasure.org|g` finds 5400 mg. Quantity and its kinds, Money, Range and SampledData are indexed; a
comparator such as `<` makes a range of what is below the value.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from decimal import Context as Arithmetic
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import split, unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.number import EXACT, INFINITY, amount, decimal
from fhir_server.search.types.prefix import Amount, amount_alternatives, amount_condition, amount_holds
from fhir_server.search.types.selection import Over, check_modifier, keys, union
from fhir_server.store.rows import Quantity
from terminology import ucum

MODIFIERS: frozenset[str] = frozenset()
UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"
SELECT: LiteralString = "SELECT pk FROM index_quantity WHERE key = %s AND "
SELECT_CANONICAL: LiteralString = "SELECT pk FROM index_quantity WHERE canonical_key = %s AND "
SELECT_ROWS: LiteralString = "SELECT pk, low, high, code, label FROM index_quantity WHERE key = (SELECT %s::int8)"
SELECT_ANY: LiteralString = "SELECT pk FROM index_quantity WHERE key = ANY(%s::int8[]) AND "
SELECT_ANY_CANONICAL: LiteralString = "SELECT pk FROM index_quantity WHERE canonical_key = ANY(%s::int8[]) AND "

# What is strictly below 5 ends one step of this precision below it.
_STEP = Arithmetic(prec=28, rounding=ROUND_HALF_EVEN)
_LEAST = Decimal("1E-28")
_MOST_SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class Value:
    """A quantity to look for: the number; the unit as it was written; in UCUM also both in base units.

    `system`: None is no unit at all, "" a unit by its code or its text.
    """

    amount: Amount
    system: str | None = None
    code: str = ""
    canonical: tuple[str, Amount] | None = None


@dataclass(frozen=True, slots=True)
class _Measure:
    """One indexed quantity: its limits and the names of its unit."""

    low: Decimal
    high: Decimal
    system: str = ""
    code: str = ""
    unit: str = ""


# --- the value of a query ---------------------------------------------------------------------------------------------


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The quantity of one alternative; raises a `value` refusal where number or unit are not understood."""
    check_modifier(parameter, modifier, MODIFIERS)
    parts = [unescape(part) for part in split(text, "|")]
    match parts:
        case [number] | [number, "", ""]:
            return Value(amount(parameter, number))
        case [number, "", code]:
            return Value(amount(parameter, number), "", code)
        case [number, system, code] if code:
            found = amount(parameter, number)
            return Value(found, system, code, _canonical_amount(found, code) if system == UCUM else None)
        case _:
            wanted = "write number, number|system|code or number||unit"
            raise refuse("value", f"{parameter.code}={text}: {wanted}", parameter.code)


def _canonical_amount(found: Amount, code: str) -> tuple[str, Amount] | None:
    made = [ucum.canonical(value, code) for value in (found.value, found.low, found.high)]
    match made:
        case [(value, unit), (low, _), (high, _)]:
            return unit, Amount(found.prefix, value, low, high)
    return None


# --- extraction -------------------------------------------------------------------------------------------------------


def _measures(nodes: Iterable[Node]) -> Iterator[_Measure]:
    for kind, value in nodes:
        if not isinstance(value, dict):
            continue
        match kind:
            case "Range":
                found = _range(value)
            case "Money":
                found = _money(value)
            case "SampledData":
                found = _sampled(value)
            case _:
                found = _quantity(value)
        if found is not None:
            yield found


def _quantity(quantity: dict[str, Any]) -> _Measure | None:
    value = decimal(quantity.get("value"))
    if value is None:
        return None
    low = high = value
    match quantity.get("comparator"):
        case "<":
            low, high = -INFINITY, _beside(value, -1)
        case "<=":
            low = -INFINITY
        case ">":
            low, high = _beside(value, 1), INFINITY
        case ">=":
            high = INFINITY
    return _Measure(low, high, *_unit(quantity))


def _beside(value: Decimal, side: int) -> Decimal:
    """The number next to a value, above it for 1 and below it for -1."""
    if not value:
        return _LEAST * side
    return value.next_plus(_STEP) if side > 0 else value.next_minus(_STEP)


def _unit(quantity: dict[str, Any]) -> tuple[str, str, str]:
    system, code, unit = (quantity.get(name) for name in ("system", "code", "unit"))
    return (
        system if isinstance(system, str) else "",
        code if isinstance(code, str) else "",
        unit if isinstance(unit, str) else "",
    )


def _money(money: dict[str, Any]) -> _Measure | None:
    value, currency = decimal(money.get("value")), money.get("currency")
    if value is None:
        return None
    return _Measure(value, value, CURRENCIES, currency) if isinstance(currency, str) else _Measure(value, value)


def _range(limits: dict[str, Any]) -> _Measure | None:
    """From low to high, open where one is missing; nothing where it is empty or the units differ."""
    ends = [end if isinstance(end := limits.get(name), dict) else {} for name in ("low", "high")]
    low, high = (decimal(end.get("value")) for end in ends)
    units = [_unit(end) for end, value in zip(ends, (low, high), strict=True) if value is not None]
    if not units or units[0] != units[-1]:
        return None
    made = _Measure(-INFINITY if low is None else low, INFINITY if high is None else high, *units[0])
    return made if made.low <= made.high else None


def _sampled(sampled: dict[str, Any]) -> _Measure | None:
    """From the least to the greatest sample, in the unit of the origin."""
    origin, data = sampled.get("origin"), sampled.get("data")
    start = decimal(origin.get("value")) if isinstance(origin, dict) else None
    factor = decimal(sampled.get("factor", 1))
    if not isinstance(origin, dict) or start is None or factor is None or not isinstance(data, str):
        return None
    limits = {"L": decimal(sampled.get("lowerLimit")), "U": decimal(sampled.get("upperLimit"))}
    samples = [
        limits[text] if text in limits else _sample(text) for text in data.split(None, _MOST_SAMPLES)[:_MOST_SAMPLES]
    ]
    known = [EXACT.add(start, EXACT.multiply(sample, factor)) for sample in samples if sample is not None]
    return _Measure(min(known), max(known), *_unit(origin)) if known else None


def _sample(text: str) -> Decimal | None:
    """A sample; None for E, an error, and for what is no number."""
    try:
        return decimal(Decimal(text))
    except ArithmeticError:
        return None


def rows_of(path: Path, nodes: Iterable[Node], tenant: int) -> set[Quantity]:
    """The rows of the nodes: one for each, and one more where code and text of the unit differ."""
    out: set[Quantity] = set()
    _add(_Where(tenant, path), nodes, out)
    return out


class _Where:
    """The keys of one path, to look up by."""

    __slots__ = ("canonical", "path", "quantity", "tenant")

    def __init__(self, tenant: int, path: Path) -> None:
        self.tenant, self.path = tenant, path
        self.quantity = key(tenant, path.resource_type, path.text, "quantity")


def _add(where: _Where, nodes: Iterable[Node], out: set[Quantity]) -> None:
    for one in _measures(nodes):
        code, label, other = _unit_keys(where.tenant, one.system, one.code, one.unit)
        out.add((where.quantity, one.low, one.high, code, label, *_canonical(where, one)))
        if other is not None:
            out.add((where.quantity, one.low, one.high, None, other, None, None, None))


@functools.lru_cache(maxsize=4096)
def _unit_keys(tenant: int, system: str, code: str, unit: str) -> tuple[int | None, int | None, int | None]:
    """The keys of a unit: of its code, of its code or else its text, and of its text where that is another."""
    return (
        unit_key(tenant, system, code) if code else None,
        label_key(tenant, code or unit) if code or unit else None,
        label_key(tenant, unit) if code and unit not in ("", code) else None,
    )


def _canonical(where: _Where, one: _Measure) -> tuple[int, Decimal, Decimal] | tuple[None, None, None]:
    if one.system != UCUM:
        return None, None, None
    low = ucum.canonical(one.low, one.code)
    high = low if one.low == one.high else ucum.canonical(one.high, one.code)
    if low is None or high is None:
        return None, None, None
    return key(where.tenant, where.path.resource_type, where.path.text, "canonical", low[1]), low[0], high[0]


def unit_key(tenant: int, system: str, code: str) -> int:
    """What index_quantity.code holds for a unit of a system."""
    return key(tenant, "", "", "unit", system, code)


def label_key(tenant: int, text: str) -> int:
    """What index_quantity.label holds for the code or the text of a unit."""
    return key(tenant, "", "", "label", text)


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds the rows of index_quantity of the nodes."""
    where = _Where(tenant, path)
    return lambda nodes, rows: _add(where, nodes, rows.quantities)


# --- search -----------------------------------------------------------------------------------------------------------


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_quantity`, one branch for each path; right for one resource after another."""
    return union(in_order(parameter, value, tenant))


def ranges(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `condition` finds, in selections each of which is one range of a b-tree."""
    return _selections(parameter, value, tenant, amount_alternatives)


def in_order(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `condition` finds, in a selection for each path, which a page passes over in the order of pk."""
    return _selections(parameter, value, tenant, _as_one)


def at_once(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `ranges` finds, the ranges of all paths in one selection: to see how many there are."""
    if value.canonical is not None:
        unit, sought = value.canonical
        limits = amount_alternatives(sought, "canonical_low", "canonical_high")
        return [sql(SELECT_ANY_CANONICAL, _canonical_keys(parameter, unit, tenant)) + each for each in limits]
    start = sql(SELECT_ANY, keys(parameter, tenant, "quantity"))
    unit_too = _unit_condition(value, tenant)
    return [start + each + unit_too for each in amount_alternatives(value.amount)]


def over(parameter: Parameter, value: Value, tenant: int) -> Over | None:
    """What `condition` finds, as rows of each path and the test for them; None where no index has such rows in order."""
    if value.canonical is not None:
        return None
    rows = tuple(sql(SELECT_ROWS, one) for one in keys(parameter, tenant, "quantity"))
    return Over(rows, amount_condition(value.amount) + _unit_condition(value, tenant))


_Limits = Callable[[Amount, LiteralString, LiteralString], tuple[Fragment, ...]]


def _as_one(sought: Amount, low: LiteralString, high: LiteralString) -> tuple[Fragment, ...]:
    return (amount_condition(sought, low, high),)


def _selections(parameter: Parameter, value: Value, tenant: int, limits_of: _Limits) -> list[Fragment]:
    if value.canonical is not None:
        unit, sought = value.canonical
        limits = limits_of(sought, "canonical_low", "canonical_high")
        found = _canonical_keys(parameter, unit, tenant)
        return [sql(SELECT_CANONICAL, one) + each for one in found for each in limits]
    limits = limits_of(value.amount, "low", "high")
    unit_too = _unit_condition(value, tenant)
    return [sql(SELECT, one) + each + unit_too for one in keys(parameter, tenant, "quantity") for each in limits]


def _canonical_keys(parameter: Parameter, unit: str, tenant: int) -> list[int]:
    return [key(tenant, path.resource_type, path.text, "canonical", unit) for path in parameter.paths]


def _unit_condition(value: Value, tenant: int) -> Fragment:
    match value.system:
        case None:
            return sql("")
        case "":
            return sql(" AND label = %s", label_key(tenant, value.code))
        case system:
            return sql(" AND code = %s", unit_key(tenant, system, value.code))


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    rows = (row for path in parameter.paths for row in rows_of(path, path.nodes(resource), tenant))
    if value.canonical is not None:
        unit, sought = value.canonical
        wanted = set(_canonical_keys(parameter, unit, tenant))
        return any(row[5] in wanted and _holds(sought, row[6], row[7]) for row in rows)
    return any(amount_holds(value.amount, row[1], row[2]) and _has_unit(value, row, tenant) for row in rows)


def _holds(sought: Amount, low: Decimal | None, high: Decimal | None) -> bool:
    return low is not None and high is not None and amount_holds(sought, low, high)


def _has_unit(value: Value, row: Quantity, tenant: int) -> bool:
    match value.system:
        case None:
            return True
        case "":
            return row[4] == label_key(tenant, value.code)
        case system:
            return row[3] == unit_key(tenant, system, value.code)
