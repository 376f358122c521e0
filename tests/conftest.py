"""The PostgreSQL that the tests run on: one per test process, with a fresh database for who asks for it.

https://docs.pytest.org/en/stable/how-to/fixtures.html
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fhir_server.store.embedded import EmbeddedPostgres
from fhir_server.store.lock import DataDirectoryHeld, DataDirectoryLock
from fhir_server.store.migrate import migrate

# Nothing of a test run has to outlive a power cut; nowhere else is any of this switched off.
HASTE = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
    "autovacuum": "off",
    "log_min_messages": "warning",
}
PREFIX = "mc-test-"
NUMBERS = itertools.count(1)

NewDatabase = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of the superuser's database on a PostgreSQL of this test process, gone with it."""
    with _folder() as folder:
        postgres = EmbeddedPostgres(folder, connections=200, options=HASTE)
        try:
            yield postgres.start()
        finally:
            postgres.stop()


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> NewDatabase:
    """A function from the name of a template to a context with the URL of a new copy of it."""

    @contextlib.contextmanager
    def copy(template: str) -> Iterator[str]:
        name = f"test_{next(NUMBERS)}"
        _run(postgres_url, "CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield make_conninfo(postgres_url, dbname=name)
        finally:
            _run(postgres_url, "DROP DATABASE {} WITH (FORCE)", name)

    return copy


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with the server's schema and nothing in it, for copying."""
    _run(postgres_url, "CREATE DATABASE {} TEMPLATE {}", "migrated", "template0")
    asyncio.run(migrate(make_conninfo(postgres_url, dbname="migrated")))
    return "migrated"


@pytest.fixture
def empty_database_url(new_database: NewDatabase) -> Iterator[str]:
    """The URL of a database without a schema, new for each test."""
    with new_database("template0") as url:
        yield url


@pytest.fixture
def database_url(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """The URL of a database with the server's schema and no resources, new for each test."""
    with new_database(migrated_template) as url:
        yield url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data directory with a short path, for a server or an embedded database of the test's own."""
    with _folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def module_database_url(new_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """The URL of a database with the server's schema that the tests of one module share."""
    with new_database(migrated_template) as url:
        yield url


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    place = _place()
    _clear(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path:
    """Memory where there is enough of it, for removing a cluster from a disk takes longer than using it."""
    memory = Path("/dev/shm")
    enough = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    return memory if enough else Path(tempfile.gettempdir())


def _clear(place: Path) -> None:
    """Remove what killed test runs left an hour ago or earlier."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, DataDirectoryHeld):
            if folder.stat().st_mtime < time.time() - 3600:
                DataDirectoryLock(folder).take().release()
                shutil.rmtree(folder)


def _run(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes by their length: a compressed body holds the time, and test processes must agree on the names of tests."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) else None
