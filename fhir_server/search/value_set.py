"""The codes that a search means by a value set or a hierarchy, told by what is stored here and by packages.

https://hl7.org/fhir/R4/search.html#modifiers: `:in`, `:not-in`, `:above` and `:below` of a token

A Query is read without waiting, but what is stored has to be fetched. So a query that has these modifiers is read twice:
first to learn which value sets and code systems it names, which are then fetched with all that they name in turn, and
then with what was found. Nothing is kept from one search to the next, so every process sees what is stored now.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.json import parse_json
from fhir_server.outcome import refuse
from fhir_server.search.execute import Search
from fhir_server.search.query import Clause, Every, Query, Term
from fhir_server.search.term import merged
from fhir_server.search.types import token, uri
from fhir_server.search.types.context import Direction, NotAtHand
from fhir_server.search.types.reference import localised
from fhir_server.search.types.selection import storable
from profiles.registry import Registry
from profiles.value_set import Code, UnknownCodes, codes_of, is_whole, subsumed
from profiles.version import Order, order

Json = dict[str, Any]
Canonical = tuple[str, str]
"""A resource type and a canonical of it, perhaps with |version."""
VALUE_SET, CODE_SYSTEM = "ValueSet", "CodeSystem"
MOST_DEFINITIONS = 200  # that one search may come to by what value sets name
MOST_STORED = 1000  # definitions with the urls of one look: versions of the same one
EVERYTHING: Term = Every(())
ADVICE = "store what is missing, or the value set with its expansion, or install a package that has it"

_ASKS = re.compile(r":(?:in|not-in|above|below)$|^_filter$")
_BY_ID = re.compile(r"ValueSet/([A-Za-z0-9\-.]{1,64})")
# Where value sets are that have no definition to look up, for their canonical says it all.
_IMPLICIT = re.compile(r"(http://snomed\.info/sct)\b.*[?&]fhir_vs|(http://loinc\.org)/vs\b")


def may_ask(names: Iterable[str]) -> bool:
    """Whether parameters of these names can ask for a value set or a hierarchy."""
    return any(_ASKS.search(name) for name in names)


@dataclass(frozen=True, slots=True)
class Asked:
    """Takes down what a query asks for; its answers are empty."""

    names: set[Canonical] = field(default_factory=set)

    def codes_of(self, value_set: str) -> frozenset[Code]:
        """No codes; the value set is noted."""
        self.names.add((VALUE_SET, value_set))
        return frozenset()

    def subsumed(self, system: str, code: str, direction: Direction) -> frozenset[str]:  # noqa: ARG002 - the lookup asks by it
        """The code alone; its system is noted."""
        self.names.add((CODE_SYSTEM, system))
        return frozenset((code,))


@dataclass(frozen=True, slots=True)
class AtHand:
    """The definitions to tell codes by. `stored` are those of this server by url, or by the name they were asked for."""

    registry: Registry
    stored: Mapping[str, Sequence[Json]]

    def codes_of(self, value_set: str) -> frozenset[Code]:
        """(system, code) of each concept of a value set. Raises NotAtHand, which says what is missing."""
        known = None if self.stored else self.registry.codes(value_set)
        if known is not None:
            return known
        implicit = _IMPLICIT.match(value_set)
        try:
            return self._told(value_set)
        except UnknownCodes as missing:
            system = implicit and (implicit[1] or implicit[2])
            reason = f"the code system {system} is not at hand with all its codes" if system else missing
            raise NotAtHand(f"{reason}; {ADVICE}") from None
        except (KeyError, TypeError, AttributeError, ValueError):  # it was stored without being validated
            raise NotAtHand("a definition that is needed is not as R4 has it; validate it with $validate") from None

    def _told(self, value_set: str) -> frozenset[Code]:
        """By what the value sets are composed of, or where that cannot be told, by the expansions they come with."""
        try:
            return codes_of(value_set, self.value_set, self.code_system)
        except UnknownCodes as missing:
            try:
                return codes_of(value_set, self._expanded, self.code_system)
            except UnknownCodes:
                raise missing from None

    def _expanded(self, canonical: str) -> Json | None:
        found = self.value_set(canonical)
        if found is None or not is_whole(found.get("expansion")):
            return found
        return {name: value for name, value in found.items() if name != "compose"}

    def subsumed(self, system: str, code: str, direction: Direction) -> frozenset[str]:
        """The code and all codes above or below it. Raises NotAtHand."""
        definition = self.code_system(system)
        try:
            return subsumed(system, definition, code, up=direction == "above")
        except UnknownCodes as missing:
            partial = definition is None or definition["content"] != "complete"
            raise NotAtHand(
                f"{missing}; store it, or install a package that has it" if partial else str(missing)
            ) from None
        except (KeyError, TypeError, AttributeError, ValueError):
            raise NotAtHand(f"the code system {system} is not as R4 has it; validate it with $validate") from None

    def value_set(self, canonical: str) -> Json | None:
        """The ValueSet of a canonical: with |version that one, else the newest."""
        return self._find(VALUE_SET, canonical)

    def code_system(self, canonical: str) -> Json | None:
        """The CodeSystem of a canonical."""
        return self._find(CODE_SYSTEM, canonical)

    def _find(self, kind: str, canonical: str) -> Json | None:
        """What is stored and active comes first, then what packages have, then what is stored with another status."""
        url, _, version = canonical.partition("|")
        some = (one for one in self.stored.get(url, ()) if one.get("resourceType") == kind)
        newest = max((one for one in some if version in ("", one.get("version"))), key=_age, default=None)
        if newest is not None and (version or newest.get("status") == "active"):
            return newest
        return self.registry.resource(canonical, kind) or newest


def _age(definition: Json) -> tuple[bool, Order, str]:
    """Sorts from what is taken last to what is taken first."""
    version = definition.get("version")
    newer = order(version if isinstance(version, str) else None)
    return definition.get("status") == "active", newer, str(definition.get("meta", {}).get("lastUpdated"))


# --- fetching ---------------------------------------------------------------------------------------------------------


async def at_hand(
    search: Search, registry: Registry, asked: Iterable[Canonical], base: str, seen_by: Term | None = EVERYTHING
) -> AtHand:
    """What a query asks for, with all that it needs in turn. Raises the refusal of one that needs too much.

    What is stored counts where `seen_by` holds for it; None: nothing does.
    """
    stored: dict[str, list[Json]] = {}
    known = AtHand(registry, stored)
    if seen_by is None:
        return known
    waiting = {one for one in asked if storable(one[1])}
    await _fetch_by_id(search, waiting, base, stored, seen_by)
    seen: set[Canonical] = set()
    while waiting:
        seen |= waiting
        if len(seen) > MOST_DEFINITIONS:
            text = f"value sets that come to more than {MOST_DEFINITIONS} definitions cannot be searched by"
            raise refuse("too-costly", text, status=400)
        await _fetch_by_url(search, {one.partition("|")[0] for _, one in waiting} - stored.keys(), stored, seen_by)
        waiting = {other for one in waiting for other in _needed(known, one)} - seen
    return known


async def _fetch_by_id(
    search: Search, asked: Iterable[Canonical], base: str, stored: dict[str, list[Json]], seen_by: Term
) -> None:
    """ValueSets that are named by their place on this server: `ValueSet/123`, or that below the base."""
    parameter = search.parameters.get(VALUE_SET, "_id")
    assert parameter is not None, "every type has it"
    for _, name in asked:
        named = _BY_ID.fullmatch(localised(name, base))
        if named is not None:
            clause = Clause(parameter, None, (token.Value(None, named[1]),))
            for match in (await search.page(Query((VALUE_SET,), (clause, seen_by), count=1))).matches:
                # This very one, whatever its status is.
                stored[name] = [{**parse_json(match.content), "status": "active"}]


async def _fetch_by_url(search: Search, urls: Iterable[str], stored: dict[str, list[Json]], seen_by: Term) -> None:
    wanted = tuple(uri.Value(url) for url in sorted(urls) if 0 < len(url) <= uri.LONGEST)
    if not wanted:
        return
    each = [search.parameters.get(kind, "url") for kind in (VALUE_SET, CODE_SYSTEM)]
    clause = Clause(merged([one for one in each if one is not None]), None, wanted)
    found = await search.page(Query((VALUE_SET, CODE_SYSTEM), (clause, seen_by), count=MOST_STORED))
    if found.following is not None:
        raise refuse("too-costly", f"more than {MOST_STORED} stored versions of value sets are needed", status=400)
    for match in found.matches:
        definition = parse_json(match.content)
        stored.setdefault(definition["url"], []).append(definition)


def _needed(known: AtHand, one: Canonical) -> Iterator[Canonical]:
    """What the codes of a value set depend on, unless it lists them."""
    kind, canonical = one
    definition = known.value_set(canonical) if kind == VALUE_SET else None
    compose = definition.get("compose") if definition is not None else None
    match compose:
        case dict():
            for part in (*_dicts(compose.get("include")), *_dicts(compose.get("exclude"))):
                yield from _named(part)


def _named(part: Json) -> Iterator[Canonical]:
    sets, system = part.get("valueSet"), part.get("system")
    yield from ((VALUE_SET, one) for one in (sets if isinstance(sets, list) else ()) if isinstance(one, str))
    if isinstance(system, str) and "concept" not in part:
        yield CODE_SYSTEM, system


def _dicts(value: Any) -> Iterator[Json]:
    yield from (one for one in (value if isinstance(value, list) else ()) if isinstance(one, dict))
