"""The demonstration hospital on the first start of a server."""

import asyncio
from typing import Any

import psycopg
import pytest

from fhir_server.settings import Settings
from loaders.first_start import LOAD, furnish


def counted(url: str, statement: str) -> int:
    options = "-c search_path=mediconnect -c mediconnect.tenant=1"
    with psycopg.connect(url, options=options) as conn:
        row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def start(database_url: str) -> Any:
    """Starts as `mediconnect serve` would, as far as the hospital goes; what was reported."""

    def begin() -> list[str]:
        told: list[str] = []
        asyncio.run(furnish(Settings(database_url=database_url, demo_patients=2), told.append))
        return told

    return begin


def test_the_first_start_stores_the_hospital_and_the_second_leaves_it_alone(start: Any, database_url: str) -> None:
    assert start()
    versions = counted(database_url, "SELECT count(*) FROM version")
    assert versions > 100
    assert not start()
    assert counted(database_url, "SELECT count(*) FROM version") == versions


def test_a_hospital_that_was_begun_is_completed(start: Any, database_url: str) -> None:
    start()
    resources = counted(database_url, "SELECT count(*) FROM resource")
    with psycopg.connect(database_url, options="-c search_path=mediconnect -c mediconnect.tenant=1") as conn:
        conn.execute("DELETE FROM load_unit WHERE load = %s AND unit = 'done'", (LOAD,))
        for table in ("resource", "version"):
            conn.execute(f"DELETE FROM {table} WHERE pk IN (SELECT max(pk) FROM {table})".encode())
    assert start()
    assert counted(database_url, "SELECT count(*) FROM resource") == resources


def test_a_database_that_holds_something_else_gets_no_hospital(start: Any, database_url: str) -> None:
    start()
    with psycopg.connect(database_url, options="-c search_path=mediconnect -c mediconnect.tenant=1") as conn:
        conn.execute("DELETE FROM load_unit")
    assert not start()
