"""Conditional interactions: criteria in place of an id, safe when many clients ask at once.

https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #cond-patch and #cond-delete
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from fhir_server.access.element import usable
from fhir_server.access.logic import ALL
from fhir_server.access.narrow import narrowed
from fhir_server.context import Context
from fhir_server.interactions.url import Pairs, split_query
from fhir_server.outcome import Refusal, refuse
from fhir_server.search.key import key
from fhir_server.search.parse import OPTIONS, RESULT, Limits, parse
from fhir_server.search.query import Query, Term
from fhir_server.search.term import Usable
from fhir_server.search.types.context import Context as SearchContext
from fhir_server.search.value_set import CODE_SYSTEM, VALUE_SET, Asked, at_hand, may_ask

SHAPING = frozenset(("_format", "_pretty", "_summary", "_elements"))
USUAL = Limits()
SELECT_NOTHING = (RESULT | OPTIONS) - SHAPING


def criteria_of(text: str | bytes, resource_type: str | None = None) -> Pairs:
    """The criteria of an If-None-Exist or a conditional reference: `a=b&c=d`, perhaps behind `[base]/Type?` or `?`.

    Raises Refusal (400) for what is no query string, or is one of another type than `resource_type`.
    """
    raw = text.encode() if isinstance(text, str) else text
    head, mark, rest = raw.partition(b"?")
    if not mark or b"=" in head:  # without a type in front, a question mark belongs to a value
        return selecting(split_query(raw))
    named = head.rpartition(b"/")[2].decode("utf-8", "replace")
    if resource_type is not None and named not in ("", resource_type):
        raise refuse("invalid", f"the criteria are for {named[:80]}, the request is for {resource_type}")
    return selecting(split_query(rest))


def selecting(pairs: Pairs) -> Pairs:
    """The parameters that select, without those that shape the answer.

    Raises Refusal (400) for one that does neither, such as _count: who sent it meant something that would not happen.
    """
    for name, value in pairs:
        if name.partition(":")[0] in SELECT_NOTHING:
            raise refuse("invalid", f"'{name}' selects nothing; it has no meaning among criteria", name)
        if not value and name not in SHAPING and any(other for _, other in pairs):
            raise refuse("invalid", f"'{name}' has no value; without one it would not narrow the criteria", name)
    return [pair for pair in pairs if pair[0] not in SHAPING]


async def query_of(context: Context, resource_type: str, pairs: Pairs) -> Query:
    """The Query of the criteria among what the caller may see; always strict, and never empty: 412 where nothing selects."""
    context.type_code(resource_type)
    if not any(value for _, value in pairs):
        raise refuse("conflict", f"criteria are needed to select a {resource_type}, none were given", status=412)
    return narrowed(await parsed(context, (resource_type,), pairs), context.rights)


def usable_by(context: Context) -> Usable | None:
    """Which parameters the caller may search by, where that is not for all callers the same."""
    return None if context.rights is None else usable(context.rights, context.parameters)


async def parsed(
    context: Context, types: Sequence[str], pairs: Pairs, *, lenient: bool = False, limits: Limits = USUAL
) -> Query:
    """The Query of a search; the value sets and code systems that it names are looked up before, as the caller sees them."""
    usable = usable_by(context)
    read = partial(parse, types, pairs, context.parameters, lenient=lenient, limits=limits, usable=usable)
    known = search_context(context)
    if not may_ask(name for name, _ in pairs):
        return read(known)
    asked = Asked()
    with suppress(Refusal):  # the second reading comes to it again, and raises it
        read(replace(known, codes_of=asked.codes_of, subsumed=asked.subsumed))
    if not asked.names:
        return read(known)
    async with context.connection() as conn:
        found = await at_hand(
            context.search(conn), context.packages.registry, asked.names, context.base, _visible(context)
        )
    return read(replace(known, codes_of=found.codes_of, subsumed=found.subsumed))


def _visible(context: Context) -> Term | None:
    """What must hold for a stored value set or code system so that the caller may search by it; None: nothing is."""
    return ALL if context.rights is None else context.rights.visible("s", (VALUE_SET, CODE_SYSTEM))


def search_context(context: Context) -> SearchContext:
    """What the search types must know of this request."""
    return SearchContext(tenant=context.tenant, base=context.base, most_codes=context.settings.max_search_codes)


async def find(context: Context, resource_type: str, pairs: Pairs, limit: int = 2) -> list[str]:
    """The ids of the first resources that the criteria select."""
    query = await query_of(context, resource_type, pairs)
    return [resource_id for _, resource_id in await context.search(context.conn).first(query, limit)]


async def find_one(context: Context, resource_type: str, pairs: Pairs) -> str | None:
    """The id of the one resource that the criteria select, None where there is none; 412 where there are more."""
    return only(resource_type, await find(context, resource_type, pairs))


def only(resource_type: str, ids: Sequence[str]) -> str | None:
    """The one id, None where there is none; 412 where there are more."""
    if len(ids) > 1:
        raise refuse("multiple-matches", f"the criteria select more than one {resource_type}; narrow them")
    return ids[0] if ids else None


async def find_each(context: Context, queries: Sequence[Query], limit: int = 2) -> list[list[str]]:
    """Up to `limit` ids for each query."""
    if not queries:
        return []
    async with context.connection() as conn:
        search = context.search(conn)
        return [[resource_id for _, resource_id in await search.first(query, limit)] for query in queries]


def lock_key(tenant: int, resource_type: str, pairs: Pairs) -> int:
    """The same for the same criteria, in whatever order."""
    return key(tenant, resource_type, "", "criteria", *(part for pair in sorted(pairs) for part in pair))


async def lock(context: Context, keys: Iterable[int]) -> None:
    """Holds the criteria until the transaction ends, over all processes: who asks the same waits, then sees the result."""
    wanted = sorted(set(keys))
    if wanted:
        await context.conn.run("SELECT pg_advisory_xact_lock(k) FROM unnest($1::int8[]) AS k", (wanted,))
