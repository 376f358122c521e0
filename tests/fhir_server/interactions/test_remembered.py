"""Changes of what this process remembers, while a server elsewhere has changed it: https://hl7.org/fhir/R4/http.html#concurrency.

Two contexts with a memory each stand for servers on two machines, which know nothing of each other's writes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from fhir_server.context import Context
from fhir_server.interactions.change import Change, Stored
from fhir_server.interactions.write import change
from fhir_server.outcome import Refusal
from fhir_server.store.shared import Shared
from tests.fhir_server.working import run

Elsewhere = Callable[[Context], Awaitable[Stored]]


def patient(family: str, **more: Any) -> Change:
    return Change("Patient", "one", {"resourceType": "Patient", "id": "one", "name": [{"family": family}]}, **more)


def renamed(resource: dict[str, Any]) -> dict[str, Any]:
    return {**resource, "name": [{"family": resource["name"][0]["family"] + " Patched"}]}


async def family(context: Context) -> str | None:
    kept = await context.read(context.type_code("Patient"), "one")
    assert kept is not None
    return kept.content and kept.content.decode().partition('"family":"')[2].partition('"')[0]


def told(database_url: str, elsewhere: Change | None, wanted: Change) -> tuple[Stored | str, str | None]:
    """What a change comes to, or its refusal, after another server has made its own; and the name that is kept then."""
    found: list[tuple[Stored | str, str | None]] = []

    async def story(context: Context) -> None:
        other = replace(context, shared=Shared(context.pool, context.tenant, context.shapes))
        await change(context, patient("First"))
        if elsewhere is not None:
            await change(other, elsewhere)
        answer: Stored | str
        try:
            answer = await change(context, wanted)
        except Refusal as refusal:
            answer = f"{refusal.status} {refusal.issues[0].code}"
        found.append((answer, await family(context)))

    run(database_url, story)
    return found[0]


SECOND, GONE = patient("Second"), Change("Patient", "one")


@pytest.mark.parametrize(
    ("elsewhere", "wanted", "version", "kept"),
    [
        (None, patient("Third"), 2, "Third"),
        (SECOND, patient("Third"), 3, "Third"),
        (SECOND, patient("First"), 3, "First"),  # which this process has seen last
        (SECOND, patient("Third", if_match=("2",)), 3, "Third"),
        (SECOND, Change("Patient", "one", patch=renamed), 3, "Second Patched"),
        (SECOND, GONE, 3, None),
        (GONE, patient("First"), 3, "First"),
        (GONE, patient("Third", if_none_match=True), 3, "Third"),
        # What is stored already is left as it is.
        (None, patient("First"), 1, "First"),
        (SECOND, patient("Second"), 2, "Second"),
        (GONE, GONE, 2, None),
    ],
)
def test_a_change_follows_what_is_stored(
    database_url: str, elsewhere: Change | None, wanted: Change, version: int, kept: str | None
):
    stored, name = told(database_url, elsewhere, wanted)
    assert isinstance(stored, Stored)
    assert (stored.version, name) == (version, kept)
    assert stored.changed == (version == (2 if elsewhere is None else 3))


@pytest.mark.parametrize(
    ("elsewhere", "wanted", "refusal", "kept"),
    [
        (SECOND, patient("Third", if_match=("1",)), "412 conflict", "Second"),
        (None, patient("Third", if_none_match=True), "412 conflict", "First"),
        (GONE, patient("Third", if_match=("*",)), "412 conflict", None),
        (GONE, Change("Patient", "one", patch=renamed), "410 deleted", None),
        (
            SECOND,
            msgspec.structs.replace(SECOND, resource={"resourceType": "Patient", "id": "one", "nane": 1}),
            "400 structure",
            "Second",
        ),
    ],
)
def test_a_change_is_refused_by_what_is_stored(
    database_url: str, elsewhere: Change | None, wanted: Change, refusal: str, kept: str | None
):
    assert told(database_url, elsewhere, wanted) == (refusal, kept)


def test_two_servers_that_write_the_same_are_not_in_each_others_way_for_long(database_url: str):
    async def story(context: Context) -> None:
        other = replace(context, shared=Shared(context.pool, context.tenant, context.shapes))
        wrong: list[str] = []
        context.shared.recent.was_wrong = lambda _: wrong.append("one")
        other.shared.recent.was_wrong = lambda _: wrong.append("other")
        await change(context, patient("Name 0"))
        for n in range(1, 11):
            await change(other if n % 2 else context, patient(f"Name {n}"))
        assert (await family(context), wrong) == ("Name 10", ["one"])

    run(database_url, story)
