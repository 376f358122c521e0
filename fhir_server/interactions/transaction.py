"""transaction: all of a Bundle's entries or none, in one database transaction and a handful of statements.

https://hl7.org/fhir/R4/http.html#transaction and #trules
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.etag import etag, version_of
from fhir_server.interactions.batch import response
from fhir_server.interactions.change import Change, Stored, apply, instant, new_id
from fhir_server.interactions.conditional import Pairs, criteria_of, find_one, lock, lock_key
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import Answer, Dispatch, Entry, PatchOf, entries_of
from fhir_server.interactions.links import CONDITIONAL, conditional_references, rewritten
from fhir_server.interactions.write import check_id, identified, selected_for_delete
from fhir_server.outcome import Refusal, refuse
from fhir_server.store.resources import read

RESTFUL = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})")
PREFERENCE = "representation"


@dataclass(slots=True)
class Step:
    """An entry that writes: its target, and what became of the criteria that select it."""

    entry: Entry
    type: str
    id: str  # as the url says; "" where criteria select
    criteria: Pairs | None
    fresh: str  # the id a create uses, chosen once so that a second attempt is the same
    matched: str | None = None  # the resource that If-None-Exist found: nothing is written
    changes: list[Change] = field(default_factory=list)


async def transaction(
    context: Context, bundle: dict[str, Any], dispatch: Dispatch, patch_of: PatchOf, *, prefer: str | None
) -> bytes:
    """The transaction-response Bundle, entries in request order.

    Raises the refusal of the first entry that fails, with its place in the Bundle; nothing of it is stored then.
    """
    entries = entries_of(context, bundle)
    steps = {n: _step(context, entry) for n, entry in enumerate(entries) if _writes(entry)}

    async def work(inner: Context) -> list[Answer]:
        answers = await _write(inner, steps, patch_of, prefer)
        for n, entry in enumerate(entries):
            if n not in steps:
                answers[n] = await _dispatched(inner, entry, dispatch)
        return [answers[n] for n in range(len(entries))]

    return response(b"transaction-response", await context.transact(work))


def _writes(entry: Entry) -> bool:
    return entry.method not in ("GET", "HEAD") and "$" not in entry.url.partition("?")[0] and "_search" not in entry.url


async def _dispatched(context: Context, entry: Entry, dispatch: Dispatch) -> Answer:
    """A read or search of the transaction, after its writes; its failure is the transaction's."""
    answer = await dispatch(context, entry)
    if answer.status >= 400:
        raise refuse("processing", f"{entry.place}: {entry.method} {entry.url} failed", entry.place, status=answer.status)
    return answer


def _step(context: Context, entry: Entry) -> Step:
    try:
        return _parsed(context, entry)
    except Refusal as refusal:
        raise refusal.at(entry.place) from None


def _parsed(context: Context, entry: Entry) -> Step:
    path, _, query = entry.url.partition("?")
    kind, _, resource_id = path.strip("/").partition("/")
    context.type_code(kind)
    criteria: Pairs | None = None
    if entry.method == "POST":
        if resource_id:
            raise refuse("not-supported", f"POST {path[:200]}: a create goes to the type, without an id", status=405)
        if unless := entry.headers.get("if-none-exist"):
            criteria = _criteria(unless.partition("?")[2] if "?" in unless else unless)
    elif resource_id:
        check_id(resource_id)
    else:
        criteria = _criteria(query)
    return Step(entry, kind, resource_id, criteria, fresh=new_id())


def _criteria(text: str) -> Pairs:
    try:
        return criteria_of(text)
    except ValueError:
        raise refuse("invalid", f"'{text[:200]}' is not a query string") from None


async def _write(context: Context, steps: dict[int, Step], patch_of: PatchOf, prefer: str | None) -> dict[int, Answer]:
    """All writes: criteria are looked up, identities settled, links rewritten, and everything stored at once."""
    ordered = list(steps.values())
    await lock(context, [lock_key(context.tenant, one.type, one.criteria) for one in ordered if one.criteria is not None])
    for method in ("DELETE", "POST", "PUT", "PATCH"):
        for one in ordered:
            if one.entry.method == method:
                await _settle(context, one, ordered, patch_of)
    _refuse_twice(ordered)
    mapping = _identities(ordered)
    await _resolve_conditional_references(context, ordered, mapping)
    changes = [change for one in ordered for change in one.changes]
    for n, change in enumerate(changes):
        if change.resource is not None:
            change.resource = rewritten(change.resource, mapping)
        if n % 64 == 63:
            await asyncio.sleep(0)  # other requests get their turn
    stored = dict(zip(map(id, changes), await apply(context, changes, lock=True), strict=True))
    return {n: await _answer(context, one, [stored[id(c)] for c in one.changes], prefer) for n, one in steps.items()}


async def _settle(context: Context, step: Step, all_steps: Sequence[Step], patch_of: PatchOf) -> None:
    """Decides which resources the step changes."""
    try:
        match step.entry.method:
            case "DELETE":
                step.changes = await _deletes(context, step)
            case "POST":
                await _settle_create(context, step, all_steps)
            case "PUT":
                step.changes = [await _update(context, step)]
            case _:
                step.changes = [await _patch(context, step, patch_of)]
    except Refusal as refusal:
        raise refusal.at(step.entry.place) from None


async def _deletes(context: Context, step: Step) -> list[Change]:
    if step.criteria is None:
        return [_change(step, step.id)]
    if context.settings.conditional_delete == "not-supported":
        raise refuse("not-supported", "conditional delete is switched off on this server", status=405)
    return [_change(step, found) for found in await selected_for_delete(context, step.type, step.criteria)]


async def _settle_create(context: Context, step: Step, all_steps: Sequence[Step]) -> None:
    step.matched, step.changes = None, []
    if step.criteria is not None:
        step.matched = await _matched(context, step, all_steps)
    if step.matched is None:
        step.changes = [_change(step, step.fresh, resource=step.entry.resource, fresh=True)]


async def _matched(context: Context, step: Step, all_steps: Sequence[Step]) -> str | None:
    """What If-None-Exist finds: in the store, or made by an entry before with the same criteria."""
    deleted = {c.id for one in all_steps if one.entry.method == "DELETE" and one.type == step.type for c in one.changes}
    found = await find_one(context, step.type, step.criteria or ())
    if found is not None and found not in deleted:
        return found
    for one in all_steps:
        if one is step:
            return None
        if one.entry.method == "POST" and one.type == step.type and one.criteria == step.criteria:
            return one.matched or one.fresh
    return None


async def _update(context: Context, step: Step) -> Change:
    resource = step.entry.resource or {}
    if step.criteria is None:
        stated = resource.get("id", step.id)
        wanted = {**resource, "id": step.id} if "id" not in resource else resource
        if stated != step.id:
            raise refuse("invalid", f"the resource's id is {stated!r}, the url's is '{step.id}'", "Resource.id")
        return _change(step, step.id, resource=wanted)
    stated = resource.get("id", "")
    found = await find_one(context, step.type, step.criteria)
    # A temporary id of the Bundle is no wish for an id of the server.
    settled = identified(_change(step, "" if found is None and not stated else stated, resource=resource), found)
    if settled.fresh:
        settled.id = step.fresh
    return settled


async def _patch(context: Context, step: Step, patch_of: PatchOf) -> Change:
    target = step.id
    if step.criteria is not None:
        found = await find_one(context, step.type, step.criteria)
        if found is None:
            raise refuse("not-found", f"the criteria select no {step.type}")
        target = found
    return _change(step, target, patch=patch_of(context, step.entry))


def _change(step: Step, resource_id: str, **more: Any) -> Change:
    headers = step.entry.headers
    match = headers.get("if-match")
    return Change(
        step.type,
        resource_id,
        if_match=version_of(match, "ifMatch") if match and match.strip() != "*" else None,
        if_none_match=headers.get("if-none-match", "").strip() == "*",
        place=step.entry.place,
        **more,
    )


def _refuse_twice(steps: Sequence[Step]) -> None:
    """A resource may be written by one entry only."""
    seen: dict[tuple[str, str], str] = {}
    for step in steps:
        for change in step.changes:
            before = seen.setdefault((change.type, change.id), change.place)
            if before != change.place:
                text = f"{change.place} and {before} both change {change.type}/{change.id}, which one entry alone may do"
                raise refuse("invalid", text, change.place)


def _identities(steps: Sequence[Step]) -> dict[str, str]:
    """Temporary and stated identities of the entries, and the references they become."""
    mapping: dict[str, str] = {}
    for step in steps:
        if step.entry.method not in ("POST", "PUT"):
            continue
        stored = f"{step.type}/{step.matched or step.changes[0].id}"
        if step.criteria is not None and step.entry.method == "POST":
            mapping[f"{step.type}?{_written(step)}"] = stored
        if not step.entry.full_url:
            continue
        if mapping.setdefault(step.entry.full_url, stored) != stored:
            raise refuse("duplicate", f"{step.entry.place}.fullUrl is that of another entry", step.entry.place, status=400)
        if (named := RESTFUL.fullmatch(step.entry.full_url)) and step.entry.method == "POST":
            mapping.setdefault(named[1], stored)
    return mapping


def _written(step: Step) -> str:
    text = step.entry.headers.get("if-none-exist", "")
    return text.partition("?")[2] if "?" in text else text


async def _resolve_conditional_references(context: Context, steps: Sequence[Step], mapping: dict[str, str]) -> None:
    """Adds `Type?criteria` references to the mapping; each must select exactly one resource."""
    for step in steps:
        for change in step.changes:
            for text in conditional_references(change.resource) - mapping.keys() if change.resource else ():
                mapping[text] = await _selected(context, text, change.place)


async def _selected(context: Context, reference: str, place: str) -> str:
    parts = CONDITIONAL.fullmatch(reference)
    assert parts is not None
    try:
        found = await find_one(context, parts[1], _criteria(parts[2]))
    except Refusal as refusal:
        raise refusal.at(place) from None
    if found is None:
        raise refuse("not-found", f"{place}: the conditional reference {reference[:300]} selects nothing", place, status=412)
    return f"{parts[1]}/{found}"


async def _answer(context: Context, step: Step, stored: Sequence[Stored], prefer: str | None) -> Answer:
    if step.matched is not None:
        return await _existing(context, step, step.matched, prefer)
    if step.entry.method == "DELETE":
        version = stored[0].version if len(stored) == 1 else 0
        return Answer(204, etag=etag(version) if version else "")
    one = stored[0]
    assert one.written is not None
    return Answer(
        201 if one.created else 200,
        location=f"{one.type}/{one.id}/_history/{one.version}",
        etag=etag(one.version),
        last_modified=instant(one.written),
        content=one.content if prefer == PREFERENCE else None,
    )


async def _existing(context: Context, step: Step, resource_id: str, prefer: str | None) -> Answer:
    """The answer of a conditional create that found its resource (or whose twin in this Bundle made it)."""
    kept = await read(context.conn, context.tenant, context.type_code(step.type), resource_id)
    assert kept is not None, "found or written in this transaction"
    return Answer(
        200,
        location=f"{step.type}/{resource_id}/_history/{kept.version}",
        etag=etag(kept.version),
        last_modified=instant(kept.written),
        content=kept.content if prefer == PREFERENCE else None,
    )
