"""Connections to PostgreSQL: one tenant, one role, bounds on every wait, and transactions that are tried again.

https://www.psycopg.org/psycopg3/docs/advanced/pool.html; what is durable when: docs/implementation/durability.md
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from psycopg import AsyncRawCursor
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from fhir_server.outcome import Refusal, refuse
from fhir_server.store.beside import bring_beside
from fhir_server.store.connection import Connection
from fhir_server.store.migrate import SCHEMA, SERVER_ROLE, UnfitSchema
from fhir_server.store.race import again

T = TypeVar("T")

MOST_WAITING = 64
"""For each connection, those who may wait for one."""


class Pool:
    """The connections of one process. A connection sees one tenant and works in autocommit unless in `transact`."""

    def __init__(
        self, url: str, *, tenant: int = 1, size: int = 8, timeout: float = 10.0, statement_timeout: float = 30.0
    ) -> None:
        self.tenant = tenant
        self._statement_timeout = statement_timeout
        # No parallel workers: for a page they cost more to start than they save, and other requests need the cores.
        options = (
            f"-c search_path={SCHEMA} -c enable_seqscan=off -c jit=off -c max_parallel_workers_per_gather=0"
            f" -c mediconnect.tenant={tenant:d}"
        )
        self._closed = False
        self._size = size
        self._timeout = timeout
        self._lent = 0  # connections of psycopg's pool, which has the care of them, that are here or in use
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._idle: list[Connection] = []  # of these the ones that nobody uses, the one used last at the end
        self._ended: list[Connection] = []
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            make_conninfo(url, options=options, application_name="mediconnect", connect_timeout=10),
            kwargs={"autocommit": True, "cursor_factory": AsyncRawCursor, "prepare_threshold": None},
            min_size=min(2, size),
            max_size=size,
            max_waiting=MOST_WAITING * size,
            timeout=timeout,
            open=False,
            connection_class=Connection,
            configure=self._configure,
        )

    async def open(self) -> None:
        """Connects; raises UnfitSchema where row level security would not bind this login."""
        self._closed = False
        await self._pool.open()
        await self._pool.wait(timeout=15)
        async with self.connection() as conn:
            row = await (await conn.execute("SELECT row_security_active('resource')")).fetchone()
        if row is None or not row[0]:
            raise UnfitSchema(
                f"row level security does not bind this login: run `mediconnect migrate` as a role that may create {SERVER_ROLE}"
            )

    async def close(self) -> None:
        self._closed = True
        for conn in (*self._idle, *self._ended):
            await self._return(conn)
        self._idle, self._ended = [], []
        await self._pool.close(timeout=5)

    async def _configure(self, conn: Connection) -> None:
        bring_beside(conn.fileno(), conn.info.backend_pid)
        milliseconds = int(self._statement_timeout * 1000)
        await conn.execute("SELECT set_config('statement_timeout', $1, false)", (f"{milliseconds}ms",))
        await conn.execute("SELECT set_config('idle_in_transaction_session_timeout', '120s', false)")
        bound = await (
            await conn.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = $1 AND pg_has_role(current_user, oid, 'MEMBER')",
                (SERVER_ROLE,),
            )
        ).fetchone()
        if bound is not None:
            await conn.execute("SELECT set_config('role', $1, false)", (SERVER_ROLE,))

    def connection(self) -> "Lent":
        """One connection. Nobody who holds one may ask for a second; waiting is bounded and ends in a 503."""
        return Lent(self)

    async def take(self) -> Connection:
        """A connection for whoever gives it back: see `connection`."""
        return self._latest() or await self._next()

    def _latest(self) -> Connection | None:
        """The connection that was used last: it has more statements prepared than others, and more of them in its caches."""
        while self._idle:
            conn = self._idle.pop()
            if not conn.closed:
                return conn
            self._ended.append(conn)
        return None

    async def _next(self) -> Connection:
        """One that is given back, or another while there are not too many."""
        while self._ended:
            await self._return(self._ended.pop())
        while self._lent >= self._size:  # again where somebody else was quicker to have another one made
            conn = await self._given()
            if conn is not None:
                return conn
        return await self._lend()

    async def _lend(self) -> Connection:
        self._lent += 1
        try:
            return await self._pool.getconn()
        except BaseException as error:
            self._lent -= 1
            self._call_next()
            if isinstance(error, PoolTimeout | TooManyRequests):
                raise _busy() from None
            raise

    async def _given(self) -> Connection | None:
        """The connection of whoever is done first; None where it is of no use any more and another may be made."""
        if len(self._waiting) >= MOST_WAITING * self._size:
            raise _busy()
        loop = asyncio.get_running_loop()
        given: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(given)
        late = loop.call_later(self._timeout, _give_up, given)
        try:
            return await given
        except asyncio.CancelledError:
            if not given.cancelled():
                await self.give_back(given.result())
            raise
        finally:
            late.cancel()

    async def give_back(self, conn: Connection | None) -> None:
        """A connection to who waits for one, and for later use while it is good for that; None: there is room for another."""
        if conn is None:
            self._call_next()
        elif self._closed or conn.closed or conn.pgconn.transaction_status != TransactionStatus.IDLE:
            await self._return(conn)
        elif not self._hand_over(conn):
            self._idle.append(conn)

    async def _return(self, conn: Connection) -> None:
        """To where it came from, which closes it or makes another in its place."""
        self._lent -= 1
        self._call_next()
        await self._pool.putconn(conn)

    def _call_next(self) -> None:
        if self._lent < self._size:
            self._hand_over(None)

    def _hand_over(self, conn: Connection | None) -> bool:
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(conn)
                return True
        return False

    async def attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs `work` on a connection in autocommit, again where it lost a race against another writer."""

        async def once() -> T:
            async with self.connection() as conn:
                return await work(conn)

        return await again(once)

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Runs `work` in one transaction, all of it again where it lost a race against another writer."""

        async def whole(conn: Connection) -> T:
            async with conn.transaction():
                return await work(conn)

        return await self.attempt(whole)


class Lent:
    """A connection of a pool while somebody has it: a context manager, without what one made of a generator costs."""

    __slots__ = ("_conn", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._conn: Connection | None = None

    async def __aenter__(self) -> Connection:
        self._conn = conn = await self._pool.take()
        return conn

    async def __aexit__(self, *_: object) -> None:
        await self._pool.give_back(self._conn)


def _give_up(given: asyncio.Future[Any]) -> None:
    if not given.done():
        given.set_exception(_busy())


def _busy() -> Refusal:
    text = "the server is busy: no database connection became free; try again"
    return Refusal(refuse("transient", text).issues, headers=[("retry-after", "2")])
