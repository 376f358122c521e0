"""Interactions at instance level: read, vread, update, patch, delete and history of one resource.

https://hl7.org/fhir/R4/http.html#read, #vread, #update, #patch, #delete and #history
"""

from fhir_server.etag import etag
from fhir_server.interactions import write
from fhir_server.interactions.change import Change, Stored
from fhir_server.interactions.context import Context
from fhir_server.json import dump_json
from fhir_server.outcome import Issue, Refusal, operation_outcome, refuse
from fhir_server.rest import binary
from fhir_server.rest.body import patch_of, resource_of
from fhir_server.rest.preconditions import if_match, if_none_match_any, not_modified
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response, version_headers
from fhir_server.rest.shape import transform_of
from fhir_server.store import resources
from fhir_server.store.resources import Version


async def read(context: Context, request: Request) -> Response:
    """The current version; 410 where it was deleted, 304 where the client has it."""
    kind, resource_id = request.segments
    async with context.connection() as conn:
        kept = await resources.read(conn, context.tenant, context.type_code(kind), resource_id)
    return _version_response(request, kind, resource_id, kept)


async def vread(context: Context, request: Request) -> Response:
    """One version, whether current or not."""
    kind, resource_id, _, version = request.segments
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
    async with context.connection() as conn:
        kept = await resources.vread(conn, context.tenant, context.type_code(kind), resource_id, number)
    return _version_response(request, kind, f"{resource_id}/_history/{version}", kept)


def _version_response(request: Request, kind: str, name: str, kept: Version | None) -> Response:
    if kept is None:
        raise refuse("not-found", f"{kind}/{name[:200]} is not known")
    headers = version_headers(kept.version, kept.written)
    if kept.content is None:
        issue = Issue("deleted", f"{kind}/{name} was deleted in version {kept.version}")
        raise Refusal(issue, headers=headers)
    if not_modified(request.headers, kept.version, kept.written):
        return Response(304, headers=headers)
    if kind == "Binary" and binary.wanted_raw(request):
        return binary.response(kept.content, headers)
    transform = transform_of(request)
    content = kept.content if transform is None else transform(kept.content)
    return Response(200, content, headers, shaped=True)


async def update(context: Context, request: Request) -> Response:
    """Update, or create under the id the client chose."""
    kind, resource_id = request.segments
    context.type_code(kind)
    wanted = Change(
        kind,
        resource_id,
        resource_of(context, request, kind, resource_id),
        if_match=if_match(request.headers),
        if_none_match=if_none_match_any(request.headers),
    )
    return stored_response(context, request, await write.update(context, wanted))


async def patch(context: Context, request: Request) -> Response:
    """JSON Patch or FHIRPath Patch of the current version."""
    kind, resource_id = request.segments
    context.type_code(kind)
    wanted = Change(kind, resource_id, patch=patch_of(context, request), if_match=if_match(request.headers))
    return stored_response(context, request, await write.change(context, wanted))


async def delete(context: Context, request: Request) -> Response:
    """Deletes; also where there is nothing to delete any more."""
    kind, resource_id = request.segments
    context.type_code(kind)
    stored = await write.change(context, Change(kind, resource_id, if_match=if_match(request.headers)))
    return deleted_response(request, [stored])


def deleted_response(request: Request, deleted: list[Stored]) -> Response:
    """204, or 200 with an OperationOutcome that says what was deleted where the client prefers one."""
    headers = [("etag", etag(deleted[0].version))] if len(deleted) == 1 and deleted[0].version else []
    if request.prefers("return") != "OperationOutcome":
        return Response(204, headers=headers)
    names = [f"{one.type}/{one.id}" for one in deleted if one.changed]
    text = f"deleted {', '.join(names[:20])}" if names else "there was nothing to delete"
    return Response(200, dump_json(operation_outcome([Issue("informational", text, severity="information")])), headers)


def stored_response(context: Context, request: Request, stored: Stored) -> Response:
    """201 with Location or 200, and the body that `Prefer: return` asks for."""
    assert stored.written is not None
    headers = version_headers(stored.version, stored.written)
    where = f"{context.base}/{stored.type}/{stored.id}/_history/{stored.version}"
    headers.append(("location" if stored.created else "content-location", where))
    status = 201 if stored.created else 200
    match request.prefers("return"):
        case "minimal":
            return Response(status, headers=headers)
        case "OperationOutcome":
            done = "created" if stored.created else "updated" if stored.changed else "unchanged"
            issue = Issue(
                "informational", f"{stored.type}/{stored.id} {done}, version {stored.version}", severity="information"
            )
            return Response(status, dump_json(operation_outcome([issue])), headers)
        case _:
            return Response(status, stored.content, headers)
