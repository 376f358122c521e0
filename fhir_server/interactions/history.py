"""history of one resource, of a type, of everything: the event log, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import LiteralString

from fhir_server.access.logic import ALL
from fhir_server.access.narrow import missing
from fhir_server.context import Context
from fhir_server.moment import instant
from fhir_server.outcome import refuse
from fhir_server.search.bundle import quoted
from fhir_server.search.execute import rows_of
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.query import Query, Term
from fhir_server.sight import sees
from fhir_server.store.connection import Connection
from fhir_server.store.packed import unpacked
from fhir_server.store.resources import contents, read

CHUNK = 200  # versions that are judged at a time
CREATED, OK, GONE = "201 Created", "200 OK", "204 No Content"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which history: of an instance (type and id), a type, or all; since and at as FHIR has them; after `seq`."""

    type: str | None
    id: str | None
    count: int
    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None  # [from, to)
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One version as an entry of a history."""

    seq: int
    type: int
    id: str
    version: int
    written: datetime
    method: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Events:
    """A page of a history; total is known where the first page holds all."""

    events: tuple[Event, ...]
    total: int | None
    following: int | None


async def history(context: Context, asked: Asked) -> Events:
    """The page asked for, of the versions that the caller may see; 404 for an id that was never used."""
    if context.rights is not None:
        term = sight_of(context, asked)
        if term != ALL:
            return await _seen_history(context, asked, term)
    async with context.connection() as conn:
        rows = await rows_of(conn, _statement(context, asked))
        if asked.id is not None and not rows and not await _was_used(context, conn, asked):
            raise refuse("not-found", f"{asked.type}/{asked.id} is not known")
    more = len(rows) > asked.count
    events = tuple(_event(*row) for row in rows[: asked.count])
    total = len(events) if not more and asked.after is None else await _count(context, asked)
    return Events(events, total, events[-1].seq if more and events else None)


def sight_of(context: Context, asked: Asked) -> Term:
    """What must hold for the resources whose history the caller may see. Raises Refusal (403) where none is."""
    rights = context.rights
    assert rights is not None, "only with rights to keep to"
    letter = "r" if asked.id is not None else "s"
    term = rights.visible(letter, (asked.type,) if asked.type is not None else ())
    if term is None:
        raise missing(rights, letter, asked.type or "*")
    return term


async def _seen_history(context: Context, asked: Asked, term: Term) -> Events:
    """The same for who may see some resources only: versions are judged one by one until the page is full."""
    async with context.connection() as conn:
        found = await _seen_events(context, conn, asked, term, asked.count + 1)
        if asked.id is not None and not found and not await _is_seen(context, conn, asked):
            raise refuse("not-found", f"{asked.type}/{asked.id} is not known")
        more, total = len(found) > asked.count, None
        if not more and asked.after is None:
            total = len(found)
        elif asked.id is not None:
            total = len(await _seen_events(context, conn, replace(asked, after=None), term, None))
    events = tuple(found[: asked.count])
    return Events(events, total, events[-1].seq if more and events else None)


async def _seen_events(context: Context, conn: Connection, asked: Asked, term: Term, most: int | None) -> list[Event]:
    """The first events that the caller may see; all of them without `most`."""
    found: list[Event] = []
    letter = "r" if asked.id is not None else "s"
    while True:
        rows = await rows_of(conn, _candidates(context, conn, asked, term))
        for *columns, own, last in rows:
            event = _event(*columns)
            if await sees(context, conn, letter, context.types.name[event.type], (unpacked(own), unpacked(last))):
                found.append(event)
            if len(found) == most:
                return found
        if len(rows) < CHUNK:
            return found
        asked = replace(asked, after=rows[-1][0])


async def _is_seen(context: Context, conn: Connection, asked: Asked) -> bool:
    assert asked.type is not None
    assert asked.id is not None
    code = context.type_code(asked.type)
    told = await contents(conn, context.tenant, code, asked.id, 2**31 - 1)
    return await sees(context, conn, "r", asked.type, told)


async def _was_used(context: Context, conn: Connection, asked: Asked) -> bool:
    assert asked.type is not None
    assert asked.id is not None
    return await read(conn, context.tenant, context.type_code(asked.type), asked.id) is not None


async def _count(context: Context, asked: Asked) -> int | None:
    """How many versions there are; only for one instance, where counting is cheap."""
    if asked.id is None:
        return None
    async with context.connection() as conn:
        rows = await rows_of(conn, sql("SELECT count(*) FROM version v WHERE ") + _where(context, asked, paged=False))
    return int(rows[0][0])


_COLUMNS: LiteralString = (
    "SELECT v.seq, v.type, v.id, v.version, v.written, v.method::text, v.content FROM version v WHERE "
)


def _event(
    seq: int, code: int, resource_id: str, version: int, written: datetime, method: str, stored: bytes | None
) -> Event:
    """An event by the columns it is read from."""
    return Event(seq, code, resource_id, version, written, method, unpacked(stored))


def _statement(context: Context, asked: Asked) -> Fragment:
    where = _where(context, asked, paged=True)
    return sql(_COLUMNS) + where + sql(" ORDER BY v.seq DESC LIMIT %s", asked.count + 1)


_TOLD: LiteralString = (
    "SELECT v.seq, v.type, v.id, v.version, v.written, v.method::text, v.content,"
    " coalesce(v.content, (SELECT w.content FROM version w WHERE w.pk = v.pk AND w.version < v.version"
    " AND w.content IS NOT NULL ORDER BY w.version DESC LIMIT 1)),"
    " (SELECT w.content FROM version w WHERE w.pk = v.pk AND w.content IS NOT NULL ORDER BY w.version DESC LIMIT 1)"
    " FROM version v WHERE "
)


def _candidates(context: Context, conn: Connection, asked: Asked, term: Term) -> Fragment:
    """Versions with what they say and what their resource said last: of resources that are seen today, or are deleted."""
    where = _where(context, asked, paged=True)
    if asked.id is None:
        types = (asked.type,) if asked.type is not None else ()
        seen = context.search(conn).compiler.selection(Query(types, (term,)))
        where = where + sql(" AND (v.pk IN (") + seen + sql(") OR v.pk IN (SELECT pk FROM resource WHERE deleted))")
    return sql(_TOLD) + where + sql(" ORDER BY v.seq DESC LIMIT %s", CHUNK)


def _where(context: Context, asked: Asked, *, paged: bool) -> Fragment:
    parts = [sql("v.tenant = %s", context.tenant)]
    if asked.type is not None:
        parts.append(sql("v.type = %s", context.type_code(asked.type)))
    if asked.id is not None:
        parts.append(
            sql("v.pk = (SELECT r.pk FROM resource r WHERE r.tenant = %s", context.tenant)
            + sql(" AND r.type = %s AND r.id = %s)", context.type_code(asked.type or ""), asked.id)
        )
    if asked.since is not None:
        parts.append(sql("v.written >= %s", asked.since))
    if asked.at is not None:
        parts.append(_current_at(asked.at))
    if paged and asked.after is not None:
        parts.append(sql("v.seq < %s", asked.after))
    return join(" AND ", parts)


def _current_at(span: tuple[datetime, datetime]) -> Fragment:
    """That the version was current at some time in the span: written before its end, not replaced before its start."""
    start, end = span
    return sql("v.written < %s", end) + sql(
        " AND NOT EXISTS (SELECT FROM version n WHERE n.pk = v.pk AND n.version = v.version + 1 AND n.written <= %s)",
        start,
    )


def entry(context: Context, event: Event, content: bytes | None) -> bytes:
    """The event as a Bundle entry; `content` is its resource as it goes out."""
    name = context.types.name[event.type]
    parts = [b'{"fullUrl":', quoted(f"{context.base}/{name}/{event.id}")]
    if content is not None:
        parts.extend((b',"resource":', content))
    method, status = _told(event)
    url = name if method == "POST" else f"{name}/{event.id}"
    parts.append(
        b',"request":{"method":"%s","url":%s}' % (method.encode(), quoted(url))
        + b',"response":{"status":%s,"etag":%s,' % (quoted(status), quoted(f'W/"{event.version}"'))
        + b'"lastModified":"%s"}}' % instant(event.written).encode()
    )
    return b"".join(parts)


def _told(event: Event) -> tuple[str, str]:
    """The method of the request that made the version, and the status of its answer."""
    match event.method, event.version:
        case "C", 1:
            return "POST", CREATED
        case ("C", _) | ("U", 1):  # what was deleted comes back, and what the client named begins, by an update
            return "PUT", CREATED
        case "U", _:
            return "PUT", OK
        case "P", _:
            return "PATCH", OK
        case _:
            return "DELETE", GONE
