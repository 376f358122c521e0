"""Arrays as parameters of a statement, written by a few calls for a whole column instead of some for each value.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO; the binary form is that of array_recv. Their types are those the
statement casts them to.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from struct import Struct

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_INT4, _INT8, _BYTEA = 23, 20, 17  # oids of the elements, which PostgreSQL compares with what it expects
_HEADER = "iiIii"  # dimensions, whether there are nulls, oid, length and lowest index of the one dimension
_header = Struct(">" + _HEADER).pack
_empty = Struct(">iiI").pack
_length = Struct(">i").pack
_one_int4 = Struct(">ii").pack
_one_int8 = Struct(">iq").pack
_MANY = 256
# Neither can be kept in a text by PostgreSQL, so neither occurs in one.
_SEPARATOR, _NULL = "\x00", "\ud800"


class Binary(bytes):
    """A parameter in PostgreSQL's binary form."""


class _BinaryDumper(Dumper):
    """Sends the bytes as they are; without an oid, so that the statement's cast says what they are."""

    format = Format.BINARY

    def dump(self, obj: Binary) -> Buffer:
        return obj


def adapt(conn: AdaptContext) -> None:
    """Lets a connection send such arrays."""
    conn.adapters.register_dumper(Binary, _BinaryDumper)


def int8(values: Sequence[int]) -> Binary:
    """An int8[] of integers."""
    count = len(values)
    if count > _MANY:
        return Binary(_header(1, 0, _INT8, count, 1) + b"".join([_one_int8(8, value) for value in values]))
    if not count:
        return _NO_INT8
    pack, members = _form_of_int8(count)
    filled = members.copy()
    filled[6::2] = values
    return Binary(pack(*filled))


@functools.cache
def _form_of_int8(count: int) -> tuple[Callable[..., bytes], list[int]]:
    """How an array is packed, and what is packed, with each integer, behind its length of eight bytes, still to be put in."""
    return Struct(">" + _HEADER + "iq" * count).pack, [1, 0, _INT8, count, 1, *(8, 0) * count]


def int4(runs: Sequence[tuple[int, int]]) -> Binary:
    """An int4[] of runs: (integer, how many times)."""
    if len(runs) == 1:
        return _run(*runs[0])
    body = b"".join([_one_int4(4, value) * count for value, count in runs])
    return Binary(_header(1, 0, _INT4, len(body) // 8, 1) + body) if body else _NO_INT4


@functools.lru_cache(maxsize=1024)
def _run(value: int, count: int) -> Binary:
    return Binary(_header(1, 0, _INT4, count, 1) + _one_int4(4, value) * count)


def bytea(values: Sequence[bytes | None]) -> Binary:
    """A bytea[]."""
    parts = [_header(1, None in values, _BYTEA, len(values), 1) if values else _empty(0, 0, _BYTEA)]
    for value in values:
        if value is None:
            parts.append(_length(-1))
        else:
            parts += (_length(len(value)), value)
    return Binary(b"".join(parts))


_NO_INT4, _NO_INT8 = Binary(_empty(0, 0, _INT4)), Binary(_empty(0, 0, _INT8))


def text(values: Sequence[str | None]) -> str:
    """A text[]. Raises psycopg.DataError where a text holds NUL or is half of a surrogate pair."""
    missing = values.count(None)
    if missing == len(values):
        return plain(["NULL"] * missing)
    if missing:
        values = [_NULL if one is None else one for one in values]
    joined = _SEPARATOR.join(values)  # type: ignore[arg-type]  # no None is left
    if joined.count(_SEPARATOR) != len(values) - 1 or (missing and values.count(_NULL) != missing):
        raise psycopg.DataError("PostgreSQL keeps neither NUL nor half of a surrogate pair")
    if "\\" in joined:
        joined = joined.replace("\\", "\\\\")
    if '"' in joined:
        joined = joined.replace('"', '\\"')
    array = '{"' + joined.replace(_SEPARATOR, '","') + '"}'
    return array.replace(f'"{_NULL}"', "NULL") if missing else array


def plain(values: Iterable[str]) -> str:
    """An array of what needs no quotes: digits, letters, instants; NULL stands for nothing."""
    return "{" + ",".join(values) + "}"
