"""The import: transaction Bundles of whole patients, each a request, by several clients at once.

https://hl7.org/fhir/R4/http.html#transaction; its figure is resources a second.
"""

from collections.abc import Iterable

from bench.client import Connection, Target, request_bytes
from bench.data import Load
from bench.expectation import transaction_response
from bench.load import Client, Exhausted, Scenario

CLIENTS = 8


class NotLoaded(Exception):
    """The server refuses what has to be there before anything is measured."""


def scenario(loads: Iterable[Load]) -> Scenario:
    """Each Bundle once, by whoever is free."""
    waiting = iter(loads)

    async def one(client: Client) -> None:
        load = next(waiting, None)
        if load is None:
            raise Exhausted
        right = transaction_response(load.entries)
        await client.ask("transaction", "POST", "", right, load.body, load.entries)

    return one


async def loaded(target: Target, loads: Iterable[Load]) -> None:
    """Sends the Bundles one after another, unmeasured; raises NotLoaded where one is not stored whole."""
    connection = Connection(target)
    try:
        for load in loads:
            answer = await connection.ask(request_bytes(target, target.lines, "POST", "", load.body))
            if fault := transaction_response(load.entries)(answer):
                raise NotLoaded(f"a Bundle of {load.entries} entries: {fault}")
    finally:
        connection.close()
