"""The process that holds the server starts in order, says what is wrong in one line, and ends without losing anything.

https://hl7.org/fhir/R4/http.html
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path

import httpx
import psycopg
import pytest

from fhir_server.processors import one_each
from fhir_server.serve import PortUnavailable, Steps, bind
from fhir_server.settings import Settings
from fhir_server.store.embedded import is_postmaster, postmaster, running_url

ROOT = Path(__file__).resolve().parents[2]

# An application that says which process answers, and takes its time when asked to.
APPLICATION = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    body = f"{os.getpid()} {os.environ['MEDICONNECT_PORT']} {os.environ['MEDICONNECT_DATABASE_URL']}".encode()
    if scope["path"] == "/workers":
        body = os.environ["MEDICONNECT_WORKERS"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})

def create_app():
    return app
"""
COMMAND = """
import sys
from fhir_server.serve import serve
from fhir_server.settings import Settings
sys.exit(serve(Settings(), "tiny_application:create_app"))
"""

Start = Callable[..., AbstractContextManager["Server"]]


class Server:
    """A server in a process of its own, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.base = ""

    def wait_until_it_answers(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"health +(http://\S+)/health/ready", line):
                self.base = found[1]
            if "Ctrl-C" in line:
                return
        raise AssertionError(f"the server ended: {self.said} {self.end()}")

    def get(self, path: str = "/") -> list[str]:
        """Process, port and database URL of the one that answers; of /workers, how many it knows of."""
        return httpx.get(self.base + path, timeout=10, trust_env=False).text.split()

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Exit code and what it said on stderr."""
        if number:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def start(data_dir: Path) -> Start:
    (data_dir / "tiny_application.py").write_text(APPLICATION)

    @contextlib.contextmanager
    def started(**settings: str) -> Iterator[Server]:
        own = {"DATA_DIR": str(data_dir), "PORT": "0", "DEMO": "0", "WORKERS": "1"} | settings
        environment = {name: text for name, text in os.environ.items() if not name.startswith("MEDICONNECT_")}
        environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{data_dir}"}
        environment |= {f"MEDICONNECT_{name}": text for name, text in own.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        server = Server(process)
        with process:
            try:
                yield server
            finally:
                process.kill()

    return started


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_a_signal_ends_http_and_then_the_database_and_nothing_is_said(
    start: Start, data_dir: Path, workers: str, number: signal.Signals, code: int
) -> None:
    if workers == "2" and number is signal.SIGHUP:
        pytest.skip("with several processes a hangup replaces the workers one by one")
    with start(WORKERS=workers) as server:
        server.wait_until_it_answers()
        _, port, url = server.get()
        assert server.base.endswith(f":{port}")
        assert url == running_url(data_dir)
        known = postmaster(data_dir / "postgres")
        assert known is not None
        assert server.end(number) == (code, "")
    assert not is_postmaster(known.pid, data_dir / "postgres")
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_it_says_what_it_does_and_where_it_is(start: Start, data_dir: Path) -> None:
    with start() as server:
        server.wait_until_it_answers()
        said = "".join(server.said)
    assert re.search(rf"  database: PostgreSQL in {data_dir}/postgres \(\d+\.\d\d s\)\n", said)
    assert re.search(r"  migrations: applied 0001\S+.* \(\d+\.\d\d s\)\n", said)
    assert f"  FHIR base  {server.base}/fhir\n  docs       {server.base}/docs\n" in said
    assert "\x1b" not in said


def test_a_running_request_is_answered_before_the_server_ends(start: Start) -> None:
    with start() as server:
        server.wait_until_it_answers()
        address = server.base.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1]))) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"server:" not in answer.lower()
        assert server.end() == (0, "")


def test_the_second_server_on_a_data_directory_says_who_holds_it_and_exits(start: Start) -> None:
    with start() as first:
        first.wait_until_it_answers()
        with start() as second:
            code, errors = second.end()
        assert code == 1
        assert re.fullmatch(rf".* \(process {first.process.pid}, {first.base}\); .*\n", errors)
        assert first.get()[0] == str(first.process.pid)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_a_signal_before_it_answers_ends_it_as_quietly(start: Start, number: signal.Signals, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        with start(DATABASE_URL=url) as server, silent.accept()[0]:
            assert server.end(number) == (code, "")


def test_a_port_in_use_is_said_before_the_database_is_touched(start: Start, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, start(PORT=str(other.getsockname()[1])) as server:
        code, errors = server.end()
    assert code == 1
    assert re.fullmatch(r"mediconnect: cannot listen on 127.0.0.1, port \d+: Address already in use; .*\n", errors)
    assert not (data_dir / "postgres").exists()


def test_a_database_that_does_not_answer_is_said_in_one_line(start: Start) -> None:
    with start(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none") as server:
        code, errors = server.end()
    assert code == 1
    assert re.fullmatch(r"mediconnect: the database does not answer: .*\n", errors)


def test_a_database_by_url_is_used_and_no_embedded_one_made(
    start: Start, data_dir: Path, empty_database_url: str
) -> None:
    with start(DATABASE_URL=empty_database_url) as server:
        server.wait_until_it_answers()
        assert " ".join(server.get()[2:]) == empty_database_url
        with psycopg.connect(empty_database_url) as conn:
            assert conn.execute("SELECT count(*) > 0 FROM mediconnect.migration").fetchone() == (True,)
    assert not (data_dir / "postgres").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux binds a process to its parent")
def test_a_killed_server_leaves_nothing_running_and_starts_again_on_the_same_port(start: Start, data_dir: Path) -> None:
    with start(WORKERS="2") as server:
        server.wait_until_it_answers()
        worker, port, url = server.get()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.process.kill()
    wait_until(lambda: not exists(int(worker)), "the worker is still there")
    with start(PORT=port) as server:
        server.wait_until_it_answers()
        with psycopg.connect(server.get()[2]) as conn:
            assert conn.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_worker_that_dies_is_replaced(start: Start) -> None:
    with start(WORKERS="2") as server:
        server.wait_until_it_answers()
        worker = int(server.get()[0])
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not exists(worker), "the worker was not collected")
        seen: set[str] = set()

        def both_answer() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                seen.add(server.get()[0])
            return len(seen - {str(worker)}) == 2

        wait_until(both_answer, "there is one worker only")
        assert server.end(signal.SIGTERM)[0] == 0


def test_each_worker_keeps_to_a_processor_of_its_own_and_so_does_who_comes_after_it(start: Start) -> None:
    found = one_each(2)
    if not found:
        pytest.skip("needs two processors and no more, without a quota")
    with start(WORKERS="2") as server:
        server.wait_until_it_answers()

        def spread(without: set[int]) -> bool:
            with contextlib.suppress(httpx.HTTPError):
                seen.add(int(server.get()[0]))
            return sorted(tuple(os.sched_getaffinity(pid)) for pid in seen - without) == [(one,) for one in found]

        seen: set[int] = set()
        wait_until(lambda: spread(set()), "not a processor each")
        killed = min(seen)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: spread({killed}), "the one that came later has another")
        before = set(seen)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: spread(before), "those that came instead have others")
        assert server.end(signal.SIGTERM)[0] == 0


def test_who_keeps_to_one_processor_still_knows_how_many_processes_there_are(start: Start) -> None:
    with start(WORKERS="0") as server:
        server.wait_until_it_answers()
        assert server.get("/workers") == [str(Settings(workers=0).processes)]
        assert server.end(signal.SIGTERM)[0] == 0


def test_workers_run_anywhere_where_that_is_asked_for(start: Start) -> None:
    with start(WORKERS="2", PIN="0") as server:
        server.wait_until_it_answers()
        assert os.sched_getaffinity(int(server.get()[0])) == os.sched_getaffinity(0)
        assert server.end(signal.SIGTERM)[0] == 0


def test_connections_that_stay_are_shared_between_workers(start: Start) -> None:
    with start(WORKERS="2") as server, contextlib.ExitStack() as stack:
        server.wait_until_it_answers()
        clients = [stack.enter_context(httpx.Client(trust_env=False, timeout=10)) for _ in range(20)]
        answered = Counter(one.get(server.base + "/").text.split()[0] for one in clients)
        assert sorted(answered.values()) in ([9, 11], [10, 10])
        assert server.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_database_died_says_so_and_can_start_again(start: Start, data_dir: Path, workers: str) -> None:
    with start(WORKERS=workers) as server:
        server.wait_until_it_answers()
        known = postmaster(data_dir / "postgres")
        assert known is not None
        os.kill(known.pid, signal.SIGKILL)
        code, errors = server.end()
    assert code == 1
    assert re.fullmatch(r"mediconnect: the database has ended by itself; its log is \S+postgres.log\n", errors)
    with start() as server:
        server.wait_until_it_answers()


@pytest.mark.parametrize("host", ["256.256.256.256", "no-such-host.invalid"])
def test_a_host_that_is_none_is_said(host: str) -> None:
    with pytest.raises(PortUnavailable, match=f"cannot listen on {host}.*MEDICONNECT_HOST"):
        bind(host, 0)


def test_steps_keep_the_last_word_on_each() -> None:
    out = StringIO()
    steps = Steps(out)
    for text in ("database: starting", "database: there", "patients: 1", "patients: 2", "patients: 3"):
        steps.report(text)
    steps.finish()
    steps.line("done")
    assert re.fullmatch(r"  database: there \(0\.\d\d s\)\n  patients: 3 \(0\.\d\d s\)\ndone\n", out.getvalue())
