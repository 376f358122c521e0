"""Statements that do something and keep a note of it: both, or neither.

The notes are those of store/audit.py; docs/access.md. What was read is here before the note of it is on the disk, so that
the answer is made meanwhile: docs/adr/0018-answers-made-during-the-commit.md.
"""

import asyncio
from collections.abc import Generator, Sequence
from typing import Any

import msgspec

from fhir_server.store import array
from fhir_server.store.audit import APPEND, Note, rows_of
from fhir_server.store.changes import BRIEFLY, WRITE, KnownShapes, Write, number, parameters
from fhir_server.store.connection import Connection
from fhir_server.store.resources import Target, Version, columns, version_of

# The parameters of write_versions, then those of APPEND, which go with it in one statement.
_LAST = WRITE.count(b"$")
_NOTED = APPEND.replace("$2", f"${_LAST + 1}").replace("$3", f"${_LAST + 2}")
WRITE_NOTED = b"WITH noted AS (" + _NOTED.encode() + b") " + WRITE

# Noted is only what there is to read. Whom that is about is not looked for here, but when the note is sealed.
READ_NOTED = """
WITH found AS (
    SELECT w.n, v.seq, v.content, v.version, v.written, v.method::text
    FROM unnest($2::smallint[], $3::text[]) WITH ORDINALITY AS w (type, id, n)
    LEFT JOIN LATERAL (SELECT pk, version FROM resource WHERE tenant = $1 AND type = w.type AND id = w.id OFFSET 0) AS r ON true
    LEFT JOIN LATERAL (SELECT * FROM version WHERE pk = r.pk AND version = r.version OFFSET 0) AS v ON true
), noted AS (
    INSERT INTO audit (tenant, notes, callers, requests, versions, events)
    SELECT $1, $4::json, $5::smallint[], $6::text[], array_agg(CASE WHEN content IS NOT NULL THEN seq END ORDER BY n), count(content)
    FROM found HAVING count(content) > 0
)
SELECT n, content, version, written, method FROM found WHERE seq IS NOT NULL
"""


class NotedRead(msgspec.Struct, frozen=True, gc=False):
    """A resource to be read, and what there is to note where it exists and is not deleted.

    `bearer`: what is the same for all reads by the same bearer, a Note as JSON; `request`: the request's own number.
    """

    target: Target
    bearer: str
    request: str


class NotKept(Exception):
    """Notes have not come to the disk; the cause says why."""


class Keeping:
    """Notes on their way to the disk, to be awaited by all whose answers wait for them; who gives up takes nobody along."""

    __slots__ = ("_ended", "_error", "_waiting")

    def __init__(self) -> None:
        self._ended = False
        self._error: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[Any, None, None]:
        """Returns when the notes are on the disk. Raises NotKept where they will not be."""
        if not self._ended:
            arrival = asyncio.get_running_loop().create_future()
            self._waiting.append(arrival)
            yield from arrival
        if self._error is not None:
            raise NotKept from self._error

    def end(self, error: Exception | None = None) -> None:
        """They are on the disk, or an error says why they will not be."""
        self._ended, self._error = True, error
        for arrival in self._waiting:
            if not arrival.done():
                arrival.set_result(None)
        self._waiting.clear()


class Noted(msgspec.Struct, frozen=True):
    """What was read, None where there is nothing. Of a resource nobody may be told before `keeping` has ended well."""

    version: Version | None
    keeping: Keeping


async def write_noted(
    conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes, notes: Sequence[Note],
    generation: int | None = None, *, brief: bool = False,
) -> None:  # fmt: skip
    """As store.changes.write, with the notes of it in the same statement: both are kept, or neither."""
    unknown = shapes.unknown(writes)
    made_by = shapes.generation if generation is None else generation
    values = [*parameters(tenant, writes, unknown, made_by), *rows_of(notes)]
    statement = WRITE_NOTED + BRIEFLY if brief else WRITE_NOTED
    cursor = await shapes.watch(conn.run(statement, values))
    if conn.info.transaction_status == 0:
        shapes.ids.update(unknown)
    await number(writes, cursor)


async def read_noted(conn: Connection, tenant: int, reads: Sequence[NotedRead]) -> list[Version | None]:
    """As store.resources.read_each; what is found and not deleted is noted, and nothing else. At most audit.MOST_EVENTS.

    The notes are on the disk when `conn.committed` returns, which is to be awaited before the connection is used for anything else.
    """
    bearers = {bearer: str(n) for n, bearer in enumerate(dict.fromkeys([read.bearer for read in reads]))}
    callers = array.plain([bearers[read.bearer] for read in reads])
    requests = array.text([read.request for read in reads])
    values = (tenant, *columns([read.target for read in reads]), f"[{','.join(bearers)}]", callers, requests)
    cursor = await conn.begin(READ_NOTED, values, binary=True)
    found = {n: version_of(*row) for n, *row in await cursor.fetchall()}
    return [found.get(n) for n in range(1, len(reads) + 1)]
