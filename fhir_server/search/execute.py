"""A compiled query against the database: the page, the count, what is included.

https://hl7.org/fhir/R4/search.html#return and #revinclude
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncCursor

from fhir_server.json import parse_json
from fhir_server.search.compile import Compiler
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.query import Include, Page, Query
from fhir_server.store.pool import Connection
from fhir_server.store.resources import Types

MOST_INCLUDED = 1000
MOST_ROUNDS = 8

BY_REFERENCE = """
SELECT r.pk, r.type, r.id, v.content FROM resource r JOIN version v ON v.pk = r.pk AND v.version = r.version
WHERE r.reference = ANY(%s) AND NOT r.deleted AND r.tenant = %s ORDER BY r.pk LIMIT %s
"""
REFERRING = """
SELECT r.pk, r.type, r.id, v.content FROM resource r JOIN version v ON v.pk = r.pk AND v.version = r.version
WHERE r.pk IN (SELECT x.pk FROM index_reference x WHERE x.target = ANY(%s) AND x.key = ANY(%s))
AND NOT r.deleted AND r.tenant = %s ORDER BY r.pk LIMIT %s
"""
REFERRING_AT_ALL = """
SELECT r.pk, r.type, r.id, v.content FROM resource r JOIN version v ON v.pk = r.pk AND v.version = r.version
WHERE r.pk IN (SELECT x.pk FROM index_reference x WHERE x.target = ANY(%s))
AND NOT r.deleted AND r.tenant = %s ORDER BY r.pk LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that was found, or included; content is its stored text."""

    pk: int
    type: str
    id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search. `total` is None where it was not asked for and is not known for free."""

    matches: tuple[Match, ...]
    included: tuple[Match, ...]
    total: int | None
    following: Page | None
    preceding: Page | None
    truncated: bool = False  # there was more to include than MOST_INCLUDED


async def rows_of(conn: Connection, fragment: Fragment) -> list[tuple[Any, ...]]:
    """All rows of a composed statement."""
    cursor = AsyncCursor(conn)
    await cursor.execute(fragment.text, fragment.parameters, binary=True)
    return await cursor.fetchall()


class Search:
    """Searches for one tenant on one connection."""

    def __init__(self, conn: Connection, tenant: int, types: Types, parameters: Parameters) -> None:
        self.conn = conn
        self.tenant = tenant
        self.types = types
        self.parameters = parameters
        self.compiler = Compiler(tenant, types.code)

    async def page(self, query: Query) -> Found:
        """The page of the query, with what it includes and, where asked or free, the total."""
        if query.summary == "count" or query.count == 0:
            return Found((), (), await self._count(query), None, None)
        rows = await self._rows(self.compiler.page(query))
        more = len(rows) > query.count
        rows = rows[: query.count]
        if query.page is not None and query.page.backwards:
            rows.reverse()
        matches = tuple(self._match(row) for row in rows)
        included, truncated = await self._included(query, matches)
        following, preceding = _neighbours(query, rows, more)
        return Found(matches, included, await self._total(query, len(rows), more), following, preceding, truncated)

    async def first(self, query: Query, limit: int) -> list[tuple[str, str]]:
        """(type, id) of the first resources that the query finds."""
        rows = await self._rows(self.compiler.matches(query, limit))
        return [(self.types.name[code], resource_id) for _, code, resource_id in rows]

    async def first_of_each(self, queries: Sequence[Query], limit: int) -> list[list[str]]:
        """The ids of the first resources of each query: sent as one pipeline, so many cost one round trip."""
        cursors = []
        async with self.conn.pipeline():
            for query in queries:
                fragment = self.compiler.matches(query, limit)
                cursors.append(cursor := AsyncCursor(self.conn))
                await cursor.execute(fragment.text, fragment.parameters, prepare=True, binary=True)
        return [[row[2] for row in await cursor.fetchall()] for cursor in cursors]

    async def _rows(self, fragment: Fragment) -> list[tuple[Any, ...]]:
        return await rows_of(self.conn, fragment)

    def _match(self, row: Sequence[Any]) -> Match:
        return Match(row[0], self.types.name[row[1]], row[2], row[3])

    async def _count(self, query: Query) -> int:
        rows = await self._rows(self.compiler.count(replace(query, page=None)))
        return int(rows[0][0])

    async def _total(self, query: Query, found: int, more: bool) -> int | None:
        if query.page is None and not more:
            return found
        match query.total:
            case "accurate":
                return await self._count(query)
            case "estimate":
                return await self._estimate(query)
            case _:
                return None

    async def _estimate(self, query: Query) -> int:
        """The planner's guess: cheap, and FHIR's `estimate` asks for no more."""
        fragment = self.compiler.matches(replace(query, page=None), 2**31 - 1)
        rows = await self._rows(sql("EXPLAIN ") + fragment)
        planned = re.search(r"rows=(\d+)", str(rows[0][0]))
        return int(planned[1]) if planned else 0

    # --- includes -------------------------------------------------------------------------------------------------

    async def _included(self, query: Query, matches: Sequence[Match]) -> tuple[tuple[Match, ...], bool]:
        """What the includes add, each resource once; rounds of :iterate end when nothing new comes."""
        seen = {match.pk for match in matches}
        included: list[Match] = []
        frontier: Sequence[Match] = matches
        for turn in range(MOST_ROUNDS):
            includes = [one for one in query.includes if turn == 0 or one.iterate]
            fresh = [m for m in await self._round(includes, frontier) if m.pk not in seen] if includes and frontier else []
            unique = {match.pk: match for match in fresh}
            if not unique:
                break
            seen.update(unique)
            frontier = tuple(unique.values())
            included.extend(frontier)
            if len(included) > MOST_INCLUDED:
                return tuple(included[:MOST_INCLUDED]), True
        return tuple(included), False

    async def _round(self, includes: Sequence[Include], frontier: Sequence[Match]) -> list[Match]:
        forward = {target for one in includes if not one.reverse for target in self._targets(one, frontier)}
        found = await self._matches(BY_REFERENCE, (list(forward), self.tenant, MOST_INCLUDED + 1)) if forward else []
        for include in includes:
            if include.reverse:
                found.extend(await self._referring(include, frontier))
        return found

    def _targets(self, include: Include, frontier: Iterable[Match]) -> set[int]:
        """Keys of what the resources refer to through the include's parameter."""
        targets: set[int] = set()
        for match in frontier:
            if include.type not in ("*", match.type):
                continue
            resource = parse_json(match.content)
            for parameter in self._references(match.type, include.parameter):
                targets.update(self._keys(parameter, include.target, resource))
        return targets

    def _keys(self, parameter: Parameter, target: str | None, resource: dict[str, Any]) -> Iterable[int]:
        for path in parameter.paths:
            for _, value in path.nodes(resource):
                text = value.get("reference") if isinstance(value, dict) else value
                if isinstance(text, str) and (target is None or text.startswith(target + "/")):
                    yield reference_key(self.tenant, text.partition("/_history/")[0])

    def _references(self, kind: str, parameter: Parameter | None) -> list[Parameter]:
        if parameter is not None:
            own = self.parameters.get(kind, parameter.code)
            return [own] if own is not None else []
        return [one for one in self.parameters.of(kind).values() if one.type == "reference"]

    async def _referring(self, include: Include, frontier: Sequence[Match]) -> list[Match]:
        targets = [
            reference_key(self.tenant, f"{match.type}/{match.id}")
            for match in frontier
            if include.target in (None, match.type)
        ]
        if include.type == "*":
            return await self._matches(REFERRING_AT_ALL, (targets, self.tenant, MOST_INCLUDED + 1))
        keys = [
            key(self.tenant, path.resource_type, path.text, "reference")
            for parameter in self._references(include.type, include.parameter)
            for path in parameter.paths
        ]
        return await self._matches(REFERRING, (targets, keys, self.tenant, MOST_INCLUDED + 1))

    async def _matches(self, text: str, parameters: Sequence[Any]) -> list[Match]:
        cursor = AsyncCursor(self.conn)
        await cursor.execute(text.encode(), parameters, binary=True)
        return [self._match(row) for row in await cursor.fetchall()]


def _neighbours(query: Query, rows: Sequence[Sequence[Any]], more: bool) -> tuple[Page | None, Page | None]:
    """Where the pages after and before this one start; None where there is none."""
    if not rows:
        return None, None
    backwards = query.page is not None and query.page.backwards
    following = Page(tuple(rows[-1][4:]), rows[-1][0]) if more or backwards else None
    preceding = Page(tuple(rows[0][4:]), rows[0][0], backwards=True)
    first = query.page is None or (backwards and not more)
    return following, None if first else preceding
