"""Notes as they are kept until they are sealed."""

import asyncio

import psycopg
import pytest

from fhir_server.access.audit import MOST_AT_ONCE, about
from fhir_server.context import Context
from fhir_server.interactions.change import Change
from fhir_server.interactions.write import change
from fhir_server.store.audit import MOST_EVENTS, Note, append, encoded, waiting, what_was_read
from fhir_server.store.noted import Keeping, NotedRead, NotKept, read_noted
from tests.fhir_server.working import run


def note(**more: object) -> Note:
    return Note(**({"subtype": "read", "status": 200, "outcome": 0} | more))  # type: ignore[arg-type]  # of a Note


def test_notes_come_back_as_they_were_made_in_order(database_url: str):
    made = [
        note(client="app", patients=("Patient/1",), entities=("Patient/1",), network="::1"),
        note(subtype="search-type", status=400, outcome=4, query='Patient?name="ü"\\ \n', detail="no\tsuch"),
        note(detail="NUL \0 and \\u0000"),
    ]

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            await append(conn, context.tenant, made)
            await append(conn, context.tenant, made[:1])
            first, second = await waiting(conn, context.tenant, 10)
        assert first.notes[:2] == made[:2]
        assert first.notes[2].detail is not None
        assert "\0" not in first.notes[2].detail
        assert (first.events, second.notes, second.events) == (3, made[:1], 1)

    run(database_url, story)


def test_a_row_becomes_no_more_events_than_are_sealed_at_a_time(database_url: str):
    """Unless a single note becomes more."""
    some = [note(patients=tuple(f"Patient/{n}" for n in range(many))) for many in (30, 0, 68, 2, 100, 2000, 1)]

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            await append(conn, context.tenant, some)
            rows = await waiting(conn, context.tenant, 1_000_000)
        assert [[len(one.patients) for one in row.notes] for row in rows] == [[30, 0, 68], [2], [100], [2000], [1]]
        assert [row.events for row in rows] == [99, 2, 100, 2000, 1]

    run(database_url, story)


def test_what_waits_is_told_in_portions(database_url: str):
    async def story(context: Context) -> None:
        async with context.connection() as conn:
            for _ in range(3):
                await append(conn, context.tenant, [note()] * MOST_AT_ONCE)
            rows = await waiting(conn, context.tenant, MOST_EVENTS + 1)
        assert [row.events for row in rows] == [MOST_EVENTS] * 2

    run(database_url, story)


def test_a_read_and_its_note_are_one_statement(database_url: str):
    """Nothing is noted of what is not there, for that is not what the note says."""

    async def story(context: Context) -> None:
        code = context.type_code("Patient")
        for name in ("one", "two", "gone"):
            await change(context, Change("Patient", name, {"resourceType": "Patient", "id": name}))
        await change(context, Change("Patient", "gone", None))
        bearers = [encoded(note(client=one, detail='"\0\\')).decode() for one in ("app", "other")]
        reads = [
            NotedRead((code, name), bearers[n % 2], f"call-{n}")
            for n, name in enumerate(("two", "never", "gone", "one", "two"))
        ]
        async with context.connection() as conn:
            found = await read_noted(conn, context.tenant, reads)
            await conn.committed()
            nothing = await read_noted(conn, context.tenant, reads[1:3])
            await conn.committed()
            (row,) = await waiting(conn, context.tenant, 10)
            contents = await what_was_read(conn, context.tenant, [row])
        assert [one and one.content for one in found[:3]] == [contents[row.versions[0]][1], None, None]
        assert nothing[0] is None
        assert [(one.client, one.request) for one in row.notes] == [
            ("app", "call-0"),
            ("other", "call-3"),
            ("app", "call-4"),
        ]
        assert {one.detail for one in row.notes} == {'"\ufffd\\'}
        assert row.events == 3
        assert [b'"id":"two"' in contents[seq][1] for seq in row.versions] == [True, False, True]
        told = [about(one, contents[seq]).patients for one, seq in zip(row.notes, row.versions, strict=True)]
        assert told == [("Patient/two",), ("Patient/one",), ("Patient/two",)]

    run(database_url, story)


def test_what_was_noted_of_each_read_by_a_build_before_is_still_told(database_url: str):
    """Notes that name what was read, one for each version."""
    made = [note(entities=(f"Patient/{name}",), request=name) for name in ("one", "two")]

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            insert = "INSERT INTO audit (tenant, notes, events, versions) VALUES ($1, $2::json, 2, '{1,2}')"
            await conn.execute(insert, (context.tenant, encoded(made).decode()))
            (row,) = await waiting(conn, context.tenant, 10)
        assert (row.notes, row.versions) == (made, [1, 2])
        gone = about(row.notes[0], None)
        assert (gone.entities, gone.patients) == (("Patient/one",), ("Patient/one",))

    run(database_url, story)


@pytest.mark.parametrize("failure", [None, psycopg.OperationalError("gone")])
def test_whoever_waits_for_notes_learns_what_became_of_them(failure: psycopg.Error | None):
    seen = [NotKept, failure] if failure else [type(None), None]

    async def story() -> None:
        keeping = Keeping()

        async def wait() -> None:
            await keeping

        gone, *stay = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        assert not any(one.done() for one in stay)
        keeping.end(failure)
        told = await asyncio.gather(gone, *stay, wait(), return_exceptions=True)
        assert isinstance(told[0], asyncio.CancelledError)
        assert [[type(one), getattr(one, "__cause__", None)] for one in told[1:]] == [seen] * 3

    asyncio.run(story())
