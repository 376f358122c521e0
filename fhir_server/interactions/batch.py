"""batch: every entry a request of its own; one that fails leaves the others alone.

https://hl7.org/fhir/R4/http.html#batch
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions.entry import Answer, items_of, rendered
from fhir_server.search.bundle import bundle

Answering = Callable[[Context, str, Any], Awaitable[Answer]]


async def batch(context: Context, resource: dict[str, Any], answered: Answering) -> bytes:
    """The batch-response Bundle. `answered` answers also for entries that fail; answers stand in request order."""
    answers: list[Answer] = []
    for place, item in items_of(context, resource):
        answers.append(await answered(context, place, item))
        await asyncio.sleep(0)  # other requests get their turn between the entries of a long batch
    return response(b"batch-response", answers)


def response(kind: bytes, answers: Sequence[Answer]) -> bytes:
    """The response Bundle of the answers."""
    return bundle(kind, (), [rendered(answer) for answer in answers])
