"""`mediconnect doctor`: one line for each thing the server needs, and how to mend what is missing.

https://www.postgresql.org/docs/current/maintenance.html
"""

import asyncio
import locale
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fhir_server.serve import PortUnavailable, bind
from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable, programs
from fhir_server.store.embedded import database
from fhir_server.store.lock import DataDirectoryHeld, holder
from fhir_server.store.migrate import LEAST_POSTGRES, SERVER_ROLE, check
from fhir_server.store.state import DatabaseState, database_state

MIB = 1024 * 1024
LEAST_PYTHON = (3, 11)
SPACE_WANTED = 1024 * MIB
SPACE_NEEDED = 200 * MIB
MOST_SKEW = 2.0  # seconds
BUILT = 1_767_225_600  # 2026-01-01: a clock that shows less has lost its time


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it stands, what was looked at, what was found, and how to mend it (empty when ok)."""

    grade: Literal["ok", "warn", "FAIL"]
    what: str
    found: str
    mend: str = ""

    def line(self) -> str:
        return f"{self.grade:<5}{self.what}: {self.found}" + (f"; {self.mend}" if self.mend else "")

    def as_dict(self) -> dict[str, str]:
        return {"grade": self.grade, "what": self.what, "found": self.found, "mend": self.mend}


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, changing nothing; an embedded database that is not running is started for the moment."""
    began = time.time() - time.monotonic()
    findings = [
        python(),
        encoding(),
        data_directory(settings.data_dir),
        disk(settings.data_dir),
        port(settings),
        *database_findings(settings),
    ]
    return [*findings, clock(time.time() - time.monotonic() - began)]


def python(version: tuple[int, ...] = tuple(sys.version_info[:3]), *, fast: bool | None = None) -> Finding:
    found = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        return Finding("FAIL", "Python", found, "install Python 3.11 or later and make the environment anew")
    if not (optimized() if fast is None else fast):
        mend = "a distribution's is a tenth faster, or pyenv's with PYTHON_CONFIGURE_OPTS=--enable-optimizations"
        return Finding("warn", "Python", f"{found}, built without optimizations", mend)
    return Finding("ok", "Python", found)


def optimized(arguments: str | None = sysconfig.get_config_var("CONFIG_ARGS"), prefix: str = sys.base_prefix) -> bool:
    """Whether this Python's build was guided by a profile, as far as it tells; pyenv builds without, unless asked to.

    https://docs.python.org/3/using/configure.html#cmdoption-enable-optimizations; Debian's is, without that option.
    """
    return arguments is None or "--enable-optimizations" in arguments or prefix == "/usr"


def encoding(preferred: str = "") -> Finding:
    found = (preferred or locale.getpreferredencoding(False)).upper()
    if found.replace("-", "") != "UTF8":
        return Finding("warn", "encoding", found, "set LANG=C.UTF-8 or PYTHONUTF8=1; names in files may be garbled")
    return Finding("ok", "encoding", found)


def data_directory(folder: Path) -> Finding:
    place = _existing(folder)
    if place != folder.absolute() and os.access(place, os.W_OK | os.X_OK):
        return Finding("ok", "data directory", f"{folder.absolute()} will be made")
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        mend = "make it a folder this account may write, or set MEDICONNECT_DATA_DIR"
        return Finding("FAIL", "data directory", f"{place} cannot be written", mend)
    return Finding("ok", "data directory", str(place))


def disk(folder: Path, free: int | None = None) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free if free is None else free
    found = f"{free // MIB} MiB free for {folder.absolute()}"
    if free < SPACE_NEEDED:
        return Finding("FAIL", "disk", found, "free at least 1 GiB; PostgreSQL stops when the disk is full")
    if free < SPACE_WANTED:
        return Finding("warn", "disk", found, "free at least 1 GiB")
    return Finding("ok", "disk", found)


def port(settings: Settings) -> Finding:
    address = f"{settings.host}:{settings.port}"
    try:
        bind(settings.host, settings.port).close()
    except PortUnavailable as error:
        held = holder(settings.data_dir)
        if held and held.address.endswith(f":{settings.port}"):
            return Finding("ok", "port", f"{address} is this data directory's server, process {held.pid}")
        if settings.database_url:
            return Finding(
                "warn", "port", f"{address} is in use", "good if that is this server, else set MEDICONNECT_PORT"
            )
        return Finding("FAIL", "port", *str(error).split("; ", 1))
    return Finding("ok", "port", f"{address} is free")


def database_findings(settings: Settings) -> list[Finding]:
    """What is to say of the database: reachable, version, migrations, row level security, clock."""
    try:
        if not settings.database_url and not (settings.data_dir / "postgres").exists():
            return [
                Finding("ok", "database", f"will be made at the first start by the PostgreSQL in {programs().parent}")
            ]
        with database(settings.data_dir, settings.database_url) as url:
            return list(_looked_at(url))
    except DataDirectoryHeld as error:
        return [
            Finding("warn", "database", str(error).split("; ", maxsplit=1)[0], "ask again when that server answers")
        ]
    except DatabaseUnavailable as error:
        return [Finding("FAIL", "database", str(error), "start it, or correct MEDICONNECT_DATABASE_URL")]


def version(state: DatabaseState) -> Finding:
    found = f"PostgreSQL {state.version // 10_000}.{state.version % 10_000}, {state.encoding}"
    if state.version < LEAST_POSTGRES:
        return Finding("FAIL", "database", found, "upgrade to PostgreSQL 15 or later")
    if state.encoding != "UTF8":
        return Finding("FAIL", "database", found, "create it anew with ENCODING 'UTF8'")
    return Finding("ok", "database", found)


def row_security(state: DatabaseState) -> Finding:
    if state.bound is None:
        return Finding("warn", "row level security", "not there before the migrations", "run `mediconnect migrate`")
    if not state.bound:
        mend = f"run `mediconnect migrate` as a role that may create {SERVER_ROLE} and make this login a member of it"
        return Finding("FAIL", "row level security", "does not bind this login", mend)
    return Finding("ok", "row level security", "binds the server's queries")


def skew(state: DatabaseState) -> Finding:
    found = f"{state.skew:+.3f} s from ours"
    if abs(state.skew) >= MOST_SKEW:
        return Finding("FAIL", "database clock", found, "let both machines set their clocks by NTP")
    return Finding("ok", "database clock", found)


def clock(drift: float, now: float | None = None) -> Finding:
    """`drift`: by how many seconds the wall clock went another way than the monotonic one while we looked."""
    now = time.time() if now is None else now
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < BUILT:
        return Finding("FAIL", "clock", f"shows {shown}", "set it, by NTP for choice; versions carry its time")
    if abs(drift) > 0.5:
        return Finding("warn", "clock", f"jumped by {drift:+.3f} s while it was looked at", "let NTP slew it")
    return Finding("ok", "clock", shown)


def _looked_at(url: str) -> Iterator[Finding]:
    state = asyncio.run(database_state(url))
    yield version(state)
    if state.version >= LEAST_POSTGRES:
        problems = asyncio.run(check(url))
        yield from (Finding("FAIL", "migrations", *_split(problem)) for problem in problems)
        if not problems:
            yield Finding("ok", "migrations", "all applied")
    yield row_security(state)
    yield skew(state)


def _split(problem: str) -> tuple[str, str]:
    """A problem's sentence and its remedy, which follows the first semicolon or colon."""
    found, _, mend = problem.partition("; ")
    return found, mend or "see docs/implementation/migrations.md"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)
