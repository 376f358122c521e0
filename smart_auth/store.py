"""The authorization server's own connections to PostgreSQL: few, synchronous, of one tenant, bounded in every wait.

https://www.psycopg.org/psycopg3/docs/advanced/pool.html
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

SCHEMA = "mediconnect"
ROLE = "mediconnect_server"
STATEMENT_TIMEOUT = "10s"

Connection = psycopg.Connection[DictRow]
Row = dict[str, Any]

__all__ = ["Busy", "Connection", "Database", "Jsonb", "Row"]


class Busy(Exception):
    """No connection became free, or the database cannot be reached: try again soon."""


class Database:
    """Connections that see one tenant. All of smart_auth shares one; FHIR requests use none of them.

    Parameters of statements are named, as in `%(tenant)s`, and `tenant` is always among them.
    """

    def __init__(self, url: str, tenant: int, *, size: int = 4, timeout: float = 10.0) -> None:
        self.tenant = tenant
        options = f"-c search_path={SCHEMA} -c jit=off -c mediconnect.tenant={tenant:d}"
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            make_conninfo(url, options=options, application_name="mediconnect auth", connect_timeout=10),
            kwargs={"autocommit": True, "row_factory": dict_row},
            min_size=0,
            max_size=size,
            max_waiting=64,
            timeout=timeout,
            max_idle=60,
            open=False,
            configure=_configure,
        )

    def open(self) -> None:
        """Connects to nothing yet: a connection is made when it is needed first."""
        self._pool.open()

    def close(self) -> None:
        self._pool.close(timeout=5)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction, committed at the end and rolled back by an exception. Raises Busy."""
        try:
            connection = self._pool.getconn()
        except PoolTimeout as error:
            raise Busy("no database connection became free") from error
        try:
            with connection.transaction():
                yield connection
        finally:
            self._pool.putconn(connection)

    def one(self, statement: str, values: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of a statement that is a transaction of its own."""
        with self.transaction() as connection:
            return one(connection, self.tenant, statement, values)

    def all(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a statement that is a transaction of its own."""
        with self.transaction() as connection:
            return connection.execute(statement, {"tenant": self.tenant, **(values or {})}).fetchall()

    def run(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        """Runs a statement that is a transaction of its own; returns how many rows it touched."""
        with self.transaction() as connection:
            return run(connection, self.tenant, statement, values)


def one(connection: Connection, tenant: int, statement: str, values: Mapping[str, Any] | None = None) -> Row | None:
    """The first row of a statement within a transaction."""
    return connection.execute(statement, {"tenant": tenant, **(values or {})}).fetchone()


def run(connection: Connection, tenant: int, statement: str, values: Mapping[str, Any] | None = None) -> int:
    """Runs a statement within a transaction; returns how many rows it touched."""
    return connection.execute(statement, {"tenant": tenant, **(values or {})}).rowcount


def _configure(connection: Connection) -> None:
    connection.execute("SELECT set_config('statement_timeout', %s, false)", (STATEMENT_TIMEOUT,))
    connection.execute("SELECT set_config('idle_in_transaction_session_timeout', '30s', false)")
    member = connection.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s AND pg_has_role(current_user, oid, 'MEMBER')", (ROLE,)
    ).fetchone()
    if member is not None:
        connection.execute("SELECT set_config('role', %s, false)", (ROLE,))
