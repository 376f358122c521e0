"""Failures that nobody raised on purpose, as the refusals that clients see.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

import logging
from contextvars import ContextVar

from fhir_server.outcome import Refusal, refuse
from fhir_server.store.faults import database_refusal

log = logging.getLogger("mediconnect")
MOST_PLACES = 8
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that is under way, which its answer and the log have in common."""


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of a failure; the log has the rest, under the same request id. Neither holds patients' data."""
    if isinstance(error, Refusal):
        return error
    refusal = database_refusal(error)
    if refusal is None:
        _log(error)
        return refuse(
            "exception", f"something went wrong in the server; its log has it under request {REQUEST_ID.get()}"
        )
    if refusal.status == 503:
        _log(error)
    return refusal


def _log(error: Exception) -> None:
    """Writes type and place of the failure, never its message, which may quote a resource."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error("request %s: %s at %s", REQUEST_ID.get(), type(error).__name__, " > ".join(places[-MOST_PLACES:]))
