"""A Query as SQL: every term a set of keys, the sets joined so that the order of the page comes for free.

https://hl7.org/fhir/R4/search.html; docs/implementation/index.md shows the statements with their plans. Executes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import LiteralString

from fhir_server.search.condition import (
    AND,
    RESOURCE,
    UNION,
    Found,
    Scope,
    Set,
    alone,
    conditions,
    found,
    led,
    looks,
    of_types,
    selection,
    set_of,
)
from fhir_server.search.fragment import Fragment, compose, join, sql
from fhir_server.search.keyset import Column, behind, columns_of, in_order, joined
from fhir_server.search.order import Key, keys_of
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Clause, Query

MOST_SETTLED = 4  # keys: each number of them is a statement of its own, and a connection keeps only so many
_MANY: LiteralString = " AND (SELECT count(*) FROM near) > %s"
# What of each resource goes out, looked up for the rows of the page only: its latest version, one step from the end of an index,
# whatever number it has. A deletion has no content. `+ 0`: not by the index of the feed, see migrations/0015_versions_by_key.sql.
CONTENT: LiteralString = (
    ") p CROSS JOIN LATERAL (SELECT v.type, v.id, v.content FROM version v"
    " WHERE v.tenant + 0 = %s AND v.pk = p.pk ORDER BY v.version DESC LIMIT 1) c WHERE c.content IS NOT NULL ORDER BY "
)
_IDENTITY: LiteralString = (
    ") p CROSS JOIN LATERAL (SELECT r.type, r.id FROM resource r"
    " WHERE r.tenant = %s AND r.pk = p.pk AND NOT r.deleted OFFSET 0) c ORDER BY p.pk"
)


def is_settled(query: Query) -> bool:
    """Whether one plan is the best for a query whatever its values are, so that it need not be made each time.

    So it is where the keys of one parameter are all that is asked, for they are in the order of the page.
    """
    if query.sort:
        return False
    match query.terms:
        case ():
            return len(query.types) == 1
        case (Clause(parameter=Parameter(type="token", paths=paths), modifier=None, values=values, negated=False),):
            return len(values) * len(paths) <= MOST_SETTLED
        case (Clause(parameter=Parameter(type="string"), modifier="contains" | "text", values=[_], negated=False),):
            return True  # a walk over texts, which is the same for all
        case (Clause(parameter=Parameter(type="reference"), modifier=None, values=values, negated=False),):
            return len(values) == 1
        case _:
            return False


class Compiler:
    """Compiles for one tenant; `codes` are the numbers of the resource types."""

    def __init__(self, tenant: int, codes: Mapping[str, int]) -> None:
        self.scope = Scope(tenant, codes)

    def page(self, query: Query) -> Fragment:
        """`SELECT pk, type, id, content, sort values…` of the page, with one resource more to know of a next page."""
        keys = keys_of(self.scope, query)
        columns = columns_of(keys)
        # As text, for there are instants before the first that a datetime can be: a period without a beginning.
        values = join("", [sql(", p." + one.name + "::text") for one in columns])
        rows = self._rows(query, keys, columns)
        content = sql(CONTENT, self.scope.tenant)
        order = in_order(columns, query, named="p.")
        return compose("SELECT p.pk, c.type, c.id, c.content", values, " FROM (", rows, content, order)

    def count(self, query: Query) -> Fragment:
        """How many resources the query finds, on whatever page."""
        some = found(self.scope, query.types, query.terms, ordered=False)
        return some.select("SELECT count(DISTINCT d.pk)" if some.repeats else "SELECT count(*)")

    def matches(self, query: Query, limit: int) -> Fragment:
        """`SELECT pk, type, id` of the first `limit` resources: what conditional interactions ask."""
        some = found(self.scope, query.types, query.terms)
        rows = some.select("SELECT DISTINCT d.pk" if some.repeats else "SELECT d.pk")
        limited = rows + sql(" ORDER BY d.pk LIMIT %s", limit)
        return sql("SELECT p.pk, c.type, c.id FROM (") + limited + sql(_IDENTITY, self.scope.tenant)

    def selection(self, query: Query) -> Fragment:
        """`SELECT pk` of all that the query finds, in no order."""
        return selection(self.scope, query.types, query.terms)

    # --- the rows of a page -------------------------------------------------------------------------------------------

    def _rows(self, query: Query, keys: Sequence[Key], columns: Sequence[Column]) -> Fragment:
        """`SELECT pk, sort values…` of the page. Resources without a value for the first key are a part of their own."""
        page = query.page
        only = alone(self.scope, query.types, query.terms) if not keys else None
        if only is not None and not only.unique and only.by_branches:
            return self._of_branches(query, only)
        if only is not None:
            return self._part(query, columns, led(self.scope, query.types, only), paged=True)
        if not keys or keys[0].rows is None:
            return self._part(query, columns, self._plain(query, keys), paged=True)
        absent = columns_of(keys, absent=True)
        valued, missing = (columns, self._valued(query, keys)), (absent, self._missing(query, keys))
        backwards = page is not None and page.backwards
        if page is not None and (page.values[0] is None) != backwards:
            return self._part(query, *(valued if backwards else missing), paged=True)
        parts = (missing, valued) if backwards else (valued, missing)
        return self._one_after_another(query, *parts)

    def _one_after_another(
        self, query: Query, first: tuple[Sequence[Column], Found], second: tuple[Sequence[Column], Found]
    ) -> Fragment:
        """The first part, and the second only where the first does not fill the page."""
        gate = sql("(SELECT count(*) FROM one) <= %s", query.count)
        columns, rest = second
        gated = Found(rest.source, rest.where + sql(AND) + gate, rest.repeats)
        return (
            sql("WITH one AS MATERIALIZED (") + self._part(query, *first, paged=True)
            + sql("), two AS (") + self._part(query, columns, gated, paged=False)
            + sql(") SELECT * FROM (SELECT * FROM one UNION ALL SELECT * FROM two) b ORDER BY ")
            + in_order(first[0], query, named="b.") + sql(" LIMIT %s", query.count + 1)
        )  # fmt: skip

    def _part(self, query: Query, columns: Sequence[Column], rows: Found, *, paged: bool) -> Fragment:
        """The rows of a part behind the page's start, in order, no more than are needed."""
        where = rows.where
        if paged and query.page is not None:
            where = compose(where, AND, behind(columns, query))
        values = join("", [sql(", ") + sql(one.expression) + sql(" AS ") + sql(one.name) for one in columns])
        select: LiteralString = "SELECT DISTINCT d.pk" if rows.repeats else "SELECT d.pk"
        order, limit = in_order(columns, query), sql(" LIMIT %s", query.count + 1)
        return compose(select, values, " FROM ", rows.source, " WHERE ", where, " ORDER BY ", order, limit)

    def _of_branches(self, query: Query, only: Set) -> Fragment:
        """The first of each branch by itself, and of these the first: how many are behind them makes no difference.

        Of ranges, all of them instead where they are few, whatever the planner expects: in the order of pk, few are far
        apart.
        """
        bounds = sql("") if only.bound else of_types(self.scope, query.types, "d.pk")
        if query.page is not None:
            bounds = bounds + sql(AND) + behind((), query)
        order = sql(" ORDER BY ") + in_order((), query) + sql(" LIMIT %s", query.count + 1)
        end = (bounds + sql(_MANY, only.few) if only.ranges else bounds) + order + sql(")")
        passes = only.passes or only.branches
        branches = [sql("(SELECT DISTINCT d.pk FROM (") + one + sql(") d WHERE true") + end for one in passes]
        start = sql("SELECT DISTINCT d.pk FROM (")
        if only.ranges:
            near = sql("WITH near AS MATERIALIZED (") + join(UNION, only.ranges) + sql(" LIMIT %s) ", only.few + 1)
            start = near + start
            branches.append(sql("SELECT d.pk FROM near d WHERE (SELECT count(*) FROM near) <= %s", only.few) + bounds)
        return start + join(UNION, branches) + sql(") d") + order

    def _plain(self, query: Query, keys: Sequence[Key]) -> Found:
        """All that is found, ordered by nothing or by a column of the resource first."""
        needed = any(key.column for key in keys)
        some = found(self.scope, query.types, query.terms, resource=needed, ordered=not keys)
        return Found(some.source + joined(keys), some.where, some.repeats)

    def _valued(self, query: Query, keys: Sequence[Key]) -> Found:
        """What has a value for the first key, led by the rows of that key: an index may have them in order."""
        first = keys[0]
        assert first.rows is not None
        sets = any(set_of(self.scope, query.types, term) is not None for term in query.terms)
        source = sql("(") + (first.rows if sets or first.merged is None else first.merged) + sql(") d")
        if any(key.column for key in keys) or any(looks(term) for term in query.terms):
            source = source + sql(RESOURCE, self.scope.tenant)
        held = conditions(self.scope.among(query.terms), query.types, query.terms)
        return Found(source + joined(keys), held + sql(AND) + first.foremost(), repeats=True)

    def _missing(self, query: Query, keys: Sequence[Key]) -> Found:
        """What has no value for the first key."""
        first = keys[0]
        assert first.rows is not None
        needed = any(key.column for key in keys)
        some = found(self.scope, query.types, query.terms, resource=needed)
        none = sql(" AND NOT EXISTS (SELECT FROM (") + first.rows + sql(") j WHERE j.pk = d.pk)")
        return Found(some.source + joined(keys), some.where + none, some.repeats)
