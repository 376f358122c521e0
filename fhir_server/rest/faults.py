"""Failures that nobody raised on purpose, as the refusals that clients see.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

import logging
import uuid

from fhir_server.outcome import Refusal, refuse
from fhir_server.store.faults import database_refusal

log = logging.getLogger("mediconnect")
MOST_PLACES = 8


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of a failure; the log has the rest, under the same reference. Neither holds patients' data."""
    if isinstance(error, Refusal):
        return error
    refusal = database_refusal(error)
    if refusal is None:
        return refuse("exception", f"something went wrong in the server; its log has it under {_logged(error)}")
    if refusal.status == 503:
        _logged(error)
    return refusal


def _logged(error: Exception) -> str:
    """Writes type and place of the failure, never its message, which may quote a resource; returns the reference."""
    reference = uuid.uuid4().hex[:12]
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error("%s %s at %s", reference, type(error).__name__, " > ".join(places[-MOST_PLACES:]))
    return reference
