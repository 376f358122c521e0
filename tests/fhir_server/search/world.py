"""A small world of resources in a database and in memory, to ask both the same question.

https://hl7.org/fhir/R4/search.html
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import psycopg

from fhir_server.json import dump_json
from fhir_server.search.compile import Compiler
from fhir_server.search.condition import Scope
from fhir_server.search.execute import Found, Search, rows_of
from fhir_server.search.fragment import Fragment
from fhir_server.search.index import extract
from fhir_server.search.key import key, reference_key
from fhir_server.search.match import Matcher, targets
from fhir_server.search.parameter import Parameter, Parameters, r4_parameters
from fhir_server.search.parse import Limits, parse
from fhir_server.search.query import Query
from fhir_server.search.types.context import Context
from fhir_server.store.changes import KnownShapes, Write, write
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types

TENANT = 1
NOW = datetime(2024, 6, 1, tzinfo=UTC)
CONTEXT = Context("https://hospital.example/fhir", TENANT, NOW)
Resource = dict[str, Any]


def query_of(text: str, parameters: Parameters | None = None, **more: Any) -> Query:
    """`Patient?name=a`, `Patient,Observation?_tag=b`, `?_id=1` as a Query."""
    kinds, _, rest = text.partition("?")
    types = tuple(kinds.split(",")) if kinds else ()
    pairs = parse_qsl(rest, keep_blank_values=True)
    return parse(types, pairs, parameters or r4_parameters(), CONTEXT, limits=Limits(), **more)


class World:
    """Resources in a transaction of one connection that is rolled back in the end, and the same in memory."""

    def __init__(self, runner: asyncio.Runner, pool: Pool, types: Types) -> None:
        self.runner, self.pool, self.types = runner, pool, types
        self.parameters = r4_parameters().copy(CONTEXT.base)
        self.kept: dict[str, Resource] = {}
        self.shapes = KnownShapes()

    # --- memory -------------------------------------------------------------------------------------------------------

    def target(self, reference: str) -> Resource | None:
        return self.kept.get(reference)

    def referring(self, kind: str, parameter: Parameter, target: str) -> Iterable[Resource]:
        some = (one for one in self.kept.values() if one["resourceType"] == kind)
        return [one for one in some if target in targets(parameter, one, CONTEXT.base)]

    def in_memory(self, query: Query) -> set[str]:
        matcher = Matcher(TENANT, self, CONTEXT.base)
        return {name for name, resource in self.kept.items() if matcher.matches(query, resource)}

    # --- the database -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def of(self, resources: Iterable[Resource]) -> Iterator["World"]:
        """The resources stored, in this order, one millisecond after the other."""
        conn = self.runner.run(self.pool._pool.getconn())
        try:
            self.runner.run(conn.execute("BEGIN"))
            self.conn = conn
            self.kept = {}
            self.put(resources)
            yield self
        finally:
            self.runner.run(conn.rollback())
            self.runner.run(self.pool._pool.putconn(conn))

    def put(self, resources: Iterable[Resource]) -> None:
        writes = []
        for n, one in enumerate(resources):
            written = NOW + timedelta(milliseconds=len(self.kept) + n)
            stamped = {
                **one,
                "meta": {**one.get("meta", {}), "lastUpdated": written.isoformat(timespec="milliseconds")},
            }
            self.kept[f"{one['resourceType']}/{one['id']}"] = stamped
            writes.append(self._write(stamped, written))
        if writes:
            self.runner.run(write(self.conn, TENANT, writes, self.shapes))

    def _write(self, resource: Resource, written: datetime) -> Write:
        kind, rows = resource["resourceType"], extract(resource, self.parameters, TENANT)
        reference = reference_key(TENANT, f"{kind}/{resource['id']}")
        shape = key(TENANT, kind, "", "shape", *map(str, sorted(rows.paths)))
        code = self.types.code[kind]
        return Write(0, code, resource["id"], reference, 1, written, "C", dump_json(resource), shape, rows)

    def scope(self) -> Scope:
        return Scope(TENANT, self.types.code)

    def page(self, query: Query) -> Found:
        return self.runner.run(Search(self.conn, TENANT, self.types, self.parameters).page(query))

    def planned(self, query: Query) -> list[str]:
        """The page of a query by the statement that is planned for its values."""
        rows = self.runner.run(rows_of(self.conn, Compiler(TENANT, self.types.code).page(query)))[: query.count]
        return [f"{self.types.name[row[1]]}/{row[2]}" for row in rows]

    def kept_plan(self, fragment: Fragment) -> dict[str, Any]:
        """The plan of a statement for all values, as it was run: that of an EXPLAIN itself is always one for the values given."""
        values = ", ".join(["%s"] * len(fragment.parameters))

        async def explained() -> Any:
            cursor = psycopg.AsyncClientCursor(self.conn)
            before = await (await cursor.execute("SHOW plan_cache_mode")).fetchone()  # the connection keeps it in mind
            await cursor.execute("SET plan_cache_mode = force_generic_plan")
            await cursor.execute("PREPARE kept AS " + fragment.statement)
            try:
                explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE kept ({values})"
                return await (await cursor.execute(explain, fragment.parameters)).fetchone()
            finally:
                await cursor.execute("DEALLOCATE kept")
                await cursor.execute("SELECT set_config('plan_cache_mode', %s, false)", before)

        made: dict[str, Any] = self.runner.run(explained())[0][0]["Plan"]
        return made

    def pages(self, query: Query) -> list[list[str]]:
        """All pages from the first to the last, by their links."""
        out, page = [], self.page(query)
        while True:
            out.append([f"{m.type}/{m.id}" for m in page.matches])
            if page.following is None:
                return out
            page = self.page(replace(query, page=page.following))

    def pages_backwards(self, query: Query) -> list[list[str]]:
        """From the last page back to the first."""
        page = self.page(query)
        while page.following is not None:
            page = self.page(replace(query, page=page.following))
        out = [[f"{m.type}/{m.id}" for m in page.matches]]
        while page.preceding is not None:
            page = self.page(replace(query, page=page.preceding))
            out.append([f"{m.type}/{m.id}" for m in page.matches])
        return out

    def names(self, text: str) -> list[str]:
        """What a query finds, in order."""
        return [name for page in self.pages(query_of(text)) for name in page]

    def count(self, text: str) -> int | None:
        return self.page(query_of(text + "&_summary=count")).total

    def plan(self, text: str) -> list[str]:
        fragment = Search(self.conn, TENANT, self.types, self.parameters).compiler.page(query_of(text))
        cursor = psycopg.AsyncCursor(self.conn)
        self.runner.run(cursor.execute(b"EXPLAIN " + fragment.text.encode(), fragment.parameters))
        return [line for (line,) in self.runner.run(cursor.fetchall())]


@contextlib.contextmanager
def world(url: str) -> Iterator[World]:
    """An empty world on a migrated database."""
    with asyncio.Runner() as runner:
        pool = Pool(url, size=2)
        runner.run(pool.open())

        async def types() -> Types:
            async with pool.connection() as conn:
                return await Types.load(conn)

        try:
            yield World(runner, pool, runner.run(types()))
        finally:
            runner.run(pool.close())
