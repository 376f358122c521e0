"""Forward-only numbered migrations with checksums, and the refusal to run on a schema that does not fit.

docs/implementation/migrations.md; PostgreSQL: https://www.postgresql.org/docs/current/ddl.html
"""

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from profiles.definitions import r4

SCHEMA = "mediconnect"
SERVER_ROLE = "mediconnect_server"
LEAST_POSTGRES = 150_000
LOCK = 0x4D43_4D49_4752  # one migration at a time, over all processes

LEDGER = """
CREATE TABLE IF NOT EXISTS migration (
    number   integer PRIMARY KEY,
    name     text NOT NULL,
    checksum text NOT NULL,
    applied  timestamptz NOT NULL DEFAULT now()
)
"""


class UnfitSchema(Exception):
    """The database cannot be used by this version of the server; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of SQL."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """The migrations this version of the server carries, in order."""
    folder = files("fhir_server.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(Migration(int(name[:4]), name, (folder / name).read_text("utf-8")) for name in names)


async def migrate(url: str) -> list[str]:
    """Applies what is missing, each migration in a transaction of its own; returns the names applied.

    Raises UnfitSchema where the database is too old, of another encoding, newer than the server or changed by hand.
    """
    async with await _connect(url) as conn:
        await _prepare(conn)
        await conn.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            applied = await _applied(conn)
            _refuse_unfit(applied)
            names = [await _apply(conn, step) for step in migrations() if step.number not in applied]
            await _register_types(conn)
            await conn.execute(
                "INSERT INTO secret (name, value) VALUES ('page', %s) ON CONFLICT DO NOTHING",
                (secrets.token_bytes(32),),
            )
            await _grant(conn)
        finally:
            await conn.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
    return names


async def check(url: str) -> list[str]:
    """The problems that keep this server from the database, one line each; an empty list is good."""
    try:
        async with await _connect(url) as conn:
            await _refuse_unfit_server(conn)
            applied = await _applied(conn)
            _refuse_unfit(applied)
    except (UnfitSchema, psycopg.OperationalError) as error:
        return [str(error).strip().splitlines()[0]]
    missing = [step.name for step in migrations() if step.number not in applied]
    return [f"migrations not applied: {', '.join(missing)}; run `mediconnect migrate`"] if missing else []


async def _connect(url: str) -> AsyncConnection[Any]:
    options = f"-c search_path={SCHEMA} -c client_min_messages=warning"
    return await AsyncConnection.connect(url, autocommit=True, connect_timeout=10, options=options)


async def _prepare(conn: AsyncConnection[Any]) -> None:
    await _refuse_unfit_server(conn)
    await conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
    await conn.execute(LEDGER)


async def _refuse_unfit_server(conn: AsyncConnection[Any]) -> None:
    if conn.info.server_version < LEAST_POSTGRES:
        raise UnfitSchema(f"PostgreSQL 15 or newer is needed, this one is {conn.info.server_version // 10_000}")
    row = await (await conn.execute("SHOW server_encoding")).fetchone()
    if row is not None and row[0] != "UTF8":
        raise UnfitSchema(f"the database's encoding is {row[0]}; create it with ENCODING 'UTF8'")


async def _applied(conn: AsyncConnection[Any]) -> dict[int, tuple[str, str]]:
    exists = await (await conn.execute("SELECT to_regclass('migration')")).fetchone()
    if exists is None or exists[0] is None:
        return {}
    rows = await (await conn.execute("SELECT number, name, checksum FROM migration")).fetchall()
    return {number: (name, checksum) for number, name, checksum in rows}


def _refuse_unfit(applied: dict[int, tuple[str, str]]) -> None:
    known = {step.number: step for step in migrations()}
    for number, (name, checksum) in sorted(applied.items()):
        if number not in known:
            raise UnfitSchema(
                f"the database has migration {name}, which this version does not know: use a newer server"
            )
        if known[number].checksum != checksum:
            raise UnfitSchema(
                f"migration {name} was applied with another text: restore a backup or the matching version"
            )


async def _apply(conn: AsyncConnection[Any], step: Migration) -> str:
    async with conn.transaction():
        await conn.execute(step.text.encode())
        await conn.execute(
            "INSERT INTO migration (number, name, checksum) VALUES (%s, %s, %s)",
            (step.number, step.name, step.checksum),
        )
    return step.name


async def _register_types(conn: AsyncConnection[Any]) -> None:
    """Gives every resource type of the definitions its small number, once and for all."""
    await conn.execute(
        """
        INSERT INTO resource_type (code, name)
        SELECT (SELECT coalesce(max(code), 0) FROM resource_type) + row_number() OVER (ORDER BY name), name
        FROM unnest(%s::text[]) AS t (name)
        WHERE name NOT IN (SELECT name FROM resource_type)
        """,
        (list(r4().resource_types),),
    )


async def _grant(conn: AsyncConnection[Any]) -> None:
    """Makes the role under which the server works, where this login may; FORCE ROW LEVEL SECURITY serves elsewhere."""
    row = await (
        await conn.execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    ).fetchone()
    if row is None or not row[0]:
        return
    role, schema = sql.Identifier(SERVER_ROLE), sql.Identifier(SCHEMA)
    # It may be there from an earlier migration, or made just now by one of another database of this cluster.
    with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        await conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS").format(role))
    for text in (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}",
        "REVOKE INSERT, UPDATE, DELETE ON {schema}.tenant, {schema}.migration, {schema}.secret, {schema}.resource_type FROM {role}",
        "REVOKE UPDATE, DELETE ON {schema}.version, {schema}.audit_seal FROM {role}",
        "REVOKE UPDATE ON {schema}.audit FROM {role}",
        "GRANT {role} TO CURRENT_USER",
    ):
        await conn.execute(sql.SQL(text).format(schema=schema, role=role))
