"""Limits of requests hold for an installation, not for each of its processes.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from fhir_server.access.limit import SECONDS, network_of
from fhir_server.store.migrate import SCHEMA
from tests.bearing import secured
from tests.fhir_server.test_serve import COMMAND, ROOT, Server


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_of_version_6_stands_for_its_network(address, network):
    assert network_of(address) == network


def test_two_servers_on_one_database_hold_a_client_to_one_limit(database_url):
    with (
        secured(database_url, rate_limit="40/hour", audit=False) as one,
        secured(database_url, rate_limit="40/hour", audit=False) as other,
        one.client("system/*.rs", client="eager") as first,
        other.client("system/*.rs", client="eager") as second,
    ):
        time.sleep(2.5 * SECONDS)  # they have heard of each other
        assert [first.get("/Patient").status_code for _ in range(30)] == [200] * 30
        time.sleep(2.5 * SECONDS)
        told = Counter(second.get("/Patient").status_code for _ in range(30))
        assert told == {200: 10, 429: 20}
        time.sleep(2.5 * SECONDS)
        assert first.get("/Patient").status_code == 429
        with other.client("system/*.rs", client="patient-one") as calm:
            assert calm.get("/Patient").status_code == 200


def test_a_server_alone_tells_nobody(database_url):
    with secured(database_url, rate_limit="40/hour", audit=False) as server:
        for _ in range(10):
            server.setup.get("/Patient")
        time.sleep(2 * SECONDS)
        with psycopg.connect(database_url, options=f"-c search_path={SCHEMA}") as conn:
            assert conn.execute("SELECT DISTINCT name FROM request_count").fetchall() == [("",)]
    with psycopg.connect(database_url, options=f"-c search_path={SCHEMA}") as conn:
        assert conn.execute("SELECT count(*) FROM request_count").fetchone() == (0,)


@contextmanager
def processes(url: str, folder: str) -> Iterator[Server]:
    command = COMMAND.replace(', "tiny_application:create_app"', "")
    environment = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "MEDICONNECT_DATA_DIR": folder, "MEDICONNECT_PORT": "0",
        "MEDICONNECT_DATABASE_URL": url, "MEDICONNECT_DEMO": "0", "MEDICONNECT_WORKERS": "2",
        "MEDICONNECT_RATE_LIMIT_DENIED": "40/hour",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", command], env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:  # fmt: skip
        server = Server(process)
        try:
            server.wait_until_it_answers()
            yield server
        finally:
            process.terminate()
            try:
                process.communicate(timeout=60)
            finally:
                process.kill()


def test_worker_processes_hold_an_address_to_one_limit(database_url, data_dir):
    async def told(base: str, many: int) -> Counter[int]:
        """The answers to requests, each on a connection of its own: the processes take turns."""
        found: Counter[int] = Counter()
        for _ in range(many):
            async with httpx.AsyncClient(verify=False, trust_env=False, timeout=20) as http:
                found[(await http.get(f"{base}/fhir/Patient")).status_code] += 1
        return found

    with processes(database_url, str(data_dir)) as server:
        time.sleep(2.5 * SECONDS)
        first = asyncio.run(told(server.base, 30))
        time.sleep(2.5 * SECONDS)
        second = asyncio.run(told(server.base, 40))
        time.sleep(2.5 * SECONDS)
        third = asyncio.run(told(server.base, 20))
    assert first == {401: 30}
    assert second[401] <= 20, "each process knows what both had counted, and not what the other counts meanwhile"
    assert third == {429: 20}
