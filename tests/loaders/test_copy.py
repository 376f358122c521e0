"""The COPY path writes exactly the rows that the server's own statement writes.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import asyncio
import gzip
import re
from decimal import Decimal

from fhir_server.json import dump_json, parse_json
from fhir_server.store.packed import unpacked
from loaders.bundles import parts_of
from loaders.database import Database
from loaders.unit import Unit
from tests.loaders.loading import context, query
from tests.reference import reference

NAME = "R.id, T.name"
OF = "JOIN resource R ON R.pk = x.pk JOIN resource_type T ON T.code = R.type"
TABLES = {
    "resource": f"SELECT {NAME}, x.reference, x.tenant, x.version, x.shape, x.deleted, x.pk >> 48 = x.type FROM resource x {OF}",
    "version": f"SELECT {NAME}, x.version, x.tenant, x.type, x.id, x.method::text, x.content FROM version x {OF}",
    "shape": "SELECT id, tenant, type, paths FROM shape",
    "index_token": f"SELECT {NAME}, x.key FROM index_token x {OF}",
    "index_reference": f"SELECT {NAME}, x.key, x.target FROM index_reference x {OF}",
    "index_string": f"SELECT {NAME}, x.key, x.value, x.full_value, x.exact FROM index_string x {OF}",
    "index_date": f"SELECT {NAME}, x.key, x.low::text, x.high::text FROM index_date x {OF}",
    "index_number": f"SELECT {NAME}, x.key, x.low::text, x.high::text FROM index_number x {OF}",
    "index_quantity": f"SELECT {NAME}, x.key, x.low::text, x.high::text, x.code, x.label, x.canonical_key,"
    f" x.canonical_low::text, x.canonical_high::text FROM index_quantity x {OF}",
    "index_text": f"SELECT {NAME}, x.narrative::text, x.content::text, x.tenant FROM index_text x {OF}",
}
RESOURCE_TABLES = """
SELECT table_name FROM information_schema.columns WHERE table_schema = 'mediconnect' AND column_name = 'pk'
"""
TIME = re.compile(rb'"lastUpdated":"[^"]*"')
ODD = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "fullUrl": "urn:uuid:6c1b2d3e-0000-4000-8000-000000000001",
            "resource": {
                "resourceType": "Patient",
                "id": "odd",
                "text": {
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml">Back\\slash, it\'s \t 漢字</div>',
                },
                "name": [{"family": "Back\\slash\tTab\nLine\rEnd", "given": ["\\N", "\\.", "Ünïcödé 漢字"]}],
                "address": [{"text": "x" * 300}],
                "birthDate": "1950-02",
            },
        },
        {
            "resource": {
                "resourceType": "Observation",
                "id": "odd",
                "status": "final",
                "code": {"text": "a\tb"},
                "subject": {"reference": "urn:uuid:6c1b2d3e-0000-4000-8000-000000000001"},
                "effectivePeriod": {"start": "2020"},
                "valueQuantity": {"value": Decimal("160.50"), "unit": "m\\g", "comparator": ">"},
            },
        },
        {"resource": {"resourceType": "RiskAssessment", "id": "odd", "status": "final", "subject": {"display": "?"},
                      "prediction": [{"probabilityDecimal": Decimal("0.30")}]}},
    ],
}  # fmt: skip


def load(url, resources, *, by_copy):
    async def work():
        async with context(url) as opened:
            target = Database(opened)
            if not by_copy:
                target.copy._may = False
            for resource in resources:
                (outcome,) = await target.store([Unit("", "test", tuple(parts_of(resource)))])
                assert not outcome.failures
            return target.copy.resources

    return asyncio.run(work())


def rows(url, table):
    found = [
        tuple(TIME.sub(b"", unpacked(v)) if isinstance(v, bytes) else v for v in row)
        for row in query(url, TABLES[table])
    ]
    return sorted(found, key=repr)


def collected(path):
    """A transaction as a collection, so that both paths store it under the same ids."""
    return {**parse_json(gzip.decompress(path.read_bytes())), "type": "collection"}


def assert_same(new_database, template, resources):
    with new_database(template) as one, new_database(template) as other:
        written = load(one, resources, by_copy=True)
        assert written == query(one, "SELECT count(*) FROM resource")[0][0]
        assert load(other, resources, by_copy=False) == 0
        for table in TABLES:
            assert rows(one, table) == rows(other, table), table
            assert rows(one, table), table


def test_both_paths_write_the_same_rows_of_odd_values(new_database, migrated_template):
    assert_same(new_database, migrated_template, [ODD])


def test_both_paths_write_the_same_rows_of_real_bundles(new_database, migrated_template):
    folder = reference("synthea/bulk-data-server-100")
    smallest = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)[:3]
    assert_same(new_database, migrated_template, [*map(collected, smallest), ODD])


def test_the_tables_that_are_compared_are_all_there_are(database_url):
    assert {name for (name,) in query(database_url, RESOURCE_TABLES)} | {"shape"} == TABLES.keys()


def test_only_what_is_new_is_copied(database_url):
    load(database_url, [ODD], by_copy=True)
    before = query(database_url, "SELECT id, version FROM resource ORDER BY type, id")
    assert load(database_url, [ODD], by_copy=True) == 0
    assert query(database_url, "SELECT id, version FROM resource ORDER BY type, id") == before
    changed = parse_json(dump_json(ODD))
    changed["entry"][0]["resource"]["active"] = True
    load(database_url, [changed], by_copy=True)
    assert query(database_url, "SELECT version FROM resource WHERE id = 'odd' ORDER BY version") == [(1,), (1,), (2,)]


def test_the_server_role_is_taken_back_and_shapes_are_learnt(database_url):
    async def work():
        async with context(database_url) as opened:
            target = Database(opened)
            await target.store([Unit("", "test", tuple(parts_of(ODD)))])
            async with opened.connection() as conn:
                row = await (await conn.execute("SELECT current_user")).fetchone()
            return row[0], len(opened.shapes.ids)

    assert asyncio.run(work()) == ("mediconnect_server", 3)


def test_rows_made_by_search_parameters_of_before_are_not_written(database_url):
    async def work():
        async with context(database_url) as opened:
            target = Database(opened)
            opened.shapes.generation = -1
            (outcome,) = await target.store([Unit("", "test", tuple(parts_of(ODD)))])
            return outcome.failures, opened.shapes.stale

    failures, stale = asyncio.run(work())
    assert (len(failures), stale) == (1, True)
    assert query(database_url, "SELECT count(*) FROM resource") == [(0,)]
