"""The first day of a server as a newcomer has it: one command, a hospital inside, a kill, and nothing lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; a limit for a server that never answers, not a measurement


@pytest.fixture
def serve(data_dir: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], str]]]:
    """Starts `mediconnect serve` on the data directory of the test; gives the process and the FHIR base once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: Any) -> tuple[subprocess.Popen[bytes], str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("MEDICONNECT_")}
        own = {"DATA_DIR": data_dir, "PORT": port, "DEMO_PATIENTS": 3, "SECURITY": "open", **settings}
        said = data_dir / "said.log"
        with said.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "fhir_server", "serve"],
                env=kept | {f"MEDICONNECT_{name}": str(value) for name, value in own.items()},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        started.append(process)
        until(process, f"http://127.0.0.1:{port}/health/ready", said)
        return process, f"http://127.0.0.1:{port}/fhir"

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, said.read_text()
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer in {PATIENCE} s")


def test_one_command_serves_a_hospital_and_a_kill_loses_nothing_that_was_acknowledged(serve: Any) -> None:
    process, base = serve()
    assert httpx.get(f"{base}/Patient", params={"_summary": "count"}).json()["total"] == 3
    assert httpx.get(f"{base}/Slot", params={"_count": "1"}).json()["entry"]
    capabilities = httpx.get(f"{base}/metadata").json()
    assert capabilities["fhirVersion"] == "4.0.1"
    assert "paths" in httpx.get(base.replace("/fhir", "/openapi.json")).json()
    assert "swagger" in httpx.get(base.replace("/fhir", "/docs")).text.lower()

    acknowledged = [httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}).json()["id"] for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    process.wait()

    process, base = serve()
    for resource_id in acknowledged:
        assert httpx.get(f"{base}/Patient/{resource_id}").status_code == 200
    assert httpx.get(f"{base}/Patient", params={"_summary": "count"}).json()["total"] == 23, "no second hospital"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_a_server_may_start_empty(serve: Any) -> None:
    _, base = serve(DEMO=0)
    assert httpx.get(f"{base}/Patient", params={"_summary": "count"}).json()["total"] == 0
