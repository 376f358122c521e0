"""Races between writers: which errors say that one was lost, and work that is run again then.

https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from fhir_server.outcome import refuse
from fhir_server.store.changes import OUTRUN, STALE

T = TypeVar("T")

# Lost races that another attempt wins. MC001 is raised by write_versions, UniqueViolation by two creates of one id; the next
# attempt sees the winner. MC002: the rows were made by search parameters of before.
RETRIED = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)
CONFLICTS = frozenset((OUTRUN, STALE))
ATTEMPTS = 12


class LocksNeeded(Exception):
    """What was asked for holds only while something that is not written stays as it was read: locks see to that, versions do not."""


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another writer was quicker, so that another attempt may do."""
    return isinstance(error, RETRIED) or getattr(error, "sqlstate", None) in CONFLICTS


async def once(work: Callable[[], Awaitable[T]]) -> T | None:
    """Runs `work`, which holds no locks; None where it lost a race against another writer, or cannot do without locks."""
    try:
        return await work()
    except LocksNeeded:
        return None
    except psycopg.Error as error:
        if not is_lost(error):
            raise
        return None


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """Runs `work`, again where it lost a race against another writer. Raises Refusal (409) where it loses too many."""
    for attempt in range(ATTEMPTS):
        try:
            return await work()
        except psycopg.Error as error:
            _raise_unless_lost(error, attempt)
        await _back_off(attempt)
    raise AssertionError("unreachable: the last attempt raises")


def _raise_unless_lost(error: psycopg.Error, attempt: int) -> None:
    if not is_lost(error):
        raise error
    if attempt == ATTEMPTS - 1:
        raise refuse("conflict", "other requests kept writing the same resources; try again") from error


async def _back_off(attempt: int) -> None:
    """Waits a little longer each time, never two writers in step."""
    await asyncio.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 7)))  # noqa: S311 - not a secret
