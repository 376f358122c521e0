"""Reading what is kept: the current version, one version, the history.

https://hl7.org/fhir/R4/http.html#read, #vread and #history
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fhir_server.store import array
from fhir_server.store.connection import Connection
from fhir_server.store.packed import unpacked

COLUMNS = "v.pk, v.seq, t.name, v.id, v.version, v.written, v.method::text, v.content"

READ = """
SELECT v.content, v.version, v.written, v.method::text
FROM resource r JOIN version v ON v.pk = r.pk AND v.version = r.version
WHERE r.tenant = $1 AND r.type = $2 AND r.id = $3
"""

# OFFSET 0 has each looked up by its key. As a join, planned before its tables were analysed, it reads all resources of the tenant.
READ_EACH = """
SELECT w.n, v.content, v.version, v.written, v.method::text
FROM unnest($2::smallint[], $3::text[]) WITH ORDINALITY AS w (type, id, n)
CROSS JOIN LATERAL (SELECT pk, version FROM resource WHERE tenant = $1 AND type = w.type AND id = w.id OFFSET 0) AS r
CROSS JOIN LATERAL (SELECT * FROM version WHERE pk = r.pk AND version = r.version OFFSET 0) AS v
"""

VREAD = """
SELECT v.content, v.version, v.written, v.method::text
FROM resource r JOIN version v ON v.pk = r.pk
WHERE r.tenant = $1 AND r.type = $2 AND r.id = $3 AND v.version = $4
"""

CURRENT = """
SELECT w.n, r.pk, r.version, r.updated, r.deleted, v.content
FROM unnest($2::smallint[], $3::text[]) WITH ORDINALITY AS w (type, id, n)
CROSS JOIN LATERAL (SELECT * FROM resource WHERE tenant = $1 AND type = w.type AND id = w.id OFFSET 0) AS r
CROSS JOIN LATERAL (SELECT content FROM version WHERE pk = r.pk AND version = r.version OFFSET 0) AS v
"""

# Of a resource the last content up to a version, and the last of all: a deletion is judged by what it deleted.
CONTENTS = """
SELECT (SELECT v.content FROM version v
        WHERE v.pk = r.pk AND v.version <= $4 AND v.content IS NOT NULL ORDER BY v.version DESC LIMIT 1),
       (SELECT v.content FROM version v
        WHERE v.pk = r.pk AND v.content IS NOT NULL ORDER BY v.version DESC LIMIT 1)
FROM resource r WHERE r.tenant = $1 AND r.type = $2 AND r.id = $3
"""

# Row locks in key order, so that two transactions over the same resources queue instead of waiting for each other.
LOCK = """
SELECT r.pk
FROM (SELECT type, id FROM unnest($2::smallint[], $3::text[]) AS u (type, id) ORDER BY type, id COLLATE "C") AS w
CROSS JOIN LATERAL (SELECT pk FROM resource WHERE tenant = $1 AND type = w.type AND id = w.id FOR UPDATE) AS r
"""


class Version(msgspec.Struct, frozen=True, gc=False):
    """One version of one resource; content is its exact text in UTF-8, None for a deletion."""

    content: bytes | None
    version: int
    written: datetime
    method: str


class Current(msgspec.Struct, frozen=True, gc=False):
    """What a writer must know of a resource that exists: its key, its latest version, and the text of that.

    `remembered`: that of when this process wrote it; who builds on it learns when writing whether it is the latest still.
    """

    pk: int
    version: int
    written: datetime
    deleted: bool
    content: bytes | None
    remembered: bool = False


Target = tuple[int, str]
"""A resource by the number of its type and its id."""


class Types:
    """The small numbers of the resource types, as the database has them."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.code = codes
        self.name = {code: name for name, code in codes.items()}

    @classmethod
    async def load(cls, conn: Connection) -> "Types":
        rows = await (await conn.execute("SELECT name, code FROM resource_type")).fetchall()
        return cls(dict(rows))


def version_of(stored: bytes | None, number: int, written: datetime, method: str) -> Version:
    """A version by the columns it is read from."""
    return Version(unpacked(stored), number, written, method)


async def read(conn: Connection, tenant: int, type_code: int, resource_id: str) -> Version | None:
    """The current version, a deletion included; None where the id was never used."""
    cursor = await conn.run(READ, (tenant, type_code, resource_id), binary=True)
    row = await cursor.fetchone()
    return version_of(*row) if row else None


async def read_each(conn: Connection, tenant: int, targets: Sequence[Target]) -> list[Version | None]:
    """As `read`, of many (type code, id), in their order."""
    if len(targets) == 1:
        return [await read(conn, tenant, *targets[0])]
    cursor = await conn.run(READ_EACH, (tenant, *columns(targets)), binary=True)
    found = {n: version_of(*row) for n, *row in await cursor.fetchall()}
    return [found.get(n) for n in range(1, len(targets) + 1)]


async def vread(conn: Connection, tenant: int, type_code: int, resource_id: str, version: int) -> Version | None:
    """One version by number; None where there is no such."""
    cursor = await conn.run(VREAD, (tenant, type_code, resource_id, version), binary=True)
    row = await cursor.fetchone()
    return version_of(*row) if row else None


async def contents(conn: Connection, tenant: int, type_code: int, resource_id: str, version: int) -> list[bytes]:
    """What the version says, or the one before a deletion, and what the resource said last; nothing for an unused id."""
    cursor = await conn.run(CONTENTS, (tenant, type_code, resource_id, version), binary=True)
    row = await cursor.fetchone()
    return [unpacked(one) for one in row if one is not None] if row else []


async def current(conn: Connection, tenant: int, targets: Sequence[Target], *, lock: bool) -> dict[Target, Current]:
    """The latest version of each (type code, id) that was ever used; with `lock`, nobody else can write them now."""
    types, ids = columns(targets)
    if lock:
        await conn.run(LOCK, (tenant, types, ids))
    cursor = await conn.run(CURRENT, (tenant, types, ids), binary=True)
    rows = await cursor.fetchall()
    return {
        targets[n - 1]: Current(pk, version, written, deleted, unpacked(stored))
        for n, pk, version, written, deleted, stored in rows
    }


def columns(targets: Sequence[Target]) -> tuple[str, str]:
    """The types and the ids, each as an array."""
    return array.plain([str(code) for code, _ in targets]), array.text([resource_id for _, resource_id in targets])
