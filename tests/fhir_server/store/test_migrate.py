"""Migrations of a database that holds something already."""

import asyncio
from contextlib import suppress

import psycopg
import pytest

from fhir_server.store import migrate as module
from fhir_server.store.audit import Note, append, encoded, waiting
from fhir_server.store.migrate import migrate, migrations
from fhir_server.store.pool import Pool

READ = Note(subtype="read", status=200, outcome=0, client="app")
SEARCH = Note(subtype="search-type", status=200, outcome=0, client="app", query="Patient")


def test_notes_that_wait_to_be_sealed_outlive_the_new_table(empty_database_url: str, monkeypatch: pytest.MonkeyPatch):
    every = migrations()
    monkeypatch.setattr(module, "migrations", lambda: every[: [one.number for one in every].index(23)])
    asyncio.run(migrate(empty_database_url))
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        told = (encoded([SEARCH]).decode(), encoded([READ]).decode())
        conn.execute(
            "INSERT INTO mediconnect.audit (seq, tenant, notes, events, versions, callers, requests) VALUES"
            " (7, 1, %s, 1, NULL, NULL, NULL), (9, 1, %s, 2, '{5,NULL,6}', '{0,0,0}', '{a,b,c}')",
            told,
        )
        before = conn.execute("SELECT recorded FROM mediconnect.audit ORDER BY seq").fetchall()
    monkeypatch.undo()
    assert "0023_notes_alone.sql" in asyncio.run(migrate(empty_database_url))

    async def story() -> None:
        pool = Pool(empty_database_url, size=1)
        await pool.open()
        async with pool.connection() as conn:
            first, second = await waiting(conn, 1, 100)
            assert [first.recorded, second.recorded] == [moment for (moment,) in before]
            assert (first.seq, first.notes, first.events, first.versions) == (7, [SEARCH], 1, None)
            assert (second.seq, [one.request for one in second.notes], second.versions) == (9, ["a", "c"], [5, 6])
            assert await waiting(conn, 2, 100) == []
        await pool.close()

    asyncio.run(story())


def test_another_tenant_neither_sees_notes_nor_adds_them(database_url: str):
    async def count(tenant: int) -> int:
        pool = Pool(database_url, tenant=tenant, size=1)
        await pool.open()
        async with pool.connection() as conn:
            with suppress(psycopg.errors.InsufficientPrivilege):
                await append(conn, 1, [READ])
            found = (await (await conn.execute("SELECT count(*) FROM audit")).fetchone() or (0,))[0]
        await pool.close()
        return int(found)

    assert [asyncio.run(count(tenant)) for tenant in (2, 1, 2, 1)] == [0, 1, 0, 2]
