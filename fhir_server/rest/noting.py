"""What is kept of each request for the audit trail: of a write with the write itself, of all else before it is answered.

https://hl7.org/fhir/R4/security.html#audit
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import urlencode

from fhir_server.access.audit import Trail, patients_in
from fhir_server.context import Context
from fhir_server.outcome import Refusal
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response
from fhir_server.store.audit import Note

Run = Callable[[Context], Awaitable[Response]]
READING = frozenset((
    "capabilities", "read", "vread", "search-type", "search-system", "history-instance", "history-type", "history-system",
))  # fmt: skip
INSTANCE = frozenset(("read", "vread", "update", "patch", "delete", "history-instance"))


async def noted(context: Context, request: Request, code: str, run: Run) -> Response:
    """Runs an interaction; the answer is given when it is on record that it was asked for, unless the request `awaits` that."""
    ledger, trail = context.ledger, request.trail or context.trail
    if ledger is None or trail is None:
        return await run(context)
    request.trail = trail = trail.begun()
    try:
        response = await run(context if code in READING else replace(context, trail=trail))
    except Exception as error:
        status = error.status if isinstance(error, Refusal) else 500
        detail = error.issues[0].diagnostics if isinstance(error, Refusal) else type(error).__name__
        await ledger.keep(_note(trail, request, code, status, None, detail))
        raise
    else:
        if not trail.written:
            await ledger.keep(_note(trail, request, code, response.status, response.content, None))
        return response
    finally:
        if not request.awaits:
            await trail.kept()


def _note(trail: Trail, request: Request, code: str, status: int, content: bytes | None, detail: str | None) -> Note:
    """The note of an interaction: of an instance what it was about, of all else how it was asked."""
    if code == "batch | transaction":
        code = "transaction" if content is not None and b'"transaction-response"' in content[:80] else "batch"
    kind, resource_id = (*request.segments[:2], "", "")[:2]
    instance = code in INSTANCE and bool(resource_id)
    entity = "/".join(request.segments) if code == "vread" else f"{kind}/{resource_id}"
    return trail.note(
        code,
        status,
        entities=[entity] if instance else (),
        patients=patients_in(content, kind if instance else "", resource_id),
        query=None if instance else _asked(request),
        detail=detail,
    )


def _asked(request: Request) -> str:
    """The path and all parameters, those of a form included."""
    return f"{request.path}?{urlencode(request.query)}" if request.query else request.path
