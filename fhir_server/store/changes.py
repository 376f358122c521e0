"""Writing versions: each with its index rows and its place in the feed, all in one statement.

https://hl7.org/fhir/R4/http.html#create, #update and #delete; write_versions and write_index,
which it calls, are in migrations/0022_answered_keys.sql and 0018_narrow_rows.sql.
"""

import operator
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import psycopg

from fhir_server.store import array
from fhir_server.store.connection import Connection, Result
from fhir_server.store.packed import packed
from fhir_server.store.rows import Rows

T = TypeVar("T")


class Write(msgspec.Struct):
    """One version to be written. `pk` is 0 and `version` 1 for a resource whose id was never used; when it is written `pk` is known.

    method: C create, U update, P patch, D delete (content None). `shape` is the id of the set of paths in `added`.
    `paths` of `added` are all of the version's. `whole`: all of its rows, those included that the version before has; None of a
    deletion, or where they are not known. `remembered`: the version before was not read for it. `alone`: nobody but this process
    has written the resource, as far as it knows.
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
    remembered: bool = False
    alone: bool = False


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

    async def watch(self, writing: Awaitable[T]) -> T:
        """What a statement that writes answers; takes note where it says that the search parameters have changed."""
        try:
            return await writing
        except psycopg.Error as error:
            self.stale = self.stale or error.sqlstate == STALE
            raise


OUTRUN = "MC001"  # raised by write_versions
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
# What many share must not wait long for what one of them is after. The setting is of the transaction, made before the call.
BRIEFLY = b" FROM (SELECT set_config('lock_timeout', '100ms', true) OFFSET 0) AS brief"
WRITE_INDEX = _statement("write_index", "int int8[] " + INDEX_CASTS)


async def write(
    conn: Connection, tenant: int, writes: Sequence[Write], shapes: KnownShapes, generation: int | None = None,
    *, brief: bool = False,
) -> None:  # fmt: skip
    """Writes the versions in one statement; `generation` is what their rows were made by, where that is not the latest.

    `brief`: it raises psycopg.errors.LockNotAvailable where another transaction holds one of the resources for long.

    Raises psycopg.errors.UniqueViolation where a new id was taken meanwhile, SQLSTATE MC001 where a version was written
    meanwhile, and MC002 where the search parameters have changed; nothing is written then. Outside a transaction it is durable when it returns.
    """
    unknown = shapes.unknown(writes)
    made_by = shapes.generation if generation is None else generation
    statement = WRITE + BRIEFLY if brief else WRITE
    cursor = await shapes.watch(conn.run(statement, parameters(tenant, writes, unknown, made_by)))
    if conn.info.transaction_status == 0:  # IDLE: committed, so the shapes are there for everybody
        shapes.ids.update(unknown)
    await number(writes, cursor)


async def number(writes: Sequence[Write], written: Result) -> None:
    """Gives each the pk that it was written under, which is what write_versions answers."""
    ((pks,),) = await written.fetchall()
    for one, pk in zip(writes, pks, strict=True):
        one.pk = pk


def parameters(tenant: int, writes: Sequence[Write], unknown: dict[int, Write], generation: int) -> list[Any]:
    """The parameters of write_versions in order."""
    new_shapes = [unknown[shape] for shape in sorted(unknown)]
    return [
        tenant,
        generation,
        array.int8([w.pk for w in writes]),
        _texts(w.type for w in writes),
        array.text([w.id for w in writes]),
        array.int8([w.reference for w in writes]),
        _texts(w.version for w in writes),
        _texts(w.written for w in writes),
        array.plain(w.method for w in writes),
        array.int8([w.shape for w in writes]),
        array.bytea([packed(w.content) for w in writes]),
        array.int8([w.shape for w in new_shapes]),
        _texts(w.type for w in new_shapes),
        array.text([_texts(sorted(w.added.paths)) for w in new_shapes]),
        *index_parameters([(w.added, w.removed) for w in writes]),
        any(w.removed is not None for w in writes),
    ]


def index_parameters(changes: Sequence[tuple[Rows, Rows | None]]) -> list[Any]:
    """The arrays of write_index for what is added to and removed from each resource, without the last, `_removes`."""
    sides: list[tuple[int, Rows]] = []
    for n, (added, removed) in enumerate(changes, 1):
        sides.append((n, added))
        if removed is not None:
            sides.append((-n, removed))
    return [made for kind in _KINDS for made in _arrays(kind, sides)]


def _arrays(kind: "_Kind", sides: Sequence[tuple[int, Rows]]) -> Sequence[Any]:
    """The arrays of the rows of a kind, the ordinals first: n adds, -n removes."""
    found: list[Any] = []
    of = []
    for ordinal, side in sides:
        rows = kind.rows(side)
        if rows:
            of.append((ordinal, len(rows)))
            found.extend(rows)
    if not found:
        return kind.empty
    columns = zip(*found, strict=True) if len(kind.columns) > 1 else (found,)
    return [array.int4(of), *map(operator.call, kind.columns, columns)]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of rows: where they are among all, and how each of their columns becomes an array; one column has no tuples."""

    rows: Callable[[Rows], Collection[Any]]
    columns: tuple[Callable[[Sequence[Any]], Any], ...]
    empty: tuple[Any, ...]


def _kind(name: str, *columns: Callable[[Sequence[Any]], Any]) -> _Kind:
    return _Kind(operator.attrgetter(name), columns, (array.int4(()), *(made(()) for made in columns)))


def _texts(values: Iterable[object]) -> str:
    """An array of integers, decimals or instants."""
    return array.plain(map(str, values))


def _nullable(values: Sequence[object]) -> str:
    """The same with some that are not there."""
    return _texts(values).replace("None", "NULL")


_KINDS = (
    _kind("tokens", array.int8),
    _kind("references", array.int8, array.int8),
    _kind("strings", array.int8, array.text, array.text, array.text),
    _kind("dates", array.int8, array.plain, array.plain),
    _kind("numbers", array.int8, _texts, _texts),
    _kind("quantities", array.int8, _texts, _texts, *(_nullable,) * 5),
    _kind("texts", array.text, array.text),
)
