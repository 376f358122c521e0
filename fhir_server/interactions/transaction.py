"""transaction: all of a Bundle's entries or none, in one database transaction and a handful of statements.

https://hl7.org/fhir/R4/http.html#transaction and #trules
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.etag import etag, version_of
from fhir_server.interactions.batch import response
from fhir_server.interactions.change import Change, Stored, apply, instant, new_id
from fhir_server.interactions.conditional import Pairs, criteria_of, find_each, lock, lock_key, only, query_of
from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import Answer, Dispatch, Entry, PatchOf, entries_of
from fhir_server.interactions.links import conditional_references, rewritten
from fhir_server.interactions.write import check_id, identified, selected_for_delete
from fhir_server.outcome import Refusal, refuse
from fhir_server.search.query import Query
from fhir_server.store.resources import Current, current

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
    found: list[str] = field(default_factory=list)  # up to two ids that the criteria select in the store
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
    await _look_up(context, [one for one in ordered if one.criteria is not None and one.entry.method != "DELETE"])
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
    existing = await _existing(context, [one for one in ordered if one.matched is not None])
    return {
        n: _answer([stored[id(c)] for c in one.changes], prefer) if one.matched is None else _found(one, existing, prefer)
        for n, one in steps.items()
    }


async def _look_up(context: Context, steps: Sequence[Step]) -> None:
    """What the criteria of the steps select in the store, all in one round trip."""
    queries = []
    for step in steps:
        try:
            queries.append(query_of(context, step.type, step.criteria or ()))
        except Refusal as refusal:
            raise refusal.at(step.entry.place) from None
    for step, ids in zip(steps, await find_each(context, queries), strict=True):
        step.found = ids


async def _settle(context: Context, step: Step, all_steps: Sequence[Step], patch_of: PatchOf) -> None:
    """Decides which resources the step changes."""
    try:
        match step.entry.method:
            case "DELETE":
                step.changes = await _deletes(context, step)
            case "POST":
                _settle_create(step, all_steps)
            case "PUT":
                step.changes = [_update(step)]
            case _:
                step.changes = [_patch(context, step, patch_of)]
    except Refusal as refusal:
        raise refusal.at(step.entry.place) from None


async def _deletes(context: Context, step: Step) -> list[Change]:
    if step.criteria is None:
        return [_change(step, step.id)]
    if context.settings.conditional_delete == "not-supported":
        raise refuse("not-supported", "conditional delete is switched off on this server", status=405)
    return [_change(step, found) for found in await selected_for_delete(context, step.type, step.criteria)]


def _settle_create(step: Step, all_steps: Sequence[Step]) -> None:
    step.matched, step.changes = None, []
    if step.criteria is not None:
        step.matched = _matched(step, all_steps)
    if step.matched is None:
        step.changes = [_change(step, step.fresh, resource=step.entry.resource, fresh=True)]


def _matched(step: Step, all_steps: Sequence[Step]) -> str | None:
    """What If-None-Exist finds: in the store, or made by an entry before with the same criteria."""
    deleted = {c.id for one in all_steps if one.entry.method == "DELETE" and one.type == step.type for c in one.changes}
    found = only(step.type, [one for one in step.found if one not in deleted])
    if found is not None:
        return found
    for one in all_steps:
        if one is step:
            return None
        if one.entry.method == "POST" and one.type == step.type and one.criteria == step.criteria:
            return one.matched or one.fresh
    return None


def _update(step: Step) -> Change:
    resource = step.entry.resource or {}
    stated = resource.get("id", "")
    if step.criteria is None:
        if stated not in ("", step.id):
            raise refuse("invalid", f"the resource's id is {stated!r}, the url's is '{step.id}'", "Resource.id")
        return _change(step, step.id, resource={**resource, "id": step.id})
    settled = identified(_change(step, stated, resource=resource), only(step.type, step.found))
    if settled.fresh:
        settled.id = step.fresh
    return settled


def _patch(context: Context, step: Step, patch_of: PatchOf) -> Change:
    target = step.id if step.criteria is None else only(step.type, step.found)
    if target is None:
        raise refuse("not-found", f"the criteria select no {step.type}")
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
    places: dict[str, str] = {}
    for step in steps:
        for change in step.changes:
            for text in conditional_references(change.resource) - mapping.keys() if change.resource else ():
                places.setdefault(text, change.place)
    queries = [_reference_query(context, text, place) for text, place in places.items()]
    for (text, place), ids in zip(places.items(), await find_each(context, queries), strict=True):
        if len(ids) != 1:
            how = "more than one resource" if ids else "nothing"
            raise refuse("processing", f"{place}: the conditional reference {text[:300]} selects {how}", place, status=412)
        mapping[text] = f"{text.partition('?')[0]}/{ids[0]}"


def _reference_query(context: Context, reference: str, place: str) -> Query:
    kind, _, criteria = reference.partition("?")
    try:
        return query_of(context, kind, _criteria(criteria))
    except Refusal as refusal:
        raise refusal.at(place) from None


def _answer(stored: Sequence[Stored], prefer: str | None) -> Answer:
    if not stored or stored[0].content is None:
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


async def _existing(context: Context, steps: Sequence[Step]) -> dict[tuple[str, str], Current]:
    """The current versions of what conditional creates found, or what their twins in this Bundle made."""
    targets = list({(context.type_code(one.type), one.matched): None for one in steps if one.matched is not None})
    known = await current(context.conn, context.tenant, targets, lock=False) if targets else {}
    return {(context.types.name[code], resource_id): one for (code, resource_id), one in known.items()}


def _found(step: Step, existing: Mapping[tuple[str, str], Current], prefer: str | None) -> Answer:
    kept = existing[step.type, step.matched or ""]
    return Answer(
        200,
        location=f"{step.type}/{step.matched}/_history/{kept.version}",
        etag=etag(kept.version),
        last_modified=instant(kept.written),
        content=kept.content if prefer == PREFERENCE else None,
    )
