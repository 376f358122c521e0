"""What of the stored versions a caller sees: those that the caller's clauses admit, as they are and as the resource is now.

https://hl7.org/fhir/R4/security.html#6.1.0.4.1

A version that says something else than the resource says today may be an error that was mended, about another patient
than it seemed. So an old version is seen by those only who may see the last one as well.
"""

from collections.abc import Iterable

import msgspec

from fhir_server.access.element import shown
from fhir_server.access.judge import admits, holds, leads_out
from fhir_server.access.narrow import missing
from fhir_server.context import Context
from fhir_server.json import parse_json
from fhir_server.store.connection import Connection
from fhir_server.store.resources import Version, contents


async def seen(context: Context, kind: str, resource_id: str, kept: Version | None, *, current: bool) -> Version | None:
    """The version, None where the caller may not see it: then it is as if there were none. `current`: it is the last one.

    Raises Refusal (403) where the caller may read nothing of the type.
    """
    rights = context.rights
    if rights is None or rights.reads_all(kind):
        return kept
    term = rights.term("r", kind)
    if term is None:
        raise missing(rights, "r", kind)
    if kept is None:
        return kept
    told = [kept.content] if current and kept.content is not None else None
    if told is not None and not leads_out(term):  # a connection would be for nothing, and costs more than the rest
        return kept if holds(term, parse_json(told[0]), context.tenant, context.parameters.base) else None
    async with context.connection() as conn:
        if told is None:
            told = await contents(conn, context.tenant, context.type_code(kind), resource_id, kept.version)
        return kept if await sees(context, conn, "r", kind, told) else None


async def stored(context: Context, kind: str, resource_id: str) -> Version | None:
    """The current version of a resource as the caller sees it, hidden elements left out; None where there is none for it.

    Raises Refusal (403) where the caller may read nothing of the type.
    """
    kept = await context.read(context.type_code(kind), resource_id)
    kept = await seen(context, kind, resource_id, kept, current=True)
    if kept is None or kept.content is None or context.rights is None:
        return kept
    return msgspec.structs.replace(kept, content=shown(context.rights, kept.content))


async def sees(context: Context, conn: Connection, letter: str, kind: str, told: Iterable[bytes]) -> bool:
    """Whether the caller may see all of these contents of one resource; of none, not."""
    assert context.rights is not None, "only with rights to keep to"
    term = context.rights.term(letter, kind)
    search, some = context.search(conn), False
    for content in dict.fromkeys(told):
        some = True
        if not await admits(search, term, parse_json(content)):
            return False
    return some
