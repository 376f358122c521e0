"""A sorted page for which no plan is made anew: all that one term finds, where it is little, with its sort values.

https://hl7.org/fhir/R4/search.html#sort; search/walk.py tells how such statements keep their plans.

What follows the first page is that of search/compile.py: the sort values here are the ones that it goes on behind.
"""

from collections.abc import Sequence
from typing import LiteralString

from fhir_server.search.compile import CONTENT
from fhir_server.search.condition import UNION, Scope
from fhir_server.search.fragment import Fragment, compose, join, sql
from fhir_server.search.keyset import Column, columns_of, in_order
from fhir_server.search.order import DIRECTIONS, Key, keys_of
from fhir_server.search.query import Query

MOST = 4000  # rows of the leading term, as _FIRST says
TYPES = frozenset(("date", "number", "quantity", "string", "uri"))
_FIRST: LiteralString = " LIMIT 4001"
_OF_LEAD: LiteralString = ") j WHERE j.pk = ANY(ARRAY(SELECT pk FROM lead)) ORDER BY j.pk, "
_VALUES: tuple[LiteralString, ...] = ("j.v", "j.w")
_JOINS: tuple[LiteralString, ...] = (
    ") o0 ON o0.pk = d.pk", ") o1 ON o1.pk = d.pk", ") o2 ON o2.pk = d.pk", ") o3 ON o3.pk = d.pk",
)  # fmt: skip
_READ: tuple[tuple[LiteralString, ...], ...] = (
    ("o0.v AS s0", "o0.w AS t0"), ("o1.v AS s1", "o1.w AS t1"), ("o2.v AS s2", "o2.w AS t2"), ("o3.v AS s3", "o3.w AS t3"),
)  # fmt: skip
_COLUMNS: dict[LiteralString, LiteralString] = {
    "r.updated": "SELECT pk, updated AS v FROM resource WHERE tenant = (SELECT %s::int4) AND NOT deleted",
    "r.id": "SELECT pk, id AS v FROM resource WHERE tenant = (SELECT %s::int4) AND NOT deleted",
}


def can_sort(query: Query) -> bool:
    """Whether it is a first page whose sort values are looked up by key and pk."""
    of_columns = ("_id", "_lastUpdated")
    return query.page is None and all(
        not one.links and (one.parameter.type in TYPES or one.parameter.code in of_columns) for one in query.sort
    )


def sorted_page(scope: Scope, query: Query, branches: Sequence[Fragment], narrowed: Fragment) -> Fragment:
    """`SELECT pk, type, id, content, sort values…`, and a row of NULLs where the branches have more than MOST rows.

    `narrowed` are the pks among `lead` for which all other terms hold, each once.
    """
    keys = keys_of(scope, query)
    columns = columns_of(keys)
    lead = compose("WITH lead AS MATERIALIZED (SELECT d.pk FROM (", join(UNION, branches), ") d", _FIRST, ") ")
    return compose(
        lead, "(SELECT p.pk, c.type, c.id, c.content", _each(", p.", columns, "::text"),
        " FROM (SELECT * FROM (SELECT d.pk", *_read(keys), " FROM (", narrowed, ") d", *_values(scope, keys),
        ") q ORDER BY ", in_order(columns, query, named="q."), sql(" LIMIT (SELECT %s::int8)", query.count + 1),
        sql(CONTENT, scope.tenant), in_order(columns, query, named="p."), ")",
        UNION, "(SELECT NULL::int8, NULL::int2, NULL::text, NULL::bytea", _each(", NULL::text AS ", columns, ""),
        sql(" FROM lead OFFSET %s LIMIT 1)", MOST),
    )  # fmt: skip


def _each(before: LiteralString, columns: Sequence[Column], behind: LiteralString) -> Fragment:
    return join("", [sql(before + one.name + behind) for one in columns])


def _read(keys: Sequence[Key]) -> list[Fragment]:
    return [sql(", " + name) for n, one in enumerate(keys) for name in _READ[n][: one.width]]


def _values(scope: Scope, keys: Sequence[Key]) -> list[Fragment]:
    """The joins that provide the values: of several of a resource the foremost."""
    parts: list[Fragment] = []
    for n, one in enumerate(keys):
        rows = one.rows if one.rows is not None else sql(_COLUMNS[one.column], scope.tenant)
        order = join(", ", [sql(name + DIRECTIONS[one.descending]) for name in _VALUES[: one.width]])
        parts.append(compose(" LEFT JOIN (SELECT DISTINCT ON (j.pk) * FROM (", rows, _OF_LEAD, order, _JOINS[n]))
    return parts
