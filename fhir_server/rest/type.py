"""Interactions at type level: create, search, history, and those that select by criteria.

https://hl7.org/fhir/R4/http.html#create, #search, #ccreate, #cond-update, #cond-patch and #cond-delete
"""

from fhir_server.interactions import write
from fhir_server.interactions.change import Change
from fhir_server.interactions.conditional import NOT_CRITERIA, Pairs, criteria_of
from fhir_server.interactions.context import Context
from fhir_server.outcome import refuse
from fhir_server.rest.body import patch_of, resource_of
from fhir_server.rest.instance import deleted_response, stored_response
from fhir_server.rest.preconditions import if_match, if_none_match_any
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response


async def create(context: Context, request: Request) -> Response:
    """A new resource; with If-None-Exist only where the criteria select none."""
    (kind,) = request.segments
    context.type_code(kind)
    resource = resource_of(context, request, kind)
    unless = request.headers.get("if-none-exist")
    if unless is None:
        return stored_response(context, request, await write.create(context, kind, resource))
    stored = await write.create_unless(context, kind, resource, if_none_exist(unless))
    return stored_response(context, request, stored)


def if_none_exist(text: str) -> Pairs:
    """The criteria of If-None-Exist: `identifier=…`, with or without `Type?` or a base in front."""
    try:
        return criteria_of(text.partition("?")[2] if "?" in text else text)
    except ValueError:
        raise refuse("invalid", "If-None-Exist is not a query string such as identifier=http://example.org|1") from None


def criteria(request: Request) -> Pairs:
    """The criteria in the URL, without what only shapes the answer."""
    return [pair for pair in request.query if pair[0] not in NOT_CRITERIA]


async def update(context: Context, request: Request) -> Response:
    """Conditional update."""
    (kind,) = request.segments
    context.type_code(kind)
    resource = resource_of(context, request, kind)
    stated = resource.get("id", "")
    if not isinstance(stated, str):
        raise refuse("value", "the resource's id is not a string", f"{kind}.id")
    wanted = Change(
        kind, stated, resource, if_match=if_match(request.headers), if_none_match=if_none_match_any(request.headers)
    )
    return stored_response(context, request, await write.update_where(context, wanted, criteria(request)))


async def patch(context: Context, request: Request) -> Response:
    """Conditional patch."""
    (kind,) = request.segments
    context.type_code(kind)
    wanted = Change(kind, "", patch=patch_of(context, request), if_match=if_match(request.headers))
    return stored_response(context, request, await write.patch_where(context, wanted, criteria(request)))


async def delete(context: Context, request: Request) -> Response:
    """Conditional delete."""
    (kind,) = request.segments
    context.type_code(kind)
    return deleted_response(request, await write.delete_where(context, kind, criteria(request)))
