"""`_contained`: resources inside others as what is searched for, and `_containedType`: which of the two goes out.

https://hl7.org/fhir/R4/search.html#contained

The index says which resources contain one of a type; whether that one is what is asked for is decided in memory, for its
elements have no rows of their own. Such a search therefore reads candidates, in the order of pk, until its page is full.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import refuse
from fhir_server.search.condition import RESOURCE, Scope, conditions, looks
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.include import Match
from fhir_server.search.key import key
from fhir_server.search.match import Matcher
from fhir_server.search.query import Chain, Clause, Either, Every, Except, Has, Listed, Page, Query, Term, Within

CHUNK = 200
MOST_READ = 4000  # for one page
MOST_COUNTED = 40_000
STAGE = "#"
"""The sort value of a page that goes on among contained resources, behind all others."""

Fetch = Callable[[Fragment], Awaitable[list[Match]]]


@dataclass(frozen=True, slots=True)
class Contained:
    """Searches contained resources for one tenant; `fetch` runs a selection of (pk, type, id, content)."""

    scope: Scope
    fetch: Fetch

    async def page(self, query: Query, after: int, room: int) -> tuple[list[Match], int | None]:
        """Up to `room` matches behind `after`, and where to go on; None at the end."""
        found: list[Match] = []
        read = 0
        while read < MOST_READ:
            candidates = await self.fetch(self.candidates(query, after))
            for candidate in candidates:
                matches = list(_matches(self.scope.tenant, query, candidate))
                if len(found) + len(matches) > room and found:
                    return found, after
                found.extend(matches)
                after = candidate.pk
            read += len(candidates)
            if len(candidates) < CHUNK:
                return found, None
        return found, after

    async def count(self, query: Query) -> int:
        """How many there are on all pages. Raises the refusal (400) where too many resources would have to be read."""
        found = after = read = 0
        while read < MOST_COUNTED:
            rows = await self.fetch(self.candidates(query, after))
            found += sum(1 for one in rows for _ in _matches(self.scope.tenant, query, one))
            read += len(rows)
            if len(rows) < CHUNK:
                return found
            after = rows[-1].pk
        raise refuse(
            "too-costly", f"more than {MOST_COUNTED} resources contain one of the type: page through them", status=400
        )

    def candidates(self, query: Query, after: int) -> Fragment:
        """`SELECT pk, type, id, content` of the next resources behind `after` that contain one of the types."""
        keys = [key(self.scope.tenant, kind, "contained", "in") for kind in query.types]
        return (
            sql("SELECT p.pk, r.type, r.id, v.content FROM (SELECT DISTINCT d.pk FROM index_token d")
            + (sql(RESOURCE, self.scope.tenant) if any(looks(one) for one in query.containers) else sql(""))
            + sql(" WHERE d.key = ANY(%s::int8[]) AND d.pk > %s AND ", keys, after)
            + conditions(self.scope, (), query.containers)
            + sql(" ORDER BY d.pk LIMIT %s) p", CHUNK)
            + sql(" JOIN resource r ON r.pk = p.pk AND NOT r.deleted AND r.tenant = %s", self.scope.tenant)
            + sql(" JOIN version v ON v.pk = r.pk AND v.version = r.version ORDER BY p.pk")
        )


def inside(resource: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The contained resources that state their type."""
    contained = resource.get("contained")
    for one in contained if isinstance(contained, list) else ():
        if isinstance(one, dict) and isinstance(one.get("resourceType"), str):
            yield one


def _matches(tenant: int, query: Query, container: Match) -> Iterable[Match]:
    """The container, or each of its resources that is found, under the container's id with its own behind it."""
    matcher = Matcher(tenant)
    resource = parse_json(container.content)
    if query.contained == "both" and query.contained_type == "container" and matcher.matches(query, resource):
        return  # it is among those that were found for themselves
    for one in inside(resource):
        if matcher.matches(query, one):
            if query.contained_type == "container":
                yield container
                return
            yield replace(container, id=f"{container.id}#{one.get('id', '')}", content=dump_json(one))


def check(query: Query) -> None:
    """Raises the refusal (400) of what cannot be asked of contained resources."""
    if query.contained == "false":
        return
    if not query.types:
        raise refuse("not-supported", "_contained needs a resource type", "_contained")
    if query.sort:
        raise refuse(
            "not-supported", "_contained and _sort do not go together: contained resources have no order", "_sort"
        )
    if any(_leads_out(term) for term in query.terms):
        text = (
            "with _contained no chain, _has, _list or compartment can be searched: contained resources are seen alone"
        )
        raise refuse("not-supported", text, "_contained")


def _leads_out(term: Term) -> bool:
    match term:
        case Chain() | Has() | Listed() | Within():
            return True
        case Either(terms=terms) | Every(terms=terms):
            return any(_leads_out(one) for one in terms)
        case Except(term=one):
            return _leads_out(one)
        case Clause(parameter=parameter):
            return parameter.code == "_lastUpdated"
        case _:
            return False


def goes_on(page: Page | None) -> bool:
    """Whether a page is among contained resources."""
    return page is not None and page.values == (STAGE,)
