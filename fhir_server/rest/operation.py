"""Operations over HTTP: a request to `…/$name` becomes a call of the operation that the registry has for it.

https://hl7.org/fhir/R4/operations.html#executing
"""

from collections.abc import Awaitable, Callable

from fhir_server.context import Context
from fhir_server.interactions.write import check_id
from fhir_server.json import dump_json
from fhir_server.operations.arguments import arguments_of
from fhir_server.operations.operation import Call, Level, Operation
from fhir_server.operations.registry import OPERATIONS
from fhir_server.outcome import Refusal, did_you_mean, refuse
from fhir_server.rest.body import resource_of
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response

Interaction = Callable[[Context, Request], Awaitable[Response]]


def methods(operation: Operation) -> tuple[str, ...]:
    """GET where the URL can say all there is to say and nothing changes; POST always."""
    return ("GET", "POST") if operation.simple else ("POST",)


def called(operation: Operation, level: Level) -> Interaction:
    """The interaction that calls an operation at a level."""

    async def respond(context: Context, request: Request) -> Response:
        kind, resource_id = _target(request, level)
        body = resource_of(context, request) if request.body or request.resource is not None else None
        call = Call(kind, resource_id, arguments_of(operation, body, request.query, kind))
        return Response(200, dump_json(await operation.run(context, call)))

    respond.__doc__ = operation.summary
    return respond


def _target(request: Request, level: Level) -> tuple[str, str]:
    """Type and id, empty above their levels. Raises Refusal for what is no id."""
    match level, request.segments:
        case "instance", (kind, resource_id, _):
            check_id(resource_id)
            return kind, resource_id
        case "type", (kind, _):
            return kind, ""
        case _:
            return "", ""


def path_of(segments: tuple[str, ...], known: Callable[[str], bool]) -> str | None:
    """The path of the route table that a request for an operation fits, None where it fits none."""
    match segments:
        case (code,):
            paths = [code]
        case (kind, code):
            paths = [f"{kind}/{code}", f"[type]/{code}"]
        case (kind, _, code):
            paths = [f"{kind}/[id]/{code}", f"[type]/[id]/{code}"]
        case _:
            paths = []
    return next((path for path in paths if known(path)), None)


def unknown(segments: tuple[str, ...]) -> Refusal:
    """The refusal of a path that names no operation, or names one where it cannot be called."""
    name = next(one for one in segments if one.startswith("$"))
    places = [f"[base]/{path}" for one in OPERATIONS if f"${one.code}" == name for _, path in one.paths()]
    if places:
        return refuse("not-supported", f"{name} cannot be called here; call {' or '.join(places)}", status=404)
    hint = did_you_mean(name[:80], [f"${one.code}" for one in OPERATIONS])
    return refuse("not-supported", f"the operation {name[:80]} is not known{hint}", status=404)
