"""`$reindex`: index rows for resources that are there already, chunk by chunk, resumed wherever it was broken off.

https://hl7.org/fhir/R4/searchparameter.html; how rows come to be: docs/implementation/index.md

A job is a row of the table reindex. Each chunk is a transaction that locks its resources against writers, makes their rows,
and moves the job's position, so whatever is killed, no resource is left out or has its rows twice. A job for a new
SearchParameter begins when no transaction is left that could still write without it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from fhir_server.json import parse_json
from fhir_server.outcome import Refusal
from fhir_server.search.index import Plan, extract, extract_by, plan_of, shape_of
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameters
from fhir_server.search.registration import refresh, registry_of
from fhir_server.store.changes import WRITE_INDEX, KnownShapes, index_parameters
from fhir_server.store.connection import Connection
from fhir_server.store.migrate import SCHEMA
from fhir_server.store.packed import unpacked
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types
from fhir_server.store.rows import Rows

CHUNK = 200
PAUSE = 2.0  # seconds between two looks for jobs

NEXT = """
SELECT job, generation, types, position, xid < pg_snapshot_xmin(pg_current_snapshot())
FROM reindex WHERE tenant = $1 AND ended IS NULL ORDER BY job LIMIT 1
"""
LOCK = "SELECT pg_try_advisory_xact_lock($1)"
CLAIM = """
SELECT pk, type FROM resource
WHERE tenant = $1 AND NOT deleted AND type = ANY($2::int2[]) AND pk > $3 ORDER BY pk LIMIT $4 FOR NO KEY UPDATE
"""
CONTENT = """
SELECT r.pk, v.content FROM resource r JOIN version v ON v.pk = r.pk AND v.version = r.version
WHERE r.tenant = $1 AND r.pk = ANY($2::int8[]) AND NOT r.deleted ORDER BY r.pk
"""
MOVE = "UPDATE reindex SET position = $3, done = done + $4, touched = now() WHERE tenant = $1 AND job = $2"
SHAPES = """
INSERT INTO shape (id, tenant, type, paths)
SELECT i, $1, t, p::bigint[] FROM unnest($2::int8[], $3::int2[], $4::text[]) AS s (i, t, p) ORDER BY i
ON CONFLICT DO NOTHING
"""
RESHAPE = """
UPDATE resource r SET shape = s.i FROM unnest($2::int8[], $3::int8[]) AS s (pk, i)
WHERE r.tenant = $1 AND r.pk = s.pk AND r.shape <> s.i
"""
END = "UPDATE reindex SET ended = now(), touched = now() WHERE tenant = $1 AND job = $2"
COMPLETE = "UPDATE search_parameter SET state = 'complete' WHERE tenant = $1 AND generation = $2 AND state = 'waiting'"
NEXT_GENERATION = "UPDATE search_generation SET generation = generation + 1 WHERE tenant = $1"
EMPTY = (
    "DELETE FROM index_token WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_reference WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_string WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_date WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_number WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_quantity WHERE pk = ANY($1::int8[])",
    "DELETE FROM index_text WHERE pk = ANY($1::int8[])",
)
TEMPORARY: tuple[LiteralString, ...] = (
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_token_of ON index_token (pk)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_reference_of ON index_reference (pk)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_string_of ON index_string (pk)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_date_of ON index_date (pk)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_number_of ON index_number (pk)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS index_quantity_of ON index_quantity (pk)",
)
TEMPORARY_GONE: tuple[LiteralString, ...] = (
    "DROP INDEX CONCURRENTLY IF EXISTS index_token_of",
    "DROP INDEX CONCURRENTLY IF EXISTS index_reference_of",
    "DROP INDEX CONCURRENTLY IF EXISTS index_string_of",
    "DROP INDEX CONCURRENTLY IF EXISTS index_date_of",
    "DROP INDEX CONCURRENTLY IF EXISTS index_number_of",
    "DROP INDEX CONCURRENTLY IF EXISTS index_quantity_of",
)
ALL = """
INSERT INTO reindex (tenant, types, total)
SELECT $1, $2::int2[], (SELECT count(*) FROM resource WHERE tenant = $1 AND NOT deleted)
WHERE NOT EXISTS (SELECT FROM reindex WHERE tenant = $1 AND generation IS NULL AND ended IS NULL)
"""
STATUS = """
SELECT r.job, coalesce(p.url, ''), coalesce(p.state, ''), r.done, r.total, r.begun, r.touched, r.ended
FROM reindex r LEFT JOIN search_parameter p ON p.tenant = r.tenant AND p.generation = r.generation
WHERE r.tenant = $1 ORDER BY r.job DESC LIMIT 100
"""

log = logging.getLogger("mediconnect")


@dataclass(frozen=True, slots=True)
class Job:
    """How far a job is. `url` is that of the SearchParameter it is for; empty where all rows are made anew."""

    job: int
    url: str
    state: str
    done: int
    total: int
    begun: datetime
    touched: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Reindex:
    """Works on the jobs of one tenant, on connections of a pool."""

    pool: Pool
    tenant: int
    parameters: Parameters
    types: Types
    shapes: KnownShapes

    async def status(self) -> list[Job]:
        """The jobs, the latest first."""
        async with self.pool.connection() as conn:
            rows = await (await conn.execute(STATUS, (self.tenant,))).fetchall()
        return [Job(*row) for row in rows]

    async def all(self) -> None:
        """Adds a job that makes all rows anew, unless there is one."""
        async with self.pool.connection() as conn:
            await conn.execute(ALL, (self.tenant, sorted(self.types.name)))

    async def keep(self) -> None:
        """Works on jobs whenever there are any, until cancelled. A failure is logged and tried again."""
        while True:
            try:
                await self.run()
            except (psycopg.Error, Refusal) as error:
                log.warning("reindexing was broken off and will go on: %s", type(error).__name__)
            await asyncio.sleep(PAUSE)

    async def run(self, chunk: int = CHUNK) -> int:
        """Works until there is nothing left that this process may do; how many resources were done."""
        count = 0
        while (done := await self.step(chunk)) is not None:
            count += done
            await asyncio.sleep(0 if done else 0.02)  # requests have their turn; who waits for others, a little longer
        return count

    async def step(self, chunk: int = CHUNK) -> int | None:
        """One chunk: how many resources it had; None where there is no job, or another process works on it."""
        async with self.pool.connection() as conn:
            await refresh(conn, self.tenant, self.parameters, self.shapes)
            if not await _is_open(conn, self.tenant):
                return None
            await refresh(conn, self.tenant, self.parameters, self.shapes, now=True)
            async with conn.transaction():
                done, ended = await self._locked(conn, chunk)
            if ended:
                await refresh(conn, self.tenant, self.parameters, self.shapes, now=True)
        return done

    async def _locked(self, conn: Connection, chunk: int) -> tuple[int | None, bool]:
        """A chunk of the first job, and whether that ended it."""
        row = await (await conn.execute(LOCK, (key(self.tenant, "", "", "reindex"),))).fetchone()
        job = await (await conn.execute(NEXT, (self.tenant,))).fetchone() if row is not None and row[0] else None
        if job is None:
            return None, False
        number, generation, types, position, alone = job
        if not alone:
            return 0, False
        claimed = await (await conn.execute(CLAIM, (self.tenant, types, position, chunk))).fetchall()
        if claimed and self._is_wanted(generation):
            await self._make(conn, generation, claimed)
        if claimed and self._is_wanted(generation):
            await conn.execute(MOVE, (self.tenant, number, claimed[-1][0], len(claimed)))
            return len(claimed), False
        await self._end(conn, number, generation)
        return len(claimed), True

    def _is_wanted(self, generation: int | None) -> bool:
        """Whether the job is for all rows, or for a SearchParameter that was not retired meanwhile."""
        own = registry_of(self.parameters).own.values()
        return generation is None or any(one.generation == generation for one in own)

    async def _end(self, conn: Connection, number: int, generation: int | None) -> None:
        await conn.execute(END, (self.tenant, number))
        if generation is not None:
            await conn.execute(COMPLETE, (self.tenant, generation))
            await conn.execute(NEXT_GENERATION, (self.tenant,))

    async def _make(self, conn: Connection, generation: int | None, claimed: Sequence[tuple[Any, ...]]) -> None:
        """The rows of the claimed resources: of one SearchParameter, or all in place of those that are there."""
        pks = [pk for pk, _ in claimed]
        found = await (await conn.execute(CONTENT, (self.tenant, pks), binary=True)).fetchall()
        resources = [(pk, parse_json(unpacked(stored))) for pk, stored in found]
        plans = self._plans(generation)
        made: list[tuple[Rows, Rows | None]] = []
        for _, resource in resources:
            if plans is None:
                made.append((extract(resource, self.parameters, self.tenant), None))
            else:
                rows = extract_by(plans.get(resource["resourceType"]), resource, self.tenant, self.parameters.base)
                made.append((rows, rows))
        if plans is None:
            for statement in EMPTY:
                await conn.execute(statement.encode(), (pks,))
        arrays = [self.tenant, [pk for pk, _ in resources], *index_parameters(made), plans is not None]
        await conn.execute(WRITE_INDEX, arrays)
        await self._reshape(conn, resources)

    def _plans(self, generation: int | None) -> Mapping[str, Plan] | None:
        """How to extract the rows of the one parameter, by resource type; None for all parameters."""
        if generation is None:
            return None
        url = next(one.url for one in registry_of(self.parameters).own.values() if one.generation == generation)
        plans = {}
        for name in self.types.code:
            known = self.parameters.of(name).values()
            found = next((one for one in known if one.url == url), None)
            if found is not None:
                plans[name] = plan_of(found)
        return plans

    async def _reshape(self, conn: Connection, resources: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """The shapes as they are with all parameters there are."""
        shapes: dict[int, tuple[int, str]] = {}
        ids = []
        for _, resource in resources:
            kind = resource["resourceType"]
            rows = extract(resource, self.parameters, self.tenant)
            shape = shape_of(self.tenant, kind, rows)
            paths = "{" + ",".join(map(str, sorted(rows.paths))) + "}"
            shapes[shape] = (self.types.code[kind], paths)
            ids.append(shape)
        codes, texts = [code for code, _ in shapes.values()], [paths for _, paths in shapes.values()]
        await conn.execute(SHAPES, (self.tenant, list(shapes), codes, texts))
        await conn.execute(RESHAPE, (self.tenant, [pk for pk, _ in resources], ids))


@contextlib.asynccontextmanager
async def indexed_by_resource(url: str) -> AsyncIterator[None]:
    """For the time of it, indexes by which all rows of a resource are found: only a job for all rows has use for them.

    `url` is that of the owner of the tables; who is not goes on without, and slowly.
    """
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, options=f"-c search_path={SCHEMA}") as conn:
        try:
            for statement in TEMPORARY:
                await conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            log.warning("the login may not add an index for the time of the job, which will take longer")
        try:
            yield
        finally:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                for statement in TEMPORARY_GONE:
                    await conn.execute(statement)


async def _is_open(conn: Connection, tenant: int) -> bool:
    """Whether there is a job to work on: the cheap look that is taken again and again."""
    text = "SELECT EXISTS (SELECT FROM reindex WHERE tenant = $1 AND ended IS NULL)"
    row = await (await conn.execute(text, (tenant,))).fetchone()
    return row is not None and bool(row[0])
