"""The COPY path: resources under ids that nobody used yet are written with their index rows by COPY, in a few messages.

It gives the rows that the server's own statement gives (fhir_server/store/changes.py), and refuses what the server
refuses; https://hl7.org/fhir/R4/http.html#trules and https://www.postgresql.org/docs/current/sql-copy.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

from fhir_server.interactions.change import ID, new_id, shape_of, stamped
from fhir_server.interactions.conditional import criteria_of, find_each, query_of
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import Entry, entries_of
from fhir_server.interactions.links import conditional_references, rewritten
from fhir_server.interactions.transaction import RESTFUL
from fhir_server.json import dump_json
from fhir_server.outcome import Refusal
from fhir_server.search.index import extract
from fhir_server.search.key import reference_key
from fhir_server.store.changes import Write, write
from fhir_server.store.migrate import SERVER_ROLE
from fhir_server.store.resources import current
from loaders.unit import Part

# COPY is not allowed under row level security; a superuser's login may step out of the server's role for it.
MAY_COPY = """
SELECT (r.rolsuper OR r.rolbypassrls) AND has_table_privilege(session_user, 'version', 'INSERT')
FROM pg_roles r WHERE r.rolname = session_user
"""
KEYS = "SELECT nextval('resource_seq') FROM generate_series(1, $1)"
SHAPES = """
INSERT INTO shape (id, tenant, type, paths)
SELECT i, $1, t, p::bigint[] FROM unnest($2::bigint[], $3::smallint[], $4::text[]) AS s (i, t, p) ORDER BY i
ON CONFLICT DO NOTHING
"""
TYPE_BITS = 48
SPECIAL = re.compile(r"[\\\t\n\r]")
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class PlainOnly(Exception):
    """Something here is for the plain path: criteria, deletes, an id that is in use, or a mistake that it reports."""


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that an entry creates, and the id it gets."""

    entry: Entry
    type: str
    code: int
    id: str
    fresh: bool  # the id was made here

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Copied:
    """The refusals by the ordinal of the part, all other parts are stored; and the shapes to be known once this commits."""

    refusals: dict[int, Refusal]
    shapes: frozenset[int]


async def copied(context: Context, parts: Sequence[Part]) -> Copied:
    """Stores the parts inside the transaction under way.

    Raises PlainOnly, with nothing written, where a part is not a mere create of resources under unused ids.
    """
    refusals = {part.ordinal: part.refusal for part in parts if part.refusal is not None}
    planned = [(part, _targets(context, part)) for part in parts if part.refusal is None]
    await _refuse_known(context, [target for _, targets in planned for target in targets])
    conditional = await _conditional(context, [part for part in parts if part.linked])
    now = _milliseconds(datetime.now(UTC))
    writes: list[Write] = []
    for part, targets in planned:
        mapping = conditional | _identities(targets) if part.linked else {}
        try:
            writes += [_write(context, target, mapping, now) for target in targets]
        except Refusal as refusal:
            refusals[part.ordinal] = refusal
    if writes:
        await store(context, writes)
    return Copied(refusals, frozenset(one.shape for one in writes))


def _targets(context: Context, part: Part) -> list[Target]:
    try:
        entries = entries_of(context, {"entry": list(part.entries)})
        return [_target(context, entry) for entry in entries]
    except Refusal as refusal:
        raise PlainOnly from refusal


def _target(context: Context, entry: Entry) -> Target:
    kind, _, resource_id = entry.url.partition("/")
    create = entry.method == "POST" and not resource_id
    update = entry.method == "PUT" and ID.fullmatch(resource_id) is not None
    resource = entry.resource
    if entry.headers or resource is None or not (create or update) or resource.get("resourceType") != kind:
        raise PlainOnly
    if update and (resource.get("id", resource_id) != resource_id or not context.settings.create_on_update):
        raise PlainOnly
    return Target(entry, kind, context.type_code(kind), resource_id or new_id(), create)


async def _refuse_known(context: Context, targets: Sequence[Target]) -> None:
    stated = [(target.code, target.id) for target in targets if not target.fresh]
    if len(set(stated)) < len(stated):
        raise PlainOnly
    if stated and await current(context.conn, context.tenant, stated, lock=False):
        raise PlainOnly


def _identities(targets: Sequence[Target]) -> dict[str, str]:
    """The fullUrls of a transaction's entries, and the references they become."""
    mapping: dict[str, str] = {}
    for target in targets:
        full_url = target.entry.full_url
        if not full_url:
            continue
        if mapping.setdefault(full_url, target.reference) != target.reference:
            raise PlainOnly
        if target.fresh and (named := RESTFUL.fullmatch(full_url)):
            mapping.setdefault(named[1], target.reference)
    return mapping


async def _conditional(context: Context, parts: Sequence[Part]) -> dict[str, str]:
    """The conditional references of the parts, and the one resource that each selects."""
    texts: set[str] = set()
    for part in parts:
        for entry in part.entries:
            texts |= conditional_references(entry["resource"])
    ordered = sorted(texts)
    try:
        queries = [query_of(context, kind, criteria_of(rest)) for kind, _, rest in (t.partition("?") for t in ordered)]
    except (Refusal, ValueError) as error:
        raise PlainOnly from error
    found = await find_each(context, queries)
    if any(len(ids) != 1 for ids in found):
        raise PlainOnly
    return {text: f"{text.partition('?')[0]}/{ids[0]}" for text, ids in zip(ordered, found, strict=True)}


def _write(context: Context, target: Target, mapping: Mapping[str, str], now: datetime) -> Write:
    assert target.entry.resource is not None
    resource = target.entry.resource if target.fresh else {**target.entry.resource, "id": target.id}
    if mapping:
        resource = rewritten(resource, mapping)
    issues = context.validate(resource)
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise Refusal(issues).at(target.entry.place)
    resource = stamped(resource, target.id, 1, now)
    rows = extract(resource, context.parameters, context.tenant)
    return Write(
        pk=0,
        type=target.code,
        id=target.id,
        reference=reference_key(context.tenant, target.reference),
        version=1,
        written=now,
        method="C",
        content=dump_json(resource),
        shape=shape_of(context.tenant, target.type, rows),
        added=rows,
    )


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def store(context: Context, writes: Sequence[Write]) -> None:
    """Writes the versions by COPY where this login may, else by the server's own statement; same rows either way."""
    row = await (await context.conn.execute(MAY_COPY, prepare=True)).fetchone()
    if row is None or not row[0]:
        await write(context.conn, context.tenant, writes, context.shapes)
        return
    await context.conn.execute("SELECT set_config('role', 'none', true)")
    await _copy_all(context, writes)
    await context.conn.execute("SELECT set_config('role', $1, true)", (SERVER_ROLE,))


async def _copy_all(context: Context, writes: Sequence[Write]) -> None:
    cursor = await context.conn.execute(KEYS, (len(writes),))
    for one, (number,) in zip(writes, await cursor.fetchall(), strict=True):
        one.pk = one.type << TYPE_BITS | number
    for statement, lines in _tables(context.tenant, writes):
        if lines:
            async with context.conn.cursor().copy(statement) as copy:
                await copy.write("".join(lines))
    # Last, because a writer of the same new shape waits for this transaction from here on.
    shapes = sorted(context.shapes.unknown(writes).values(), key=lambda one: one.shape)
    if shapes:
        paths = ["{" + ",".join(map(str, sorted(one.added.paths))) + "}" for one in shapes]
        types = [one.type for one in shapes]
        await context.conn.execute(SHAPES, (context.tenant, [one.shape for one in shapes], types, paths))


def _tables(tenant: int, writes: Sequence[Write]) -> Iterable[tuple[LiteralString, list[str]]]:
    """Each COPY statement and its lines."""
    ordered = sorted(writes, key=lambda one: (one.type, one.id))  # as write_versions does: two writers never cross
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
            f"{w.pk}\t{w.written}\t{tenant}\t{w.version}\t{w.type}\t{w.method}\t{w.id}\t\\\\x{(w.content or b'').hex()}\n"
            for w in writes
        ],
    )
    yield (
        "COPY index_token (key, pk, tenant) FROM STDIN",
        [f"{key}\t{w.pk}\t{tenant}\n" for w in writes for key in w.added.tokens],
    )
    yield (
        "COPY index_reference (key, target, pk, tenant) FROM STDIN",
        [f"{key}\t{target}\t{w.pk}\t{tenant}\n" for w in writes for key, target in w.added.references],
    )
    yield (
        "COPY index_string (key, value, full_value, exact, pk, tenant) FROM STDIN",
        [f"{_line(row)}\t{w.pk}\t{tenant}\n" for w in writes for row in w.added.strings],
    )
    yield (
        "COPY index_date (key, low, high, pk, tenant) FROM STDIN",
        [f"{key}\t{low}\t{high}\t{w.pk}\t{tenant}\n" for w in writes for key, low, high in w.added.dates],
    )
    yield (
        "COPY index_number (key, low, high, pk, tenant) FROM STDIN",
        [f"{key}\t{low}\t{high}\t{w.pk}\t{tenant}\n" for w in writes for key, low, high in w.added.numbers],
    )
    yield (
        "COPY index_quantity (key, low, high, code, label, canonical_key, canonical_low, canonical_high, pk, tenant) "
        "FROM STDIN",
        [f"{_line(row)}\t{w.pk}\t{tenant}\n" for w in writes for row in w.added.quantities],
    )


def _line(row: tuple[Any, ...]) -> str:
    """The columns of a row in COPY's text format."""
    return "\t".join("\\N" if value is None else _text(str(value)) for value in row)


def _text(value: str) -> str:
    return value.translate(ESCAPES) if SPECIAL.search(value) else value
