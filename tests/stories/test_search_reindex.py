"""`mediconnect reindex` killed in the middle goes on and ends complete: https://hl7.org/fhir/R4/searchparameter.html."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fhir_server.app import context_of, pool_of
from fhir_server.context import Context
from fhir_server.interactions.change import Change, apply
from fhir_server.settings import Settings
from tests.running import client, running

ROOT = Path(__file__).resolve().parents[2]
COUNT = 2500
NICKNAME: dict[str, Any] = {
    "resourceType": "SearchParameter", "id": "nickname", "url": "http://hospital.example/SearchParameter/nickname",
    "name": "nickname", "status": "active", "description": "a nickname", "code": "nickname", "base": ["Patient"],
    "type": "string", "expression": "Patient.name.text",
}  # fmt: skip
OWN_ROWS = """
SELECT count(*), count(DISTINCT pk) FROM mediconnect.index_string
WHERE value LIKE 'nick %' AND key NOT IN (SELECT key FROM before)
"""


def patients() -> list[Change]:
    return [
        Change("Patient", f"p{n}", {"resourceType": "Patient", "id": f"p{n}", "name": [{"text": f"Nick {n}"}]})
        for n in range(COUNT)
    ]


async def stored(url: str) -> None:
    """The patients, then the SearchParameter, with nobody there who works on its job."""
    pool = pool_of(Settings(database_url=url))
    await pool.open()
    try:
        context = await context_of(Settings(database_url=url), pool)
        await write(context, patients())
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE TABLE before AS SELECT DISTINCT key FROM mediconnect.index_string")
        await write(context, [Change("SearchParameter", "nickname", NICKNAME)])
    finally:
        await pool.close()


async def write(context: Context, changes: list[Change]) -> None:
    async def work(inner: Context) -> None:
        await apply(inner, changes, lock=True)

    await context.transact(work)


def reindexing(url: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"MEDICONNECT_DATABASE_URL": url}
    command = [sys.executable, "-m", "fhir_server", "reindex"]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


def done(url: str) -> tuple[int, int, bool]:
    """How many resources the job has done, of how many, and whether it has ended."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute("SELECT done, total, ended IS NOT NULL FROM mediconnect.reindex").fetchone()
    assert row is not None
    return row


@pytest.mark.timeout(180)
def test_killed_in_the_middle_it_goes_on_and_every_resource_has_its_row_once(database_url: str):
    asyncio.run(stored(database_url))
    kills = []
    for least in (0, COUNT // 3):
        process = reindexing(database_url)
        deadline = time.monotonic() + 60
        while done(database_url)[0] <= least and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        count, total, ended = done(database_url)
        assert total == COUNT
        assert not ended
        kills.append(count)
    assert 0 < kills[0] < kills[1] < COUNT, "killed twice while there was more to do"

    with running(database_url) as base, client(base) as fhir:  # a server goes on by itself
        status = fhir.get("/$reindex-status").json()["parameter"][0]["part"]
        assert {"name": "total", "valueInteger": COUNT} in status
        deadline = time.monotonic() + 60
        while not done(database_url)[2] and time.monotonic() < deadline:
            early = fhir.get("/Patient?nickname=nick&_summary=count")
            assert early.status_code in (200, 400), "refused or complete, never a part"
            assert early.json().get("total", COUNT) == COUNT
            time.sleep(0.02)
        assert done(database_url) == (COUNT, COUNT, True)
        time.sleep(1.1)  # a process looks once a second how far the jobs are
        assert fhir.get("/Patient?nickname=nick&_summary=count").json()["total"] == COUNT
        assert fhir.get("/Patient?nickname:missing=true&_summary=count").json()["total"] == 0
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert conn.execute(OWN_ROWS).fetchone() == (COUNT, COUNT)
    assert subprocess.run(
        [sys.executable, "-m", "fhir_server", "reindex"], env=os.environ | {"MEDICONNECT_DATABASE_URL": database_url},
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.endswith("0 resources; nothing is left to do\n")  # fmt: skip
