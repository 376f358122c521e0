"""What a database says of itself: version, encoding, clock, and whether row level security binds this login.

https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

import time
from dataclasses import dataclass

import psycopg

from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.migrate import SCHEMA, SERVER_ROLE


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """One look at a database: `version` as PostgreSQL's number (180004), `skew` in seconds, its clock less ours.

    `bound` is whether the server's queries run under row level security, None before the migrations made its role.
    """

    version: int
    encoding: str
    skew: float
    bound: bool | None


async def database_state(url: str) -> DatabaseState:
    """Connect and look; raises DatabaseUnavailable with the cause in one line."""
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as conn:
            row = await (
                await conn.execute(
                    "SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_encoding')"
                )
            ).fetchone()
            now = time.time()
            assert row is not None
            return DatabaseState(conn.info.server_version, row[1], row[0] - now, await _bound(conn))
    except psycopg.Error as error:
        line = " ".join(str(error).split())
        raise DatabaseUnavailable(f"the database does not answer: {line}") from error


async def _bound(conn: psycopg.AsyncConnection[tuple[object, ...]]) -> bool | None:
    """Ask as the server's own role, as its connections do, whether the policies on resources hold for it."""
    found = await (
        await conn.execute(
            "SELECT to_regclass(%s) IS NOT NULL, (SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = %s)",
            (f"{SCHEMA}.resource", SERVER_ROLE),
        )
    ).fetchone()
    assert found is not None
    exists, member = found
    if not exists:
        return None
    if member:
        await conn.execute("SELECT set_config('role', %s, false)", (SERVER_ROLE,))
    row = await (await conn.execute("SELECT row_security_active(%s)", (f"{SCHEMA}.resource",))).fetchone()
    return row is not None and bool(row[0])
