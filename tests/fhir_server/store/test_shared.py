"""Single changes that share a statement: https://hl7.org/fhir/R4/http.html#concurrency."""

import asyncio
from collections.abc import Iterable
from typing import Any

import psycopg

from fhir_server.context import Context
from fhir_server.interactions.change import Change
from fhir_server.interactions.conditional import find
from fhir_server.interactions.transaction import transaction
from fhir_server.interactions.write import change
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.store.changes import Write
from fhir_server.store.gather import Gather
from fhir_server.store.shared import Asked, Shared
from tests.fhir_server.working import run


def patient(name: str, family: str = "Quill") -> Change:
    return Change("Patient", name, {"resourceType": "Patient", "id": name, "name": [{"family": family}]})


async def rows(context: Context, statement: str) -> list[tuple[Any, ...]]:
    async with context.connection() as conn:
        return await (await conn.execute(statement)).fetchall()


async def named(context: Context, family: str) -> list[str]:
    return sorted(await context.attempt(lambda inner: find(inner, "Patient", [("family", family)], 100)))


def asked(context: Context, name: str, version: int = 1, generation: int = 0) -> Asked:
    """A version as an interaction would plan it."""
    content = patient(name).resource
    assert content is not None
    made = extract(content, context.parameters, context.tenant)
    code = context.type_code("Patient")
    step = Write(
        0, code, name, reference_key(context.tenant, f"Patient/{name}"), version, NOW, "U", b"{}",
        shape_of(context.tenant, "Patient", made), made, whole=made,
    )  # fmt: skip
    return Asked([step], [], generation)


def both(*several: Asked) -> Asked:
    """All of them, or none."""
    return Asked([write for one in several for write in one.writes], [], several[0].generation)


async def written(context: Context, entries: Iterable[tuple[str, str, str]]) -> bytes:
    """What a transaction of patients came to: each a method, an id and a family name."""
    bundle = {
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {
                "resource": patient(name, family).resource,
                "request": {"method": method, "url": "Patient" if method == "POST" else f"Patient/{name}"},
            } for method, name, family in entries
        ],
    }  # fmt: skip
    return await transaction(context, bundle, unasked, unasked, prefer=None)


def unasked(*_: object) -> Any:
    raise AssertionError("neither reads nor patches are in these Bundles")


NOW = "2026-01-01T00:00:00Z"  # as PostgreSQL reads it


def test_changes_of_many_requests_share_transactions(database_url: str):
    async def story(context: Context) -> None:
        await asyncio.gather(*(context.shared.write(asked(context, f"p{n}")) for n in range(40)))
        ((versions, transactions),) = await rows(context, "SELECT count(*), count(DISTINCT xmin::text) FROM version")
        assert versions == 40
        assert transactions <= 3
        assert await named(context, "Quill") == sorted(f"p{n}" for n in range(40))

    run(database_url, story)


def test_short_transactions_of_many_requests_share_statements(database_url: str):
    async def story(context: Context) -> None:
        bundles = ([("POST", f"p{n}", "Quill"), ("PUT", f"q{n}", "Quill")] for n in range(20))
        await asyncio.gather(*(written(context, bundle) for bundle in bundles))
        ((versions, transactions),) = await rows(context, "SELECT count(*), count(DISTINCT xmin::text) FROM version")
        assert versions == 40
        assert transactions <= 10
        assert len(await named(context, "Quill")) == 40

    run(database_url, story)


def test_a_short_transaction_that_shares_is_all_or_nothing(database_url: str):
    async def story(context: Context) -> None:
        await context.shared.write(asked(context, "taken"))
        sharing = (asked(context, "a"), both(asked(context, "b"), asked(context, "taken")), asked(context, "c"))
        answers = await asyncio.gather(*map(context.shared.write, sharing), return_exceptions=True)
        told = [one.sqlstate if isinstance(one, psycopg.Error) else one for one in answers]
        assert told == [None, "23505", None]
        assert await named(context, "Quill") == ["a", "c", "taken"]

    run(database_url, story)


def test_short_transactions_about_the_same_resources_come_one_after_another(database_url: str):
    async def story(context: Context) -> None:
        await written(context, [("PUT", "one", "Before"), ("PUT", "two", "Before")])
        bundles = [[("PUT", name, f"Name{n}") for name in ("one", "two")[:: 1 - n % 2 * 2]] for n in range(10)]
        await asyncio.gather(*(written(context, bundle) for bundle in bundles))
        found = await rows(context, "SELECT id, version FROM resource ORDER BY id")
        assert found == [("one", 11), ("two", 11)]
        last = [n for n in range(10) if await named(context, f"Name{n}")]
        assert len(last) == 1
        assert await named(context, f"Name{last[0]}") == ["one", "two"]

    run(database_url, story)


def test_a_short_transaction_that_leaves_a_resource_as_it_is_holds_it(database_url: str):
    """Nobody changes it between the look at it and what is written beside it."""

    async def story(context: Context) -> None:
        await written(context, [("PUT", "guard", "Quill"), ("PUT", "one", "Before")])
        async with context.connection() as holder:
            async with holder.transaction():
                await holder.execute("SELECT pk FROM resource WHERE id = 'guard' FOR UPDATE")
                writing = asyncio.create_task(written(context, [("PUT", "guard", "Quill"), ("PUT", "one", "After")]))
                await asyncio.sleep(0.3)
                assert not writing.done()
                assert await named(context, "After") == []
            await writing
        assert await rows(context, "SELECT id, version FROM resource ORDER BY id") == [("guard", 1), ("one", 2)]

    run(database_url, story)


def test_every_update_of_one_resource_has_its_own_version(database_url: str):
    async def story(context: Context) -> None:
        await change(context, patient("one", "Before"))
        stored = await asyncio.gather(*(change(context, patient("one", f"Name{n}")) for n in range(6)))
        assert sorted(one.version for one in stored) == [2, 3, 4, 5, 6, 7]
        last = next(one for one in stored if one.version == 7)
        found = [n for n in range(6) if await named(context, f"Name{n}")]
        assert [f"Name{n}".encode() in (last.content or b"") for n in found] == [True]
        assert await named(context, "Before") == []

    run(database_url, story)


def test_who_cannot_be_stored_fails_alone(database_url: str):
    async def story(context: Context) -> None:
        await context.shared.write(asked(context, "taken"))
        answers = await asyncio.gather(
            *(context.shared.write(asked(context, name)) for name in ("a", "taken", "b")),
            context.shared.write(asked(context, "c", generation=7)),
            return_exceptions=True,
        )
        told = [one.sqlstate if isinstance(one, psycopg.Error) else one for one in answers]
        assert told == [None, "23505", None, "MC002"]
        assert await named(context, "Quill") == ["a", "b", "taken"]

    run(database_url, story)


def test_what_was_just_written_is_followed_without_being_read(database_url: str):
    async def story(context: Context) -> None:
        await change(context, patient("one", "Before"))
        context.shared.current = Gather(unasked, most=1)
        await change(context, patient("one", "After"))
        assert (await named(context, "Before"), await named(context, "After")) == ([], ["one"])
        await change(context, Change("Patient", "one"))
        left = " UNION ALL ".join(f"SELECT pk FROM index_{kind}" for kind in ("token", "string", "text", "date"))
        assert await rows(context, left) == []

    run(database_url, story)


def test_who_waits_for_a_lock_waits_alone(database_url: str):
    async def story(context: Context) -> None:
        await change(context, patient("held"))
        async with context.connection() as holder, holder.transaction():
            await holder.execute("SELECT pk FROM resource WHERE id = 'held' FOR UPDATE")
            waiting = asyncio.create_task(change(context, patient("held", "Waited")))
            await asyncio.gather(*(change(context, patient(f"free{n}")) for n in range(5)))
            assert await named(context, "Quill") == ["free0", "free1", "free2", "free3", "free4", "held"]
            assert not waiting.done()
        assert (await waiting).version == 2
        assert await named(context, "Waited") == ["held"]

    run(database_url, story)


def test_reads_of_many_requests_each_find_their_own(database_url: str):
    async def story(context: Context) -> None:
        await asyncio.gather(*(change(context, patient(f"p{n}", f"Name{n}")) for n in range(10)))
        await change(context, Change("Patient", "p3"))
        code = context.type_code("Patient")
        names = ["p1", "p2", "none", "p3", "p1", "p9", 'p"{},\\']
        found = await asyncio.gather(*(context.read(code, name) for name in names))
        assert [one.content is not None if one else None for one in found] == [
            True, True, None, False, True, True, None,
        ]  # fmt: skip
        for name, one in zip(names, found, strict=True):
            assert one is None or one.content is None or f'"{name}"'.encode() in one.content

    run(database_url, story)


def test_a_lost_connection_is_told_to_all_who_shared_it(database_url: str):
    async def story(context: Context) -> None:
        shared = Shared(context.pool, context.tenant, context.shapes)
        async with context.connection() as conn:
            ((own,),) = await (await conn.execute("SELECT pg_backend_pid()")).fetchall()
            await conn.execute("RESET ROLE")
            await conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> $1", (own,))
        writing = (shared.write(asked(context, name)) for name in ("a", "b"))
        answers = await asyncio.gather(*writing, return_exceptions=True)
        stored = await named(context, "Quill")
        told = [name for name, one in zip(("a", "b"), answers, strict=True) if one is None]
        assert told == stored

    run(database_url, story)
