"""The record of what happened, before it is sealed, and the seals.

The tables are in migrations/0007_access.sql and 0023_notes_alone.sql; what they mean:
docs/access.md. Notes are appended here, or by the statement that reads or writes: store/noted.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from zstandard import ZstdError

from fhir_server.store import array
from fhir_server.store.array import Binary
from fhir_server.store.connection import Connection
from fhir_server.store.packed import unpacked

MOST_EVENTS = 100
"""AuditEvents that the notes of one row become, at most, unless one note alone becomes more."""

APPEND = """
INSERT INTO audit (tenant, notes, events)
SELECT $1, convert_from(n, 'UTF8')::json, e FROM unnest($2::bytea[], $3::int8[]) AS r (n, e)
"""
WAITING = """
SELECT seq, recorded, notes::text, events, versions, callers, requests
FROM (SELECT oldest.*, sum(events) OVER (ORDER BY seq) - events AS before
      FROM (SELECT * FROM audit WHERE tenant = $1 ORDER BY seq LIMIT $2) AS oldest) AS first
WHERE before < $2 ORDER BY seq
"""
READ = """
SELECT v.seq, t.name || '/' || v.id, v.content FROM version v JOIN resource_type t ON t.code = v.type
WHERE v.tenant = $1 AND v.seq = ANY($2::int8[])
"""
LAST_SEAL = "SELECT number, chain FROM audit_seal WHERE tenant = $1 ORDER BY number DESC LIMIT 1"
SEAL = """
INSERT INTO audit_seal (tenant, number, id, digest, chain)
SELECT $1, n, i, d, c FROM unnest($2::int8[], $3::text[], $4::bytea[], $5::bytea[]) AS s (n, i, d, c)
"""
REMOVE = "DELETE FROM audit WHERE tenant = $1 AND seq = ANY($2::int8[])"
SEALED = """
SELECT s.number, s.id, s.digest, s.chain, v.content, r.version, r.deleted
FROM audit_seal s
LEFT JOIN resource r ON r.tenant = s.tenant AND r.id = s.id
     AND r.type = (SELECT code FROM resource_type WHERE name = 'AuditEvent')
LEFT JOIN version v ON v.pk = r.pk AND v.version = 1
WHERE s.tenant = $1 AND s.number > $2 ORDER BY s.number LIMIT $3
"""
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(x'4d434155'::int, $1)"
LOCK = "SELECT pg_advisory_xact_lock(x'4d434155'::int, $1) IS NOT NULL"


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that happened. `outcome` is a code of AuditEvent.outcome; references are relative to the base.

    What is at its default is not stored.
    `operator`: who did it at the server's own terminal; `network` is that machine's name then.
    """

    subtype: str
    status: int
    outcome: int
    client: str | None = None
    account: str | None = None
    fhir_user: str | None = None
    token: str | None = None
    network: str | None = None
    request: str | None = None
    patients: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    query: str | None = None
    detail: str | None = None
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Notes that were made together, with their number and the time, still to be sealed; `events` is of how many at most.

    `versions`: what each of them read, by version.seq, where that tells which patients they are about; else None.
    """

    seq: int
    recorded: datetime
    notes: list[Note]
    events: int
    versions: list[int] | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed entry and what is stored of it: text and version of its AuditEvent, None where it is gone."""

    number: int
    id: str
    digest: bytes
    chain: bytes
    content: bytes | None
    version: int | None
    deleted: bool | None


Told = tuple[str, bytes]
"""A version that was read: the resource as a relative reference, and its text."""

_decode = msgspec.json.Decoder(list[Note]).decode


def encoded(notes: Note | Sequence[Note]) -> bytes:
    """Notes as JSON that PostgreSQL takes: it keeps no NUL."""
    return msgspec.json.encode(notes).replace(b"\\u0000", b"\\ufffd")


def rows_of(notes: Sequence[Note]) -> tuple[Binary, Binary]:
    """The columns notes and events of the rows that the notes are kept in."""
    rows, events = [], []
    for row, many in _portions(notes):
        rows.append(encoded(row))
        events.append(many)
    return array.bytea(rows), array.int8(events)


def _portions(notes: Sequence[Note]) -> Iterator[tuple[Sequence[Note], int]]:
    """The notes, row by row, with the most AuditEvents that each row becomes."""
    begin = many = 0
    for end, note in enumerate(notes):
        more = max(1, len(note.patients))
        if many and many + more > MOST_EVENTS:
            yield notes[begin:end], many
            begin, many = end, 0
        many += more
    if many:
        yield notes[begin:], many


async def append(conn: Connection, tenant: int, notes: Sequence[Note]) -> None:
    """Adds the notes in one statement; outside a transaction they are on disk when it returns."""
    await conn.run(APPEND, (tenant, *rows_of(notes)))


async def waiting(conn: Connection, tenant: int, most: int) -> list[Row]:
    """The oldest rows that are not sealed: as many as become `most` AuditEvents, or a few more."""
    rows = await (await conn.run(WAITING, (tenant, most))).fetchall()
    return [_row(*row) for row in rows]


def _row(
    seq: int, recorded: datetime, text: str, events: int, versions: list[Any] | None,
    callers: list[int] | None, requests: list[str] | None,
) -> Row:  # fmt: skip
    """A row of the table. Of reads by the same bearers it becomes a note for each, once more with its own request."""
    notes = _decode(text)
    if versions is None or callers is None or requests is None:
        return Row(seq, recorded, notes, events, versions)
    read = [one for one in zip(versions, callers, requests, strict=True) if one[0] is not None]
    told = [msgspec.structs.replace(notes[caller], request=request) for _, caller, request in read]
    return Row(seq, recorded, told, events, [version for version, _, _ in read])


async def what_was_read(conn: Connection, tenant: int, rows: Sequence[Row]) -> dict[int, Told]:
    """What the notes of the rows tell of, by version.seq."""
    versions = {one for row in rows for one in row.versions or ()}
    if not versions:
        return {}
    found = await (await conn.run(READ, (tenant, sorted(versions)), binary=True)).fetchall()
    return {seq: (reference, unpacked(stored)) for seq, reference, stored in found}


async def lock(conn: Connection, tenant: int, *, wait: bool) -> bool:
    """Whether this transaction is now the one that seals; with `wait`, it will be."""
    row = await (await conn.run(LOCK if wait else TRY_LOCK, (tenant,))).fetchone()
    return row is not None and bool(row[0])


async def last_seal(conn: Connection, tenant: int) -> tuple[int, bytes]:
    """Number and chain of the last sealed entry; (0, b"") before the first."""
    row = await (await conn.run(LAST_SEAL, (tenant,))).fetchone()
    return (row[0], bytes(row[1])) if row is not None else (0, b"")


async def seal(
    conn: Connection, tenant: int, seals: Sequence[tuple[int, str, bytes, bytes]], done: Sequence[int]
) -> None:
    """Keeps (number, id, digest, chain) of each sealed entry and removes the notes that they were made of."""
    numbers, ids, digests, chains = (list(column) for column in zip(*seals, strict=True))
    await conn.run(SEAL, (tenant, numbers, ids, digests, chains))
    await conn.run(REMOVE, (tenant, list(done)))


def _text(stored: bytes | None) -> bytes | None:
    """What an AuditEvent says; of one that somebody has damaged what is there, which is something else than was sealed."""
    try:
        return unpacked(stored)
    except ZstdError:
        return stored


async def sealed(conn: Connection, tenant: int, after: int, most: int) -> list[Sealed]:
    """The sealed entries behind a number."""
    rows = await (await conn.run(SEALED, (tenant, after, most), binary=True)).fetchall()
    return [
        Sealed(number, name, digest, chain, _text(stored), version, deleted)
        for number, name, digest, chain, stored, version, deleted in rows
    ]
