"""Failures that nobody raised on purpose, as the refusals that clients see.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

import logging
import uuid

import psycopg

from fhir_server.outcome import Refusal, refuse

log = logging.getLogger("mediconnect")


def refusal_of(error: Exception) -> Refusal:
    """What a client is told; the log has the rest, under the same reference. Neither holds data of patients."""
    match error:
        case Refusal():
            return error
        case psycopg.errors.QueryCanceled():
            return refuse("too-costly", "too costly: the database did not finish in the time allowed; narrow it")
        case psycopg.errors.NumericValueOutOfRange() | psycopg.errors.DatetimeFieldOverflow():
            return refuse("value", "a number or date is beyond what can be kept or searched")
        case psycopg.errors.ProgramLimitExceeded() | psycopg.errors.StatementTooComplex():
            return refuse("too-costly", "too costly: the request is too complex for the database", status=400)
        case psycopg.OperationalError():
            reference = _logged("database unavailable", error, trace=False)
            return refuse("transient", f"the database cannot be reached at the moment; try again ({reference})")
        case _:
            reference = _logged("unexpected failure", error, trace=True)
            return refuse("exception", f"something went wrong in the server; its log has it under {reference}")


def _logged(what: str, error: Exception, *, trace: bool) -> str:
    """Writes type and place of the failure, never its message, which may quote a resource."""
    reference = uuid.uuid4().hex[:12]
    place = ""
    if trace and error.__traceback__ is not None:
        frames, current = [], error.__traceback__
        while current is not None:
            frames.append(f"{current.tb_frame.f_code.co_filename.rpartition('/')[2]}:{current.tb_lineno}")
            current = current.tb_next  # type: ignore[assignment]  # None at the end, which the loop tests
        place = " at " + " > ".join(frames[-8:])
    log.error("%s %s: %s%s", reference, what, type(error).__name__, place)
    return reference
