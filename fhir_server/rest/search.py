"""search over HTTP: type, system and compartment level, GET and POST, answered with a searchset.

https://hl7.org/fhir/R4/http.html#search and https://hl7.org/fhir/R4/search.html#self
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from urllib.parse import quote_plus, urlencode

from fhir_server.access.narrow import narrowed
from fhir_server.context import Context
from fhir_server.interactions.conditional import parsed
from fhir_server.interactions.url import Pairs, split_query
from fhir_server.json import dump_json
from fhir_server.outcome import Issue, did_you_mean, operation_outcome, refuse
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response
from fhir_server.rest.shape import transform_for
from fhir_server.search.bundle import searchset
from fhir_server.search.compartment import compartment
from fhir_server.search.execute import MOST_INCLUDED, Found
from fhir_server.search.explain import explanation
from fhir_server.search.page import seal, unseal
from fhir_server.search.parse import Limits
from fhir_server.search.query import LAST, Page, Query, Within
from fhir_server.search.registration import is_due, refresh


async def search_type(context: Context, request: Request) -> Response:
    """`GET [base]/[type]?…`"""
    (kind,) = request.segments[:1]
    context.type_code(kind)
    return await _search(context, request, (kind,), request.query)


async def search_system(context: Context, request: Request) -> Response:
    """`GET [base]?…`: all types, or those that `_type` names."""
    types, rest = _types(context, request.query)
    if not rest and not types:
        raise refuse(
            "too-costly", "a search over everything needs parameters, such as _type or _lastUpdated", status=400
        )
    return await _search(context, request, types, rest, typed=True)


async def search_post(context: Context, request: Request) -> Response:
    """`POST [base]/[type]/_search`: parameters of the body, and of the URL, count alike."""
    request.query = _form(request)
    request.segments = request.segments[:-1]
    return await (search_type if request.segments else search_system)(context, request)


def _form(request: Request) -> Pairs:
    """The parameters of URL and form together."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.body and content_type != "application/x-www-form-urlencoded":
        raise refuse("not-supported", "POST _search takes application/x-www-form-urlencoded", status=415)
    return [*request.query, *split_query(request.body.strip())]


async def search_post_compartment(context: Context, request: Request) -> Response:
    """`POST [base]/Patient/123/Observation/_search`"""
    request.query = _form(request)
    request.segments = request.segments[:-1]
    return await search_compartment(context, request)


async def search_compartment(context: Context, request: Request) -> Response:
    """`GET [base]/Patient/123/Observation?…`, or `*` for all types of the compartment."""
    kind, resource_id, wanted = request.segments[:3]
    context.type_code(kind)
    members = compartment(context.definitions, context.parameters, kind)
    if not members:
        raise refuse("not-supported", f"there is no {kind} compartment", status=404)
    if wanted != "*":
        context.type_code(wanted)
        if wanted not in members:
            raise refuse("not-supported", f"{wanted} is not in the {kind} compartment", status=404)
    types = tuple(sorted(members)) if wanted == "*" else (wanted,)
    parameters = tuple(parameter for name in types for parameter in members[name])
    return await _search(context, request, types, request.query, within=Within(f"{kind}/{resource_id}", parameters))


def _types(context: Context, pairs: Pairs) -> tuple[tuple[str, ...], Pairs]:
    """The types that `_type` names, and the other parameters."""
    named = [name for key, value in pairs if key == "_type" for name in value.split(",") if name]
    for name in named:
        if name not in context.types.code:
            close = did_you_mean(name, context.types.code)
            raise refuse("value", f"_type={name[:80]}: not a resource type{close}", "_type")
    return tuple(dict.fromkeys(named)), [pair for pair in pairs if pair[0] != "_type"]


async def _search(
    context: Context,
    request: Request,
    types: tuple[str, ...],
    pairs: Pairs,
    *,
    typed: bool = False,
    within: Within | None = None,
) -> Response:
    """The page that is asked for. `typed`: the types are those of a `_type`, which the links repeat."""
    if is_due(context.parameters, context.shapes):
        async with context.connection() as conn:
            await refresh(conn, context.tenant, context.parameters, context.shapes)
    query = await _parsed(context, request, types, pairs)
    applied = [*((("_type", ",".join(types)),) if typed and types else ()), *query.applied]
    asked = _query_string(applied)
    bound = f"{context.tenant}|{context.caller.name}|{request.path}|{asked}"
    cursor = request.only("_cursor")
    page = unseal(cursor, context.page_key, bound) if cursor else None
    if page is not None or within is not None:
        query = replace(query, page=page, terms=query.terms if within is None else (within, *query.terms))
    query = narrowed(query, context.rights)
    if _asks(request, "_explain"):
        return await _explained(context, query)
    transform = transform_for(context, request)
    if context.sealer is not None and context.pinned is None and (not types or "AuditEvent" in types):
        await context.sealer.catch_up()
    async with context.connection() as conn:
        found = await context.search(conn).page(query)
    links = _links(context, request, asked, bound, found, query)
    content = searchset(found, context.base, links, _told(query, found), transform)
    return Response(200, content, shaped=True)


async def _parsed(context: Context, request: Request, types: tuple[str, ...], pairs: Pairs) -> Query:
    settings = context.settings
    return await parsed(
        context,
        types,
        pairs,
        lenient=request.prefers("handling") == "lenient",
        limits=Limits(settings.page_size, settings.max_page_size),
    )


def _asks(request: Request, name: str) -> bool:
    value = request.only(name)
    if value not in (None, "true", "false"):
        raise refuse("value", f"{name}={value[:80]}: write true or false", name)
    return value == "true"


async def _explained(context: Context, query: Query) -> Response:
    """The query, its SQL and its plan, for those who administer the server."""
    if not context.caller.administers:
        raise refuse("forbidden", "_explain is for those who administer the server", "_explain")
    async with context.connection() as conn:
        return Response(200, dump_json(await explanation(context.search(conn), query)))


def _links(
    context: Context, request: Request, asked: str, bound: str, found: Found, query: Query
) -> list[tuple[str, str]]:
    """self, first, next, previous, and last where the order is that of the keys; what a link carries is what was understood."""
    formats = [pair for pair in request.query if pair[0] in ("_format", "_pretty")]
    format_ = _query_string(formats)
    here = f"{context.base}/{request.path}".rstrip("/")
    parameters = "&".join(part for part in (asked, format_) if part)
    start = f"{here}?{parameters}" if parameters else here
    mark = "&" if parameters else "?"

    def link(page: Page) -> str:
        return f"{start}{mark}_cursor={seal(page, context.page_key, bound)}"

    current = request.only("_cursor")
    own = start if current is None else f"{start}{mark}{urlencode({'_cursor': current})}"
    links = [("self", own)]
    if query.page is not None or found.following is not None:
        links.append(("first", start))
    if found.preceding is not None:
        links.append(("previous", link(found.preceding)))
    if found.following is not None:
        links.append(("next", link(found.following)))
        if not query.sort and query.contained == "false":
            links.append(("last", link(LAST)))
    return links


def _query_string(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join([f"{_known_name(name)}={_quoted(value)}" for name, value in pairs])


_quoted = partial(quote_plus, safe=":/,|$")
_known_name = lru_cache(maxsize=1024)(_quoted)  # there are not many names, and each comes again and again


def _told(query: Query, found: Found) -> bytes | None:
    """The OperationOutcome entry that tells what was ignored or cut; None where all is as asked."""
    issues = [Issue("not-supported", text, severity="warning") for text in query.ignored]
    if found.truncated:
        text = f"more than {MOST_INCLUDED} resources are to be included; the rest was left out"
        issues.append(Issue("incomplete", text, severity="warning"))
    return dump_json(operation_outcome(issues)) if issues else None
