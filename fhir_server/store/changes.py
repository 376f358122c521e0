"""Writing versions: each with its index rows and its place in the feed, all in one statement.

https://hl7.org/fhir/R4/http.html#create, #update and #delete; the statement is write_versions in migrations/0003_search.sql.
"""

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from fhir_server.store.pool import Connection
from fhir_server.store.rows import Rows


@dataclass(slots=True)
class Write:
    """One version to be written. `pk` is 0 and `version` 1 for a resource whose id was never used.

    method: C create, U update, P patch, D delete (content None). `shape` is the id of the set of paths in `added`.
    `whole`: all of its rows, those included that the version before has; None of a deletion.
    """

    pk: int
    type: int
    id: str
    reference: int
    version: int
    written: datetime
    method: str
    content: bytes | None
    shape: int
    added: Rows
    removed: Rows | None = None
    whole: Rows | None = None


def _numbers(values: Iterable[object]) -> str:
    """An array literal of integers, decimals, instants or letters: fast, and nothing to quote in any of them."""
    return "{" + ",".join(map(str, values)) + "}"


class _Columns:
    """Transposes the rows of many writes, the ordinal first: n adds, -n removes."""

    def __init__(self, width: int) -> None:
        self.columns: list[list[Any]] = [[] for _ in range(width + 1)]

    def extend(self, ordinal: int, rows: Iterable[tuple[Any, ...]]) -> None:
        rows = list(rows)
        if rows:
            self.columns[0].extend([ordinal] * len(rows))
            for column, values in zip(self.columns[1:], zip(*rows, strict=True), strict=True):
                column.extend(values)


class KnownShapes:
    """What this process knows of the index as others have written it.

    `ids` are the shapes it has seen committed, which need not be sent again; `generation` is that of the search parameters
    it makes rows by, and `stale` that the database has a newer one.
    """

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.generation = 0
        self.stale = False

    def unknown(self, writes: Sequence[Write]) -> dict[int, Write]:
        return {write.shape: write for write in writes if write.shape and write.shape not in self.ids}

    async def watch(self, writing: Awaitable[object]) -> None:
        """Awaits a statement that writes, and takes note where it says that the search parameters have changed."""
        try:
            await writing
        except psycopg.Error as error:
            self.stale = self.stale or error.sqlstate == STALE
            raise


STALE = "MC002"  # raised by check_generation

# One placeholder for each parameter of write_versions, with the array type it arrives as.
CASTS = "int int8 int8[] int2[] text[] int8[] int4[] timestamptz[] char[] int8[] bytea[] int8[] int2[] text[] "
INDEX_CASTS = (
    "int4[] int8[] int4[] int8[] int8[] "
    "int4[] int8[] text[] text[] text[] "
    "int4[] int8[] timestamptz[] timestamptz[] "
    "int4[] int8[] numeric[] numeric[] "
    "int4[] int8[] numeric[] numeric[] int8[] int8[] int8[] numeric[] numeric[] "
    "int4[] text[] text[] bool"
)


def _statement(function: str, casts: str) -> bytes:
    names = [cast.replace("char[]", '"char"[]') for cast in casts.split()]
    return f"SELECT {function}({', '.join(f'${n}::{cast}' for n, cast in enumerate(names, 1))})".encode()


WRITE = _statement("write_versions", CASTS + INDEX_CASTS)
WRITE_INDEX = _statement("write_index", "int int8[] " + INDEX_CASTS)


async def write(
    conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes, generation: int | None = None
) -> None:
    """Writes the versions in one statement; `generation` is what their rows were made by, where that is not the latest.

    Raises psycopg.errors.UniqueViolation where a new id was taken meanwhile, SQLSTATE MC001 where a version was written
    meanwhile, and MC002 where the search parameters have changed; nothing is written then. Outside a transaction it is durable when it returns.
    """
    unknown = shapes.unknown(writes)
    made_by = shapes.generation if generation is None else generation
    await shapes.watch(conn.execute(WRITE, parameters(tenant, writes, unknown, made_by), prepare=True))
    if conn.info.transaction_status == 0:  # IDLE: committed, so the shapes are there for everybody
        shapes.ids.update(unknown)


def parameters(tenant: int, writes: Sequence[Write], unknown: dict[int, Write], generation: int) -> list[Any]:
    """The parameters of write_versions in order."""
    new_shapes = [unknown[shape] for shape in sorted(unknown)]
    return [
        tenant,
        generation,
        _numbers(w.pk for w in writes),
        _numbers(w.type for w in writes),
        [w.id for w in writes],
        _numbers(w.reference for w in writes),
        _numbers(w.version for w in writes),
        [w.written for w in writes],
        _numbers(w.method for w in writes),
        _numbers(w.shape for w in writes),
        [w.content for w in writes],
        _numbers(w.shape for w in new_shapes),
        _numbers(w.type for w in new_shapes),
        [_numbers(sorted(w.added.paths)) for w in new_shapes],
        *index_parameters([(w.added, w.removed) for w in writes]),
        any(w.removed is not None for w in writes),
    ]


def index_parameters(changes: Sequence[tuple[Rows, Rows | None]]) -> list[Any]:
    """The arrays of write_index for what is added to and removed from each resource, without the last, `_removes`."""
    tokens, references, strings = _Columns(1), _Columns(2), _Columns(4)
    dates, numbers, quantities, texts = _Columns(3), _Columns(3), _Columns(8), _Columns(2)
    for n, (added, removed) in enumerate(changes, 1):
        for ordinal, rows in ((n, added), (-n, removed)):
            if rows is None:
                continue
            tokens.extend(ordinal, ((token,) for token in rows.tokens))
            references.extend(ordinal, rows.references)
            strings.extend(ordinal, rows.strings)
            dates.extend(ordinal, rows.dates)
            numbers.extend(ordinal, rows.numbers)
            quantities.extend(ordinal, rows.quantities)
            texts.extend(ordinal, rows.texts)
    of, key, *values = strings.columns
    text_of, *vectors = texts.columns
    return [
        *map(_numbers, tokens.columns),
        *map(_numbers, references.columns),
        _numbers(of),
        _numbers(key),
        *values,
        *map(_numbers, dates.columns),
        *map(_numbers, numbers.columns),
        *map(_nullable, quantities.columns),
        _numbers(text_of),
        *vectors,
    ]


def _nullable(values: list[Any]) -> str:
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
