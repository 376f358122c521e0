"""Versions with their index rows in one statement: https://hl7.org/fhir/R4/http.html#update."""

from typing import Any

from fhir_server.context import Context
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.store.audit import Note, encoded
from fhir_server.store.changes import Write, write
from fhir_server.store.noted import NotedRead, read_noted
from fhir_server.store.resources import current, read_each
from fhir_server.store.rows import Rows
from tests.fhir_server.working import run

NOW = "2026-01-01T00:00:00Z"  # as PostgreSQL reads it


def version(context: Context, name: str, number: int, pk: int, resource: dict[str, Any]) -> Write:
    """A version that adds all its rows; an update removes the words alone."""
    rows = extract(resource, context.parameters, context.tenant)
    return Write(
        pk, context.type_code("Patient"), name, reference_key(context.tenant, f"Patient/{name}"), number, NOW,
        "C" if number == 1 else "U", b"{}", shape_of(context.tenant, "Patient", rows), rows,
        Rows(texts=rows.texts) if number > 1 else None,
    )  # fmt: skip


def patient(name: str, **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": name, "active": True,
        "managingOrganization": {"reference": "Organization/o"}, **members,
    }  # fmt: skip


def test_an_update_may_add_rows_that_are_there_beside_a_create(database_url: str):
    """A reindex job, or a build that made other rows, may have added them before."""

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            await write(conn, context.tenant, [version(context, "old", 1, 0, patient("old"))], context.shapes)
            ((pk,),) = await (await conn.execute("SELECT pk FROM resource WHERE id = 'old'")).fetchall()
            both = [
                version(context, "old", 2, pk, patient("old", gender="female")),
                version(context, "new", 1, 0, patient("new", gender="female")),
            ]
            await write(conn, context.tenant, both, context.shapes)
            counted = "SELECT r.id, count(*) FROM {} x JOIN resource r USING (pk) GROUP BY r.id ORDER BY r.id"
            tokens = await (await conn.execute(counted.format("index_token"))).fetchall()
            references = await (await conn.execute(counted.format("index_reference"))).fetchall()
        assert tokens == [("new", 3), ("old", 3)]  # active, gender, deceased
        assert references == [("new", 1), ("old", 1)]

    run(database_url, story)


FETCHED = "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname IN ('resource', 'version')"
MANY, FEW = 300, 3


def test_what_is_read_and_written_is_looked_up_by_key_where_nothing_was_analysed_yet(database_url: str):
    """A join is planned before there are statistics, and would read all that the tenant has, again and again."""

    async def story(context: Context) -> None:
        async with context.connection() as conn:
            many = [version(context, f"p{n}", 1, 0, patient(f"p{n}")) for n in range(MANY)]
            for at in range(0, MANY, 20):
                await write(conn, context.tenant, many[at : at + 20], context.shapes)
            targets = [(context.type_code("Patient"), f"p{n}") for n in range(FEW)]
            found = await current(conn, context.tenant, targets, lock=False)
            following = [
                version(context, name, 2, one.pk, patient(name, gender="male")) for (_, name), one in found.items()
            ]
            note = encoded(Note(subtype="read", status=200, outcome=0)).decode()
            reads = [NotedRead(target, note, "r") for target in targets]

            async def noted() -> None:
                await read_noted(conn, context.tenant, reads)
                await conn.committed()

            for doing in (
                lambda: read_each(conn, context.tenant, targets),
                lambda: current(conn, context.tenant, targets, lock=True),
                noted,
                lambda: write(conn, context.tenant, following, context.shapes),
            ):
                async with conn.transaction():
                    await doing()
                    ((fetched,),) = await (await conn.execute(FETCHED)).fetchall()
                assert FEW <= fetched < MANY / 5

    run(database_url, story)
