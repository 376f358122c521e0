"""The demonstration hospital on the first start of a server, all of it or, after a kill, the rest of it.

docs/demonstration.md
"""

from collections.abc import Callable

from fhir_server.app import context_of, pool_of
from fhir_server.settings import Settings
from fhir_server.store.lock import CannotStart
from fhir_server.store.pool import Pool

SEED = 7
LOAD = "first-start"  # the record in load_unit: `begun` while resources are being stored, `done` once all are
RECORDED = "SELECT unit FROM load_unit WHERE tenant = $1 AND load = $2"
ANYTHING = "SELECT 1 FROM resource WHERE tenant = $1 LIMIT 1"
RECORD = "INSERT INTO load_unit (tenant, load, unit, failed) VALUES ($1, $2, $3, '{}') ON CONFLICT DO NOTHING"


async def furnish(settings: Settings, report: Callable[[str], None]) -> bool:
    """Stores the hospital in a database that holds nothing yet, and nothing in one that does; whether it is there.

    The database is that of the settings, migrated. `report` is told how far it is. Raises CannotStart where a resource
    is refused, which would be a fault of this program.
    """
    pool = pool_of(settings.model_copy(update={"pool_size": 1}))
    await pool.open()
    try:
        if await _is_wanted(pool):
            await _furnish(settings, pool, report)
        return "done" in await _recorded(pool)
    finally:
        await pool.close()


async def _recorded(pool: Pool) -> set[str]:
    async with pool.connection() as conn:
        rows = await (await conn.execute(RECORDED, (pool.tenant, LOAD))).fetchall()
    return {unit for (unit,) in rows}


async def _is_wanted(pool: Pool) -> bool:
    """Whether nothing is stored yet, or what is stored is a part of the hospital."""
    recorded = await _recorded(pool)
    async with pool.connection() as conn:
        if "done" in recorded or "begun" in recorded:
            return "done" not in recorded
        return await (await conn.execute(ANYTHING, (pool.tenant,))).fetchone() is None


async def _furnish(settings: Settings, pool: Pool, report: Callable[[str], None]) -> None:
    from loaders.demo import fill  # noqa: PLC0415 - every later start does without it

    await _record(pool, "begun")
    context = await context_of(settings, pool)
    failures = await fill(
        context, settings.demo_patients, SEED, lambda stored: report(f"demonstration hospital: {stored:,} resources")
    )
    if failures:
        raise CannotStart(f"the demonstration hospital was refused: {failures[0].place}: {failures[0].diagnostics}")
    await _record(pool, "done")


async def _record(pool: Pool, unit: str) -> None:
    async with pool.connection() as conn:
        await conn.execute(RECORD, (pool.tenant, LOAD, unit))
