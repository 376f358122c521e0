"""What the database reports, as the refusal a client can act on.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import psycopg
from psycopg import errors

from fhir_server.outcome import Refusal, refuse


def database_refusal(error: BaseException) -> Refusal | None:
    """The refusal for a database error that is nobody's bug; None for all others."""
    match error:
        case errors.QueryCanceled():
            return refuse("too-costly", "too costly: the database did not finish in the time allowed; narrow it")
        case errors.NumericValueOutOfRange() | errors.DatetimeFieldOverflow():
            return refuse("value", "a number or date is beyond what can be kept or searched")
        case errors.ProgramLimitExceeded() | errors.StatementTooComplex():
            return refuse("too-costly", "too costly: the request is too complex for the database", status=400)
        case errors.IdleInTransactionSessionTimeout() | errors.TransactionTimeout():
            return refuse("transient", "the transaction took too long and was given up; nothing was stored; try again")
        case errors.DiskFull():
            return refuse("no-store", "the database's disk is full; nothing was stored")
        case psycopg.OperationalError():
            return refuse("transient", "the database cannot be reached at the moment; try again")
    return None
