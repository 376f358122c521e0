"""Method and path to interaction, as a table.

https://hl7.org/fhir/R4/http.html#summary
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fhir_server.context import Context
from fhir_server.operations.registry import OPERATIONS
from fhir_server.outcome import Issue, Refusal, did_you_mean, refuse
from fhir_server.rest import history, operation, read, search, system, write
from fhir_server.rest.authorization import Right, authorize
from fhir_server.rest.noting import noted
from fhir_server.rest.preference import preferring
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response

WELL_KNOWN = ".well-known/smart-configuration"
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"))
Interaction = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table; the code is that of the restful interaction.

    `right` is the letter of SMART that it needs for its type: see authorization.py for the other words. A route that says
    nothing is for administrators.
    """

    method: str
    path: str
    code: str
    interaction: Interaction
    right: Right = "administer"

    subject: int | None = field(init=False)
    """Which segment of the path names the type that it is about; None where it is about several."""

    def __post_init__(self) -> None:
        member, typed = self.path.startswith("[type]/[id]/[member]"), self.path.startswith("[type]")
        object.__setattr__(self, "subject", 2 if member else 0 if typed else None)


async def bundle(context: Context, request: Request) -> Response:
    """A batch or transaction, whose entries are routed by the same table."""
    return await system.bundle(context, request, respond)


ROUTES: tuple[Route, ...] = (
    Route("GET", "metadata", "capabilities", system.metadata, "nothing"),
    Route("GET", WELL_KNOWN, "capabilities", system.smart_configuration, "nothing"),
    Route("POST", "", "batch | transaction", bundle, "entries"),
    Route("GET", "", "search-system", search.search_system, "s"),
    Route("POST", "_search", "search-system", search.search_post, "s"),
    Route("GET", "_history", "history-system", history.history_system, "s"),
    Route("GET", "[type]", "search-type", search.search_type, "s"),
    Route("POST", "[type]", "create", write.create, "c"),
    Route("PUT", "[type]", "update", write.update, "u"),
    Route("PATCH", "[type]", "patch", write.patch, "u"),
    Route("DELETE", "[type]", "delete", write.delete, "d"),
    Route("POST", "[type]/_search", "search-type", search.search_post, "s"),
    Route("GET", "[type]/_history", "history-type", history.history_type, "s"),
    Route("GET", "[type]/[id]", "read", read.read, "r"),
    Route("PUT", "[type]/[id]", "update", write.update, "u"),
    Route("PATCH", "[type]/[id]", "patch", write.patch, "u"),
    Route("DELETE", "[type]/[id]", "delete", write.delete, "d"),
    Route("GET", "[type]/[id]/_history", "history-instance", history.history_instance, "r"),
    Route("GET", "[type]/[id]/_history/[vid]", "vread", read.vread, "r"),
    Route("GET", "[type]/[id]/[member]", "search-type", search.search_compartment, "s"),
    Route("POST", "[type]/[id]/[member]/_search", "search-type", search.search_post_compartment, "s"),
    *(
        Route(method, path, "operation", operation.called(one, level), one.right)
        for one in OPERATIONS
        for level, path in one.paths()
        for method in operation.methods(one)
    ),
)

TABLE: dict[str, dict[str, Route]] = {}
for _route in ROUTES:
    TABLE.setdefault(_route.path, {})[_route.method] = _route


def shape(segments: tuple[str, ...]) -> str | None:
    """The path of the table that segments fit, None where they fit none."""
    if segments and segments[-1].startswith("$"):
        return operation.path_of(segments, TABLE.__contains__)
    match segments:
        case ():
            return ""
        case (".well-known", "smart-configuration"):
            return WELL_KNOWN
        case (("metadata" | "_search" | "_history") as name,):
            return name
        case (kind,):
            return "[type]" if kind[:1] not in "$_" else None
        case (_, ("_search" | "_history") as name):
            return f"[type]/{name}"
        case (_, second):
            return "[type]/[id]" if second[:1] not in "$_" else None
        case (_, _, "_history"):
            return "[type]/[id]/_history"
        case (_, _, third):
            return "[type]/[id]/[member]" if third[:1] not in "$_" else None
        case (_, _, "_history", _):
            return "[type]/[id]/_history/[vid]"
        case (_, _, _, "_search"):
            return "[type]/[id]/[member]/_search"
    return None


def known_shape(context: Context, request: Request) -> str:
    """The path of the table that a request fits. Raises Refusal (404) where it fits none, or names no type."""
    path = shape(request.segments)
    operates = len(request.segments) > 1 and request.segments[-1].startswith("$")
    if operates or (path is not None and path.startswith("[type]")):
        context.type_code(request.segments[0])
    if path is None:
        raise _unknown(request)
    return path


def route_of(context: Context, request: Request) -> Route:
    """The route of a request: 404 for a path that means nothing, 405 with Allow for a method it does not take."""
    routes = TABLE[known_shape(context, request)]
    found = routes.get("GET" if request.method == "HEAD" else request.method)
    if found is None:
        raise Refusal(
            Issue("not-supported", f"{request.method[:20]} is not possible here; {', '.join(routes)} are"),
            status=405 if request.method in METHODS else 501,
            headers=[("allow", allowed(routes))],
        )
    return found


def allowed(routes: dict[str, Route]) -> str:
    """The Allow header of a path."""
    return ", ".join([*routes, *(["HEAD"] if "GET" in routes else []), "OPTIONS"])


def _unknown(request: Request) -> Refusal:
    if any(one.startswith("$") for one in request.segments):
        return operation.unknown(request.segments)
    known = ("_history", "_search", "metadata")
    close = did_you_mean(request.segments[-1][:80], known)
    return refuse("not-found", f"no such path: {request.path[:200]}{close}")


async def respond(context: Context, request: Request) -> Response:
    """Runs the interaction that a request asks for, and keeps what is to be known of it."""
    route = route_of(context, request)
    if context.ledger is None:
        return await _run(context, request, route)
    return await noted(context, request, route.code, lambda inner: _run(inner, request, route))


async def _run(context: Context, request: Request, route: Route) -> Response:
    authorize(context, route.right, route.subject, request)
    try:
        return await route.interaction(preferring(context, request), request)
    except Refusal as refusal:
        if refusal.status != 405 or any(name == "allow" for name, _ in refusal.headers):
            raise
        others = {method: other for method, other in TABLE[route.path].items() if method != route.method}
        raise Refusal(refusal.issues, status=405, headers=[*refusal.headers, ("allow", allowed(others))]) from None
