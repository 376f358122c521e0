"""A compiled query against the database: the page, the count, what is included.

https://hl7.org/fhir/R4/search.html#return and #total
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fhir_server.search import contained, text
from fhir_server.search.compile import MOST_SETTLED, Compiler, is_settled
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.include import MOST_INCLUDED, Asked, Inclusion, Match
from fhir_server.search.parameter import Parameters
from fhir_server.search.query import LAST, Page, Query, Words
from fhir_server.search.walk import KNOWN, Lead, is_cut, walk
from fhir_server.store.connection import Connection
from fhir_server.store.packed import unpacked
from fhir_server.store.resources import Types

__all__ = ["MOST_INCLUDED", "Found", "Match", "Search", "rows_of"]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search. `total` is None where it was not asked for and is not known for free."""

    matches: tuple[Match, ...]
    included: tuple[Match, ...]
    total: int | None
    following: Page | None
    preceding: Page | None
    truncated: bool = False  # there was more to include than MOST_INCLUDED


async def rows_of(conn: Connection, fragment: Fragment, *, prepare: bool = False) -> list[tuple[Any, ...]]:
    """All rows of a composed statement. Without `prepare`, the database plans for these very values."""
    return await (await conn.run(fragment.statement, fragment.parameters, prepare=prepare, binary=True)).fetchall()


class Attempt(NamedTuple):
    """A statement that may give a page. `kept`: with the plan that is kept for all values; `lead`: a walk, which may be cut."""

    statement: Fragment
    kept: bool
    lead: Lead | None = None

    def suffices(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether the rows that came of it are the page; else it is given by the attempt behind it."""
        return self.lead is None or not is_cut(rows)


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
        if query.contained != "false":
            return await self._with_contained(query)
        if query.summary == "count" or query.count == 0:
            return Found((), (), await self.count(query), None, None)
        rows = await self._page(query)
        more = len(rows) > query.count
        rows = rows[: query.count]
        if query.page is not None and query.page.backwards:
            rows.reverse()
        matches = await self._scored(query, tuple(self._match(row) for row in rows))
        included, truncated = await self._included(query, matches)
        following, preceding = _neighbours(query, rows, more)
        return Found(matches, included, await self._total(query, len(rows), more), following, preceding, truncated)

    def attempts(self, query: Query) -> Iterator[Attempt]:
        """What gives the page, in order: a statement whose plan is kept, where one may suffice, and one that always does."""
        if is_settled(query):
            yield Attempt(self.compiler.page(query), kept=True)
            return
        found = walk(self.compiler.scope, query, KNOWN)
        if found is not None:
            lead, statement = found
            yield Attempt(statement, kept=True, lead=lead)
        yield Attempt(self.compiler.page(query), kept=False)

    async def _page(self, query: Query) -> list[tuple[Any, ...]]:
        for attempt in self.attempts(query):
            rows = await self._rows(attempt.statement, settled=attempt.kept)
            if attempt.suffices(rows):
                return rows
            if attempt.lead is not None:
                KNOWN.add(attempt.lead)
        raise AssertionError("the last attempt suffices")

    async def first(self, query: Query, limit: int) -> list[tuple[str, str]]:
        """(type, id) of the first resources that the query finds."""
        rows = await self._rows(self.compiler.matches(query, limit), settled=is_settled(query))
        return [(self.types.name[code], resource_id) for _, code, resource_id in rows]

    async def count(self, query: Query) -> int:
        """How many resources the query finds."""
        statement, kept, _ = self.counting(query)
        return int((await self._rows(statement, settled=kept))[0][0])

    def counting(self, query: Query) -> Attempt:
        """What counts all that the query finds."""
        whole = replace(query, page=None)
        return Attempt(self.compiler.count(whole), kept=is_settled(whole))

    async def _rows(self, fragment: Fragment, *, settled: bool = False) -> list[tuple[Any, ...]]:
        # Keys are skewed: what is right for a code of half of all observations is wrong for a rare one.
        return await rows_of(self.conn, fragment, prepare=settled)

    def _match(self, row: Sequence[Any]) -> Match:
        return Match(row[0], self.types.name[row[1]], row[2], unpacked(row[3]))

    async def _fetch(self, fragment: Fragment) -> list[Match]:
        return [self._match(row) for row in await self._rows(fragment)]

    async def _with_contained(self, query: Query) -> Found:
        """With `both`, first what stands by itself, then what is contained; there is no way back."""
        contained.check(query)
        if query.summary == "count" or query.count == 0:
            return Found((), (), await self._count_with_contained(query), None, None)
        matches: list[Match] = []
        if query.contained == "both" and not contained.goes_on(query.page):
            alone = await self.page(_alone(query))
            if alone.following is not None:
                return replace(alone, total=await self._total_with_contained(query, 0, more=True))
            matches = list(alone.matches)
        after = query.page.pk if query.page is not None and contained.goes_on(query.page) else 0
        search = contained.Contained(self.compiler.scope, self._fetch)
        more, end = await search.page(query, after, max(1, query.count - len(matches)))
        found = (*matches, *more)
        included, truncated = await self._included(query, found)
        following = None if end is None else Page((contained.STAGE,), end)
        total = await self._total_with_contained(query, len(found), more=end is not None)
        return Found(found, included, total, following, None, truncated)

    async def _count_with_contained(self, query: Query) -> int:
        alone = await self.count(_alone(query)) if query.contained == "both" else 0
        return alone + await contained.Contained(self.compiler.scope, self._fetch).count(query)

    async def _total_with_contained(self, query: Query, found: int, *, more: bool) -> int | None:
        """As `_total`; there is no statement whose size the planner could guess, so an estimate is a count."""
        if query.page is None and not more:
            return found
        return None if query.total == "none" else await self._count_with_contained(query)

    async def _included(self, query: Query, matches: Sequence[Match]) -> tuple[tuple[Match, ...], bool]:
        if not query.includes or not matches:
            return (), False

        async def fetch(asked: Asked) -> list[Match]:
            return [self._match(row) for row in await self._rows(asked.fragment, settled=asked.settled)]

        return await Inclusion(self.compiler.scope, self.parameters, fetch).of(query.includes, matches)

    # --- total and score ----------------------------------------------------------------------------------------------

    async def _total(self, query: Query, found: int, more: bool) -> int | None:
        if query.page is None and not more:
            return found
        match query.total:
            case "accurate":
                return await self.count(query)
            case "estimate":
                return max(found, await self._estimate(query))
            case _:
                return None

    async def _estimate(self, query: Query) -> int:
        """The planner's guess: cheap, and FHIR's `estimate` asks for no more."""
        rows = await self._rows(sql("EXPLAIN (FORMAT JSON) ") + self.compiler.selection(replace(query, page=None)))
        plan = json.loads(rows[0][0]) if isinstance(rows[0][0], str | bytes) else rows[0][0]
        return int(plan[0]["Plan"]["Plan Rows"])

    async def _scored(self, query: Query, matches: tuple[Match, ...]) -> tuple[Match, ...]:
        """The matches with their scores, where the query asks for words and does not decline."""
        asked = [term for term in query.terms if isinstance(term, Words)]
        if not asked or not query.score or not matches:
            return matches
        found = [text.scores(one, self.tenant, narrative=term.narrative) for term in asked for one in term.texts]
        pks = [match.pk for match in matches]
        summed = (
            sql("SELECT pk, sum(v)::float8 FROM (")
            + join(" UNION ALL ", found)
            + sql(") s WHERE pk = ANY(%s::int8[]) GROUP BY pk", pks)
        )
        scores = dict(await self._rows(summed, settled=len(found) <= MOST_SETTLED))
        return tuple(replace(match, score=min(1.0, scores.get(match.pk, 0.0))) for match in matches)


def _alone(query: Query) -> Query:
    """The part of a search among contained and other resources that is about the others."""
    return replace(query, contained="false", terms=(*query.terms, *query.alone))


def _neighbours(query: Query, rows: Sequence[Sequence[Any]], more: bool) -> tuple[Page | None, Page | None]:
    """Where the pages after and before this one start; None where there is none."""
    if not rows:
        return None, None
    backwards = query.page is not None and query.page.backwards
    goes_on = query.page != LAST if backwards else more
    following = Page(tuple(rows[-1][4:]), rows[-1][0]) if goes_on else None
    preceding = Page(tuple(rows[0][4:]), rows[0][0], backwards=True)
    first = query.page is None or (backwards and not more)
    return following, None if first else preceding
