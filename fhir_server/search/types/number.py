"""The search type number: eq and ne by the implicit precision of what is written, the other prefixes by its exact value.

https://hl7.org/fhir/R4/search.html#number

`100` means [99.5, 100.5), `100.00` means [99.995, 100.005). A number whose last written digit is not a unit, as in the
specification's `1e2`, means half a unit of the second place after that digit: [95, 105).
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Context as Arithmetic
from decimal import Decimal
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.prefix import Amount, amount_alternatives, amount_condition, amount_holds, split_prefix
from fhir_server.search.types.selection import Over, check_modifier, keys, union
from fhir_server.store.rows import Rows

Value = Amount
MODIFIERS: frozenset[str] = frozenset()
SELECT: LiteralString = "SELECT pk FROM index_number WHERE key = %s AND "
SELECT_ROWS: LiteralString = "SELECT pk, low, high FROM index_number WHERE key = (SELECT %s::int8)"
SELECT_ANY: LiteralString = "SELECT pk FROM index_number WHERE key = ANY(%s::int8[]) AND "

INFINITY = Decimal("Infinity")
MOST_DIGITS = 300  # of a number, and of its exponent: what the index keeps
EXACT = Arithmetic(prec=4 * MOST_DIGITS)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?", re.ASCII)


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The number with its range; raises a `value` refusal for what is no number or prefix."""
    check_modifier(parameter, modifier, MODIFIERS)
    return amount(parameter, unescape(text))


def amount(parameter: Parameter, text: str) -> Amount:
    """The number of a search, prefix included; `ap` widens it by a tenth of itself, or its precision if that is more."""
    prefix, rest = split_prefix(text, parameter.code)
    # A plus sign that was not percent-encoded arrives as a space.
    value = Decimal(rest.replace(" ", "+")) if _NUMBER.fullmatch(rest.replace(" ", "+")) else INFINITY
    if not fits(value):
        wanted = "write digits, with a point or an exponent if need be, after an optional prefix"
        raise refuse("value", f"{parameter.code}={text}: '{rest}' is no number; {wanted}", parameter.code)
    half = implicit(value)
    if prefix == "ap":
        half = max(half, EXACT.divide(abs(value), Decimal(10)))
    return Amount(prefix, value, EXACT.subtract(value, half), EXACT.add(value, half))


def implicit(value: Decimal) -> Decimal:
    """Half the width of the range that a number means by how many digits it is written with."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(5).scaleb(exponent - 1 if exponent <= 0 else exponent - 2, EXACT)


def fits(value: Any) -> bool:
    """Whether it is a finite number that is not absurdly long."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    _, digits, exponent = value.as_tuple()
    return len(digits) <= MOST_DIGITS and isinstance(exponent, int) and abs(exponent) <= MOST_DIGITS


def decimal(value: Any) -> Decimal | None:
    """A JSON number as a Decimal; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if type(value) is Decimal:
        text = str(value)
        # What is written so, as nearly all numbers are, has no exponent above zero and no more digits than characters.
        if len(text) <= MOST_DIGITS and "E" not in text and value.is_finite():
            return value
    return value if fits(value) else None


def amounts(nodes: Iterable[Node]) -> Iterator[tuple[Decimal, Decimal]]:
    """[low, high] of each node: a number itself, a Range its limits, infinite where one is missing."""
    for _, value in nodes:
        match value:
            case {"low": _} | {"high": _}:
                yield from _limits(value)
            case _ if (point := decimal(value)) is not None:
                yield point, point


def _limits(limits: dict[str, Any]) -> Iterator[tuple[Decimal, Decimal]]:
    low, high = _limit(limits, "low"), _limit(limits, "high")
    if low is None and high is None:
        return
    ends = -INFINITY if low is None else low, INFINITY if high is None else high
    if ends[0] <= ends[1]:
        yield ends


def _limit(limits: dict[str, Any], name: str) -> Decimal | None:
    limit = limits.get(name)
    return decimal(limit.get("value")) if isinstance(limit, dict) else None


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds a row of index_number for each node."""
    found = key(tenant, path.resource_type, path.text, "number")

    def extract(nodes: list[Node], rows: Rows) -> None:
        for low, high in amounts(nodes):
            rows.numbers.add((found, low, high))

    return extract


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_number`, one branch for each path; right for one resource after another."""
    return union(in_order(parameter, value, tenant))


def ranges(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `condition` finds, in selections each of which is one range of a b-tree."""
    found = keys(parameter, tenant, "number")
    return [sql(SELECT, one) + each for one in found for each in amount_alternatives(value)]


def in_order(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `condition` finds, in a selection for each path, which a page passes over in the order of pk."""
    return [sql(SELECT, one) + amount_condition(value) for one in keys(parameter, tenant, "number")]


def at_once(parameter: Parameter, value: Value, tenant: int) -> list[Fragment]:
    """What `ranges` finds, the ranges of all paths in one selection: to see how many there are."""
    start = sql(SELECT_ANY, keys(parameter, tenant, "number"))
    return [start + each for each in amount_alternatives(value)]


def over(parameter: Parameter, value: Value, tenant: int) -> Over:
    """What `condition` finds, as rows of each path and the test for them."""
    return Over(tuple(sql(SELECT_ROWS, one) for one in keys(parameter, tenant, "number")), amount_condition(value))


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    return any(amount_holds(value, *limits) for path in parameter.paths for limits in amounts(path.nodes(resource)))
