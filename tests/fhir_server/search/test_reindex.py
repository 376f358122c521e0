"""Jobs that make index rows go on where they were broken off: https://hl7.org/fhir/R4/searchparameter.html."""

import asyncio
from typing import Any

import pytest

from fhir_server.context import Context
from fhir_server.interactions.change import Change
from fhir_server.interactions.conditional import find
from fhir_server.interactions.write import change
from fhir_server.outcome import Refusal
from fhir_server.search.registration import refresh
from fhir_server.search.reindex import Reindex
from tests.fhir_server.working import run

NICKNAME = {
    "resourceType": "SearchParameter", "id": "nickname", "url": "http://hospital.example/SearchParameter/nickname",
    "name": "nickname", "status": "active", "description": "a nickname", "code": "nickname", "base": ["Patient"],
    "type": "string", "expression": "Patient.name.text",
}  # fmt: skip


async def put(context: Context, resource: dict[str, Any]) -> None:
    await change(context, Change(resource["resourceType"], resource["id"], resource))


async def put_patients(context: Context, names: list[str]) -> None:
    for name in names:
        await put(context, {"resourceType": "Patient", "id": name, "name": [{"text": f"Nick {name}"}]})


def job(context: Context) -> Reindex:
    return Reindex(context.pool, context.tenant, context.parameters, context.types, context.shapes)


async def found(context: Context, text: str) -> list[str]:
    async with context.connection() as conn:
        await refresh(conn, context.tenant, context.parameters, context.shapes, now=True)
    return await context.attempt(lambda inner: find(inner, "Patient", [("nickname", text)], 100))


NAMES = [f"p{n:02}" for n in range(25)]


def test_a_job_that_is_broken_off_goes_on_behind_its_last_chunk(database_url: str):
    async def before(context: Context) -> None:
        await put_patients(context, NAMES)
        await put(context, NICKNAME)
        assert await job(context).step(10) == 10
        assert await job(context).step(10) == 10
        with pytest.raises(Refusal, match="20 of 25 resources are indexed"):
            await found(context, "nick")

    async def after(context: Context) -> None:
        assert await job(context).run(10) == 5
        assert sorted(await found(context, "nick")) == NAMES
        assert await job(context).step() is None

    run(database_url, before)
    run(database_url, after)


def test_writers_and_two_workers_at_once_leave_no_resource_out_and_none_twice(database_url: str):
    async def story(context: Context) -> None:
        await put_patients(context, NAMES)
        await put(context, NICKNAME)
        others = [f"q{n:02}" for n in range(20)]
        changed = {"resourceType": "Patient", "id": "p03", "name": [{"text": "Changed"}]}
        await asyncio.gather(
            job(context).run(3), job(context).run(3), put_patients(context, others), put(context, changed)
        )
        await job(context).run()
        assert sorted(await found(context, "nick")) == sorted([*(set(NAMES) - {"p03"}), *others])
        assert await found(context, "changed") == ["p03"]
        async with context.connection() as conn:
            twice = await conn.execute(
                "SELECT key, pk, value FROM index_string GROUP BY 1, 2, 3, exact HAVING count(*) > 1"
            )
            assert await twice.fetchall() == []

    run(database_url, story)


def test_all_rows_can_be_made_anew(database_url: str):
    async def story(context: Context) -> None:
        await put_patients(context, NAMES)
        async with context.connection() as conn:
            for statement in (
                b"DELETE FROM index_token", b"DELETE FROM index_string", b"DELETE FROM index_text",
                b"INSERT INTO index_date SELECT 1, now(), 'infinity', pk FROM resource",
            ):  # fmt: skip
                await conn.execute(statement)
        await job(context).all()
        await job(context).all()
        assert await job(context).run(7) == len(NAMES)
        assert len(await job(context).status()) == 1
        assert sorted(await context.attempt(lambda inner: find(inner, "Patient", [("name", "nick")], 100))) == NAMES
        assert len(await context.attempt(lambda inner: find(inner, "Patient", [("_content", "nick")], 100))) == 25
        async with context.connection() as conn:
            assert await (await conn.execute("SELECT count(*) FROM index_date")).fetchone() == (0,)

    run(database_url, story)
