"""create, update, patch and delete of one resource, by id or by criteria.

https://hl7.org/fhir/R4/http.html#create, #update, #patch and #delete
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from fhir_server.access.element import shown
from fhir_server.context import Context
from fhir_server.interactions.change import ID, Change, Stored, apply, new_id
from fhir_server.interactions.conditional import find, find_one, lock, lock_key
from fhir_server.interactions.url import Pairs
from fhir_server.json import dump_json
from fhir_server.outcome import Issue, operation_outcome, refuse
from fhir_server.store.race import again
from fhir_server.store.resources import read

Patch = Callable[[dict[str, Any]], dict[str, Any]]
MOST_NAMED = 20


async def change(context: Context, wanted: Change) -> Stored:
    """One change by id: read, then one statement, which other changes may share; a lost race is run again."""
    if context.pinned is not None or wanted.type == "SearchParameter":  # which is registered in the same transaction
        return await context.attempt(lambda inner: _one(inner, wanted))
    return await again(lambda: _one(context, wanted))


async def _one(context: Context, wanted: Change) -> Stored:
    return (await apply(context, [wanted], lock=False))[0]


async def create(context: Context, resource_type: str, resource: dict[str, Any]) -> Stored:
    """A new resource under an id of the server; an id in the resource is ignored."""
    return await change(context, Change(resource_type, new_id(), resource, fresh=True))


async def create_unless(context: Context, resource_type: str, resource: dict[str, Any], pairs: Pairs) -> Stored:
    """Conditional create: the one resource that the criteria select, else a new one."""

    async def work(inner: Context) -> Stored:
        await lock(inner, [lock_key(inner.tenant, resource_type, pairs)])
        found = await find_one(inner, resource_type, pairs)
        if found is None:
            return await _one(inner, Change(resource_type, new_id(), resource, fresh=True))
        return await _stored(inner, resource_type, found)

    return await context.transact(work)


async def _stored(context: Context, resource_type: str, resource_id: str) -> Stored:
    """The current version, as the result of an interaction that changed nothing."""
    kept = await read(context.conn, context.tenant, context.type_code(resource_type), resource_id)
    assert kept is not None, "found by a search of the same transaction"
    content = kept.content if context.rights is None or kept.content is None else shown(context.rights, kept.content)
    return Stored(resource_type, resource_id, kept.version, kept.written, content, created=False, changed=False)


async def update_where(context: Context, wanted: Change, pairs: Pairs) -> Stored:
    """Conditional update: of the one resource selected, or a create. `wanted.id` is what the resource states, or ""."""

    async def work(inner: Context) -> Stored:
        await lock(inner, [lock_key(inner.tenant, wanted.type, pairs)])
        return await _one(inner, identified(wanted, await find_one(inner, wanted.type, pairs)))

    return await context.transact(work)


def identified(wanted: Change, found: str | None) -> Change:
    """The change of a conditional update, once the criteria were looked up."""
    if found is None and not wanted.id:
        return replace(wanted, id=new_id(), fresh=True, updates=True)
    if found is None:
        check_id(wanted.id)
        return replace(wanted, unused=True)
    if wanted.id not in ("", found):
        raise refuse(
            "invalid", f"the criteria select {wanted.type}/{found}, but the resource's id is '{wanted.id}'", "id"
        )
    assert wanted.resource is not None
    return replace(wanted, id=found, resource={**wanted.resource, "id": found})


async def patch_where(context: Context, wanted: Change, pairs: Pairs) -> Stored:
    """Conditional patch: of the one resource selected; 404 where there is none."""

    async def work(inner: Context) -> Stored:
        await lock(inner, [lock_key(inner.tenant, wanted.type, pairs)])
        found = await find_one(inner, wanted.type, pairs)
        if found is None:
            raise refuse("not-found", f"the criteria select no {wanted.type}")
        return await _one(inner, replace(wanted, id=found))

    return await context.transact(work)


async def delete_where(context: Context, wanted: Change, pairs: Pairs) -> list[Stored]:
    """Conditional delete: of the one selected, or of all where the setting says `multiple`."""
    if context.settings.conditional_delete == "not-supported":
        raise refuse("not-supported", "conditional delete is switched off on this server", status=405)

    async def work(inner: Context) -> list[Stored]:
        ids = await selected_for_delete(inner, wanted.type, pairs)
        return await apply(inner, [replace(wanted, id=one) for one in ids], lock=True)

    return await context.transact(work)


async def selected_for_delete(context: Context, resource_type: str, pairs: Pairs) -> list[str]:
    """The ids a conditional delete is to remove, within the bounds that the settings set."""
    await lock(context, [lock_key(context.tenant, resource_type, pairs)])
    if context.settings.conditional_delete == "single":
        found = await find_one(context, resource_type, pairs)
        return [found] if found else []
    most = context.settings.max_conditional_deletes
    ids = await find(context, resource_type, pairs, most + 1)
    if len(ids) > most:
        raise refuse("too-costly", f"the criteria select more than {most} resources; narrow them", status=412)
    return ids


def check_id(resource_id: str) -> None:
    """Refuses what is no FHIR id."""
    if not ID.fullmatch(resource_id):
        raise refuse("value", f"'{resource_id[:80]}' is not an id: 1 to 64 of A-Z a-z 0-9 - and . are allowed", "id")


def outcome_of(stored: Sequence[Stored]) -> bytes:
    """The OperationOutcome that tells what a write came to, for clients that prefer one to the resource."""
    named = [_told(one) for one in stored if one.changed or one.content is not None]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    text = ", ".join(named[:MOST_NAMED]) + more if named else "there was nothing to delete"
    remarks = [issue for one in stored for issue in one.issues]
    return dump_json(operation_outcome([Issue("informational", text, severity="information"), *remarks]))


def _told(one: Stored) -> str:
    done = "deleted" if one.content is None else "created" if one.created else "updated" if one.changed else "unchanged"
    return f"{one.type}/{one.id} {done}, version {one.version}"
