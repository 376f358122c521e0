"""The steps of a write are measured on versions that the server itself would write."""

import itertools
from pathlib import Path

import pytest

from bench import steps
from bench.crud import TYPES
from fhir_server.context import Context
from tests.fhir_server.working import run


def test_resources_have_ids_and_identifiers_of_their_own():
    one, other = itertools.islice(steps.resources("Patient"), 2)
    assert one["id"] != other["id"]
    assert one["identifier"] != other["identifier"]
    assert one["name"] == other["name"]


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system has no /proc/PID/schedstat")
def test_a_line_tells_of_every_step(database_url: str, monkeypatch):
    monkeypatch.setattr(steps, "STATEMENTS", 1)
    monkeypatch.setattr(steps, "ROUNDS", 2)
    monkeypatch.setattr(steps, "SECONDS", 0.0)

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            for kind in TYPES:
                found = await steps.line(context, conn, kind)
                assert set(found) == set(steps.HEAD)
                assert int(found["create"]) > 0
                assert int(found["log"].replace(",", "")) > int(found["bytes"].replace(",", ""))
            rows = await (await conn.execute("SELECT version, count(*) FROM version GROUP BY version")).fetchall()
        written = len(TYPES) * steps.TOGETHER * (steps.ROUNDS + 1)
        assert dict(rows) == {1: written, 2: written}

    run(database_url, story)


def test_a_type_that_the_chain_has_not_is_refused(capsys):
    assert steps.main(["Basic"]) == 2
    assert "known are Patient, Location" in capsys.readouterr().err
