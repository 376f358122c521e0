"""A Query as SQL: every term a set of keys, the sets joined so that the order of the page comes for free.

Executes nothing. docs/implementation/index.md shows the statements with their plans.
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.index import missing_keys
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Chain, Clause, Either, Has, Missing, Page, Query, Sort, Term, Within
from fhir_server.search.types import BY_TYPE
from fhir_server.search.types import date as dates

NOTHING = sql("SELECT NULL::bigint AS pk WHERE false")
AND: LiteralString = " AND "
UNION: LiteralString = " UNION ALL "


class Compiler:
    """Compiles for one tenant; `codes` are the numbers of the resource types."""

    def __init__(self, tenant: int, codes: Mapping[str, int]) -> None:
        self.tenant = tenant
        self.codes = codes

    # --- the statements -------------------------------------------------------------------------------------------

    def page(self, query: Query) -> Fragment:
        """`SELECT pk, type, id, content, sort values…` of the page, with one resource more to know of a next page."""
        keys = [self._sort_key(sort, n) for n, sort in enumerate(query.sort)]
        columns = join("", [sql(", ") + expression + sql(_ALIASES[n]) for n, (expression, _) in enumerate(keys)])
        backwards = query.page is not None and query.page.backwards
        where = self.where(query)
        if query.page is not None:
            where = where + sql(AND) + _behind(query.page, query.sort, keys)
        inner = (
            sql("SELECT r.pk, r.type, r.id, r.version") + columns + sql(" FROM resource r")
            + join("", [source for _, source in keys]) + sql(" WHERE ") + where
            + sql(" ORDER BY ") + _order(query.sort, backwards) + sql(" LIMIT %s", query.count + 1)
        )  # fmt: skip
        outer = sql("SELECT p.pk, p.type, p.id, v.content") + join("", [sql(_OUTER[n]) for n in range(len(keys))])
        return (
            outer + sql(" FROM (") + inner
            + sql(") p JOIN version v ON v.pk = p.pk AND v.version = p.version ORDER BY ") + _order_outer(query.sort, backwards)
        )  # fmt: skip

    def count(self, query: Query) -> Fragment:
        """`SELECT count(*)` of all that the query finds, on whatever page."""
        if len(query.terms) == 1 and not self._needs_type_range(query.terms):
            only = self.members(query.types, query.terms[0])
            return sql("SELECT count(DISTINCT pk) FROM (") + only + sql(") c")
        return sql("SELECT count(*) FROM resource r WHERE ") + self.where(query)

    def matches(self, query: Query, limit: int) -> Fragment:
        """`SELECT pk, type, id` of the first `limit` resources: what conditional interactions ask."""
        where = self.where(query)
        return sql("SELECT r.pk, r.type, r.id FROM resource r WHERE ") + where + sql(" ORDER BY r.pk LIMIT %s", limit)

    # --- terms ----------------------------------------------------------------------------------------------------

    def where(self, query: Query) -> Fragment:
        """The condition on `resource r` that all terms hold."""
        parts = [sql("r.tenant = %s AND NOT r.deleted", self.tenant)]
        if self._needs_type_range(query.terms) or len(query.types) > 1:
            parts.extend(self._of_types(query.types))
        parts.extend(self.condition(query.types, term) for term in query.terms)
        return join(AND, parts)

    def _needs_type_range(self, terms: Sequence[Term]) -> bool:
        """Whether no term by itself confines the result to the type: keys are made of type and value."""
        return not any(
            (isinstance(term, Clause) and not term.negated and term.parameter.code not in _COLUMNS)
            or isinstance(term, Chain)
            for term in terms
        )

    def _of_types(self, types: Sequence[str]) -> list[Fragment]:
        match [self.codes[name] for name in types]:
            case []:
                return []
            case [code]:
                return [sql("r.pk >= %s AND r.pk < %s", code << 48, (code + 1) << 48)]
            case many:
                return [sql("r.type = ANY(%s::int2[])", many)]

    def condition(self, types: Sequence[str], term: Term) -> Fragment:
        """The condition on `resource r` that one term holds."""
        match term:
            case Clause(parameter=Parameter(code="_id")):
                return _negated(term, sql("r.id = ANY(%s)", [value.code for value in term.values]))
            case Clause(parameter=Parameter(code="_lastUpdated")):
                return sql("(") + join(" OR ", [_last_updated(value) for value in term.values]) + sql(")")
            case Clause(negated=True):
                return sql("NOT EXISTS (SELECT FROM (") + self.members(types, term) + sql(") x WHERE x.pk = r.pk)")
            case Missing():
                return self._missing(term)
            case Either(terms=()):
                return sql("false")
            case Either(terms=terms):
                return sql("(") + join(" OR ", [self.condition(types, one) for one in terms]) + sql(")")
            case _:
                return sql("r.pk IN (") + self.members(types, term) + sql(")")

    def members(self, types: Sequence[str], term: Term) -> Fragment:
        """`SELECT pk` of what the term holds for; of a negated clause, of what it excludes."""
        match term:
            case Clause(parameter=parameter, modifier=modifier, values=values) if parameter.code not in _COLUMNS:
                kind = BY_TYPE[parameter.type]
                return join(UNION, [kind.condition(parameter, modifier, value, self.tenant) for value in values])
            case Chain():
                return join(UNION, [self._chain(term.parameter, target, inner) for target, inner in term.targets])
            case Has():
                return self._has(term)
            case Within():
                return self._within(term)
            case _:
                return sql("SELECT r.pk FROM resource r WHERE ") + self.where(Query(tuple(types), (term,)))

    def _chain(self, parameter: Parameter, target: str, inner: Term) -> Fragment:
        return (
            sql("SELECT x.pk FROM index_reference x JOIN resource t ON t.reference = x.target AND NOT t.deleted")
            + sql(" WHERE x.key = ANY(%s) AND t.tenant = %s AND t.pk IN (", self._keys(parameter), self.tenant)
            + self._all(target, inner) + sql(")")
        )  # fmt: skip

    def _has(self, term: Has) -> Fragment:
        return (
            sql("SELECT t.pk FROM index_reference x JOIN resource t ON t.reference = x.target AND NOT t.deleted")
            + sql(" WHERE x.key = ANY(%s) AND t.tenant = %s AND x.pk IN (", self._keys(term.parameter), self.tenant)
            + self._all(term.type, term.term) + sql(")")
        )  # fmt: skip

    def _all(self, kind: str, term: Term) -> Fragment:
        """`SELECT pk` of the resources of a type that a term holds for, negations included."""
        if isinstance(term, Clause | Chain | Has) and not getattr(term, "negated", False):
            return self.members((kind,), term)
        return sql("SELECT r.pk FROM resource r WHERE ") + self.where(Query((kind,), (term,)))

    def _within(self, term: Within) -> Fragment:
        target = reference_key(self.tenant, term.target)
        keys = [one for parameter in term.parameters for one in self._keys(parameter)]
        itself = sql("SELECT pk FROM resource WHERE reference = %s AND NOT deleted", target)
        if not keys:
            return itself
        return sql("SELECT pk FROM index_reference WHERE target = %s AND key = ANY(%s)", target, keys) + sql(UNION) + itself

    def _keys(self, parameter: Parameter) -> list[int]:
        return [key(self.tenant, path.resource_type, path.text, "reference") for path in parameter.paths]

    def _missing(self, term: Missing) -> Fragment:
        if term.parameter.code in _COLUMNS:
            return sql("false") if term.missing else sql("true")
        having = sql("SELECT s.id FROM shape s WHERE s.tenant = %s AND s.paths && %s::int8[]", self.tenant, missing_keys(term.parameter, self.tenant))
        if term.missing:
            return sql("r.shape NOT IN (") + having + sql(")")
        return sql("r.shape IN (") + having + sql(")")

    # --- order ----------------------------------------------------------------------------------------------------

    def _sort_key(self, sort: Sort, n: int) -> tuple[Fragment, Fragment]:
        """The expression a resource is sorted by, and the join that provides it."""
        parameter = sort.parameter
        if parameter.code == "_lastUpdated":
            return sql("r.updated"), sql("")
        if parameter.code == "_id":
            return sql("r.id"), sql("")
        if parameter.type not in _SORTED:
            raise refuse("not-supported", f"_sort by '{parameter.code}', a {parameter.type} parameter, is not supported", "_sort")
        form, ascending, descending = _SORTED[parameter.type]
        keys = [key(self.tenant, path.resource_type, path.text, form) for path in parameter.paths]
        choice = descending if sort.descending else ascending
        return sql(_VALUES[n]), sql(choice, keys) + sql(_LATERAL[n])


_COLUMNS = frozenset(("_id", "_lastUpdated"))
_ALIASES: tuple[LiteralString, ...] = (" AS s0", " AS s1", " AS s2", " AS s3")
_OUTER: tuple[LiteralString, ...] = (", p.s0", ", p.s1", ", p.s2", ", p.s3")
_VALUES: tuple[LiteralString, ...] = ("o0.value", "o1.value", "o2.value", "o3.value")
_LATERAL: tuple[LiteralString, ...] = (" o0 ON true", " o1 ON true", " o2 ON true", " o3 ON true")
MOST_SORT_KEYS = len(_ALIASES)

# By search type: the form of the key, and the least or greatest value of one resource.
_SORTED: dict[str, tuple[str, LiteralString, LiteralString]] = {
    "string": (
        "string",
        " LEFT JOIN LATERAL (SELECT min(value) AS value FROM index_string i WHERE i.pk = r.pk AND i.key = ANY(%s))",
        " LEFT JOIN LATERAL (SELECT max(value) AS value FROM index_string i WHERE i.pk = r.pk AND i.key = ANY(%s))",
    ),
    "uri": (
        "uri",
        " LEFT JOIN LATERAL (SELECT min(value) AS value FROM index_string i WHERE i.pk = r.pk AND i.key = ANY(%s))",
        " LEFT JOIN LATERAL (SELECT max(value) AS value FROM index_string i WHERE i.pk = r.pk AND i.key = ANY(%s))",
    ),
    "date": (
        "date",
        " LEFT JOIN LATERAL (SELECT min(low) AS value FROM index_date i WHERE i.pk = r.pk AND i.key = ANY(%s))",
        " LEFT JOIN LATERAL (SELECT max(high) AS value FROM index_date i WHERE i.pk = r.pk AND i.key = ANY(%s))",
    ),
    "number": (
        "number",
        " LEFT JOIN LATERAL (SELECT min(low) AS value FROM index_number i WHERE i.pk = r.pk AND i.key = ANY(%s))",
        " LEFT JOIN LATERAL (SELECT max(high) AS value FROM index_number i WHERE i.pk = r.pk AND i.key = ANY(%s))",
    ),
    "quantity": (
        "quantity",
        " LEFT JOIN LATERAL (SELECT min(low) AS value FROM index_quantity i WHERE i.pk = r.pk AND i.key = ANY(%s))",
        " LEFT JOIN LATERAL (SELECT max(high) AS value FROM index_quantity i WHERE i.pk = r.pk AND i.key = ANY(%s))",
    ),
}


def _negated(clause: Clause, condition: Fragment) -> Fragment:
    return sql("NOT (") + condition + sql(")") if clause.negated else condition


def _last_updated(value: Any) -> Fragment:
    return dates.column_condition(value, "r.updated")


def _order(sorts: Sequence[Sort], backwards: bool) -> Fragment:
    """ORDER BY of the page; missing values last in reading order, so first when reading backwards."""
    parts: list[Fragment] = []
    for n, sort in enumerate(sorts):
        name = _direct(sort) or _VALUES[n]
        parts.append(sql(name) + sql(_DIRECTION[sort.descending != backwards, backwards]))
    return join(", ", [*parts, sql("r.pk DESC") if backwards else sql("r.pk")])


def _order_outer(sorts: Sequence[Sort], backwards: bool) -> Fragment:
    parts = [sql(_SORTED_COLUMN[n]) + sql(_DIRECTION[s.descending != backwards, backwards]) for n, s in enumerate(sorts)]
    return join(", ", [*parts, sql("p.pk DESC") if backwards else sql("p.pk")])


_SORTED_COLUMN: tuple[LiteralString, ...] = ("p.s0", "p.s1", "p.s2", "p.s3")
_DIRECTION: dict[tuple[bool, bool], LiteralString] = {
    (False, False): " ASC NULLS LAST",
    (True, False): " DESC NULLS LAST",
    (False, True): " ASC NULLS FIRST",
    (True, True): " DESC NULLS FIRST",
}


def _direct(sort: Sort) -> LiteralString | None:
    match sort.parameter.code:
        case "_lastUpdated":
            return "r.updated"
        case "_id":
            return "r.id"
    return None


def _behind(page: Page, sorts: Sequence[Sort], keys: Sequence[tuple[Fragment, Fragment]]) -> Fragment:
    """The condition that a resource comes after the page's start: one alternative per sort key, then the pk."""
    alternatives: list[Fragment] = []
    equal: list[Fragment] = []
    for sort, value, (expression, _) in zip(sorts, page.values, keys, strict=True):
        later = _after(expression, value, descending=sort.descending != page.backwards, backwards=page.backwards)
        if later is not None:
            alternatives.append(join(AND, [*equal, later]))
        equal.append(expression + (sql(" IS NULL") if value is None else sql(" = %s", value)))
    last = sql("r.pk < %s" if page.backwards else "r.pk > %s", page.pk)
    alternatives.append(join(AND, [*equal, last]))
    return sql("((") + join(") OR (", alternatives) + sql("))")


def _after(expression: Fragment, value: Any, *, descending: bool, backwards: bool) -> Fragment | None:
    """That one sort value comes strictly after another; missing values come last (first when backwards)."""
    if value is None:
        return expression + sql(" IS NOT NULL") if backwards else None
    beyond = expression + sql(" < %s" if descending else " > %s", value)
    return beyond if backwards else sql("(") + beyond + sql(" OR ") + expression + sql(" IS NULL)")
