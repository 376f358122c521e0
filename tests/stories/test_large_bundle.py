"""Large transactions within a bound of memory: https://hl7.org/fhir/R4/http.html#transaction."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.running import client
from tests.stories.bundles import Resource, bundle, entry, fresh, observation

MIB = 1024 * 1024
TARGET = 50 * MIB
MOST_PER_BYTE = 16
"""How many bytes a transaction may take for each byte of its body, as docs/interactions.md states."""

STATUS = Path("/proc/self/status")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc, which only Linux has"),
]


class Server(NamedTuple):
    """A server process of its own."""

    url: str
    pid: int

    def memory(self, name: str) -> int:
        """VmRSS or VmHWM (the most so far) in bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.fixture
def server(database_url: str) -> Iterator[Server]:
    """A server in a process whose memory is its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "--factory", "fhir_server.app:create_app", "--log-level", "error"]
    own = {"DATABASE_URL": database_url, "PORT": port, "SECURITY": "open"}
    environment = os.environ | {f"MEDICONNECT_{name}": value for name, value in own.items()}
    with subprocess.Popen([*command, "--port", port], env=environment) as process:
        base = f"http://127.0.0.1:{port}"
        try:
            await_ready(base)
            yield Server(f"{base}/fhir", process.pid)
        finally:
            process.terminate()


def await_ready(base: str) -> None:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{base}/health/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")


def of_many_small(size: int) -> list[Resource]:
    """20,000 Observations, the most entries the server takes."""
    full_url = f"urn:uuid:{fresh()}"
    text = "x" * (size // 20_000 - 330)
    entries = [entry("POST", "Patient", {"resourceType": "Patient"}, full_url=full_url)]
    entries += [
        entry("POST", "Observation", observation(full_url, valueInteger=n, note=[{"text": text}]))
        for n in range(19_999)
    ]
    return entries


def of_2600_rich(size: int) -> list[Resource]:
    """2,600 resources with many elements each, as a hospital sends for one patient."""
    full_url = f"urn:uuid:{fresh()}"
    coding = {"system": "http://loinc.org", "code": "85354-9", "display": "Blood pressure panel"}
    component = {"code": {"coding": [coding]}, "valueQuantity": {"value": 120, "unit": "mm[Hg]"}}
    components = [component] * (size // 2600 // len(json.dumps(component)) - 3)
    entries = [entry("POST", "Patient", {"resourceType": "Patient"}, full_url=full_url)]
    for n in range(2599):
        resource = observation(full_url, component=components, effectiveDateTime=f"2020-01-01T00:00:00.{n:04d}Z")
        entries.append(entry("POST", "Observation", resource))
    return entries


@contextlib.contextmanager
def meanwhile(base: str) -> Iterator[list[float]]:
    """How long each of the reads took that another client did during the block."""
    waits: list[float] = []
    stop = threading.Event()

    def read() -> None:
        with client(base) as other:
            while not stop.wait(0.2):
                started = time.perf_counter()
                other.get("/Patient/none")
                waits.append(time.perf_counter() - started)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield waits
    finally:
        stop.set()
        reader.join()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", [of_many_small, of_2600_rich])
def test_a_bundle_of_50_megabytes_is_stored_within_its_bound_of_memory(
    server: Server, shape: Callable[[int], list[Resource]], capsys: pytest.CaptureFixture[str]
):
    entries = shape(TARGET)
    body = json.dumps(bundle("transaction", *entries)).encode()
    assert abs(len(body) - TARGET) < 0.15 * TARGET
    with client(server.url) as fhir:
        fhir.post("", json=bundle("transaction", *entries[:50]))
        before = server.memory("VmRSS")
        started = time.perf_counter()
        with meanwhile(server.url) as waits:
            answer = fhir.post("", content=body, timeout=800)
        took = time.perf_counter() - started
    assert answer.status_code == 200, answer.text[:1000]
    assert len(answer.json()["entry"]) == len(entries)
    grown = server.memory("VmHWM") - before
    with capsys.disabled():
        sys.stdout.write(
            f"\n{shape.__name__}: {len(entries)} entries, {len(body) / MIB:.0f} MiB in {took:.1f} s, at most "
            f"{grown / MIB:.0f} MiB more memory ({grown / len(body):.1f} bytes for each of the body); "
            f"{len(waits)} reads meanwhile, the longest {max(waits, default=0):.1f} s\n"
        )
    assert grown < MOST_PER_BYTE * len(body)
