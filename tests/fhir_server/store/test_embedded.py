"""The embedded PostgreSQL is real, durable and alone in its data directory, however its server ended.

https://www.postgresql.org/docs/18/runtime.html
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fhir_server.store.account import account_for
from fhir_server.store.cluster import DatabaseUnavailable, settings
from fhir_server.store.embedded import EmbeddedPostgres, database, is_postmaster, postmaster, running_url
from fhir_server.store.lock import DataDirectoryHeld, DataDirectoryLock, holder

ROOT = Path(__file__).resolve().parents[3]

# Starts a database, says where, and waits to be killed.
SERVER = """
import sys, time
from pathlib import Path
from fhir_server.store.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def embedded(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir)
    yield postgres
    postgres.stop()


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
        return row[0] if row else None


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())


def pid_of(postgres: EmbeddedPostgres) -> int:
    known = postmaster(postgres.cluster)
    assert known is not None
    return known.pid


def wait_until_gone(pid: int, cluster: Path) -> None:
    deadline = time.monotonic() + 30
    while is_postmaster(pid, cluster):
        assert time.monotonic() < deadline, "PostgreSQL is still there"
        time.sleep(0.02)


def wait_until_lost(embedded: EmbeddedPostgres) -> None:
    # A process loses its command line a moment before the kernel reports its end: being gone is not yet being lost.
    deadline = time.monotonic() + 30
    while not embedded.lost():
        assert time.monotonic() < deadline, "the loss of PostgreSQL was not noticed"
        time.sleep(0.02)


def test_it_is_postgresql_18_that_loses_no_commit_and_listens_on_no_network(embedded: EmbeddedPostgres) -> None:
    url = embedded.start()
    shown = {
        name: value(url, f"SHOW {name}")
        for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "jit", "server_encoding")
    }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "jit": "off",
        "server_encoding": "UTF8",
    }
    assert str(value(url, "SHOW server_version")).startswith("18.")
    assert value(url, "SELECT current_database()") == "mediconnect"
    assert (embedded.cluster.stat().st_mode & 0o777) == 0o700


def test_what_was_stored_is_there_after_a_stop_and_a_start(embedded: EmbeddedPostgres) -> None:
    execute(embedded.start(), "CREATE TABLE kept AS SELECT 1 AS one")
    embedded.stop()
    assert not embedded.alive()
    assert value(embedded.start(), "SELECT one FROM kept") == 1


def test_a_stop_while_clients_are_connected_does_not_wait_for_them(embedded: EmbeddedPostgres) -> None:
    conn = psycopg.connect(embedded.start())
    conn.execute("SELECT 1")
    began = time.monotonic()
    embedded.stop()
    assert time.monotonic() - began < 10
    conn.close()


def test_a_killed_server_takes_its_database_along_and_loses_nothing(data_dir: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        execute(url, "CREATE TABLE kept AS SELECT 1 AS one")
        postgres = EmbeddedPostgres(data_dir)
        orphan = pid_of(postgres)
        server.kill()
    try:
        assert value(postgres.start(), "SELECT one FROM kept") == 1
        assert pid_of(postgres) != orphan
        assert not is_postmaster(orphan, postgres.cluster)
    finally:
        postgres.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux binds a process to its parent")
def test_a_killed_server_leaves_no_database_running(data_dir: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        server.stdout.readline()
        postgres = EmbeddedPostgres(data_dir)
        orphan = pid_of(postgres)
        server.kill()
    wait_until_gone(orphan, postgres.cluster)


def test_a_killed_database_replays_its_log_at_the_next_start(embedded: EmbeddedPostgres) -> None:
    execute(embedded.start(), "CREATE TABLE kept AS SELECT 1 AS one")
    assert not embedded.lost()
    os.kill(pid_of(embedded), signal.SIGKILL)
    wait_until_lost(embedded)
    embedded.stop()
    assert value(embedded.start(), "SELECT one FROM kept") == 1


def test_a_process_that_got_the_number_of_a_gone_database_is_neither_stopped_nor_in_the_way(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir)
    postgres.start()
    known = (postgres.cluster / "postmaster.pid").read_text()
    postgres.stop()
    account = account_for(postgres.cluster)
    with subprocess.Popen(["sleep", "60"], user=account.uid if account else None) as other:
        try:
            left = postgres.cluster / "postmaster.pid"
            left.write_text(known.replace(known.split("\n", 1)[0], str(other.pid), 1))
            if account:
                os.chown(left, account.uid, account.gid)
            assert value(postgres.start(), "SELECT 1") == 1
            assert other.poll() is None
        finally:
            postgres.stop()
            other.kill()


def test_a_cluster_that_was_not_finished_is_made_anew(embedded: EmbeddedPostgres) -> None:
    unfinished = embedded.data_dir / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    assert value(embedded.start(), "SELECT 1") == 1
    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["a" * 120, "with space, comma and 'quote'", "Ünïcödé"])
def test_a_path_no_socket_can_have_gets_a_private_folder_for_it(data_dir: Path, name: str) -> None:
    postgres = EmbeddedPostgres(data_dir / name)
    try:
        assert value(postgres.start(), "SELECT 1") == 1
        known = postmaster(postgres.cluster)
        assert known is not None
        assert Path(known.socket_folder).stat().st_mode & 0o777 == 0o700
        assert not known.socket_folder.startswith(str(data_dir))
        postgres.stop()
        assert not Path(known.socket_folder).exists()
    finally:
        postgres.stop()


def test_the_second_server_on_a_data_directory_is_told_who_holds_it(embedded: EmbeddedPostgres) -> None:
    embedded.lock.take("http://127.0.0.1:8080")
    embedded.start()
    with pytest.raises(DataDirectoryHeld) as refusal:
        EmbeddedPostgres(embedded.data_dir).start()
    assert f"process {os.getpid()}, http://127.0.0.1:8080" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert embedded.alive()
    embedded.stop()
    assert holder(embedded.data_dir) is None


def test_a_lock_is_free_when_its_holder_gave_it_back(data_dir: Path) -> None:
    first, second = DataDirectoryLock(data_dir), DataDirectoryLock(data_dir)
    first.take("here")
    with pytest.raises(DataDirectoryHeld):
        second.take()
    first.release()
    second.take("there")
    found = holder(data_dir)
    assert found is not None
    assert (found.pid, found.address) == (str(os.getpid()), "there")
    second.release()


def test_a_cluster_of_another_version_is_refused_in_one_line(embedded: EmbeddedPostgres) -> None:
    embedded.cluster.mkdir()
    (embedded.cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseUnavailable, match=r"made by PostgreSQL 16, this server brings 18; .*pg_upgrade"):
        embedded.start()
    assert holder(embedded.data_dir) is None


def test_a_database_that_does_not_start_says_why(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir, options={"shared_buffers": "plenty"})
    with pytest.raises(DatabaseUnavailable, match=r'does not start: .*"shared_buffers".*postgres\.log') as refusal:
        postgres.start()
    assert "\n" not in str(refusal.value)
    assert not postgres.alive()


def test_it_starts_on_the_main_thread_only(embedded: EmbeddedPostgres) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            embedded.start()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])
    assert not embedded.cluster.exists()


def test_a_command_uses_the_database_that_runs_or_one_of_its_own(embedded: EmbeddedPostgres) -> None:
    with database(embedded.data_dir, "postgresql://elsewhere/") as url:
        assert url == "postgresql://elsewhere/"
    assert running_url(embedded.data_dir) is None
    with database(embedded.data_dir) as url:
        assert value(url, "SELECT 1") == 1
        own = running_url(embedded.data_dir)
        assert own == url
    assert running_url(embedded.data_dir) is None
    started = embedded.start()
    with database(embedded.data_dir) as url:
        assert url == started
    assert embedded.alive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_a_data_directory_below_a_private_folder_of_root_can_be_passed_but_not_listed(data_dir: Path) -> None:
    private = data_dir / "private"
    private.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(private / "data")
    try:
        assert value(postgres.start(), "SELECT 1") == 1
        assert private.stat().st_mode & 0o777 == 0o701
        assert Path(f"/proc/{pid_of(postgres)}").stat().st_uid == postgres.cluster.stat().st_uid != 0
    finally:
        postgres.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_cluster_whose_owner_is_unknown_here_is_taken_over(embedded: EmbeddedPostgres) -> None:
    execute(embedded.start(), "CREATE TABLE kept AS SELECT 1 AS one")
    embedded.stop()
    for path in (embedded.cluster, *embedded.cluster.rglob("*")):
        os.chown(path, 54321, 54321)
    assert value(embedded.start(), "SELECT one FROM kept") == 1


def test_settings_leave_room_for_the_connections_asked_for() -> None:
    assert settings(84)["max_connections"] == "84"
