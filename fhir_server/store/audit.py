"""The record of what happened, before it is sealed: rows appended for reads, and by the statement that writes.

The tables are in migrations/0007_access.sql; what they mean: docs/access.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from fhir_server.store.changes import BRIEFLY, WRITE, KnownShapes, Write, parameters
from fhir_server.store.pool import Connection

APPEND = """
INSERT INTO audit (tenant, subtype, status, outcome, client, account, fhir_user, token, network, request,
                   patients, entities, query, detail, operator)
SELECT $1, subtype, status, outcome, client, account, fhir_user, token, network, request, patients, entities, query, detail,
       operator
FROM json_to_recordset($2::json) AS n (
    subtype text, status smallint, outcome smallint, client text, account text, fhir_user text, token text, network text,
    request text, patients text[], entities text[], query text, detail text, operator text)
"""
WAITING = """
SELECT seq, recorded, subtype, status, outcome, client, account, fhir_user, token, network, request, operator, patients,
       entities, query, detail
FROM audit WHERE tenant = $1 ORDER BY seq LIMIT $2
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

# The parameters of write_versions, then those of APPEND, which go with it in one statement.
_LAST = WRITE.count(b"$")
WRITE_NOTED = b"WITH noted AS (" + APPEND.replace("$2", f"${_LAST + 1}").encode() + b") " + WRITE


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `outcome` is a code of AuditEvent.outcome; references are relative to the base.

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
class Noted:
    """A note with its number and the time it was made, still to be sealed."""

    seq: int
    recorded: datetime
    note: Note


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


def _encoded(notes: Sequence[Note]) -> str:
    return msgspec.json.encode(notes).decode().replace("\\u0000", "�")


async def append(conn: Connection, tenant: int, notes: Sequence[Note]) -> None:
    """Adds the notes in one statement; outside a transaction they are on disk when it returns."""
    await conn.execute(APPEND, (tenant, _encoded(notes)), prepare=True)


async def write_noted(
    conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes, notes: Sequence[Note],
    generation: int | None = None, *, brief: bool = False,
) -> None:  # fmt: skip
    """As store.changes.write, with the notes of it in the same statement: both are kept, or neither."""
    unknown = shapes.unknown(writes)
    made_by = shapes.generation if generation is None else generation
    values = [*parameters(tenant, writes, unknown, made_by), _encoded(notes)]
    statement = WRITE_NOTED + BRIEFLY if brief else WRITE_NOTED
    await shapes.watch(conn.execute(statement, values, prepare=True))
    if conn.info.transaction_status == 0:
        shapes.ids.update(unknown)


async def waiting(conn: Connection, tenant: int, most: int) -> list[Noted]:
    """The oldest notes that are not sealed."""
    rows = await (await conn.execute(WAITING, (tenant, most), prepare=True)).fetchall()
    names = (
        "subtype", "status", "outcome", "client", "account", "fhir_user", "token", "network", "request", "operator",
    )  # fmt: skip
    return [
        Noted(
            seq, recorded,
            Note(**dict(zip(names, columns, strict=True)), patients=tuple(patients), entities=tuple(entities),
                 query=query, detail=detail),
        )
        for seq, recorded, *columns, patients, entities, query, detail in rows
    ]  # fmt: skip


async def lock(conn: Connection, tenant: int, *, wait: bool) -> bool:
    """Whether this transaction is now the one that seals; with `wait`, it will be."""
    row = await (await conn.execute(LOCK if wait else TRY_LOCK, (tenant,))).fetchone()
    return row is not None and bool(row[0])


async def last_seal(conn: Connection, tenant: int) -> tuple[int, bytes]:
    """Number and chain of the last sealed entry; (0, b"") before the first."""
    row = await (await conn.execute(LAST_SEAL, (tenant,))).fetchone()
    return (row[0], bytes(row[1])) if row is not None else (0, b"")


async def seal(
    conn: Connection, tenant: int, seals: Sequence[tuple[int, str, bytes, bytes]], done: Sequence[int]
) -> None:
    """Keeps (number, id, digest, chain) of each sealed entry and removes the notes that they were made of."""
    numbers, ids, digests, chains = (list(column) for column in zip(*seals, strict=True))
    await conn.execute(SEAL, (tenant, numbers, ids, digests, chains))
    await conn.execute(REMOVE, (tenant, list(done)))


async def sealed(conn: Connection, tenant: int, after: int, most: int) -> list[Sealed]:
    """The sealed entries behind a number."""
    rows = await (await conn.execute(SEALED, (tenant, after, most), binary=True)).fetchall()
    return [Sealed(*row) for row in rows]
