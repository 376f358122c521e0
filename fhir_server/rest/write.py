"""create, update, patch and delete over HTTP, of a resource by its id or by criteria.

https://hl7.org/fhir/R4/http.html#create, #update, #patch, #delete, #ccreate, #cond-update and #cond-delete
"""

from fhir_server.context import Context
from fhir_server.interactions import write
from fhir_server.interactions.change import Change, Stored
from fhir_server.interactions.conditional import criteria_of, selecting
from fhir_server.interactions.url import Pairs
from fhir_server.outcome import refuse
from fhir_server.rest.body import patch_of, resource_of
from fhir_server.rest.preconditions import if_match, if_none_match_any
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response, version_headers


async def create(context: Context, request: Request) -> Response:
    """A new resource; with If-None-Exist, or criteria in the URL, only where they select none."""
    kind, _ = _target(context, request)
    resource = resource_of(context, request, kind)
    unless = request.headers.get("if-none-exist")
    criteria = criteria_of(unless.encode("latin-1"), kind) if unless is not None else _criteria(request)
    if unless is None and not criteria:
        return _stored_response(context, request, await write.create(context, kind, resource))
    return _stored_response(context, request, await write.create_unless(context, kind, resource, criteria))


async def update(context: Context, request: Request) -> Response:
    """Update by id or of what criteria select, or create where there is nothing to update."""
    kind, resource_id = _target(context, request)
    resource = resource_of(context, request, kind, resource_id)
    wanted = Change(
        kind,
        _stated_id(kind, resource) if resource_id is None else resource_id,
        resource,
        if_match=if_match(request.headers),
        if_none_match=if_none_match_any(request.headers),
    )
    if resource_id is None:
        return _stored_response(context, request, await write.update_where(context, wanted, _criteria(request)))
    return _stored_response(context, request, await write.change(context, wanted))


async def patch(context: Context, request: Request) -> Response:
    """JSON Patch or FHIRPath Patch of the current version of what the id or the criteria name."""
    kind, resource_id = _target(context, request)
    wanted = Change(kind, resource_id or "", patch=patch_of(context, request), if_match=if_match(request.headers))
    if resource_id is None:
        return _stored_response(context, request, await write.patch_where(context, wanted, _criteria(request)))
    return _stored_response(context, request, await write.change(context, wanted))


async def delete(context: Context, request: Request) -> Response:
    """Deletes what the id or the criteria name; succeeds also where there is nothing to delete any more."""
    kind, resource_id = _target(context, request)
    wanted = Change(kind, resource_id or "", if_match=if_match(request.headers))
    if resource_id is None:
        return _deleted_response(request, await write.delete_where(context, wanted, _criteria(request)))
    return _deleted_response(request, [await write.change(context, wanted)])


def _target(context: Context, request: Request) -> tuple[str, str | None]:
    """The type, and the id where the URL has one. Raises Refusal for what is no type (404) or no id (400)."""
    kind, *rest = request.segments
    context.type_code(kind)
    if rest:
        write.check_id(rest[0])
    return kind, rest[0] if rest else None


def _criteria(request: Request) -> Pairs:
    return selecting(request.query)


def _stated_id(kind: str, resource: dict[str, object]) -> str:
    stated = resource.get("id", "")
    if not isinstance(stated, str):
        raise refuse("value", "the resource's id is not a string", f"{kind}.id")
    return stated


def _deleted_response(request: Request, deleted: list[Stored]) -> Response:
    """204, or 200 with an OperationOutcome that says what was deleted where the client prefers one."""
    written = deleted[0].written if len(deleted) == 1 else None
    headers = version_headers(deleted[0].version, written) if written is not None else []
    if request.prefers("return") != "OperationOutcome":
        return Response(204, headers=headers, written=written)
    return Response(200, headers=headers, outcome=write.outcome_of(deleted), written=written)


def _stored_response(context: Context, request: Request, stored: Stored) -> Response:
    """201 with Location or 200, and the body that `Prefer: return` asks for."""
    assert stored.written is not None
    headers = version_headers(stored.version, stored.written)
    where = f"{context.base}/{stored.type}/{stored.id}/_history/{stored.version}"
    headers.append(("location" if stored.created else "content-location", where))
    response = Response(201 if stored.created else 200, headers=headers, written=stored.written)
    match request.prefers("return"):
        case "minimal":
            pass
        case "OperationOutcome":
            response.outcome = write.outcome_of([stored])
        case _:
            response.content = stored.content if stored.shown else None
    return response
