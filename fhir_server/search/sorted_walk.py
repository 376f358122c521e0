"""A sorted page for which no plan is made anew: all that one term finds, where it is little, with its sort values.

https://hl7.org/fhir/R4/search.html#sort; search/walk.py tells how such statements keep their plans.

What follows the first page is that of search/compile.py: the sort values here are the ones that it goes on behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from fhir_server.search.compile import CONTENT
from fhir_server.search.condition import UNION, Scope
from fhir_server.search.fragment import Fragment, compose, join, sql
from fhir_server.search.keyset import NAMES, Column, columns_of, in_order
from fhir_server.search.order import DIRECTIONS, NULLS, Key, keys_of
from fhir_server.search.query import Query, Sort

MOST = 4000  # rows of the leading term, as _FIRST says
TYPES = frozenset(("date", "number", "quantity", "string", "uri"))
_FIRST: LiteralString = " LIMIT 4001"
_OF_KEPT: LiteralString = ") j WHERE j.pk = ANY(ARRAY(SELECT pk FROM kept)) ORDER BY j.pk, "
_VALUES: tuple[LiteralString, ...] = ("j.v", "j.w")
_COLUMNS: dict[LiteralString, LiteralString] = {
    "r.updated": "SELECT pk, updated AS v FROM resource WHERE tenant = (SELECT %s::int4) AND NOT deleted",
    "r.id": "SELECT pk, id AS v FROM resource WHERE tenant = (SELECT %s::int4) AND NOT deleted",
}
_MOST_KNOWN = 512
_known: dict[tuple[Any, ...], "_Sorting"] = {}


def can_sort(query: Query) -> bool:
    """Whether it is a first page whose sort values are looked up by key and pk."""
    of_columns = ("_id", "_lastUpdated")
    return query.page is None and all(
        not one.links and (one.parameter.type in TYPES or one.parameter.code in of_columns) for one in query.sort
    )


@dataclass(frozen=True, slots=True)
class _Sorting:
    """The parts of a statement that are the same for all searches with the same sort keys, and these, so that they live on."""

    sort: Sequence[Sort]
    shown: Fragment  # the sort values as they go out
    values: Fragment  # the rows of `kept` with their sort values
    order: Fragment
    order_out: Fragment
    nulls: Fragment


def sorted_page(scope: Scope, query: Query, branches: Sequence[Fragment], narrowed: Fragment) -> Fragment:
    """`SELECT pk, type, id, content, sort values…`, and a row of NULLs where the branches have more than MOST rows.

    `narrowed` are the pks among `lead` for which all other terms hold, each once.
    """
    made = _sorting(scope, query)
    return compose(
        "WITH lead AS MATERIALIZED (SELECT d.pk FROM (", join(UNION, branches), ") d", _FIRST,
        "), kept AS MATERIALIZED (", narrowed, ") (SELECT p.pk, c.type, c.id, c.content", made.shown,
        " FROM (SELECT * FROM ", made.values, " q ORDER BY ", made.order, sql(" LIMIT (SELECT %s::int8)", query.count + 1),
        sql(CONTENT, scope.tenant), made.order_out, ")",
        UNION, "(SELECT NULL::int8, NULL::int2, NULL::text, NULL::bytea", made.nulls,
        sql(" FROM lead OFFSET %s LIMIT 1)", MOST),
    )  # fmt: skip


def _sorting(scope: Scope, query: Query) -> _Sorting:
    """Kept, for it takes as long to make as all the rest. Parameters are told apart by identity: to compare them takes longer."""
    name = (scope.tenant, *((id(one.parameter), one.descending) for one in query.sort))
    made = _known.get(name)
    if made is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        made = _known[name] = _made(scope, query)
    return made


def _made(scope: Scope, query: Query) -> _Sorting:
    keys = keys_of(scope, query)
    columns = columns_of(keys)
    return _Sorting(
        query.sort,
        shown=_each(", p.", columns, "::text"),
        values=compose("(SELECT pk", _foremost(columns), " FROM (", _values(scope, keys), ") v GROUP BY pk)"),
        order=in_order(columns, query, named="q."),
        order_out=in_order(columns, query, named="p."),
        nulls=_each(", NULL::text AS ", columns, ""),
    )


def _each(before: LiteralString, columns: Sequence[Column], behind: LiteralString) -> Fragment:
    return join("", [sql(before + one.name + behind) for one in columns])


def _foremost(columns: Sequence[Column]) -> Fragment:
    """The columns of a resource, each of which one row has at most."""
    return join("", [sql(", max(" + one.name + ") AS " + one.name) for one in columns])


def _values(scope: Scope, keys: Sequence[Key]) -> Fragment:
    """The rows of `kept` without any value, and for each key those with its value: of several of a resource the foremost.

    They are put together by what follows, not joined: the planner takes `kept` for a row or two, and would compare each
    of its rows with each value.
    """
    bare = [
        sql(", " + name + " AS " + NAMES[n][at]) for n, one in enumerate(keys) for at, name in enumerate(_nulls(one))
    ]
    found = [_of_key(scope, keys, n) for n in range(len(keys))]
    return join(UNION, [compose("SELECT pk", *bare, " FROM kept"), *found])


def _of_key(scope: Scope, keys: Sequence[Key], place: int) -> Fragment:
    key_ = keys[place]
    read = [
        sql(", " + name) for n, one in enumerate(keys) for name in (_VALUES[: one.width] if n == place else _nulls(one))
    ]
    rows = key_.rows if key_.rows is not None else sql(_COLUMNS[key_.column], scope.tenant)
    order = join(", ", [sql(name + DIRECTIONS[key_.descending]) for name in _VALUES[: key_.width]])
    return compose("(SELECT DISTINCT ON (j.pk) j.pk", *read, " FROM (", rows, _OF_KEPT, order, ")")


def _nulls(key_: Key) -> tuple[LiteralString, ...]:
    return (NULLS[key_.type],) * key_.width
