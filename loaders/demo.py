"""The demonstration hospital into the database, or into files: `mediconnect demo`.

docs/loading.md; its resources come from loaders/demonstration.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from fhir_server.context import Context
from fhir_server.json import dump_json
from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.embedded import database
from fhir_server.store.migrate import UnfitSchema, migrate
from loaders.bundles import request_of
from loaders.database import Database
from loaders.demonstration.hospital import bundles, generate
from loaders.unit import Failure, Part, Unit
from loaders.worker import opened_context

TOGETHER = 500


async def fill(context: Context, patients: int, seed: int, report: Callable[[int], None]) -> list[Failure]:
    """Stores the hospital, each resource under its own id, so that what is there already stays as it is.

    `report` is told now and then how many resources are stored; what was refused is returned.
    """
    target, stored, failures = Database(context), 0, list[Failure]()
    resources = generate(patients, seed)
    while some := list(islice(resources, TOGETHER)):
        parts = [Part(n, f"{r['resourceType']}/{r['id']}", (request_of(r),)) for n, r in enumerate(some)]
        for outcome in await target.store([Unit("", "demonstration", tuple(parts))]):
            stored += outcome.stored
            failures += outcome.failures
        report(stored)
    return failures


def demonstrate(settings: Settings, patients: int, seed: int) -> int:
    """Stores the hospital in the database of the settings; the exit code: 0, or 1 where something was refused."""
    begun = time.monotonic()
    counts = [0]
    with database(settings.data_dir, settings.database_url) as url:
        failures = asyncio.run(_fill(url, patients, seed, counts.append))
    for failure in failures:
        print(f"{failure.place}: {failure.diagnostics}")
    seconds = time.monotonic() - begun
    print(f"stored {counts[-1]:,} resources of a hospital with {patients:,} patients in {seconds:.1f} s")
    return 1 if failures else 0


async def _fill(url: str, patients: int, seed: int, report: Callable[[int], None]) -> list[Failure]:
    try:
        await migrate(url)
    except UnfitSchema as error:
        raise DatabaseUnavailable(str(error)) from error
    async with opened_context(Settings(database_url=url, pool_size=1)) as context:
        return await fill(context, patients, seed, report)


def write_bundles(folder: Path, patients: int, seed: int) -> int:
    """Writes the hospital as transaction Bundles, numbered in the order in which they are to be sent; the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for number, bundle in enumerate(bundles(patients, seed), 1):
        (folder / f"hospital-{number:05}.json").write_bytes(dump_json(bundle))
    print(f"wrote {number:,} bundles to {folder}")
    return 0
