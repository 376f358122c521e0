"""The bearer of a request, and whether the request is one for which the token has any scope at all.

https://www.rfc-editor.org/rfc/rfc6750 and
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from dataclasses import replace
from functools import lru_cache
from typing import Literal

from fhir_server.access.audit import Trail, reads_of
from fhir_server.access.bearer import Bearers
from fhir_server.access.caller import Caller
from fhir_server.access.narrow import missing
from fhir_server.context import Context
from fhir_server.outcome import Refusal, refuse
from fhir_server.rest.faults import REQUEST_ID
from fhir_server.rest.request import Request

Right = Literal["c", "r", "u", "d", "s", "entries", "token", "nothing", "administer"]
"""A letter; `entries`: each entry of the Bundle needs its own; `token`: no more than a good one; `nothing`: not even that;
`administer`: the server."""

FREE = frozenset(("nothing", "token", "entries"))
"""Rights for which no scope of the token is asked, or not yet."""
OPEN = frozenset(("metadata", ".well-known"))
"""What may be asked without a token, by the first segment of the path."""


async def authenticated(context: Context, request: Request, network: str) -> Context:
    """The context of whoever bears the request's token; the same where the server runs open.

    Raises Refusal: 401 where the token is missing, malformed, expired, revoked or for another server, 429 where too many
    requests came from the same client and person, or too many without a good token from the same `network`.
    """
    bearers = context.bearers
    if bearers is None or (request.segments and request.segments[0] in OPEN):
        return context
    authorization = request.headers.get("authorization")
    caller = bearers.known(authorization)
    if caller is None:
        caller = await _looked_up(bearers, authorization, context, request, network)
    if context.limits is not None:
        context.limits.check(caller)
    borne, reads = _borne(context, caller, network)
    if context.ledger is not None:
        request.trail = Trail(REQUEST_ID.get(), network, caller.token, reads)
    return borne


@lru_cache(maxsize=4096)
def _borne(context: Context, caller: Caller, network: str) -> tuple[Context, str]:
    """The caller's context, and what is noted of each read: kept, for they take as long to make as a token to be looked up."""
    reads = reads_of(caller.token, network) if caller.token is not None else ""
    return replace(context, caller=caller), reads


async def _looked_up(
    bearers: Bearers, authorization: str | None, context: Context, request: Request, network: str
) -> Caller:
    """The caller of a request whose token is not known yet, or no longer."""
    try:
        return await bearers.caller(context.pool, authorization)
    except Refusal as refusal:
        trail = Trail(REQUEST_ID.get(), network) if context.ledger is not None else None
        await _denied(context, request, trail, network, refusal)
        raise


async def _denied(context: Context, request: Request, trail: Trail | None, network: str, refusal: Refusal) -> None:
    """Takes note of a request without a good token, and counts it against where it came from.

    Raises Refusal (429) where too many came from there. Good tokens are never held up: many may share the address.
    """
    if context.limits is not None and refusal.status == 401:
        context.limits.check_denied(network)
    if trail is not None and context.ledger is not None:
        note = trail.note("denied", refusal.status, query=request.path, detail=refusal.issues[0].diagnostics)
        await context.ledger.keep(note)


def authorize(context: Context, right: Right, subject: int | None, request: Request) -> None:
    """Raises Refusal (403) where the token has no scope for anything that the request could be about.

    `subject`: which segment of the path names the type; None where it is about several. What of the type it may see or write is
    for the interaction to find out.
    """
    rights = context.rights
    if rights is None or right in FREE:
        return
    if right == "administer":
        if not rights.administers:
            raise refuse("forbidden", f"{request.path[:80]} is for those who administer the server")
        return
    kind = "*" if subject is None else request.segments[subject]
    term = rights.visible(right) if kind == "*" else rights.term(right, kind, "after" if right in "cu" else "now")
    if term is None:
        raise missing(rights, right, kind)
