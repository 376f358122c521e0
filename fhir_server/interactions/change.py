"""Creates, updates, patches and deletes, one or a bundle full: current versions in, new versions out.

https://hl7.org/fhir/R4/http.html#create, #update, #patch, #delete and #concurrency
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fhir_server.access.audit import Trail, patients_in
from fhir_server.access.element import completed, patched, shown
from fhir_server.access.write import Letter, check_after, check_before, may_see
from fhir_server.context import Context
from fhir_server.etag import etag
from fhir_server.json import dump_json, parse_json, parse_stored
from fhir_server.moment import instant
from fhir_server.outcome import Issue, Refusal, refuse
from fhir_server.search.difference import difference
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.search.registration import check, refresh, register
from fhir_server.store.audit import Note
from fhir_server.store.changes import Write
from fhir_server.store.noted import write_noted
from fhir_server.store.race import LocksNeeded
from fhir_server.store.resources import Current, Target, current
from fhir_server.store.rows import Rows
from fhir_server.store.shared import Asked
from fhir_server.validation import check_whole

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
TURN = 8  # changes that are planned in a row
BEAT = 10.0  # seconds after which the database is told that its transaction is not forgotten
MILLISECOND = timedelta(milliseconds=1)


class Change(msgspec.Struct):
    """What is to become of one resource.

    `resource` is the new content of a create or update, `patch` makes it from the current one, neither means delete.
    `fresh`: the id was allocated here, so nothing can be stored under it. `unused`: nothing may be stored under the id.
    `if_match`: the versions of which one must be current, `("*",)` for any.
    """

    type: str
    id: str
    resource: dict[str, Any] | None = None
    patch: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    fresh: bool = False
    unused: bool = False
    if_match: tuple[str, ...] | None = None
    if_none_match: bool = False
    updates: bool = False  # asked for as an update, also where it creates under an id of the server
    place: str = ""  # where in a Bundle this stands, for refusals

    @property
    def deletes(self) -> bool:
        return self.resource is None and self.patch is None

    @property
    def letter(self) -> Letter:
        """The letter of SMART that it needs; an update may create."""
        return "d" if self.deletes else "c" if self.fresh and not self.updates else "u"


class Stored(msgspec.Struct, frozen=True):
    """What a change came to. `changed` is False where the stored version already said the same.

    `shown`: whether the caller may see the content, who may perhaps only write it. `before`: what a delete removed.
    """

    type: str
    id: str
    version: int
    written: datetime | None
    content: bytes | None
    created: bool
    changed: bool
    issues: tuple[Issue, ...] = ()  # what validation remarked, none of them an error
    shown: bool = True
    before: bytes | None = None


def new_id() -> str:
    """An id for a resource that the server names."""
    return str(uuid.uuid4())


async def apply(context: Context, changes: Sequence[Change], *, lock: bool) -> list[Stored]:
    """Writes the changes in one statement and returns what each came to, in order.

    Raises the refusal of the first change that cannot be; then nothing is written. `lock` keeps other writers away
    between reading the current versions and writing (inside a transaction); without it a lost race raises MC001.
    On no connection of its own there can be a few changes only, which go along with those of other requests: a SearchParameter
    is none of them. Raises LocksNeeded there where some are to be written and others leave their resource as it is: it may be
    changed before the write, and the versions of what is written would not tell.
    """
    if context.trail is not None:
        context.trail.written = False
    if context.shapes.stale:
        async with context.connection() as conn:
            await refresh(conn, context.tenant, context.parameters, context.shapes)
    known = await _current(context, changes, lock=lock)
    try:
        told = await _carried_out(context, changes, known)
    except Refusal:
        if not any(one.remembered for one in known.values()):
            raise
        told = None
    # What is remembered is remembered once, so now it is read: the write alone tells whether it was the latest.
    return told if told is not None else await apply(context, changes, lock=lock)


async def _carried_out(
    context: Context, changes: Sequence[Change], known: Mapping[Target, Current]
) -> list[Stored] | None:
    """What each change came to; None where it has to be seen again, by what is stored by now."""
    await _check_before(context, changes, known)
    generation = context.shapes.generation
    planned = await _planned(context, changes, known)
    told = await _check_after(context, changes, [stored for stored, _ in planned])
    writes = [step for _, step in planned if step is not None]
    if context.shapes.generation != generation:  # changed while other requests had their turn: the rows are mixed
        return None
    if len(writes) < len(changes):
        if any(one.remembered for one in known.values()):
            return None
        if writes and context.pinned is None:
            raise LocksNeeded
    if writes:
        await _written(context, changes, planned, writes)
    return told


async def _planned(
    context: Context, changes: Sequence[Change], known: Mapping[Target, Current]
) -> list[tuple[Stored, Write | None]]:
    """What each change comes to; other requests get their turn while a long Bundle is worked on."""
    now, beat = datetime.now(UTC), time.monotonic()
    turns = context.shared.turns if context.pinned is None else context.shared.long_turns
    planned = []
    for begin in range(0, len(changes), TURN):
        async with turns:
            planned += [
                _placed(context, change, known.get((context.type_code(change.type), change.id)), now)
                for change in changes[begin : begin + TURN]
            ]
        if context.pinned is not None and time.monotonic() - beat > BEAT:
            beat = time.monotonic()
            await context.pinned.execute("SELECT 1")
    return planned


async def _check_before(context: Context, changes: Sequence[Change], known: Mapping[Target, Current]) -> None:
    """Refuses (403) what the caller may not write over, before anything is told of it."""
    rights = context.rights
    if rights is None:
        return
    async with context.connection() as conn:
        search = context.search(conn)
        for change in changes:
            found = known.get((context.type_code(change.type), change.id))
            before = found.content if found is not None else None
            with placed_at(change.place):
                await check_before(rights, search, change.letter, change.type, change.id, before)


async def _check_after(context: Context, changes: Sequence[Change], stored: Sequence[Stored]) -> list[Stored]:
    """Refuses (403) content that the caller may not write; of the rest, what the caller may see."""
    rights = context.rights
    if rights is None:
        return list(stored)
    told, written = [], {f"{one.type}/{one.id}" for one in stored if one.content is not None}
    async with context.connection() as conn:
        search = context.search(conn)
        for change, one in zip(changes, stored, strict=True):
            if one.content is not None and not change.deletes:
                with placed_at(change.place):
                    await check_after(rights, search, change.letter, one.type, one.content, written)
                seen = await may_see(rights, search, one.type, one.content)
                told.append(msgspec.structs.replace(one, shown=seen, content=shown(rights, one.content)))
            else:
                told.append(one)
    return told


@contextmanager
def placed_at(place: str) -> Iterator[None]:
    """Refusals inside name the entry of a Bundle, where there is one."""
    try:
        yield
    except Refusal as refusal:
        raise refusal.at(place) if place else refusal from None


async def _written(
    context: Context,
    changes: Sequence[Change],
    planned: Sequence[tuple[Stored, Write | None]],
    writes: Sequence[Write],
) -> None:
    """Writes the versions; SearchParameters among them are registered in the same transaction."""
    changed = {
        change.id: parse_json(stored.content) if stored.content is not None else None
        for change, (stored, step) in zip(changes, planned, strict=True)
        if change.type == "SearchParameter" and step is not None
    }
    if not changed:
        await _write_noted(context, changes, planned, writes)
        return
    async with context.conn.transaction():
        await _write_noted(context, changes, planned, writes)
        codes = context.types.code
        context.shapes.stale |= await register(context.conn, context.tenant, context.parameters, codes, changed)


async def _write_noted(
    context: Context,
    changes: Sequence[Change],
    planned: Sequence[tuple[Stored, Write | None]],
    writes: Sequence[Write],
) -> None:
    """Writes the versions, and with them, where an audit trail is kept, what is to be known of it."""
    trail = context.trail
    notes = [
        _note(trail, change, stored)
        for change, (stored, step) in zip(changes, planned, strict=True)
        if trail is not None and step is not None
    ]
    if context.pinned is None:
        await context.shared.write(Asked(writes, notes, context.shapes.generation))
    else:
        for one in writes:
            context.shared.recent.forget((one.type, one.id))
        if trail is None:
            await context.write(context.pinned, context.tenant, writes, context.shapes)
        else:
            await write_noted(context.pinned, context.tenant, writes, context.shapes, notes)
    if trail is not None:
        trail.written = True


def _note(trail: Trail, change: Change, stored: Stored) -> Note:
    created = stored.created and not change.patch
    subtype = "delete" if change.deletes else "create" if created else "patch" if change.patch else "update"
    return trail.note(
        subtype,
        201 if stored.created else 200,
        entities=[f"{stored.type}/{stored.id}/_history/{stored.version}"],
        patients=patients_in(stored.content or stored.before, stored.type, stored.id),
    )


async def _current(context: Context, changes: Sequence[Change], *, lock: bool) -> dict[Target, Current]:
    """What is known of the resources that are there: remembered, or read. On a connection of its own all are read."""
    targets = [(context.type_code(change.type), change.id) for change in changes if not change.fresh]
    if not targets:
        return {}
    if context.pinned is not None:
        return await current(context.pinned, context.tenant, targets, lock=lock)
    known = {
        target: None if context.shared.current.busy else context.shared.recent.latest(target) for target in targets
    }
    unknown = [target for target, one in known.items() if one is None]
    if len(unknown) == 1:
        known[unknown[0]] = await context.shared.current(unknown[0])
    elif unknown:
        found = await asyncio.gather(*(context.shared.current(target) for target in unknown))
        known.update(zip(unknown, found, strict=True))
    return {target: one for target, one in known.items() if one is not None}


def _placed(context: Context, change: Change, known: Current | None, now: datetime) -> tuple[Stored, Write | None]:
    if not change.place:
        return _plan(context, change, known, now)
    with placed_at(change.place):
        return _plan(context, change, known, now)


def _plan(context: Context, change: Change, known: Current | None, now: datetime) -> tuple[Stored, Write | None]:
    _check_preconditions(change, known)
    if change.deletes:
        return _plan_delete(context, change, known, now)
    resource = _content(context, change, known)
    if context.rights is not None:
        resource = completed(context.rights, change.type, known.content if known is not None else None, resource)
    _check_identity(change, resource)
    check_whole(resource)
    if change.type == "SearchParameter":
        check(context.parameters, resource)
    issues = _validated(context, change, resource)
    return _plan_content(context, change, known, resource, now, issues)


def _check_preconditions(change: Change, known: Current | None) -> None:
    if change.if_match is not None and not _matches(change.if_match, known):
        have = f"version {known.version} is current" if known else "it does not exist"
        wanted = " or ".join(change.if_match)
        raise refuse("conflict", f"If-Match asks for version {wanted} of {_name(change)}, but {have}", status=412)
    if known is None or known.deleted:
        return
    if change.if_none_match:
        raise refuse("conflict", f"{_name(change)} exists already, and If-None-Match: * forbids it", status=412)
    if change.unused:
        raise refuse("conflict", f"the criteria select nothing, but {_name(change)}, which the resource names, exists")


def _matches(wanted: tuple[str, ...], known: Current | None) -> bool:
    return known is not None and (str(known.version) in wanted or ("*" in wanted and not known.deleted))


def _name(change: Change) -> str:
    return f"{change.type}/{change.id}"


def _content(context: Context, change: Change, known: Current | None) -> dict[str, Any]:
    if change.patch is None:
        assert change.resource is not None
        if known is None and not change.fresh and not context.settings.create_on_update:
            raise refuse("not-supported", f"{_name(change)} does not exist and clients may not choose ids", status=405)
        return change.resource
    if known is None:
        raise refuse("not-found", f"{_name(change)} is not known")
    if known.content is None:
        raise Refusal(Issue("deleted", f"{_name(change)} was deleted"), headers=[("etag", etag(known.version))])
    patch = change.patch if context.rights is None else patched(context.rights, change.type, change.patch)
    return patch(parse_json(known.content))


def _check_identity(change: Change, resource: dict[str, Any]) -> None:
    stated = resource.get("resourceType")
    if stated is None:
        raise refuse("structure", f"resourceType is missing; the request is for {change.type}", change.type)
    if stated != change.type:
        text = f"the resource is of type {str(stated)[:80]}, the request is for {change.type}"
        raise refuse("invalid", text, f"{change.type}.resourceType")
    if not change.fresh and resource.get("id") != change.id:
        have = f"is {str(resource['id'])[:80]!r}" if "id" in resource else "is missing"
        raise refuse("invalid", f"the resource's id {have}, the request's is '{change.id}'", f"{change.type}.id")


def _validated(context: Context, change: Change, resource: dict[str, Any]) -> tuple[Issue, ...]:
    """What validation remarks on what is to be stored. A patch was well formed, so what it comes to is 422, not 400."""
    try:
        return tuple(context.validate(resource))
    except Refusal as refusal:
        raise Refusal(refusal.issues, status=422) if change.patch else refusal from None


def _plan_delete(context: Context, change: Change, known: Current | None, now: datetime) -> tuple[Stored, Write | None]:
    if known is None or known.deleted:
        version, written = (known.version, known.written) if known else (0, None)
        return Stored(change.type, change.id, version, written, None, created=False, changed=False), None
    written = _later(now, known)
    step = Write(
        known.pk, context.type_code(change.type), change.id, 0, known.version + 1, written, "D", None, 0,
        Rows(), _rows(context, change, known),
    )  # fmt: skip
    gone = Stored(
        change.type, change.id, step.version, written, None, created=False, changed=True, before=known.content
    )
    return gone, step


def _plan_content(
    context: Context, change: Change, known: Current | None, resource: dict[str, Any], now: datetime,
    issues: tuple[Issue, ...],
) -> tuple[Stored, Write | None]:  # fmt: skip
    version, written = (known.version + 1, _later(now, known)) if known else (1, _milliseconds(now))
    stamped_resource = stamped(resource, change.id, version, written)
    content = dump_json(stamped_resource)
    if known is not None and known.content is not None and _may_say_the_same(content, version, known):
        same = dump_json(stamped(resource, change.id, known.version, known.written))
        if same == known.content:
            unchanged = Stored(
                change.type, change.id, known.version, known.written, same, created=False, changed=False, issues=issues
            )
            return unchanged, None
    step = _write(context, change, known, stamped_resource, content, version, written)
    created = known is None or known.deleted
    stored = Stored(change.type, change.id, version, written, content, created=created, changed=True, issues=issues)
    return stored, step


def _may_say_the_same(content: bytes, version: int, known: Current) -> bool:
    """Whether a text may differ from the current one in version and time alone: then it is as long, but for the version's digits."""
    assert known.content is not None
    return len(content) - len(str(version)) == len(known.content) - len(str(known.version))


def _write(
    context: Context, change: Change, known: Current | None, resource: dict[str, Any], content: bytes,
    version: int, written: datetime,
) -> Write:  # fmt: skip
    if known is not None and known.content is not None:
        added, removed, whole = _difference(context, change, known, resource)
    else:
        added = whole = extract(resource, context.parameters, context.tenant)
        removed = None
    return Write(
        pk=known.pk if known else 0,
        type=context.type_code(change.type),
        id=change.id,
        reference=reference_key(context.tenant, f"{change.type}/{change.id}"),
        version=version,
        written=written,
        method=_method(change, known),
        content=content,
        shape=shape_of(context.tenant, change.type, added),
        added=added,
        removed=removed,
        whole=whole,
        remembered=known is not None and known.remembered,
        alone=known is None or known.remembered,
    )


def _difference(
    context: Context, change: Change, known: Current, resource: dict[str, Any]
) -> tuple[Rows, Rows, Rows | None]:
    """The rows that come, those that go, and all there are then, where those of the version before are remembered."""
    assert known.content is not None
    before = _remembered(context, change, known)
    added, removed = difference(parse_stored(known.content), resource, context.parameters, context.tenant, before)
    return added, removed, None if before is None else before.changed(added, removed)


def _method(change: Change, known: Current | None) -> str:
    """C for what begins: a create, and the return of what was deleted; an update that creates is version 1 of a U."""
    if change.patch:
        return "P"
    return "C" if change.fresh or (known is not None and known.deleted) else "U"


def _rows(context: Context, change: Change, known: Current) -> Rows:
    """The rows that the stored version has in the index."""
    assert known.content is not None
    before = _remembered(context, change, known)
    return before if before is not None else extract(parse_stored(known.content), context.parameters, context.tenant)


def _remembered(context: Context, change: Change, known: Current) -> Rows | None:
    """The rows of the stored version, where this process wrote it a moment ago; not twice, for another one follows it."""
    target = context.type_code(change.type), change.id
    return context.shared.recent.rows(target, known.version, context.shapes.generation)


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _later(now: datetime, known: Current) -> datetime:
    """Now, but after the version before, also when the clock was set back."""
    return max(_milliseconds(now), known.written + MILLISECOND)


def stamped(resource: dict[str, Any], resource_id: str, version: int, written: datetime) -> dict[str, Any]:
    """The resource with id, meta.versionId and meta.lastUpdated of the server; all else, order included, as it came."""
    meta = resource.get("meta")
    stamped_meta = {
        **(meta if isinstance(meta, dict) else {}),
        "versionId": str(version),
        "lastUpdated": instant(written),
    }
    if "id" in resource and "meta" in resource:
        return {**resource, "id": resource_id, "meta": stamped_meta}
    content: dict[str, Any] = {}
    for name, value in resource.items():
        content[name] = resource_id if name == "id" else stamped_meta if name == "meta" else value
        if name == "resourceType" and "id" not in resource:
            content["id"] = resource_id
        if "meta" not in resource and "meta" not in content and "id" in content:
            content["meta"] = stamped_meta
    return content
