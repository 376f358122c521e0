"""The sort values of a page as columns, in which order they come, and where the next page begins: no OFFSET anywhere.

https://hl7.org/fhir/R4/search.html#sort and https://hl7.org/fhir/R4/http.html#paging
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.order import DIRECTIONS, NULLS, Key
from fhir_server.search.query import Page, Query

# Names of the values of each key as they go out, what they are read from, and the joins of the keys behind the first.
NAMES: tuple[tuple[LiteralString, LiteralString], ...] = (("s0", "t0"), ("s1", "t1"), ("s2", "t2"), ("s3", "t3"))
_VALUES: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("d.v", "d.w"), ("o1.v", "o1.w"), ("o2.v", "o2.w"), ("o3.v", "o3.w"),
)  # fmt: skip
_JOINS: tuple[LiteralString, ...] = ("", ") o1 ON true", ") o2 ON true", ") o3 ON true")


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a sort key: what it is read from, its name, its direction.

    `absent`: NULL for all rows, as no row has a value. `nullable`: NULL for some.
    """

    expression: LiteralString
    name: LiteralString
    descending: bool
    nullable: bool
    absent: bool = False


def columns_of(keys: Sequence[Key], *, absent: bool = False) -> list[Column]:
    """The columns of the keys; with `absent`, those of resources without a value for the first."""
    out: list[Column] = []
    for n, key_ in enumerate(keys):
        gone = absent and n == 0
        for name, value in zip(NAMES[n][: key_.width], _VALUES[n], strict=False):
            expression = NULLS[key_.type] if gone else key_.column or value
            nullable = n > 0 and not key_.column
            out.append(Column(expression, name, key_.descending, nullable, gone))
    return out


def joined(keys: Sequence[Key]) -> Fragment:
    """The joins that provide the values of the keys behind the first: of several the foremost."""
    parts: list[Fragment] = []
    for n, one in enumerate(keys):
        if n > 0 and one.rows is not None:
            order = join(", ", [sql(name + DIRECTIONS[one.descending]) for name in _J[: one.width]])
            rows = (
                sql(" LEFT JOIN LATERAL (SELECT * FROM (") + one.rows + sql(") j WHERE j.pk = d.pk ORDER BY ") + order
            )
            parts.append(rows + sql(" LIMIT 1") + sql(_JOINS[n]))
    return join("", parts)


_J: tuple[LiteralString, LiteralString] = ("j.v", "j.w")
_ORDERS: dict[tuple[bool, bool, bool], LiteralString] = {
    (False, False, False): "",
    (True, False, False): " DESC",
    (False, False, True): "",
    (True, False, True): " DESC",
    (False, True, False): " ASC NULLS LAST",
    (True, True, False): " DESC NULLS LAST",
    (False, True, True): " ASC NULLS FIRST",
    (True, True, True): " DESC NULLS FIRST",
}


def in_order(columns: Sequence[Column], query: Query, named: LiteralString = "") -> Fragment:
    """What follows ORDER BY: by the columns' names where `named` says of which table, and by pk, in the page's direction.

    Named columns come from both parts of a page, so any may be NULL. pk follows the first key, as indexes do.
    """
    backwards = query.page is not None and query.page.backwards
    parts: list[Fragment] = []
    for one in columns:
        descending = one.descending != backwards
        if named:
            parts.append(sql(named + one.name + _ORDERS[descending, True, backwards]))
        elif not one.absent:
            parts.append(sql(one.expression + _ORDERS[descending, one.nullable, backwards]))
    pk: LiteralString = named + "pk" if named else "d.pk"
    parts.append(sql(pk + DIRECTIONS[_falling(query) != backwards]))
    return join(", ", parts)


def _falling(query: Query) -> bool:
    return bool(query.sort) and query.sort[0].descending


# --- where a page goes on ----------------------------------------------------------------------------------------------


def behind(columns: Sequence[Column], query: Query) -> Fragment:
    """The condition that a resource comes behind the page's start."""
    page = query.page
    assert page is not None
    pairs = [(one, value) for one, value in zip(columns, page.values, strict=True) if not one.absent]
    lower = _falling(query) != page.backwards
    if not pairs:
        return sql("d.pk < %s" if lower else "d.pk > %s", page.pk)
    if all(not one.nullable and one.descending == _falling(query) for one, _ in pairs):
        names = join(", ", [*(sql(one.expression) for one, _ in pairs), sql("d.pk")])
        values = join(", ", [sql("%s", value) for value in (*(value for _, value in pairs), page.pk)])
        return sql("(") + names + sql(") < (" if lower else ") > (") + values + sql(")")
    return _behind_each(pairs, page, lower=lower)


def _behind_each(pairs: Sequence[tuple[Column, Any]], page: Page, *, lower: bool) -> Fragment:
    """One alternative for each column, equal in those before it, then pk; the first also by itself, for its index."""
    alternatives: list[Fragment] = []
    equal: list[Fragment] = []
    for one, value in pairs:
        later = _later(one, value, page)
        if later is not None:
            alternatives.append(join(" AND ", [*equal, later]))
        equal.append(sql(one.expression) + (sql(" IS NULL") if value is None else sql(" = %s", value)))
    alternatives.append(join(" AND ", [*equal, sql("d.pk < %s" if lower else "d.pk > %s", page.pk)]))
    either = sql("((") + join(") OR (", alternatives) + sql("))")
    first, value = pairs[0]
    if first.nullable or value is None:
        return either
    falls = first.descending != page.backwards
    return either + sql(" AND ") + sql(first.expression) + sql(" <= %s" if falls else " >= %s", value)


def _later(one: Column, value: Any, page: Page) -> Fragment | None:
    """That one sort value comes strictly after another; missing values come last (first when backwards)."""
    expression = sql(one.expression)
    if value is None:
        return expression + sql(" IS NOT NULL") if page.backwards else None
    beyond = expression + sql(" < %s" if one.descending != page.backwards else " > %s", value)
    if page.backwards or not one.nullable:
        return beyond
    return sql("(") + beyond + sql(" OR ") + expression + sql(" IS NULL)")
