"""A page for which no plan is made anew: a walk over what one term finds, of bounded length, each resource asked for the rest.

https://hl7.org/fhir/R4/search.html#Introduction; docs/performance.md tells what planning costs.

The statement is the same for all values, and so is the one plan that is right for it: whatever the values are, it reads no more
than MOST rows of the leading term, in the order of the page or all of them, and looks the others up for these. Where that
does not suffice for the page, a row without a pk says so, and the page is that of search/compile.py, planned for its values.
To hide values from the planner they stand in a SELECT of their own: in a transaction, where the mode of the connection may be
the other one, it would else compare a plan for these values with the one for all, and keep making the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, LiteralString

from fhir_server.search.compile import CONTENT
from fhir_server.search.condition import (
    AND,
    FEW,
    FEW_DATES,
    NOTHING,
    UNION,
    Scope,
    condition,
    flat,
    in_ranges,
    reference_keys,
    set_of,
)
from fhir_server.search.fragment import Fragment, compose, join, sql
from fhir_server.search.key import reference_key
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Clause, Either, Every, OfTypes, Query, Term, Within
from fhir_server.search.sorted_walk import can_sort, sorted_page
from fhir_server.search.types import composite, date, number, quantity, string, token
from fhir_server.search.types.selection import Over

MOST = 2000  # rows of the leading term in the order of the page, as _FIRST says
MOST_KEYS = 4  # each number of keys is a statement of its own, and a connection keeps only so many
MOST_KNOWN = 4096
_OF_TOKEN: LiteralString = "SELECT pk FROM index_token WHERE key = (SELECT %s::int8)"
_OF_REFERENCE: LiteralString = (
    "SELECT pk FROM index_reference WHERE target = (SELECT %s::int8) AND key = (SELECT %s::int8)"
)
_PAGE: LiteralString = "(SELECT p.pk, c.type, c.id, c.content FROM ("
_CUT: LiteralString = "(SELECT NULL::int8, NULL::int2, NULL::text, NULL::bytea"
_FIRST: LiteralString = " LIMIT 2001"
_SIZE: LiteralString = ", size AS MATERIALIZED (SELECT count(*) AS n FROM near) "
_IS_SHORT: LiteralString = " (SELECT n FROM size) <= %s"
_IS_LONG: LiteralString = " (SELECT n FROM size) > %s"
NO_TEST = sql("true")


@dataclass(frozen=True, slots=True)
class Lead:
    """The rows that lead. `branches` are `SELECT pk …`, of which indexes have the order of pk; or `near`, in any order.

    All of what is near must be read, so that is done up to `few` rows. Where they are more, `over` are rows in the order of
    pk, among which they are those that stand the `test`. `whole`: all of it is sorted.
    """

    branches: tuple[Fragment, ...]
    near: bool = False
    few: int = MOST
    over: tuple[Fragment, ...] = ()
    test: Fragment = NO_TEST
    whole: bool = False

    @property
    def name(self) -> tuple[Any, ...]:
        """What tells it from all others."""
        values = (value for branch in self.branches for value in branch.parameters)
        return self.whole, *(tuple(value) if isinstance(value, list) else value for value in values)


class Known:
    """Leads that were too long for a page: not tried again. Bounded; which they are changes no answer."""

    def __init__(self) -> None:
        self._names: dict[tuple[Any, ...], None] = {}

    def __contains__(self, lead: Lead) -> bool:
        return lead.name in self._names

    def add(self, lead: Lead) -> None:
        if len(self._names) >= MOST_KNOWN:
            del self._names[next(iter(self._names))]
        self._names[lead.name] = None


KNOWN = Known()  # those of this process


def walk(scope: Scope, query: Query, known: Known) -> tuple[Lead, Fragment] | None:
    """The statement of a page, and what leads it; None where no term can lead, or one cannot be asked of each resource.

    `SELECT pk, type, id, content, sort values…`, as Compiler.page gives; a row of NULLs, first or last, where what leads was
    too long.
    """
    terms = flat(query.terms)
    if not terms or (query.sort and not can_sort(query)):
        return None
    ranked = sorted(((*_leading(term), term) for term in terms), key=itemgetter(0))
    for rank, rows_of, leading in ranked:
        one = rows_of(scope, leading) if rank <= _OF_TEXTS or not query.sort else None
        lead = replace(one, whole=True) if one is not None and query.sort else one
        if lead is not None and lead not in known:
            others = [term for _, _, term in ranked if term is not leading]
            statement = _statement(scope, query, lead, others)
            return None if statement is None else (lead, statement)
    return None


def _statement(scope: Scope, query: Query, lead: Lead, others: Sequence[Term]) -> Fragment | None:
    """The rows of other terms are looked up, where they have such; else each resource is asked. Ranges lead alone."""
    if lead.over and others:
        return None
    sets: list[Over] = []
    tests: list[Fragment] = []
    for term in others:
        over = _over(scope, query.types, term)
        test = _asked(scope, query.types, term) if over is None else None
        if over is not None:
            sets.append(over)
        elif test is not None:
            tests.append(test)
        else:
            return None
    if query.sort:
        narrowed = _Whole(scope, query, sets, tests).narrowed(repeats=True)
        return sorted_page(scope, query, lead.branches, narrowed)
    return _Statement(scope, query, sets, tests).of(lead)


def is_cut(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether what leads was too long, so that the rows are not the page."""
    return bool(rows) and (rows[0][0] is None or rows[-1][0] is None)


# --- who leads ------------------------------------------------------------------------------------------------------------

_NOT_BY_KEY = frozenset(("identifier", "below"))  # modifiers of references that ask for more than the target's own key
_OF_TEXTS = 1  # how much a string narrows; what narrows less is not often little enough to be sorted


def _leading(term: Term) -> tuple[int, Callable[[Scope, Any], Lead | None]]:
    """How much a term narrows by experience, 0 most, and what gives its rows: of those that do not lead nobody makes them."""
    match term:
        case Clause(parameter=Parameter(type="reference"), modifier=modifier, negated=False) if (
            modifier not in _NOT_BY_KEY
        ):
            return 0, _of_reference
        case Clause(parameter=Parameter(type="string"), modifier=None | "exact", negated=False):
            return _OF_TEXTS, partial(_of_text, string.condition)
        case Clause(parameter=Parameter(type="token"), modifier="text", negated=False):
            return _OF_TEXTS, partial(_of_text, token.condition)
        case Clause(parameter=Parameter(type="token", code=code), negated=False) if code != "_id":
            return 2, _of_token
        case Clause(parameter=Parameter(type="date" | "number" | "quantity" | "composite"), values=[_], negated=False):
            return 3, _of_range
        case _:
            return 9, _of_nothing


def _of_nothing(_scope: Scope, _term: Term) -> None:
    return None


def _of_reference(scope: Scope, term: Clause) -> Lead | None:
    targets = dict.fromkeys(reference_key(scope.tenant, one) for value in term.values for one in value.targets)
    keys = reference_keys(term.parameter, scope.tenant)
    if not 0 < len(targets) * len(keys) <= MOST_KEYS:
        return None
    return Lead(tuple(sql(_OF_REFERENCE, target, one) for target in targets for one in keys))


def _of_token(scope: Scope, term: Clause) -> Lead | None:
    wanted = {one for value in term.values for one in token.wanted(term.parameter, term.modifier, value, scope.tenant)}
    if not 0 < len(wanted) <= MOST_KEYS:
        return None
    return Lead(tuple(sql(_OF_TOKEN, one) for one in sorted(wanted)))


def _of_text(rows: Callable[[Parameter, str | None, Any, int], Fragment], scope: Scope, term: Clause) -> Lead | None:
    found = tuple(rows(term.parameter, term.modifier, value, scope.tenant) for value in term.values)
    return Lead(found, near=True) if len(found) <= MOST_KEYS else None


_OVER: Mapping[str, Callable[[Parameter, Any, int], Over | None]] = {
    "date": date.over, "number": number.over, "quantity": quantity.over, "composite": composite.over,
}  # fmt: skip
_AT_ONCE: Mapping[str, Callable[[Parameter, Any, int], Sequence[Fragment]]] = {
    "date": date.ranges, "number": number.at_once, "quantity": quantity.at_once, "composite": composite.at_once,
}  # fmt: skip


def _of_range(scope: Scope, term: Clause) -> Lead | None:
    parameter, (value,) = term.parameter, term.values
    over = (
        _OVER[parameter.type](parameter, value, scope.tenant) if parameter.code[0] != "_" and in_ranges(value) else None
    )
    if over is None or not 0 < len(over.rows) <= MOST_KEYS:
        return None
    branches = tuple(_AT_ONCE[parameter.type](parameter, value, scope.tenant))
    few = FEW_DATES if parameter.type == "date" else FEW
    return Lead(branches, near=True, few=few, over=over.rows, test=over.test)


# --- the others -----------------------------------------------------------------------------------------------------------

_COLUMNS = ("_id", "_lastUpdated")


def _asked(scope: Scope, types: Sequence[str], term: Term) -> Fragment | None:
    """The condition that a term holds for `d.pk`, each time looked up by key and pk; None where it cannot be."""
    match term:
        case Clause(negated=True):
            positive = _asked(scope, types, replace(term, negated=False))
            return None if positive is None else sql("NOT ") + positive
        case OfTypes():
            return condition(scope, types, term)
        case Either(terms=terms) | Every(terms=terms) if terms:
            each = [_asked(scope, types, one) for one in terms]
            known = [one for one in each if one is not None]
            between: LiteralString = " OR " if isinstance(term, Either) else AND
            return compose("(", join(between, known), ")") if len(known) == len(each) else None
        case _:
            over = _over(scope, types, term)
            if over is None:
                return None
            # OFFSET 0 keeps it what it is: a look for one resource, never a set that is joined, or the range of a b-tree.
            rows = compose("SELECT * FROM (", join(UNION, over.rows), ") x WHERE x.pk = d.pk OFFSET 0")
            return compose("EXISTS (SELECT FROM (", rows, ") x WHERE ", over.test, ")")


def _over(scope: Scope, types: Sequence[str], term: Term) -> Over | None:
    """What a term finds as rows that are looked up by key and pk, and the test for them; None where it has none."""
    match term:
        case Clause(parameter=Parameter(code=code), negated=False) if code in _COLUMNS:
            return None
        case Clause(parameter=Parameter(type="token"), modifier=modifier, negated=False) if modifier != "text":
            found = set_of(scope, types, term)
        case Clause(parameter=Parameter(type="token") as parameter, values=values, negated=False):
            return _any_of([token.over_texts(parameter, value, scope.tenant) for value in values])
        case Clause(parameter=Parameter(type="reference"), modifier=modifier, negated=False) if (
            modifier != "identifier"
        ):
            found = set_of(scope, types, term)
        case Within():
            found = set_of(scope, types, term)
        case Clause(parameter=Parameter(type="string") as parameter, modifier=modifier, values=values, negated=False):
            return _any_of([string.over(parameter, modifier, value, scope.tenant) for value in values])
        case Clause(parameter=Parameter(type="date" | "number" | "quantity" as kind) as parameter, negated=False):
            return _any_of([_OVER[kind](parameter, value, scope.tenant) for value in term.values])
        case _:
            return None
    return None if found is None else Over(found.branches or (NOTHING,), NO_TEST)


def _any_of(values: Sequence[Over | None]) -> Over | None:
    """The rows of one parameter, which are the same for all its values, with the tests of all of them."""
    known = [one for one in values if one is not None]
    if not known or len(known) < len(values):
        return None
    return Over(known[0].rows, compose("(", join(" OR ", [one.test for one in known]), ")"))


# --- the statement --------------------------------------------------------------------------------------------------------


_SELECT: dict[bool, LiteralString] = {False: "SELECT d.pk FROM ", True: "SELECT DISTINCT d.pk FROM "}
_BEHIND: dict[bool, LiteralString] = {False: " AND d.pk > %s", True: " AND d.pk < %s"}
_ORDER: dict[bool, LiteralString] = {False: " ORDER BY d.pk", True: " ORDER BY d.pk DESC"}
_ORDER_OUT: dict[bool, LiteralString] = {False: "p.pk)", True: "p.pk DESC)"}


class _Statement:
    """The statements of a page: of `sets` each resource has to be one, `tests` are further conditions on `d.pk`."""

    __slots__ = ("bound", "limit", "order", "out", "sets", "tests")

    def __init__(self, scope: Scope, query: Query, sets: Sequence[Over], tests: Sequence[Fragment]) -> None:
        page = query.page
        backwards = page is not None and page.backwards
        self.sets = sets
        self.tests = [part for one in tests for part in (AND, one)]
        self.bound = sql("") if page is None else sql(_BEHIND[backwards], page.pk)
        self.order = _ORDER[backwards]
        self.limit = sql(" LIMIT (SELECT %s::int8)", query.count + 1)
        self.out = compose(sql(CONTENT, scope.tenant), _ORDER_OUT[backwards])

    def of(self, lead: Lead) -> Fragment:
        """The page, and whether what leads sufficed for it."""
        if lead.over:
            return self.of_range(lead)
        page = compose(_PAGE, self.narrowed(repeats=lead.near or len(lead.branches) > 1), self.out)
        few = lead.few if lead.near else MOST
        cut = compose(_CUT, sql(" FROM lead OFFSET %s LIMIT 1)", few))
        if lead.near:
            rows = compose(join(UNION, lead.branches), sql(" LIMIT %s", few + 1))
            return compose("WITH lead AS MATERIALIZED (", rows, ") ", cut, UNION, page)
        rows = self.first(lead.branches)
        return compose("WITH lead AS MATERIALIZED (SELECT d.pk FROM ", rows, ") ", page, UNION, cut, self.limit)

    def narrowed(self, *, repeats: bool) -> Fragment:
        """`SELECT pk` of what leads, looked up in one set after another: all at once, which an index does in one pass."""
        rows = sql("lead d")
        for one in self.sets:
            # Each time `d`: what is looked up is what the SELECT before found.
            held = compose("(", join(UNION, one.rows), ") d WHERE d.pk = ANY(ARRAY(SELECT d.pk FROM ", rows, "))")
            # OFFSET 0, for without it the test may be looked up as a range of a b-tree, with as many rows as there are.
            rows = held if one.test is NO_TEST else compose("(SELECT * FROM ", held, " OFFSET 0) d WHERE ", one.test)
        where: LiteralString = "" if self.sets else " WHERE true"
        return self.rows(rows, where, self.bound, repeats=repeats or bool(self.sets))

    def of_range(self, lead: Lead) -> Fragment:
        """All rows of the range, where they are few, else those that are among the first of whole keys.

        Beside others it would find out late, and each time for other values, that neither suffices.
        """
        near = self.rows("near d WHERE", sql(_IS_SHORT, lead.few), self.bound, repeats=True)
        long = sql(_IS_LONG, lead.few)
        whole = self.first(lead.over)
        first = self.rows(whole, " WHERE", long, AND, lead.test, repeats=True)
        return compose(
            "WITH near AS MATERIALIZED (", join(UNION, lead.branches), sql(" LIMIT %s)", lead.few + 1), _SIZE,
            _PAGE, "SELECT DISTINCT d.pk FROM ((", near, ") UNION ALL (", first, ")) d", self.order, self.limit, self.out,
            UNION, _CUT, " FROM (SELECT FROM ", whole, " WHERE", long, sql(" OFFSET %s) m)", MOST), self.limit,
        )  # fmt: skip

    def first(self, branches: Sequence[Fragment]) -> Fragment:
        """The first rows of all branches, one more than a walk takes: each branch in order, so that they can be merged."""
        end = (") d WHERE true", self.bound, self.order, _FIRST)
        each = [compose("(SELECT * FROM (", one, *end, ")") for one in branches]
        if len(each) == 1:
            return compose(each[0], " d")
        return compose("(SELECT * FROM (", join(UNION, each), ") d", self.order, _FIRST, ") d")

    def rows(self, *source: LiteralString | Fragment, repeats: bool) -> Fragment:
        """`SELECT pk` of those of a source for which the tests hold, in order, no more than the page needs."""
        return compose(_SELECT[repeats], *source, *self.tests, self.order, self.limit)


class _Whole(_Statement):
    """All rows instead of those of a page: what is sorted has another order."""

    def rows(self, *source: LiteralString | Fragment, repeats: bool) -> Fragment:
        """`SELECT pk` of those of a source for which the tests hold, in no order."""
        return compose(_SELECT[repeats], *source, *self.tests)
