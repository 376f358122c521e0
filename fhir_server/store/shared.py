"""Reads and writes of one or a few resources, those of all requests under way together: group commit, and reads by the dozen.

https://hl7.org/fhir/R4/http.html#read, #create and #update
"""

import asyncio
import os
from collections.abc import Iterable, Sequence

import msgspec
import psycopg

from fhir_server.store.audit import Note
from fhir_server.store.changes import OUTRUN, KnownShapes, Write, write
from fhir_server.store.connection import Connection
from fhir_server.store.gather import Gather
from fhir_server.store.noted import Keeping, Noted, NotedRead, read_noted, write_noted
from fhir_server.store.pool import Pool
from fhir_server.store.recent import Recent
from fhir_server.store.resources import Current, Target, Version, current, read_each
from fhir_server.store.turn import Turns

MOST_READ = 64
MOST_WRITTEN = 32
LARGE = 1 << 20  # bytes
# Of the event loop, at most, before a batch goes that waits for the disk: who is about to come goes along. A write is worth more.
ROUNDS_OF_READS, ROUNDS_OF_WRITES = 24, 32


class Asked(msgspec.Struct, frozen=True):
    """Versions to be written, all or none, each of another resource, with what is to be known of them.

    `generation`: that of the search parameters that all their index rows were made by.
    """

    writes: Sequence[Write]
    notes: Sequence[Note]
    generation: int

    @property
    def targets(self) -> set[Target]:
        return {(one.type, one.id) for one in self.writes}

    @property
    def size(self) -> int:
        """Bytes of content."""
        return sum(len(one.content or b"") for one in self.writes)


class Shared:
    """What the requests of one process do to one or a few resources by a single statement; everything is in autocommit."""

    def __init__(self, pool: Pool, tenant: int, shapes: KnownShapes) -> None:
        self._pool = pool
        self._tenant = tenant
        self._shapes = shapes
        self.read: Gather[Target, Version | None] = Gather(self._read, most=MOST_READ)
        self.noted: Gather[NotedRead, Noted] = Gather(self._read_noted, most=MOST_READ, rounds=ROUNDS_OF_READS)
        self.current: Gather[Target, Current | None] = Gather(self._current, most=MOST_READ)
        self.write: Gather[Asked, None] = Gather(
            self._write, most=MOST_WRITTEN, rounds=ROUNDS_OF_WRITES, more=lambda: self.turns.waiting
        )
        self._committing: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks weakly
        self.recent = Recent(tenant)
        self.turns = Turns()  # to plan what is to be written by `write`
        self.long_turns = Turns()  # to plan a part of what a transaction of its own writes

    async def _read(self, targets: list[Target]) -> Sequence[Version | None]:
        async with self._pool.connection() as conn:
            return await read_each(conn, self._tenant, targets)

    async def _read_noted(self, reads: list[NotedRead]) -> Sequence[Noted]:
        """What is read; the notes of it are on their way to the disk, which takes as long as the answers take to be made."""
        conn = await self._pool.take()
        try:
            found = await read_noted(conn, self._tenant, reads)
        except BaseException:
            await self._pool.give_back(conn)
            raise
        keeping = Keeping()
        task = asyncio.create_task(self._commit(conn, keeping))
        self._committing.add(task)
        task.add_done_callback(self._committing.discard)
        os.sched_yield()  # to the database, which shares this processor perhaps, until it waits for the disk
        return [Noted(version, keeping) for version in found]

    async def _commit(self, conn: Connection, keeping: Keeping) -> None:
        failed: Exception | None = psycopg.OperationalError("nobody waited until the notes were on the disk")
        try:
            await conn.committed()
            failed = None
        except psycopg.Error as error:
            failed = error
        finally:
            keeping.end(failed)
            await self._pool.give_back(conn)

    async def _current(self, targets: list[Target]) -> Sequence[Current | None]:
        async with self._pool.connection() as conn:
            found = await current(conn, self._tenant, list(dict.fromkeys(targets)), lock=False)
        return [found.get(target) for target in targets]

    async def _write(self, asked: list[Asked]) -> Sequence[asyncio.Task[None] | None]:
        """All in one statement. Where that fails one by one: who lost a race or sent what cannot be stored fails alone."""
        together = self._sharing(asked)
        failed = await self._together(together) if together else None
        if failed is not None and len(asked) == 1 and not isinstance(failed, psycopg.errors.LockNotAvailable):
            raise failed
        done = {id(one) for one in together} if failed is None else set()
        return [None if id(one) in done else asyncio.create_task(self._alone(one)) for one in asked]

    def _sharing(self, asked: Iterable[Asked]) -> list[Asked]:
        """Those that one statement may write: of each resource one version, the first that is asked for."""
        together: list[Asked] = []
        taken: set[Target] = set()
        for one in asked:
            if self._may_share(one) and taken.isdisjoint(one.targets):
                taken |= one.targets
                together.append(one)
        return together

    async def _together(self, asked: Sequence[Asked]) -> psycopg.Error | None:
        async with self._pool.connection() as conn:
            failed = await self._tried(conn, asked, brief=True)
        if failed is not None and conn.closed:
            raise failed  # nobody knows what became of them
        return failed

    def _may_share(self, one: Asked) -> bool:
        """Not what is so large that others would wait for it, nor what was made by search parameters of before."""
        return one.generation == self._shapes.generation and one.size <= LARGE

    async def _alone(self, one: Asked) -> None:
        """On a connection of its own, on which it may wait for whoever holds the resource."""
        async with self._pool.connection() as conn:
            failed = await self._tried(conn, [one], brief=False)
        if failed is not None:
            raise failed

    async def _tried(self, conn: Connection, asked: Sequence[Asked], *, brief: bool) -> psycopg.Error | None:
        # In order, so that two processes which write the same resources queue instead of waiting for each other.
        writes = sorted((write for one in asked for write in one.writes), key=_target)
        notes, generation = [note for one in asked for note in one.notes], asked[0].generation
        try:
            if notes:
                await write_noted(conn, self._tenant, writes, self._shapes, notes, generation, brief=brief)
            else:
                await write(conn, self._tenant, writes, self._shapes, generation, brief=brief)
        except psycopg.Error as error:
            if error.sqlstate == OUTRUN and len(asked) == 1:
                self._outrun(writes)
            return error
        for one in writes:
            self.recent.keep(one, generation)
        return None

    def _outrun(self, writes: Iterable[Write]) -> None:
        for one in writes:
            if one.remembered:
                self.recent.was_wrong((one.type, one.id))


def _target(write: Write) -> Target:
    return write.type, write.id
