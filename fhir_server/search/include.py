"""`_include` and `_revinclude`: what the found resources refer to, and what refers to them, in rounds until nothing new comes.

https://hl7.org/fhir/R4/search.html#revinclude
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString

from fhir_server.json import parse_json
from fhir_server.search.condition import Scope, condition, of_types, reference_keys
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.query import Include
from fhir_server.search.types.selection import LONGEST_VALUE

MOST_INCLUDED = 1000
MOST_ROUNDS = 8

_SELECT: LiteralString = (
    "SELECT p.pk, p.type, p.id, v.content FROM (SELECT r.pk, r.type, r.id, r.version FROM resource r"
    " CROSS JOIN LATERAL (SELECT r.pk) d WHERE NOT r.deleted AND r.tenant = %s AND "
)
_CONTENT: LiteralString = (
    " ORDER BY r.pk LIMIT %s) p JOIN version v ON v.pk = p.pk AND v.version = p.version ORDER BY p.pk"
)
_CANONICAL = frozenset(("canonical", "uri", "url"))


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that was found, or included; content is its stored text, score how well it answers a search for words."""

    pk: int
    type: str
    id: str
    content: bytes
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A selection of (pk, type, id, content). `settled`: one plan is right for all values."""

    fragment: Fragment
    settled: bool


Fetch = Callable[[Asked], Awaitable[list[Match]]]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Follows includes for one tenant; `fetch` runs a selection of (pk, type, id, content)."""

    scope: Scope
    parameters: Parameters
    fetch: Fetch

    async def of(self, includes: Sequence[Include], matches: Sequence[Match]) -> tuple[tuple[Match, ...], bool]:
        """What the includes add to the matches, each resource once, and whether there was more than MOST_INCLUDED."""
        seen = {match.pk for match in matches}
        included: list[Match] = []
        frontier: Sequence[Match] = matches
        for turn in range(MOST_ROUNDS):
            wanted = [one for one in includes if turn == 0 or one.iterate]
            fresh = await self._round(wanted, frontier, seen) if wanted and frontier else {}
            if not fresh:
                break
            seen.update(fresh)
            frontier = tuple(fresh.values())
            included.extend(frontier)
            if len(included) > MOST_INCLUDED:
                return tuple(included[:MOST_INCLUDED]), True
        return tuple(included), False

    async def _round(self, includes: Sequence[Include], frontier: Sequence[Match], seen: set[int]) -> dict[int, Match]:
        found: dict[int, Match] = {}
        for include in includes:
            for asked in self._referring(include, frontier) if include.reverse else self._referred(include, frontier):
                found.update((match.pk, match) for match in await self.fetch(asked) if match.pk not in seen)
        return found

    def _selected(self, include: Include, wanted: Fragment, types: Sequence[str], *, settled: bool = False) -> Asked:
        """What is wanted of the types; what must hold for the caller beside may be anything, and is planned for."""
        begun = sql(_SELECT, self.scope.tenant) + wanted + of_types(self.scope, types, "r.pk")
        if include.seen is not None:
            begun = begun + sql(" AND ") + condition(self.scope, types, include.seen)
        return Asked(begun + sql(_CONTENT, MOST_INCLUDED + 1), settled and include.seen is None)

    def _references(self, include: Include, kind: str) -> list[Parameter]:
        if include.parameter is not None:
            own = self.parameters.get(kind, include.parameter.code)
            found = [own] if own is not None else []
        else:
            found = [one for one in self.parameters.of(kind).values() if one.type == "reference" and one.paths]
        return [one for one in found if (kind, one.code) not in include.without]

    # --- _include -----------------------------------------------------------------------------------------------------

    def _referred(self, include: Include, frontier: Iterable[Match]) -> Iterable[Asked]:
        """What the matches refer to: references by their index, canonicals by the url of the target."""
        by_type: dict[str, list[Match]] = {}
        for match in frontier:
            if include.type in ("*", match.type):
                by_type.setdefault(match.type, []).append(match)
        for kind, some in by_type.items():
            keys: dict[tuple[str, ...], list[int]] = {}
            for parameter in self._references(include, kind):
                types = _allowed(parameter, include.target)
                keys.setdefault(types, []).extend(reference_keys(parameter, self.scope.tenant))
                yield from self._canonical(include, parameter, types, some)
            for types, found in keys.items():
                yield self._literal(include, [match.pk for match in some], found, types)

    def _literal(self, include: Include, pks: list[int], keys: list[int], types: Sequence[str]) -> Asked:
        text: LiteralString = (
            "r.reference IN (SELECT x.target FROM index_reference x"
            " WHERE x.pk = ANY(%s::int8[]) AND x.key = ANY(%s::int8[]))"
        )
        return self._selected(include, sql(text, pks, keys), types, settled=True)

    def _canonical(
        self, include: Include, parameter: Parameter, types: tuple[str, ...], matches: Iterable[Match]
    ) -> Iterable[Asked]:
        paths = [path for path in parameter.paths if _CANONICAL & set(path.types)]
        if not paths:
            return
        resources = [parse_json(match.content) for match in matches]
        urls = {
            value.partition("|")[0]
            for one in resources
            for path in paths
            for _, value in path.nodes(one)
            if isinstance(value, str)
        }
        known = [
            one
            for one in types or parameter.targets or self.parameters.resource_types
            if self.parameters.get(one, "url")
        ]
        short = [url for url in urls if len(url) <= LONGEST_VALUE]
        if short and known:
            keys = [key(self.scope.tenant, name, f"{name}.url", "uri") for name in known]
            text: LiteralString = "r.pk IN (SELECT pk FROM index_string WHERE key = ANY(%s::int8[]) AND value = ANY(%s) AND full_value IS NULL)"
            yield self._selected(include, sql(text, keys, short), types)

    # --- _revinclude --------------------------------------------------------------------------------------------------

    def _referring(self, include: Include, frontier: Sequence[Match]) -> Iterable[Asked]:
        """What refers to the matches, by their type and id, or by their url."""
        matches = [match for match in frontier if include.target in (None, match.type)]
        targets = [reference_key(self.scope.tenant, f"{match.type}/{match.id}") for match in matches]
        if not targets:
            return
        if include.type == "*":
            at_all: LiteralString = "r.pk IN (SELECT x.pk FROM index_reference x WHERE x.target = ANY(%s::int8[]) AND x.key <> ALL(%s::int8[]))"
            yield self._selected(include, sql(at_all, targets, self._not_followed(include)), ())
            return
        parameters = self._references(include, include.type)
        keys = [one for parameter in parameters for one in reference_keys(parameter, self.scope.tenant)]
        if any(_CANONICAL & set(path.types) for parameter in parameters for path in parameter.paths):
            targets += [reference_key(self.scope.tenant, url) for url in _urls(matches)]
        by_key: LiteralString = (
            "r.pk IN (SELECT x.pk FROM index_reference x WHERE x.target = ANY(%s::int8[]) AND x.key = ANY(%s::int8[]))"
        )
        yield self._selected(include, sql(by_key, targets, keys), (), settled=True)

    def _not_followed(self, include: Include) -> list[int]:
        """The keys of the parameters that the include is without."""
        without = [self.parameters.get(kind, code) for kind, code in include.without]
        return [key_ for one in without if one is not None for key_ in reference_keys(one, self.scope.tenant)]


def _allowed(parameter: Parameter, target: str | None) -> tuple[str, ...]:
    """The types that may be included: the one named; where the parameter is about some of its targets only, those."""
    if target is not None:
        return (target,)
    return parameter.targets if parameter.restricted else ()


def _urls(matches: Iterable[Match]) -> Iterable[str]:
    for match in matches:
        url = parse_json(match.content).get("url")
        if isinstance(url, str):
            yield url
