"""history over HTTP: one resource, a type, everything, as a history Bundle.

https://hl7.org/fhir/R4/http.html#history
"""

import re
from datetime import datetime
from urllib.parse import urlencode

from fhir_server.context import Context
from fhir_server.interactions.history import Asked, Events, entry, history
from fhir_server.outcome import refuse
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response
from fhir_server.rest.shape import Transform, transform_for
from fhir_server.search.bundle import bundle
from fhir_server.search.page import seal, unseal
from fhir_server.search.query import Page
from fhir_server.search.types.date import span

OWN = frozenset(("_since", "_at", "_count", "_cursor", "_format", "_pretty", "_summary", "_elements"))
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})")


async def history_instance(context: Context, request: Request) -> Response:
    """`GET [base]/[type]/[id]/_history`"""
    return await _history(context, request, request.segments[0], request.segments[1])


async def history_type(context: Context, request: Request) -> Response:
    """`GET [base]/[type]/_history`"""
    return await _history(context, request, request.segments[0], None)


async def history_system(context: Context, request: Request) -> Response:
    """`GET [base]/_history`"""
    return await _history(context, request, None, None)


async def _history(context: Context, request: Request, kind: str | None, resource_id: str | None) -> Response:
    if kind is not None:
        context.type_code(kind)
    for name, _ in request.query:
        if name not in OWN and request.prefers("handling") != "lenient":
            raise refuse("not-supported", f"'{name}' is not a parameter of history; _since, _at and _count are", name)
    bound = _bound(context, request)
    asked = _asked(context, request, kind, resource_id, bound)
    if asked.count == 0 or request.only("_summary") == "count":
        asked = Asked(kind, resource_id, 1, asked.since, asked.at)
        events = await history(context, asked)
        return Response(
            200, bundle(b"history", _links(context, request, bound, None), (), total=events.total), shaped=True
        )
    events = await history(context, asked)
    return Response(200, _bundle(context, request, events, bound), shaped=True)


def _bound(context: Context, request: Request) -> str:
    return f"{context.tenant}|{context.caller.name}|{request.path}|{urlencode(_kept(request))}"


def _kept(request: Request) -> list[tuple[str, str]]:
    return [pair for pair in request.query if pair[0] != "_cursor" and pair[0] in OWN]


def _asked(context: Context, request: Request, kind: str | None, resource_id: str | None, bound: str) -> Asked:
    settings = context.settings
    count = request.only("_count")
    if count is not None and not (count.isascii() and count.isdigit() and len(count) < 10):
        raise refuse("value", f"_count={count[:80]}: a whole number is needed", "_count")
    cursor, at = request.only("_cursor"), request.only("_at")
    return Asked(
        kind,
        resource_id,
        min(int(count), settings.max_page_size) if count is not None else settings.page_size,
        since=_since(request.only("_since")),
        at=_at(at) if at else None,
        after=unseal(cursor, context.page_key, bound).pk if cursor else None,
    )


def _at(text: str) -> tuple[datetime, datetime]:
    """The span of time that a date or instant of any precision stands for."""
    limits = span(text)
    if limits is None:
        raise refuse("value", f"_at={text[:80]}: a date or an instant is needed", "_at")
    return datetime.fromisoformat(limits[0]), datetime.fromisoformat(limits[1])


def _since(text: str | None) -> datetime | None:
    if not text:
        return None
    if not INSTANT.fullmatch(text):
        raise refuse("value", f"_since={text[:80]}: an instant such as 2026-01-31T10:00:00Z is needed", "_since")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse("value", f"_since={text[:80]}: {error}", "_since") from None


def _bundle(context: Context, request: Request, events: Events, bound: str) -> bytes:
    transform: Transform = transform_for(context, request) or _unchanged
    entries = [
        entry(context, event, transform(event.content) if event.content is not None else None)
        for event in events.events
    ]
    return bundle(b"history", _links(context, request, bound, events.following), entries, total=events.total)


def _unchanged(content: bytes) -> bytes:
    return content


def _links(context: Context, request: Request, bound: str, following: int | None) -> list[tuple[str, str]]:
    here = f"{context.base}/{request.path}"
    kept = _kept(request)
    own = [*kept, *(pair for pair in request.query if pair[0] == "_cursor")]
    links = [("self", f"{here}?{urlencode(own)}" if own else here)]
    if following is not None:
        after = [*kept, ("_cursor", seal(Page((), following), context.page_key, bound))]
        links.append(("next", f"{here}?{urlencode(after)}"))
    return links
