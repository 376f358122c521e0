"""Terms as SQL: a set of keys where rows of the index answer, a condition on `d.pk` or `resource r` where they do not.

https://hl7.org/fhir/R4/search.html#Introduction; docs/implementation/index.md shows statements with their plans.

A *branch* is a `SELECT pk FROM index_…`; a term's branches together are the set of what it finds. Index rows exist only for
current resources of the tenant, so a set needs no look at the table of resources.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, LiteralString

from fhir_server.search import local_reference, text
from fhir_server.search.fragment import Fragment, compose, join, sql
from fhir_server.search.index import COLUMNS, missing_keys
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import (
    Chain,
    Clause,
    Either,
    Every,
    Except,
    Has,
    Listed,
    Missing,
    OfTypes,
    Spelled,
    Term,
    Within,
    Words,
)
from fhir_server.search.types import BY_TYPE, composite, date, number, quantity, string, token
from fhir_server.search.types.prefix import Amount, Span

AND: LiteralString = " AND "
UNION: LiteralString = " UNION ALL "
NOTHING = sql("SELECT NULL::bigint AS pk WHERE false")
# Of so many keys at most, a page is merged from ordered scans, one for each; of more, all their rows are read.
MOST_MERGED = 16
# Rows of a range that are read to see whether there are more: a page among more than these is near. Those of a date are
# looked up in its table.
FEW, FEW_DATES = 500, 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose resources are searched, and the numbers of the resource types.

    `narrow`: conditions are asked of a few resources, and better for each of them than of all that there are.
    """

    tenant: int
    codes: Mapping[str, int]
    narrow: bool = False

    def among(self, terms: Sequence[Term]) -> "Scope":
        """The same for terms that must all hold."""
        return replace(self, narrow=any(narrows(term) for term in terms))


def narrows(term: Term) -> bool:
    """Whether a term by experience holds for a few resources only: those of one patient, those with these ids."""
    match term:
        case Clause(parameter=Parameter(code="_id"), negated=False) | Within() | Listed():
            return True
        case Clause(parameter=Parameter(type="reference" | "uri"), negated=False):
            return True
        case Either(terms=terms):
            return all(narrows(one) for one in terms)
        case Every(terms=terms):
            return any(narrows(one) for one in terms)
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Set:
    """What a term finds, as branches. `unique`: no pk comes twice. `bound`: all of them are of the types searched for.

    `rank` says how much a set narrows by experience, 0 most: the first of the narrowest leads. `probe` gives the same
    set, written to be asked for one resource after another, where that differs from reading it as a whole. `ranges`
    are the same as ranges of b-trees: to see whether they are short costs no more than their first `few` rows. `passes` are
    the same as selections that a page passes over in the order of pk; without them the branches are.
    """

    branches: tuple[Fragment, ...]
    unique: bool = False
    bound: bool = False
    rank: int = 5
    probe: Callable[[], Fragment] | None = None
    ranges: tuple[Fragment, ...] = ()
    few: int = FEW
    passes: tuple[Fragment, ...] = ()

    @property
    def by_branches(self) -> bool:
        """Whether a page is best made of a page of each branch: of ranges, or of several branches, but not of too many."""
        return len(self.passes or self.branches) <= MOST_MERGED and (bool(self.ranges) or len(self.branches) > 1)

    def bag(self) -> Fragment:
        """All rows, in no order, a pk perhaps twice."""
        return join(UNION, self.branches) if self.branches else NOTHING

    def ordered(self) -> Fragment:
        """All rows, each branch in the order of pk, so that the database can merge them."""
        if len(self.branches) < 2 or len(self.branches) > MOST_MERGED:
            return self.bag()
        return join(UNION, [sql("(") + branch + sql(" ORDER BY pk)") for branch in self.branches])


# --- sets ----------------------------------------------------------------------------------------------------------------


def set_of(scope: Scope, types: Sequence[str], term: Term) -> Set | None:
    """The set that a term stands for; None for a term that only a look at each resource can decide."""
    match term:
        case Clause(negated=False):
            return _clause(scope, types, term)
        case Chain():
            whole, each = partial(_chains, scope, term, _AT_ONCE), partial(_chains, scope, term, _EACH)
            local = tuple(_inside_chain(scope, types, term))
            return Set((*whole(), *local), bound=True, rank=2, probe=lambda: _union((*each(), *local)))
        case Has():
            probe = partial(_has, scope, types, term, _HAD)
            return Set((_has(scope, types, term, _HAVING),), bound=bool(types), rank=2, probe=probe)
        case Within():
            return Set(_within(scope, term), bound=not term.itself, rank=1)
        case Listed():
            return Set((_listed(scope, types, term),), bound=bool(types), rank=1)
        case Words():
            found = [text.condition(one, types, scope.tenant, narrative=term.narrative) for one in term.texts]
            # Not bound, though each vector has its type: the index in the order of pk has the resources of all types.
            return Set(tuple(found), unique=len(found) == 1, rank=3)
        case Spelled():
            return Set(tuple(_spelled(scope, term)), bound=True, rank=3)
        case Either(terms=terms):
            return _either(scope, types, terms)
        case Every(terms=(OfTypes(types=kinds), one)):
            typed = set_of(scope, kinds, one)
            return typed if typed is not None and typed.bound else None
        case _:
            return None


def _either(scope: Scope, types: Sequence[str], terms: Sequence[Term]) -> Set | None:
    sets = [set_of(scope, types, one) for one in terms]
    known = [one for one in sets if one is not None]
    if len(known) < len(sets):
        return None
    branches = tuple(branch for one in known for branch in one.branches)
    return Set(branches, bound=all(one.bound for one in known), rank=max((one.rank for one in known), default=0))


_RANKS = {"reference": 0, "uri": 1, "string": 3, "token": 3, "number": 4, "quantity": 4, "composite": 2, "special": 4}


def _clause(scope: Scope, types: Sequence[str], term: Clause) -> Set | None:
    parameter, modifier, tenant = term.parameter, term.modifier, scope.tenant
    rank = _RANKS.get(parameter.type, 5)
    paths = partial(_by_path, parameter, modifier, term.values, tenant)
    match parameter:
        case Parameter(code="_id"):
            return Set(
                (_by_id(scope, types, [one.code for one in term.values]),), unique=True, bound=bool(types), rank=0
            )
        case Parameter(code="_lastUpdated"):
            return None
        case Parameter(type="token") if modifier != "text":
            found = {one for value in term.values for one in token.wanted(parameter, modifier, value, tenant)}
            return Set(_token_branches(sorted(found)), unique=len(found) == 1, bound=True, rank=rank)
        case Parameter(type="reference") if modifier not in ("identifier", "below"):
            targets = [reference_key(tenant, one) for value in term.values for one in value.targets]
            branches = _reference_branches(dict.fromkeys(targets), reference_keys(parameter, tenant))
            return Set(branches, unique=len(branches) == 1, bound=True, rank=rank)
        case Parameter(type="string") if modifier in ("contains", "text"):
            walks = tuple(string.walked(parameter, modifier, value, tenant) for value in term.values)
            return Set(walks, bound=True, rank=rank, probe=lambda: _union(paths()))
        case Parameter(type="number" | "quantity" | "composite"):
            ranges = _spread(_RANGES[parameter.type], parameter, term.values, tenant)
            ordered = all(in_ranges(value) for value in term.values)
            near = _spread(_AT_ONCE_IN[parameter.type], parameter, term.values, tenant) if ordered else ()
            passes = _spread(_IN_ORDER[parameter.type], parameter, term.values, tenant) if ordered else ()
            return Set(ranges, bound=True, rank=rank, probe=lambda: _union(paths()), ranges=near, passes=passes)
    branches = tuple(paths())
    ordered = parameter.type == "date" and all(in_ranges(value) for value in term.values)
    return Set(branches, bound=True, rank=rank, ranges=branches if ordered else (), few=FEW_DATES)


_Selections = Callable[[Parameter, Any, int], list[Fragment]]
_RANGES: Mapping[str, _Selections] = {
    "number": number.ranges, "quantity": quantity.ranges, "composite": composite.ranges,
}  # fmt: skip
_AT_ONCE_IN: Mapping[str, _Selections] = {
    "number": number.at_once, "quantity": quantity.at_once, "composite": composite.at_once,
}  # fmt: skip
_IN_ORDER: Mapping[str, _Selections] = {
    "number": number.in_order, "quantity": quantity.in_order, "composite": composite.in_order,
}  # fmt: skip


def _spread(of: _Selections, parameter: Parameter, values: Sequence[Any], tenant: int) -> tuple[Fragment, ...]:
    return tuple(one for value in values for one in of(parameter, value, tenant))


def in_ranges(value: Any) -> bool:
    """Whether what is sought is compared by order, and its branches are ranges for it."""
    match value:
        case Span(prefix=prefix):
            return prefix not in ("ne", "ap")
        case Amount(prefix=prefix) | quantity.Value(amount=Amount(prefix=prefix)):
            return prefix != "ne"
        case composite.Value(parts=parts):
            return any(in_ranges(one) for one in parts)
        case _:
            return False


def _by_path(parameter: Parameter, modifier: str | None, values: Sequence[Any], tenant: int) -> list[Fragment]:
    kind = BY_TYPE[parameter.type]
    if parameter.type in ("composite", "reference", "token"):
        return [kind.condition(parameter, modifier, value, tenant) for value in values]
    single = [replace(parameter, paths=(path,)) for path in parameter.paths]
    return [kind.condition(one, modifier, value, tenant) for value in values for one in single]


def _by_id(scope: Scope, types: Sequence[str], ids: Sequence[str]) -> Fragment:
    codes = [scope.codes[name] for name in types] or sorted(scope.codes.values())
    return sql(
        "SELECT pk FROM resource WHERE tenant = %s AND type = ANY(%s::int2[]) AND id = ANY(%s) AND NOT deleted",
        scope.tenant, codes, list(dict.fromkeys(ids)),
    )  # fmt: skip


def _token_branches(keys: Sequence[int]) -> tuple[Fragment, ...]:
    if len(keys) > MOST_MERGED:
        return (token.of_keys(list(keys)),)
    return tuple(token.of_keys([one]) for one in keys)


def reference_keys(parameter: Parameter, tenant: int) -> list[int]:
    """The keys of the paths of a reference parameter."""
    return [key(tenant, path.resource_type, path.text, "reference") for path in parameter.paths]


def _reference_branches(targets: Mapping[int, None], keys: Sequence[int]) -> tuple[Fragment, ...]:
    if len(targets) * len(keys) > MOST_MERGED:
        some = sql(
            "SELECT pk FROM index_reference WHERE target = ANY(%s::int8[]) AND key = ANY(%s::int8[])",
            [*targets],
            [*keys],
        )
        return (some,)
    return tuple(
        sql("SELECT pk FROM index_reference WHERE target = %s AND key = %s", target, one)
        for target in targets
        for one in keys
    )


# The targets of a chain: found as a whole before the references to them, of which the planner believes that hardly any
# leads there; or for one resource after another.
_AT_ONCE: LiteralString = ") OFFSET 0"
_EACH: LiteralString = ")"


def _chains(scope: Scope, term: Chain, end: LiteralString) -> tuple[Fragment, ...]:
    return tuple(_chain(scope, term.parameter, kind, inner, end) for kind, inner in term.behind())


def _chain(scope: Scope, parameter: Parameter, target: str, inner: Term, end: LiteralString) -> Fragment:
    return (
        sql("SELECT x.pk FROM (SELECT t.reference FROM resource t WHERE NOT t.deleted AND t.tenant = %s AND t.pk IN (", scope.tenant)
        + inside(scope, target, inner) + sql(end)
        + sql(") t JOIN index_reference x ON x.target = t.reference")
        + sql(" WHERE x.key = ANY(%s::int8[])", reference_keys(parameter, scope.tenant))
    )  # fmt: skip


def _inside_chain(scope: Scope, types: Sequence[str], term: Chain) -> Iterator[Fragment]:
    """The resources that contain what the chain leads to: found by rows of their own."""
    for _, inner in term.targets:
        moved = local_reference.followed(term.parameter.paths, inner)
        found = set_of(scope, types, moved) if moved is not None else None
        yield from found.branches if found is not None else ()


# Who is referred to: as a whole each once, whatever the planner expects of the join, or for one resource after another.
_HAVING: LiteralString = "SELECT t.pk FROM (SELECT DISTINCT x.target FROM index_reference x"
_HAD: LiteralString = "SELECT t.pk FROM (SELECT x.target FROM index_reference x"


def _has(scope: Scope, types: Sequence[str], term: Has, targets: LiteralString) -> Fragment:
    return (
        sql(targets)
        + sql(" WHERE x.key = ANY(%s::int8[]) AND x.pk IN (", reference_keys(term.parameter, scope.tenant))
        + inside(scope, term.type, term.term)
        + sql(")) x JOIN resource t ON t.reference = x.target AND NOT t.deleted AND t.tenant = %s WHERE true", scope.tenant)
        + of_types(scope, types, "t.pk")
    )  # fmt: skip


def inside(scope: Scope, kind: str, term: Term) -> Fragment:
    """`SELECT pk` of the resources of a type that a term holds for, in no order."""
    found = set_of(scope, (kind,), term)
    return selection(scope, (kind,), (term,)) if found is None or not found.bound else found.bag()


def _within(scope: Scope, term: Within) -> tuple[Fragment, ...]:
    target = reference_key(scope.tenant, term.target)
    keys = [one for parameter in term.parameters for one in reference_keys(parameter, scope.tenant)]
    branches = _reference_branches({target: None}, list(dict.fromkeys(keys)))
    if not term.itself:
        return branches
    return (*branches, sql("SELECT pk FROM resource WHERE reference = %s AND NOT deleted", target))


def _listed(scope: Scope, types: Sequence[str], term: Listed) -> Fragment:
    lists = [reference_key(scope.tenant, one) for one in term.lists]
    entries = key(scope.tenant, "List", "List.entry.item", "reference")
    return (
        sql("SELECT t.pk FROM resource l JOIN index_reference x ON x.pk = l.pk AND x.key = %s", entries)
        + sql(" JOIN resource t ON t.reference = x.target AND NOT t.deleted")
        + sql(" WHERE l.reference = ANY(%s::int8[]) AND NOT l.deleted AND t.tenant = %s", lists, scope.tenant)
        + of_types(scope, types, "t.pk")
        + (sql(" AND l.pk IN (") + inside(scope, "List", term.seen) + sql(")") if term.seen is not None else sql(""))
    )


_SPELLED: dict[str, LiteralString] = {
    "eq": "SELECT pk FROM index_string WHERE key = %s AND value = %s AND coalesce(full_value, value) = %s",
    "ew": "SELECT pk FROM index_string WHERE key = %s AND right(coalesce(full_value, value), %s) = %s",
    "co": "SELECT pk FROM index_string WHERE key = %s AND strpos(coalesce(full_value, value), %s) > 0",
}


def _spelled(scope: Scope, term: Spelled) -> list[Fragment]:
    form = "uri" if term.parameter.type == "uri" else "string"
    values: dict[str, tuple[Any, ...]] = {
        "eq": (term.text[:128], term.text), "ew": (len(term.text), term.text), "co": (term.text,),
    }  # fmt: skip
    return [
        sql(_SPELLED[term.how], key(scope.tenant, path.resource_type, path.text, form), *values[term.how])
        for path in term.parameter.paths
    ]


# --- conditions ----------------------------------------------------------------------------------------------------------


def looks(term: Term) -> bool:
    """Whether the condition of a term asks for columns of `resource r`."""
    match term:
        case Clause(parameter=Parameter(code=code), negated=negated):
            return code == "_lastUpdated" or (code == "_id" and negated)
        case Missing():
            return True
        case Either(terms=terms) | Every(terms=terms):
            return any(looks(one) for one in terms)
        case Except(term=one):
            return looks(one)
        case _:
            return False


def condition(scope: Scope, types: Sequence[str], term: Term) -> Fragment:
    """The condition that the term holds, on `d.pk` and, where `looks` says so, on `resource r`."""
    found = set_of(scope, types, term)
    if found is not None:
        asked = _probed if scope.narrow else _whole
        return sql("d.pk IN (") + asked(scope, term, found) + sql(")")
    match term:
        case Clause(parameter=Parameter(code="_lastUpdated"), values=values):
            return _any_of([date.column_condition(value, "r.updated") for value in values])
        case Clause(parameter=Parameter(code="_id"), values=values):
            return sql("r.id <> ALL(%s)", [value.code for value in values])
        case Clause():
            return _not(scope, types, replace(term, negated=False))
        case Except(term=one):
            return _not(scope, types, one)
        case Missing():
            return _missing(scope, types, term)
        case OfTypes(types=kinds):
            return sql("(true") + of_types(scope, kinds, "d.pk") + sql(")") if kinds else sql("false")
        case Either(terms=terms):
            return _any_of([condition(scope, types, one) for one in terms])
        case Every(terms=terms):
            types = next((one.types for one in terms if isinstance(one, OfTypes)), types)
            return sql("(") + conditions(scope, types, terms) + sql(")")
    raise AssertionError(f"{type(term).__name__} is a set")


def _union(branches: Sequence[Fragment]) -> Fragment:
    return join(UNION, branches) if branches else NOTHING


def _probed(scope: Scope, term: Term, found: Set) -> Fragment:
    """The bag of a set that is asked for one pk after another."""
    return _whole(scope, term, found) if found.probe is None else found.probe()


def _whole(scope: Scope, term: Term, found: Set) -> Fragment:
    """The bag of a set that is asked whether it has a pk: of several keys best in one look."""
    match term:
        case Clause(parameter=Parameter(type="token", code=code), modifier=modifier, values=values) if (
            modifier != "text" and code != "_id" and len(found.branches) > 1
        ):
            keys = {one for value in values for one in token.wanted(term.parameter, modifier, value, scope.tenant)}
            return token.of_keys(sorted(keys))
        case _:
            return found.bag()


def _any_of(conditions: Sequence[Fragment]) -> Fragment:
    return sql("(") + join(" OR ", conditions) + sql(")") if conditions else sql("false")


def _not(scope: Scope, types: Sequence[str], term: Term) -> Fragment:
    found = set_of(scope, types, term)
    if found is None:
        return sql("NOT ") + condition(scope, types, term)
    return sql("NOT EXISTS (SELECT FROM (") + _probed(scope, term, found) + sql(") x WHERE x.pk = d.pk)")


def _missing(scope: Scope, types: Sequence[str], term: Missing) -> Fragment:
    """By the shapes that have the parameter's paths, or have none of them: a few, so both ways by their index."""
    if term.parameter.code in COLUMNS:
        return sql("false") if term.missing else sql("true")
    codes = [scope.codes[name] for name in types] or sorted(scope.codes.values())
    shapes = sql(
        "r.shape IN (SELECT s.id FROM shape s WHERE s.tenant = %s AND s.type = ANY(%s::int2[])", scope.tenant, codes
    )
    keys = missing_keys(term.parameter, scope.tenant)
    return shapes + sql(" AND NOT s.paths && %s::int8[])" if term.missing else " AND s.paths && %s::int8[])", keys)


def of_types(scope: Scope, types: Sequence[str], column: LiteralString) -> Fragment:
    """`AND …` that a pk is of one of the types: its high bits say so. Nothing where all types are meant."""
    if not types:
        return sql("")
    ranges = [
        sql(column) + sql(" >= %s AND ", first << 48) + sql(column) + sql(" < %s", last << 48)
        for first, last in _runs(scope.codes[name] for name in types)
    ]
    return sql(" AND ") + (ranges[0] if len(ranges) == 1 else _any_of([sql("(") + one + sql(")") for one in ranges]))


def _runs(codes: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as runs from the first to behind the last: most of all types are two or three of them."""
    runs: list[tuple[int, int]] = []
    for code in sorted(set(codes)):
        if runs and runs[-1][1] == code:
            runs[-1] = (runs[-1][0], code + 1)
        else:
            runs.append((code, code + 1))
    return runs


# --- selections ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """`source` is what follows FROM and provides `d.pk`, and `resource r` where it is needed; `where` what must hold.

    `repeats`: a resource may come several times, always with the same values.
    """

    source: Fragment
    where: Fragment
    repeats: bool = False

    def select(self, what: LiteralString) -> Fragment:
        return sql(what) + sql(" FROM ") + self.source + sql(" WHERE ") + self.where


RESOURCE: LiteralString = " JOIN resource r ON r.pk = d.pk AND NOT r.deleted AND r.tenant = %s"


def found(
    scope: Scope, types: Sequence[str], terms: Sequence[Term], *, resource: bool = False, ordered: bool = True
) -> Found:
    """Where the resources come from that all terms hold for.

    The narrowest set leads and the others are conditions; without a set the table of resources does. `resource`: r is
    needed whatever the terms ask for. `ordered`: a page is wanted, so the keys of the leading set are merged in order.
    """
    terms, scope = flat(terms), scope.among(terms)
    sets = [(term, one) for term in terms if (one := set_of(scope, types, term)) is not None]
    needed = resource or any(looks(term) for term in terms)
    if not sets:
        return _of_resources(scope, types, terms, ordered=ordered)
    leading, lead = min(sets, key=lambda pair: (not pair[1].unique, pair[1].rank))
    source = _led(scope, types, lead, ordered=ordered)
    held = conditions(scope, types, [term for term in terms if term is not leading])
    return Found(source + sql(RESOURCE, scope.tenant) if needed else source, held, repeats=not lead.unique)


def led(scope: Scope, types: Sequence[str], lead: Set) -> Found:
    """All of one set, in the order of a page."""
    return Found(_led(scope, types, lead, ordered=True), sql("true"), repeats=not lead.unique)


def alone(scope: Scope, types: Sequence[str], terms: Sequence[Term]) -> Set | None:
    """The set of the only term; None where it is none, or there are more."""
    terms = flat(terms)
    return set_of(scope.among(terms), types, terms[0]) if len(terms) == 1 else None


def flat(terms: Sequence[Term]) -> list[Term]:
    """The terms, with those of an Every in its place."""
    return [one for term in terms for one in (flat(term.terms) if isinstance(term, Every) else (term,))]


def conditions(scope: Scope, types: Sequence[str], terms: Sequence[Term]) -> Fragment:
    """The condition that all terms hold."""
    return join(AND, [condition(scope, types, term) for term in terms] or [sql("true")])


def _led(scope: Scope, types: Sequence[str], lead: Set, *, ordered: bool) -> Fragment:
    # A key says the type. Bounds beside it would be taken for a narrowing of their own.
    bounds = sql("") if lead.bound else of_types(scope, types, "u.pk")
    rows = lead.ordered() if ordered else lead.bag()
    return compose("(SELECT u.pk FROM (", rows, ") u WHERE true", bounds, ") d")


def _of_resources(scope: Scope, types: Sequence[str], terms: Sequence[Term], *, ordered: bool) -> Found:
    columns: LiteralString = "SELECT pk, type, id, version, updated, shape, deleted, tenant FROM resource"
    listed = sql(columns) + sql(" WHERE tenant = %s AND NOT deleted", scope.tenant)
    if 1 < len(types) <= MOST_MERGED:
        each = [sql("(") + listed + of_types(scope, (name,), "pk") + sql(" ORDER BY pk)") for name in types]
        rows = join(UNION, each)
    else:
        # The index in the order of `updated` begins with the type, and alone suffices where nothing else is asked: to count.
        # A page has the type beside the range of pk that it is.
        typed = sql(" AND type = %s", scope.codes[types[0]]) if len(types) == 1 else sql("")
        rows = compose(listed, typed if typed.text and not ordered else compose(of_types(scope, types, "pk"), typed))
    return Found(sql("(") + rows + sql(") r CROSS JOIN LATERAL (SELECT r.pk) d"), conditions(scope, types, terms))


def selection(scope: Scope, types: Sequence[str], terms: Sequence[Term]) -> Fragment:
    """`SELECT pk` of the resources that all terms hold for."""
    return found(scope, types, terms, ordered=False).select("SELECT d.pk")
