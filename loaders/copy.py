"""Versions of new resources into the tables by COPY, in a few messages: the same rows as the server's own statement gives.

https://www.postgresql.org/docs/current/sql-copy.html; the statement is write_versions in
fhir_server/store/migrations/0017_writes.sql.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

from fhir_server.store.changes import STALE, KnownShapes, Write
from fhir_server.store.changes import write as write_by_statement
from fhir_server.store.connection import Connection
from fhir_server.store.migrate import SERVER_ROLE
from fhir_server.store.packed import packed

# Row level security allows no COPY; a superuser's login may step out of the server's role for the time of it.
MAY_COPY = """
SELECT (rolsuper OR rolbypassrls) AND has_table_privilege(session_user, 'version', 'INSERT')
FROM pg_roles WHERE rolname = session_user
"""
ROLE = "SELECT set_config('role', $1, true)"
NUMBERS = "SELECT nextval('resource_seq') FROM generate_series(1, $1)"
SHAPES = """
INSERT INTO shape (id, tenant, type, paths)
SELECT i, $1, t, p::bigint[] FROM unnest($2::bigint[], $3::smallint[], $4::text[]) AS s (i, t, p) ORDER BY i
ON CONFLICT DO NOTHING
"""
GENERATION = "SELECT check_generation($1, $2)"  # that of the search parameters the rows were made by
NULL = "\\N"
TYPE_BITS = 48  # below the type in a surrogate key
SPECIAL = re.compile(r"[\\\t\n\r]")
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class Copy:
    """A Writer that uses COPY for what is new where this login may, and the server's own statement for all else.

    It works inside a transaction only. `committed` tells it that the transaction has ended well.
    """

    def __init__(self) -> None:
        self.resources = 0  # written by COPY, committed or not
        self._may: bool | None = None
        self._shapes: set[int] = set()

    async def __call__(self, conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes) -> None:
        """Writes the versions; raises what store.changes.write raises."""
        new = [one for one in writes if one.pk == 0]
        if not (new and await self._allowed(conn)):
            await write_by_statement(conn, tenant, writes, shapes)
        else:
            if len(new) < len(writes):
                await write_by_statement(conn, tenant, [one for one in writes if one.pk != 0], shapes)
            await self._copy(conn, tenant, new, shapes)
        self._shapes.update(one.shape for one in writes if one.shape)

    def committed(self, shapes: KnownShapes) -> None:
        """What was written is there for everybody, so its shapes need not be sent again."""
        shapes.ids |= self._shapes
        self._shapes.clear()

    async def _copy(self, conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes) -> None:
        try:
            await conn.execute(GENERATION, (tenant, shapes.generation))
        except Exception as error:
            shapes.stale = shapes.stale or getattr(error, "sqlstate", None) == STALE
            raise
        await conn.execute(ROLE, ("none",))
        await _copy(conn, tenant, writes)
        await conn.execute(ROLE, (SERVER_ROLE,))
        await _add_shapes(conn, tenant, shapes.unknown(writes))
        self.resources += len(writes)

    async def _allowed(self, conn: Connection) -> bool:
        if self._may is None:
            row = await (await conn.execute(MAY_COPY)).fetchone()
            self._may = row is not None and bool(row[0])
        return self._may


async def _copy(conn: Connection, tenant: int, writes: Sequence[Write]) -> None:
    cursor = await conn.execute(NUMBERS, (len(writes),))
    for one, (number,) in zip(writes, await cursor.fetchall(), strict=True):
        one.pk = one.type << TYPE_BITS | number
    for statement, lines in (*_resources(tenant, writes), *_index(tenant, writes)):
        if lines:
            async with conn.cursor().copy(statement) as copy:
                await copy.write("".join(lines))


async def _add_shapes(conn: Connection, tenant: int, unknown: dict[int, Write]) -> None:
    """Adds the new shapes; after all else, because who writes the same new shape waits for this transaction to end."""
    if unknown:
        ids = sorted(unknown)
        paths = ["{" + ",".join(map(str, sorted(unknown[one].added.paths))) + "}" for one in ids]
        await conn.execute(SHAPES, (tenant, ids, [unknown[one].type for one in ids], paths))


def _resources(tenant: int, writes: Sequence[Write]) -> Iterator[tuple[LiteralString, list[str]]]:
    ordered = sorted(writes, key=lambda one: (one.type, one.id))  # so that two writers of the same ids never cross
    yield (
        "COPY resource (pk, reference, updated, tenant, version, shape, type, deleted, id) FROM STDIN",
        [
            f"{w.pk}\t{w.reference}\t{w.written}\t{tenant}\t{w.version}\t{w.shape}\t{w.type}\tf\t{w.id}\n"
            for w in ordered
        ],
    )
    yield (
        "COPY version (pk, written, tenant, version, type, method, id, content) FROM STDIN",
        [
            f"{w.pk}\t{w.written}\t{tenant}\t{w.version}\t{w.type}\t{w.method}\t{w.id}\t\\\\x{packed(w.content or b'').hex()}\n"
            for w in writes
        ],
    )


def _index(tenant: int, writes: Sequence[Write]) -> Iterator[tuple[LiteralString, list[str]]]:
    yield (
        "COPY index_token (key, pk) FROM STDIN",
        [f"{key}\t{w.pk}\n" for w in writes for key in w.added.tokens],
    )
    yield (
        "COPY index_reference (key, target, pk) FROM STDIN",
        [f"{key}\t{target}\t{w.pk}\n" for w in writes for key, target in w.added.references],
    )
    yield (
        "COPY index_string (key, value, full_value, exact, pk) FROM STDIN",
        [f"{_columns(row)}\t{w.pk}\n" for w in writes for row in w.added.strings],
    )
    yield (
        "COPY index_date (key, low, high, pk) FROM STDIN",
        [f"{key}\t{low}\t{high}\t{w.pk}\n" for w in writes for key, low, high in w.added.dates],
    )
    yield (
        "COPY index_number (key, low, high, pk) FROM STDIN",
        [f"{key}\t{low}\t{high}\t{w.pk}\n" for w in writes for key, low, high in w.added.numbers],
    )
    yield (
        "COPY index_quantity (key, low, high, code, label, canonical_key, canonical_low, canonical_high, pk) FROM STDIN",
        [f"{_columns(row)}\t{w.pk}\n" for w in writes for row in w.added.quantities],
    )
    yield (
        "COPY index_text (narrative, content, pk, tenant) FROM STDIN",
        [
            f"{_text(told) or NULL}\t{_text(content)}\t{w.pk}\t{tenant}\n"
            for w in writes
            for told, content in w.added.texts
        ],
    )


def _columns(row: tuple[Any, ...]) -> str:
    return "\t".join("\\N" if value is None else _text(str(value)) for value in row)


def _text(value: str) -> str:
    return value.translate(ESCAPES) if SPECIAL.search(value) else value
