"""Cold start: from the command to the first right answer, on a data directory that holds data already.

https://hl7.org/fhir/R4/http.html#read
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.client import Connection, Target, request_bytes
from bench.expectation import resource
from bench.measurement import Samples
from bench.server import start


async def starts(data_dir: Path, patient: str, times: int, workers: int, headers: Mapping[str, str]) -> Samples:
    """Starts the server so many times and reads a Patient each time; nothing else holds the data directory."""
    samples = Samples()
    for _ in range(times):
        begun = time.perf_counter()
        server = await asyncio.to_thread(start, data_dir, workers=workers, headers=headers)
        try:
            fault = await _read(server.target, patient)
            samples.add("first read", time.perf_counter() - begun, fault)
            samples.cpu += replace(server.meter.cpu(), load=0.0)
        finally:
            await asyncio.to_thread(server.stop)
        samples.seconds += time.perf_counter() - begun
    return samples


async def _read(target: Target, patient: str) -> str:
    connection = Connection(target)
    answer = await connection.ask(request_bytes(target, target.lines, "GET", f"Patient/{patient}"))
    connection.close()
    return resource("Patient", 200)(answer)
