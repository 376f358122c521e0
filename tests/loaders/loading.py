"""What the tests of the loader share: the command line as a process, a context, what a database holds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from fhir_server.context import Context
from fhir_server.settings import Settings
from loaders.worker import opened_context

ROOT = Path(__file__).resolve().parents[2]
COUNTS = """
SELECT t.name, count(*) FROM mediconnect.resource r JOIN mediconnect.resource_type t ON t.code = r.type
WHERE NOT r.deleted GROUP BY t.name
"""


def environment(**settings: object) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEDICONNECT_")}
    return kept | {f"MEDICONNECT_{name}": str(value) for name, value in settings.items()}


def started(*arguments: object, **settings: object) -> "subprocess.Popen[str]":
    """`mediconnect …` in a process group of its own, so that a whole family can be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "fhir_server", *map(str, arguments)],
        env=environment(**settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def mediconnect(*arguments: object, **settings: object) -> tuple[int, str]:
    """Exit code and all that was said."""
    with started(*arguments, **settings) as process:
        try:
            said, _ = process.communicate(timeout=270)  # below what a test may take
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, said


@asynccontextmanager
async def context(url: str) -> AsyncIterator[Context]:
    async with opened_context(Settings(database_url=url, pool_size=2)) as opened:
        yield opened


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c search_path=mediconnect") as conn:
        return conn.execute(statement.encode()).fetchall()


def counts(url: str) -> dict[str, int]:
    """The current resources by type."""
    return dict(query(url, COUNTS))


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def linked(folder: Path, files: Iterable[Path]) -> Path:
    """A folder with links to the files."""
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file.name).symlink_to(file)
    return folder
