"""`_sort` as SQL: where the values of a key come from, in the order of an index where one has it.

https://hl7.org/fhir/R4/search.html#sort

Of several values the least counts in rising order, the greatest in falling order; resources without a value come last
either way. Dates are ordered by beginning and end; codes by their text, or by the code where they have none; identifiers
by their value; references by the id they lead to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from fhir_server.outcome import refuse
from fhir_server.search import text
from fhir_server.search.collation import closed_codes
from fhir_server.search.condition import RESOURCE, UNION, Scope, condition, looks, reference_keys
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Path
from fhir_server.search.query import SCORE, Query, Sort, Term, Words

# By search type: the rows with their values, and the order in which an index has them.
_TEXTS: LiteralString = "SELECT pk, value AS v FROM index_string WHERE key = "
_NUMBERS: LiteralString = "SELECT pk, low AS v FROM index_number WHERE key = "
_QUANTITIES: LiteralString = "SELECT pk, low AS v FROM index_quantity WHERE key = "
_STARTS: LiteralString = "SELECT pk, low AS v, high AS w FROM index_date WHERE key = "
_ENDS: LiteralString = "SELECT pk, high AS v, low AS w FROM index_date WHERE key = "
_ROWS: dict[str, tuple[str, LiteralString]] = {
    "string": ("string", _TEXTS),
    "uri": ("uri", _TEXTS),
    "number": ("number", _NUMBERS),
    "quantity": ("quantity", _QUANTITIES),
}
NULLS: dict[LiteralString, LiteralString] = {
    "text": 'NULL::text COLLATE "C"', "timestamptz": "NULL::timestamptz", "numeric": "NULL::numeric", "real": "NULL::real",
}  # fmt: skip
_VALUE_TYPES: dict[str, LiteralString] = {"date": "timestamptz", "number": "numeric", "quantity": "numeric"}
_COLUMNS: dict[str, LiteralString] = {"_lastUpdated": "r.updated", "_id": "r.id"}
DIRECTIONS: dict[bool, LiteralString] = {False: "", True: " DESC"}
_BEFORE: dict[tuple[int, bool], LiteralString] = {
    (1, False): "j.v < d.v)",
    (1, True): "j.v > d.v)",
    (2, False): "(j.v, j.w) < (d.v, d.w))",
    (2, True): "(j.v, j.w) > (d.v, d.w))",
}
MOST_MERGED = 8


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key. `rows` are `SELECT pk, v[, w]` in no order, `merged` the same in order; a column of `r` has neither."""

    descending: bool
    width: int
    type: LiteralString
    column: LiteralString = ""
    rows: Fragment | None = None
    merged: Fragment | None = None

    def foremost(self) -> Fragment:
        """The condition that `d` has the value that counts, where a resource has several."""
        assert self.rows is not None, "a column has one value"
        text_: LiteralString = ") j WHERE j.pk = d.pk AND "
        return sql("NOT EXISTS (SELECT FROM (") + self.rows + sql(text_ + _BEFORE[self.width, self.descending])


def keys_of(scope: Scope, query: Query) -> list[Key]:
    """The sort keys of a query."""
    return [_key(scope, query, sort) for sort in query.sort]


def _key(scope: Scope, query: Query, sort: Sort) -> Key:
    parameter = sort.parameter
    if sort.links:
        return _linked(scope, query, sort)
    column = _COLUMNS.get(parameter.code)
    if column is not None:
        return Key(sort.descending, 1, "timestamptz" if column == "r.updated" else "text", column)
    if parameter == SCORE:
        return Key(sort.descending, 1, "real", rows=_scores(scope, query))
    made = _made(scope, sort)
    width = 2 if parameter.type == "date" else 1
    return Key(
        sort.descending, width, _VALUE_TYPES.get(parameter.type, "text"),
        rows=join(UNION, [one.rows() for one in made]), merged=_merged(made, width, descending=sort.descending),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rows:
    """A selection that ends in `key = `, and the keys to complete it with; or one that is complete."""

    text: LiteralString
    keys: tuple[int, ...] = ()
    complete: Fragment | None = None

    def rows(self) -> Fragment:
        """All rows in one look, so that a resource is asked for in one."""
        if self.complete is not None:
            return self.complete
        if len(self.keys) == 1:
            return sql(self.text + "%s", self.keys[0])
        return sql(self.text + "ANY(%s::int8[])", list(self.keys))

    def each(self) -> list[Fragment]:
        return [self.complete] if self.complete is not None else [sql(self.text + "%s", one) for one in self.keys]


def _made(scope: Scope, sort: Sort) -> list[_Rows]:
    """Where the values of a parameter are."""
    tenant, parameter = scope.tenant, sort.parameter
    match parameter.type:
        case "date":
            return [_Rows(_ENDS if sort.descending else _STARTS, _keys(tenant, parameter.paths, "date"))]
        case "token":
            closed = [path for path in parameter.paths if closed_codes(path) is not None]
            others = [path for path in parameter.paths if path not in closed]
            keys = (*_keys(tenant, others, "text"), *_keys(tenant, others, "order"))
            return [
                *([_Rows(_TEXTS, keys)] if keys else []),
                *(_Rows("", (), _closed(tenant, path)) for path in closed),
            ]
        case "reference":
            return [_Rows("", (), _targets(scope, parameter, *sort.seen[-1:]))]
        case kind:
            form, rows = _ROWS[kind]
            return [_Rows(rows, _keys(tenant, parameter.paths, form))]


def _keys(tenant: int, paths: Sequence[Path], form: str) -> tuple[int, ...]:
    return tuple(key(tenant, path.resource_type, path.text, form) for path in paths)


def _closed(tenant: int, path: Path) -> Fragment:
    """Codes of a closed list by the code, which their keys are known for."""
    codes = closed_codes(path) or ()
    keys = [key(tenant, path.resource_type, path.text, "code", code) for code in codes]
    known = sql("unnest(%s::int8[], %s::text[]) AS c (key, code)", keys, list(codes))
    return sql('SELECT t.pk, c.code COLLATE "C" AS v FROM index_token t JOIN ') + known + sql(" ON t.key = c.key")


def _targets(scope: Scope, parameter: Parameter, seen: Term | None = None) -> Fragment:
    joins, held = _seen(scope, seen)
    return (
        sql("SELECT x.pk, t.id AS v FROM index_reference x JOIN resource t ON t.reference = x.target AND NOT t.deleted")
        + joins
        + sql(" WHERE x.key = ANY(%s::int8[]) AND t.tenant = %s", reference_keys(parameter, scope.tenant), scope.tenant)
        + held
    )


def _seen(scope: Scope, seen: Term | None) -> tuple[Fragment, Fragment]:
    """What is joined to `resource t`, and the condition, so that only those count for which the term holds."""
    if seen is None:
        return sql(""), sql("")
    joined = sql(" CROSS JOIN LATERAL (SELECT t.pk) d")
    if looks(seen):
        joined = joined + sql(RESOURCE, scope.tenant)
    return joined, sql(" AND ") + condition(scope, (), seen)


def _scores(scope: Scope, query: Query) -> Fragment:
    asked = [term for term in query.terms if isinstance(term, Words)]
    if not asked:
        raise refuse("invalid", "_sort=_score orders what _text or _content find; neither is asked", "_sort")
    found = [text.scores(one, scope.tenant, narrative=term.narrative) for term in asked for one in term.texts]
    return sql("SELECT pk, sum(v)::real AS v FROM (") + join(UNION, found) + sql(") s GROUP BY pk")


def _merged(made: Sequence[_Rows], width: int, *, descending: bool) -> Fragment | None:
    """The rows of each key in order, for the database to merge; None where a single one is in order as it is."""
    branches = [one for some in made for one in some.each()]
    if not 1 < len(branches) <= MOST_MERGED:
        return None
    names: tuple[LiteralString, ...] = ("v", "w")
    order = join(", ", [sql(name + DIRECTIONS[descending]) for name in (*names[:width], "pk")])
    return join(UNION, [sql("(") + branch + sql(" ORDER BY ") + order + sql(")") for branch in branches])


def _linked(scope: Scope, query: Query, sort: Sort) -> Key:
    """A key behind references: its rows, carried back over each link."""
    hops = len(sort.links)
    last = _key(scope, query, Sort(sort.parameter, sort.descending, seen=sort.seen[hops:]))
    rows = last.rows
    if rows is None:
        column: LiteralString = "updated AS v" if last.column == "r.updated" else "id AS v"
        rows = sql("SELECT pk, ") + sql(column) + sql(" FROM resource WHERE tenant = %s AND NOT deleted", scope.tenant)
    values: LiteralString = "SELECT x.pk, s.v, s.w FROM (" if last.width == 2 else "SELECT x.pk, s.v FROM ("
    for link, term in reversed(list(zip(sort.links, sort.seen or (None,) * hops, strict=False))):
        joins, held = _seen(scope, term)
        rows = (
            sql(values) + rows + sql(") s JOIN resource t ON t.pk = s.pk AND NOT t.deleted AND t.tenant = %s", scope.tenant)
            + sql(" JOIN index_reference x ON x.target = t.reference")
            + sql(" AND x.key = ANY(%s::int8[])", reference_keys(link, scope.tenant))
            + joins + sql(" WHERE true") + held
        )  # fmt: skip
    return Key(sort.descending, last.width, last.type, rows=rows)
