"""What a write costs the database: the rows of its own resource, however many others share its keys."""

import asyncio

from fhir_server.app import context_of, pool_of
from fhir_server.context import Context
from fhir_server.interactions.change import Change, apply
from fhir_server.settings import Settings

MANY = 400
READ = """
SELECT relname, coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_xact_user_tables
WHERE relname IN ('index_token', 'index_string', 'index_date', 'index_reference')
"""


def woman(number: int, family: str) -> Change:
    name = f"cost-{number}"
    born = {"resourceType": "Patient", "id": name, "gender": "female", "birthDate": "1970-01-01", "active": True}
    general = [{"reference": "Practitioner/cost"}]
    return Change("Patient", name, {**born, "name": [{"family": family}], "generalPractitioner": general})


def test_an_update_and_a_delete_read_no_rows_of_other_resources(database_url: str):
    async def measured() -> list[dict[str, int]]:
        settings = Settings(database_url=database_url, security="open")
        pool = pool_of(settings)
        await pool.open()
        try:
            context = await context_of(settings, pool)
            await context.transact(lambda inner: apply(inner, [woman(n, "Beispiel") for n in range(MANY)], lock=True))
            return [await context.transact(one) for one in (updating, deleting)]
        finally:
            await pool.close()

    async def updating(context: Context) -> dict[str, int]:
        changed = woman(7, "Muster")
        assert changed.resource is not None
        del changed.resource["gender"], changed.resource["generalPractitioner"], changed.resource["birthDate"]
        await apply(context, [changed], lock=True)
        return await rows_read(context)

    async def deleting(context: Context) -> dict[str, int]:
        await apply(context, [Change("Patient", "cost-8")], lock=True)
        return await rows_read(context)

    for read in asyncio.run(measured()):
        assert read, "the statistics know the tables"
        assert all(rows < MANY / 4 for rows in read.values()), read


async def rows_read(context: Context) -> dict[str, int]:
    return dict(await (await context.conn.execute(READ)).fetchall())
