"""`mediconnect doctor` says in one line each what is there, what is not, and how to mend it.

https://www.postgresql.org/docs/current/maintenance.html
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fhir_server.doctor import (
    MIB,
    Finding,
    clock,
    data_directory,
    database_findings,
    disk,
    encoding,
    examine,
    optimized,
    port,
    python,
    row_security,
    skew,
    version,
)
from fhir_server.settings import Settings
from fhir_server.store.lock import DataDirectoryLock
from fhir_server.store.state import DatabaseState, database_state

ROOT = Path(__file__).resolve().parents[2]
GOOD = DatabaseState(version=180_004, encoding="UTF8", skew=0.01, bound=True)


def state(**changes: object) -> DatabaseState:
    values: dict[str, object] = {name: getattr(GOOD, name) for name in ("version", "encoding", "skew", "bound")}
    return DatabaseState(**(values | changes))  # type: ignore[arg-type]  # the table below gives each the right type


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (python((3, 13, 1), fast=True), "ok   Python: 3.13.1"),
        (
            python((3, 13, 1), fast=False),
            (
                "warn Python: 3.13.1, built without optimizations; a distribution's is a tenth faster, "
                "or pyenv's with PYTHON_CONFIGURE_OPTS=--enable-optimizations"
            ),
        ),
        (python((3, 10, 9)), "FAIL Python: 3.10.9; install Python 3.11 or later and make the environment anew"),
        (encoding("UTF-8"), "ok   encoding: UTF-8"),
        (
            encoding("latin-1"),
            "warn encoding: LATIN-1; set LANG=C.UTF-8 or PYTHONUTF8=1; names in files may be garbled",
        ),
        (disk(Path("/"), 2000 * MIB), "ok   disk: 2000 MiB free for /"),
        (disk(Path("/"), 900 * MIB), "warn disk: 900 MiB free for /; free at least 1 GiB"),
        (
            disk(Path("/"), 100 * MIB),
            "FAIL disk: 100 MiB free for /; free at least 1 GiB; PostgreSQL stops when the disk is full",
        ),
        (version(GOOD), "ok   database: PostgreSQL 18.4, UTF8"),
        (version(state(version=140_011)), "FAIL database: PostgreSQL 14.11, UTF8; upgrade to PostgreSQL 15 or later"),
        (
            version(state(encoding="LATIN1")),
            "FAIL database: PostgreSQL 18.4, LATIN1; create it anew with ENCODING 'UTF8'",
        ),
        (row_security(GOOD), "ok   row level security: binds the server's queries"),
        (
            row_security(state(bound=None)),
            "warn row level security: not there before the migrations; run `mediconnect migrate`",
        ),
        (skew(GOOD), "ok   database clock: +0.010 s from ours"),
        (skew(state(skew=-2.5)), "FAIL database clock: -2.500 s from ours; let both machines set their clocks by NTP"),
        (clock(0.0, 1_790_000_000.0), "ok   clock: 2026-09-21T14:13:20Z"),
        (clock(-3.0, 1_790_000_000.0), "warn clock: jumped by -3.000 s while it was looked at; let NTP slew it"),
        (clock(0.0, 0.0), "FAIL clock: shows 1970-01-01T00:00:00Z; set it, by NTP for choice; versions carry its time"),
    ],
)
def test_each_finding_is_one_line_with_its_remedy(finding: Finding, line: str) -> None:
    assert finding.line() == line


def test_a_login_that_row_level_security_does_not_bind_is_a_failure() -> None:
    assert row_security(state(bound=False)).grade == "FAIL"


def test_a_port_is_free_ours_or_taken(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        settings = Settings(port=number, data_dir=data_dir)
        assert port(settings).grade == "FAIL"
        assert port(Settings(port=number, data_dir=data_dir, database_url="postgresql://x/")).grade == "warn"
        lock = DataDirectoryLock(data_dir).take(f"http://127.0.0.1:{number}")
        assert port(settings).line().endswith(f"is this data directory's server, process {os.getpid()}")
        lock.release()
    assert port(settings).found.endswith("is free")


def test_a_data_directory_is_there_or_can_be_made_or_is_a_file(data_dir: Path) -> None:
    assert data_directory(data_dir).grade == "ok"
    assert data_directory(data_dir / "new" / "one").found.endswith("will be made")
    (data_dir / "file").touch()
    assert data_directory(data_dir / "file").grade == "FAIL"


def test_a_migrated_database_is_all_right(database_url: str) -> None:
    found = database_findings(Settings(database_url=database_url))
    assert [(finding.grade, finding.what) for finding in found] == [
        ("ok", "database"),
        ("ok", "migrations"),
        ("ok", "row level security"),
        ("ok", "database clock"),
    ]


def test_a_database_without_the_migrations_says_how_to_apply_them(empty_database_url: str) -> None:
    found = {finding.what: finding for finding in database_findings(Settings(database_url=empty_database_url))}
    assert found["migrations"].grade == "FAIL"
    assert "mediconnect migrate" in found["migrations"].mend
    assert found["row level security"].grade == "warn"


def test_a_superuser_outside_the_servers_role_is_not_bound(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE mediconnect.resource DISABLE ROW LEVEL SECURITY")
    assert asyncio.run(database_state(database_url)).bound is False


def test_a_database_that_does_not_answer_is_a_failure(postgres_url: str) -> None:
    (found,) = database_findings(Settings(database_url=make_conninfo(postgres_url, dbname="missing")))
    assert found.grade == "FAIL"
    assert 'database "missing" does not exist' in found.found
    assert "\n" not in found.line()


def test_before_the_first_start_nothing_is_made(data_dir: Path) -> None:
    found = examine(Settings(data_dir=data_dir / "new", port=0))
    assert [finding.grade for finding in found if finding.what != "Python"] == ["ok"] * 6
    assert not (data_dir / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "prefix", "fast"),
    [
        ("'--enable-optimizations' '--with-lto'", "/usr/local", True),
        ("'--prefix=/opt/pyenv/versions/3.13.1' '--enable-shared'", "/opt/pyenv/versions/3.13.1", False),
        ("", "/opt/python", False),
        ("'--prefix=/usr'", "/usr", True),
        (None, r"C:\Python313", True),
    ],
)
def test_a_python_built_without_optimizations_is_known(arguments: str | None, prefix: str, fast: bool):
    assert optimized(arguments, prefix) is fast


@pytest.mark.parametrize(("url", "code"), [("postgresql://nobody@127.0.0.1:9/none", 1), ("", 0)])
def test_the_command_exits_with_one_where_something_fails(data_dir: Path, url: str, code: int) -> None:
    own = {"MEDICONNECT_DATA_DIR": str(data_dir), "MEDICONNECT_PORT": "0", "MEDICONNECT_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "fhir_server", "doctor", "--json"],
        env=os.environ | own,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    grades = {finding["what"]: finding["grade"] for finding in json.loads(done.stdout)}
    assert (done.returncode, grades["database"]) == (code, "FAIL" if code else "ok")
    assert done.stderr == ""
