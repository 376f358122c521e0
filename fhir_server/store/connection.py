"""A connection to PostgreSQL that costs a prepared statement little more than what the database does for it.

https://www.psycopg.org/psycopg3/docs/api/pq.html. psycopg's own way takes 0.12 ms of processor time for a statement, most of
it for a cursor, for turning parameters into a query, and for a timer and the event loop's list of sockets.
This one keeps to the parts of psycopg that do the work: libpq, the protocol's steps, the adaptation of values, the errors.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, generators
from psycopg.abc import PQGen
from psycopg.abc import Transformer as Reader
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait, wait_async

from fhir_server.store import array

RV = TypeVar("RV")
MOST_PREPARED = 300
"""Statements that a connection keeps prepared; what was not used for longest is forgotten."""
LAST_WORD = 5.0
"""Seconds that a statement may take to end once it was told to."""

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS) "
_FOR_ALL = b"SET plan_cache_mode = force_generic_plan"
_FOR_VALUES = b"SET plan_cache_mode = auto"
_FOR_VALUES_LOCALLY = b"SET LOCAL plan_cache_mode = auto"

Key = tuple[bytes | str, tuple[int, ...]]
"""A statement and the types of its values: for others it is another statement."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that the database has under a name, and what reads its rows, by their format: they have the same columns each time."""

    name: bytes
    readers: dict[Format, Reader] = field(default_factory=dict)


class Result:
    """The rows of a statement, as an AsyncCursor gives them."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    async def fetchone(self) -> tuple[Any, ...] | None:
        """The first row; None where there is none."""
        return self._rows[0] if self._rows else None

    async def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._rows


class Connection(AsyncConnection[tuple[Any, ...]]):
    """In autocommit, or in the transaction of `transaction`; for one user at a time."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        array.adapt(self)
        self._statements: OrderedDict[Key, Prepared] = OrderedDict()  # the one used last at the end
        self._last = 0
        self._for_all = False
        self._values = Transformer(self)
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None  # by which loop, and which socket
        self._readable: asyncio.Future[None] | None = None

    async def run(
        self, query: bytes | str, values: Sequence[Any], *, prepare: bool = True, binary: bool = False
    ) -> Result:
        """Executes one statement, whose values are `$1` and so on, and has all of its rows.

        With `prepare` it stays prepared from its first use on, with one plan for all values; without, the database plans for
        these very values.
        Raises psycopg.Error as AsyncConnection.execute does.
        """
        self._check_autocommit()
        async with self.lock:
            pgconn, form = self.pgconn, Format.BINARY if binary else Format.TEXT
            sent, types, formats = self._dumped(values)
            await self._plan(for_all=prepare)
            if not prepare:
                pgconn.send_query_params(_text(query), sent, types, formats, form)
                return self._rows(await self._executed(), {}, form)
            statement = self._known((query, types)) or await self._prepare(query, types)
            pgconn.send_query_prepared(statement.name, sent, formats, form)
            return self._rows(await self._executed(), statement.readers, form)

    async def begin(self, query: bytes | str, values: Sequence[Any], *, binary: bool = False) -> Result:
        """Executes one statement as `run` does with `prepare`, and has its rows before what it did is on the disk.

        Nothing may be asked of the connection until `committed` has told whether it is; in a transaction that tells no more
        than that the statement is done. Where it fails there is nothing to wait for, and the connection can be used again.
        """
        self._check_autocommit()
        async with self.lock:
            pgconn, form = self.pgconn, Format.BINARY if binary else Format.TEXT
            sent, types, formats = self._dumped(values)
            await self._plan(for_all=True)
            statement = self._known((query, types)) or await self._prepare(query, types)
            pgconn.enter_pipeline_mode()
            pgconn.send_query_prepared(statement.name, sent, formats, form)
            pgconn.send_flush_request()  # without it the rows wait in the database for the commit
            pgconn.pipeline_sync()
            result = await self._begun()
            try:
                return self._rows([result], statement.readers, form)
            except psycopg.Error:
                with contextlib.suppress(psycopg.Error):  # that of a connection which has ended tells less
                    await self.committed()
                raise

    async def committed(self) -> None:
        """Returns when what `begin` has begun is committed: on the disk. Raises psycopg.Error where it is not.

        Whoever gives up before ends the connection, for nobody knows then what became of it.
        """
        try:
            failed = await self._until_sync()
            self.pgconn.exit_pipeline_mode()
        except BaseException:
            await self.close()
            raise
        self._good(failed)

    async def explain(self, query: str, values: Sequence[Any], *, prepare: bool = True) -> str:
        """How the database goes about a statement when `run` has it executed, by executing it: EXPLAIN (ANALYZE, BUFFERS).

        Of one that is prepared it is the plan that is kept: an EXPLAIN with values is planned for these, and shows another.
        """
        result = await (
            self._explain_kept(query, values) if prepare else self.run(_EXPLAIN + query, values, prepare=False)
        )
        return "\n".join(line for (line,) in await result.fetchall())

    async def _explain_kept(self, query: str, values: Sequence[Any]) -> Result:
        async with self.lock:
            tx, pgconn = self._values, self.pgconn
            _, types, _ = self._dumped(values)
            await self._plan(for_all=True)
            statement = self._known((query, types)) or await self._prepare(query, types)
            literals = b", ".join(map(tx.as_literal, values))
            execute = b"EXECUTE %s (%s)" % (statement.name, literals) if values else b"EXECUTE " + statement.name
            pgconn.send_query_params(_EXPLAIN.encode() + execute, None)
            return self._rows(await self._executed(), {}, Format.TEXT)

    def _dumped(self, values: Sequence[Any]) -> tuple[Sequence[Any], tuple[int, ...], Sequence[Format] | None]:
        """The values as they are sent, with the types and the formats of them."""
        tx = self._values
        sent = tx.dump_sequence(values, [PyFormat.AUTO] * len(values))
        return sent, tx.types or (), tx.formats

    def _check_autocommit(self) -> None:
        if not self.autocommit:
            raise psycopg.ProgrammingError("transactions are begun by `transaction`, not by statements")

    async def _plan(self, *, for_all: bool) -> None:
        """Sees to it that what comes next has a plan for all values, or one for its own.

        Left to itself, the database plans five times before it keeps a plan, and where it guesses that
        rows are fewer for some values than for others, each time: https://www.postgresql.org/docs/current/sql-prepare.html#SQL-PREPARE-NOTES
        """
        if self._for_all == for_all:
            return
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            await self._ask(_FOR_ALL if for_all else _FOR_VALUES)
            self._for_all = for_all
        elif not for_all:
            # What a transaction sets may end with it, so it counts for this statement alone.
            await self._ask(_FOR_VALUES_LOCALLY)

    async def _ask(self, query: bytes) -> None:
        self.pgconn.send_query_params(query, None)
        self._good(await self._executed())

    async def _executed(self) -> list[PGresult]:
        """Sends what is ready to be sent, and has the results: as psycopg's `generators.execute`, without a generator."""
        pgconn = self.pgconn
        results: list[PGresult] = []
        try:
            if pgconn.flush():  # more than the socket takes
                return await self.wait(generators.execute(pgconn))
            while True:
                while pgconn.is_busy():
                    await self._wait_readable()
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    return results
                results.append(result)
        except asyncio.CancelledError:
            await self._abandon(generators.fetch_many(pgconn))
            raise
        except psycopg.OperationalError:
            self._unwatch()
            if any(one.status == ExecStatus.FATAL_ERROR for one in results):
                return results  # which tell why the database has ended the connection
            raise

    async def _begun(self) -> PGresult:
        """Sends what is ready to be sent, and has the first result, with all that there is of it."""
        try:
            if self.pgconn.flush():  # more than the socket takes
                await self.wait(generators.send(self.pgconn))
            result = await self._next()
            if result is None or await self._next() is not None:
                raise psycopg.InternalError("the database answers something else than the rows of one statement")
        except BaseException:
            await self.close()
            raise
        return result

    async def _until_sync(self) -> list[PGresult]:
        """The results up to where all is done; of a commit that succeeds there are none."""
        results: list[PGresult] = []
        while True:
            result = await self._next()
            if result is None and self.pgconn.status != ConnStatus.OK:
                raise psycopg.OperationalError("the connection has ended before the commit")
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return results
            if result is not None:
                results.append(result)

    async def _next(self) -> PGresult | None:
        while self.pgconn.is_busy():
            await self._wait_readable()
            self.pgconn.consume_input()
        return self.pgconn.get_result()

    def _rows(self, results: Sequence[PGresult], readers: dict[Format, Reader], form: Format) -> Result:
        (result,) = results
        if result.status != ExecStatus.TUPLES_OK:
            self._good(results)
            return Result([], result.command_tuples or 0)
        reader = readers.get(form)
        if reader is None:
            reader = readers[form] = Transformer(self)
            reader.set_pgresult(result)
        else:
            reader.set_pgresult(result, set_loaders=False)
        rows = reader.load_rows(0, result.ntuples, tuple)
        reader.set_pgresult(None, set_loaders=False)  # which may be large
        return Result(rows, result.ntuples)

    def _good(self, results: Sequence[PGresult]) -> None:
        for result in results:
            if result.status != ExecStatus.COMMAND_OK:
                raise error_from_result(result, encoding=self.info.encoding)

    def _known(self, key: Key) -> Prepared | None:
        """A statement that is prepared already, as the one that was used last."""
        statement = self._statements.get(key)
        if statement is not None:
            self._statements.move_to_end(key)
        return statement

    async def _prepare(self, query: bytes | str, types: tuple[int, ...]) -> Prepared:
        if len(self._statements) >= MOST_PREPARED:
            _, oldest = self._statements.popitem(last=False)
            await self._ask(b"DEALLOCATE " + oldest.name)
        self._last += 1
        made = Prepared(b"mediconnect_%d" % self._last)
        self.pgconn.send_prepare(made.name, _text(query), types)
        self._good(await self._executed())
        self._statements[query, types] = made
        return made

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109 - the signature of psycopg
        """As AsyncConnection.wait, without its timer, and the socket stays watched for the next."""
        if timeout is not None:
            self._unwatch()
            return await super().wait(gen, interval, timeout)
        try:
            state = next(gen)
            while True:
                if state != Wait.R:  # more to send than the socket takes
                    self._unwatch()
                    return await super().wait(_resumed(gen, state), interval)
                await self._wait_readable()
                state = gen.send(Ready.R)
        except StopIteration as end:
            value: RV = end.value
            return value
        except asyncio.CancelledError:
            await self._abandon(gen)
            raise
        except psycopg.OperationalError:
            self._unwatch()
            raise

    async def _wait_readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._readable = loop.create_future()
        if self._watched is None:
            self._watched = loop, self.pgconn.socket
            loop.add_reader(self.pgconn.socket, self._on_readable)
        try:
            await self._readable
        finally:
            self._readable = None

    def _on_readable(self) -> None:
        if self._readable is None:
            self._hear()
        elif not self._readable.done():
            self._readable.set_result(None)

    def _hear(self) -> None:
        """Takes in what comes while nobody waits: a notice, or that the database has gone, and then this one is closed."""
        try:
            self.pgconn.consume_input()
        except psycopg.OperationalError:
            self._unwatch()

    def _unwatch(self) -> None:
        """At once where the connection has ended: the number of its socket may be another's next."""
        if self._watched is not None:
            loop, socket = self._watched
            self._watched = None
            if not loop.is_closed():
                loop.remove_reader(socket)

    async def _abandon(self, gen: PQGen[Any]) -> None:
        """Ends what is under way, so that the connection can be used again; closes it where that does not help."""
        self._unwatch()
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            await self.cancel_safe(timeout=LAST_WORD)
            await wait_async(gen, self.pgconn.socket, timeout=LAST_WORD)
        except psycopg.errors.QueryCanceled:
            pass
        except BaseException:
            self.pgconn.finish()
            raise

    async def close(self) -> None:
        """Closes the connection."""
        self._unwatch()
        await super().close()


def _text(query: bytes | str) -> bytes:
    return query.encode() if isinstance(query, str) else query


def _resumed(gen: PQGen[RV], state: Wait) -> PQGen[RV]:
    """A generator that was begun already, to be begun by somebody else."""
    while True:
        try:
            state = gen.send((yield state))
        except StopIteration as end:
            value: RV = end.value
            return value
