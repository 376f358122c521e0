"""transaction: all of a Bundle's entries or none, in one database transaction and a handful of statements.

https://hl7.org/fhir/R4/http.html#transaction and #trules
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.access.element import shown
from fhir_server.context import Context
from fhir_server.etag import etag, versions_of
from fhir_server.interactions.batch import response
from fhir_server.interactions.change import TURN, Change, Stored, apply
from fhir_server.interactions.conditional import find_each, lock, lock_key, only, query_of
from fhir_server.interactions.entry import Answer, Dispatch, Entry, PatchOf, entry_of, items_of
from fhir_server.interactions.identity import Targets, identities, resolve_conditional_references
from fhir_server.interactions.links import Identities, rewritten
from fhir_server.interactions.step import Step, placed, step_of, writes
from fhir_server.interactions.write import identified, outcome_of, selected_for_delete
from fhir_server.moment import instant
from fhir_server.outcome import refuse
from fhir_server.store.race import once
from fhir_server.store.resources import current

MOST_SHARED = 8
"""Entries of a transaction that is short enough for others to wait for."""
REPRESENTATION, OUTCOME = "representation", "OperationOutcome"
Made = dict[tuple[str, ...], str]  # for type and criteria, the id of the resource that an entry found or makes


async def transaction(
    context: Context, bundle: dict[str, Any], dispatch: Dispatch, patch_of: PatchOf, *, prefer: str | None
) -> bytes:
    """The transaction-response Bundle, entries in request order.

    Raises the refusal of the first entry that fails, with its place in the Bundle; nothing of it is stored then.
    """
    entries = [entry_of(context, place, item) for place, item in items_of(context, bundle)]
    steps = {n: step_of(context, entry) for n, entry in enumerate(entries) if writes(entry)}

    async def work(inner: Context) -> list[Answer]:
        answers = await _write(inner, steps, patch_of, prefer)
        for n, entry in enumerate(entries):
            if n not in steps:
                answers[n] = await dispatch(inner, entry)
        return [answers[n] for n in range(len(entries))]

    answers = await once(lambda: work(context)) if _may_share(context, entries, steps) else None
    if answers is None:
        answers = await context.transact(work)
    return response(b"transaction-response", answers)


def _may_share(context: Context, entries: Sequence[Entry], steps: Mapping[int, Step]) -> bool:
    """Whether a single statement writes it all, which those of other requests may share: no criteria, nothing to read.

    It holds no locks in between. Where it loses a race against another writer, or leaves one of its resources as it is, which
    another writer may change, it is done over with locks.
    """
    single = all(one.criteria is None and one.type != "SearchParameter" for one in steps.values())
    return context.pinned is None and single and len(steps) == len(entries) <= MOST_SHARED


async def _write(context: Context, steps: dict[int, Step], patch_of: PatchOf, prefer: str | None) -> dict[int, Answer]:
    """All writes: criteria are looked up, identities settled, links rewritten, and everything stored at once."""
    ordered = list(steps.values())
    await lock(
        context, [lock_key(context.tenant, one.type, one.criteria) for one in ordered if one.criteria is not None]
    )
    deletes = [one for one in ordered if one.entry.method == "DELETE"]
    await _settle_deletes(context, deletes)
    deleted = {(change.type, change.id) for one in deletes for change in one.changes}
    await _look_up(
        context, [one for one in ordered if one.criteria is not None and one.entry.method != "DELETE"], deleted
    )
    _settle(ordered, deleted)
    _refuse_twice(ordered)
    mapping = identities(ordered)
    await resolve_conditional_references(context, ordered, mapping, deleted)
    changes = [change for one in ordered for change in one.changes]
    await _complete(context, ordered, Identities(mapping), patch_of)
    stored = dict(zip(map(id, changes), await apply(context, changes, lock=True), strict=True))
    existing = await _existing(context, [one for one in ordered if one.matched is not None])
    return {
        n: _answer([stored[id(c)] for c in one.changes] if one.matched is None else [existing[one.target]], prefer)
        for n, one in steps.items()
    }


async def _complete(context: Context, steps: Sequence[Step], known: Identities, patch_of: PatchOf) -> None:
    """Gives every change its content: links are rewritten in resources and in the values of FHIRPath patches."""
    for n, step in enumerate(steps):
        for change in step.changes:
            if not change.deletes:
                assert step.entry.resource is not None
                content = rewritten(change.resource or step.entry.resource, known, step.root)
                if change.resource is None:
                    with placed(step.entry):
                        change.patch = patch_of(context, replace(step.entry, resource=content))
                else:
                    change.resource = content
        if n % TURN == TURN - 1:
            await asyncio.sleep(0)  # other requests get their turn


async def _look_up(context: Context, steps: Sequence[Step], deleted: Targets) -> None:
    """What the criteria of the steps select in the store, all in one round trip; one more for each that is deleted."""
    queries = []
    for step in steps:
        with placed(step.entry):
            queries.append(await query_of(context, step.type, step.criteria or []))
    for step, ids in zip(steps, await find_each(context, queries, 2 + len(deleted)), strict=True):
        step.found = ids


async def _settle_deletes(context: Context, steps: Sequence[Step]) -> None:
    for step in steps:
        with placed(step.entry):
            step.changes = await _deletes(context, step)


def _settle(steps: Sequence[Step], deleted: Targets) -> None:
    """Decides which resources the steps change, creates before updates before patches."""
    made: Made = {}
    for method in ("POST", "PUT", "PATCH"):
        for step in steps:
            if step.entry.method == method:
                with placed(step.entry):
                    if method == "POST":
                        _settle_create(step, made, deleted)
                    else:
                        step.changes = [_update(step, made) if method == "PUT" else _patch(step, made)]


async def _deletes(context: Context, step: Step) -> list[Change]:
    if step.criteria is None:
        return [_change(step, step.id)]
    if context.settings.conditional_delete == "not-supported":
        raise refuse("not-supported", "conditional delete is switched off on this server", status=405)
    return [_change(step, found) for found in await selected_for_delete(context, step.type, step.criteria)]


def _settle_create(step: Step, made: Made, deleted: Targets) -> None:
    """A create, unless If-None-Exist finds a resource: in the store, or made by an entry before with the same criteria."""
    step.matched, step.changes = None, []
    if step.criteria is not None:
        left = [one for one in step.found if (step.type, one) not in deleted]
        step.matched = only(step.type, left) or made.get(step.selects)
        made.setdefault(step.selects, step.matched or step.fresh)
    if step.matched is None:
        step.changes = [_change(step, step.fresh, resource=step.entry.resource, fresh=True)]


def _update(step: Step, made: Made) -> Change:
    resource = step.entry.resource or {}
    if step.criteria is None:
        return _change(step, step.id, resource=resource)
    stated = resource.get("id", "")
    if not isinstance(stated, str):
        raise refuse("value", "the resource's id is not a string", f"{step.type}.id")
    settled = identified(_change(step, stated, resource=resource), _selected(step, made))
    if settled.fresh:
        settled.id = step.fresh
    made.setdefault(step.selects, settled.id)
    return settled


def _selected(step: Step, made: Made) -> str | None:
    """What the criteria of an update or patch select; what this Bundle makes is found too, and refused as changed twice."""
    return only(step.type, step.found) or made.get(step.selects)


def _patch(step: Step, made: Made) -> Change:
    target = step.id if step.criteria is None else _selected(step, made)
    if target is None:
        raise refuse("not-found", f"the criteria select no {step.type}")
    return _change(step, target, patch=_unpatched)


def _unpatched(_resource: dict[str, Any]) -> dict[str, Any]:
    """Stands for the patch until the links in it can be rewritten."""
    raise AssertionError("completed before it is applied")


def _change(step: Step, resource_id: str, **more: Any) -> Change:
    headers = step.entry.headers
    match = headers.get("if-match")
    return Change(
        step.type,
        resource_id,
        if_match=versions_of(match, "ifMatch") if match is not None else None,
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
                text = (
                    f"{change.place} and {before} both change {change.type}/{change.id}, which one entry alone may do"
                )
                raise refuse("invalid", text, change.place)


def _answer(stored: Sequence[Stored], prefer: str | None) -> Answer:
    outcome = outcome_of(stored) if prefer == OUTCOME else None
    if not stored or stored[0].content is None:
        one = stored[0] if len(stored) == 1 else None
        return Answer(
            200 if outcome else 204,
            etag=etag(one.version) if one and one.version else "",
            last_modified=instant(one.written) if one and one.written else "",
            outcome=outcome,
        )
    one = stored[0]
    assert one.written is not None
    return Answer(
        201 if one.created else 200,
        location=f"{one.type}/{one.id}/_history/{one.version}",
        etag=etag(one.version),
        last_modified=instant(one.written),
        content=one.content if prefer == REPRESENTATION and one.shown else None,
        outcome=outcome,
    )


async def _existing(context: Context, steps: Sequence[Step]) -> dict[str, Stored]:
    """By reference, the current versions of what conditional creates found, or what their twins in this Bundle made."""
    targets = list({(context.type_code(one.type), one.matched): None for one in steps if one.matched is not None})
    known = await current(context.conn, context.tenant, targets, lock=False) if targets else {}
    found = (
        Stored(
            context.types.name[code],
            resource_id,
            one.version,
            one.written,
            _shown(context, one.content),
            created=False,
            changed=False,
        )
        for (code, resource_id), one in known.items()
    )
    return {f"{one.type}/{one.id}": one for one in found}


def _shown(context: Context, content: bytes | None) -> bytes | None:
    return content if content is None or context.rights is None else shown(context.rights, content)
