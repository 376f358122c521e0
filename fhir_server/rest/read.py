"""read and vread: one version of one resource, the current one or one by its number.

https://hl7.org/fhir/R4/http.html#read, #vread and #cread
"""

from fhir_server.access.element import shown
from fhir_server.context import Context
from fhir_server.json import dump_json
from fhir_server.operations.registry import definition
from fhir_server.outcome import Issue, Refusal, refuse
from fhir_server.rest import binary
from fhir_server.rest.preconditions import is_conditional, not_modified
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response, version_headers
from fhir_server.rest.shape import transform_for
from fhir_server.sight import seen
from fhir_server.store import resources
from fhir_server.store.noted import NotedRead
from fhir_server.store.resources import Version


async def read(context: Context, request: Request) -> Response:
    """The current version; 410 where it was deleted, 304 where the client has it."""
    kind, resource_id = request.segments
    own = definition(resource_id) if kind == "OperationDefinition" else None
    if own is not None:
        return Response(200, dump_json(own))
    if _answered_whole(context, request, kind):
        kept = await _noted(context, request, kind, resource_id)
    else:
        kept = await seen(
            context, kind, resource_id, await context.read(context.type_code(kind), resource_id), current=True
        )
    return _response(context, request, kind, resource_id, kept)


def _answered_whole(context: Context, request: Request, kind: str) -> bool:
    """Whether a resource of the type that exists is the answer whatever it says: the caller sees all, and asks for no less."""
    rights = context.rights
    return rights is not None and not request.query and rights.reads_all(kind) and not is_conditional(request.headers)


async def _noted(context: Context, request: Request, kind: str, resource_id: str) -> Version | None:
    """What is kept, read and noted by one statement: it is known before what there is to note of a resource that exists.

    Whether it is noted for good the trail waits for, before the answer goes out.
    """
    target, trail = (context.type_code(kind), resource_id), request.trail
    if trail is None or context.pinned is not None:
        return await context.read(*target)
    found = await context.shared.noted(NotedRead(target, trail.reads, trail.request))
    kept = found.version
    if kept is not None and kept.content is not None:
        trail.written, trail.keeping = True, found.keeping
    return kept


async def vread(context: Context, request: Request) -> Response:
    """One version, whether current or not."""
    kind, resource_id, _, version = request.segments
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
    if str(number) != version:
        number = 0  # version ids are compared as strings: 01 is none of ours
    async with context.connection() as conn:
        kept = await resources.vread(conn, context.tenant, context.type_code(kind), resource_id, number)
    kept = await seen(context, kind, resource_id, kept, current=False)
    return _response(context, request, kind, f"{resource_id}/_history/{version}", kept)


def _response(context: Context, request: Request, kind: str, name: str, kept: Version | None) -> Response:
    if kept is None:
        raise refuse("not-found", f"{kind}/{name[:200]} is not known")
    headers = version_headers(kept.version, kept.written)
    if kept.content is None:
        issue = Issue("deleted", f"{kind}/{name} was deleted in version {kept.version}")
        raise Refusal(issue, headers=headers)
    transform = transform_for(context, request)
    if request.only("_summary") == "count":
        raise refuse(
            "value", "_summary=count is for a search or a history; one resource is nothing to count", "_summary"
        )
    if not_modified(request.headers, kept.version, kept.written):
        return Response(304, headers=headers, written=kept.written)
    if kind == "Binary" and binary.wanted_raw(request):
        return binary.response(kept.content if context.rights is None else shown(context.rights, kept.content), headers)
    content = kept.content if transform is None else transform(kept.content)
    return Response(200, content, headers, written=kept.written, shaped=True)
