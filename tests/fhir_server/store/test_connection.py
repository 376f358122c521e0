"""Statements on a connection of the pool, and what becomes of it when they fail, are given up or the database goes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
import pytest

from fhir_server.outcome import Refusal
from fhir_server.store import connection
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Story = Callable[[Connection], Awaitable[None]]


def on_pool(url: str, story: Callable[[Pool], Awaitable[None]], *, size: int = 1, timeout: float = 10.0) -> None:
    async def told() -> None:
        pool = Pool(url, size=size, timeout=timeout)
        await pool.open()
        try:
            await story(pool)
        finally:
            await pool.close()

    asyncio.run(told())


def on_connection(url: str, story: Story) -> None:
    async def told(pool: Pool) -> None:
        async with pool.connection() as conn:
            await story(conn)

    on_pool(url, told)


@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_rows_come_as_python_values(database_url: str, prepare: bool, binary: bool):
    async def story(conn: Connection) -> None:
        for _ in range(3):
            result = await conn.run(
                "SELECT n, $1::text || n, $2::bytea, NULL::text FROM generate_series(1, $3) AS s (n)",
                ("ü", b"\x00\xff", 2), prepare=prepare, binary=binary,
            )  # fmt: skip
            assert await result.fetchall() == [(1, "ü1", b"\x00\xff", None), (2, "ü2", b"\x00\xff", None)]
            assert await result.fetchone() == (1, "ü1", b"\x00\xff", None)
            assert result.rowcount == 2

    on_connection(database_url, story)


def test_a_statement_is_read_in_either_format_each_time_anew(database_url: str):
    async def story(conn: Connection) -> None:
        for rows, binary in ((2, False), (1, True), (0, True), (3, False), (1, True)):
            result = await conn.run(
                "SELECT n, now() > $1 FROM generate_series(1, $2) AS s (n)", (LONG_AGO, rows), binary=binary
            )
            assert await result.fetchall() == [(n + 1, True) for n in range(rows)]

    on_connection(database_url, story)


def test_a_statement_without_rows_tells_how_many_it_changed(database_url: str):
    async def story(conn: Connection) -> None:
        await conn.execute("CREATE TEMPORARY TABLE t AS SELECT n FROM generate_series(1, 5) AS s (n)")
        result = await conn.run("DELETE FROM t WHERE n > $1", (2,))
        assert (result.rowcount, await result.fetchall(), await result.fetchone()) == (3, [], None)

    on_connection(database_url, story)


def test_a_failure_says_why_and_leaves_the_connection_usable(database_url: str):
    async def story(conn: Connection) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await conn.run("SELECT 1 / $1::int", (0,))
        assert await (await conn.run("SELECT 1 / $1::int", (1,))).fetchone() == (1,)
        with pytest.raises(psycopg.errors.UndefinedTable):
            await conn.run("SELECT * FROM nothing WHERE $1", (True,))
        with pytest.raises(psycopg.errors.UndefinedTable):
            async with conn.transaction():
                await conn.run("SELECT * FROM nothing WHERE $1", (True,))
        assert await (await conn.run("SELECT $1::int", (7,))).fetchone() == (7,)

    on_connection(database_url, story)


def test_what_is_prepared_outlives_a_transaction_that_is_rolled_back(database_url: str):
    async def story(conn: Connection) -> None:
        await conn.run("SELECT $1::int", (1,))
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with conn.transaction():
                await conn.execute("SELECT 1 / 0")
        await conn.run("SELECT $1::int", (1,))
        assert await prepared(conn) == 1

    on_connection(database_url, story)


async def prepared(conn: Connection) -> int:
    row = await (await conn.execute("SELECT count(*) FROM pg_prepared_statements")).fetchone()
    assert row is not None
    return int(row[0])


def test_the_same_text_for_values_of_other_types_is_another_statement(database_url: str):
    async def story(conn: Connection) -> None:
        assert await (await conn.run("SELECT pg_typeof($1)::text", (1,))).fetchone() == ("smallint",)
        assert await (await conn.run("SELECT pg_typeof($1)::text", (2**40,))).fetchone() == ("bigint",)
        assert await prepared(conn) == 2

    on_connection(database_url, story)


def test_a_connection_keeps_no_more_than_so_many_prepared(database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "MOST_PREPARED", 3)

    async def story(conn: Connection) -> None:
        for n in (1, 2, 3, 1, 4, 1):
            assert await (await conn.run(f"SELECT {n} + $1", (1,))).fetchone() == (n + 1,)
        row = await (await conn.execute("SELECT array_agg(statement) FROM pg_prepared_statements")).fetchone()
        assert row is not None
        assert sorted(row[0]) == ["SELECT 1 + $1", "SELECT 3 + $1", "SELECT 4 + $1"]

    on_connection(database_url, story)


def test_values_larger_than_a_socket_takes_at_once_arrive(database_url: str):
    async def story(conn: Connection) -> None:
        large = b"\x01\x02" * (4 << 20)
        assert await (await conn.run("SELECT $1::bytea", (large,), binary=True)).fetchone() == (large,)

    on_connection(database_url, story)


def test_a_statement_that_is_given_up_ends_in_the_database_too(database_url: str):
    async def story(conn: Connection) -> None:
        waiting = asyncio.create_task(conn.run("SELECT pg_sleep($1)", (60,)))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await (await conn.run("SELECT $1::int", (7,))).fetchone() == (7,)

    on_connection(database_url, story)


def test_a_connection_whose_end_was_told_meanwhile_is_not_lent(database_url: str):
    async def story(pool: Pool) -> None:
        async with pool.connection() as conn:
            first = await (await conn.run("SELECT pg_backend_pid() + $1", (0,))).fetchone()
            assert first is not None
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s)", first)
        while not conn.closed:  # noqa: ASYNC110 - the loop hears of it from the socket, and tells nobody
            await asyncio.sleep(0.01)
        async with pool.connection() as conn:
            assert await (await conn.run("SELECT pg_backend_pid() <> $1", first)).fetchone() == (True,)

    on_pool(database_url, story, size=2)


def test_a_connection_that_ends_under_a_statement_fails_it(database_url: str):
    async def story(conn: Connection) -> None:
        waiting = asyncio.create_task(conn.run("SELECT pg_sleep($1)", (60,)))
        await asyncio.sleep(0.1)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
        with pytest.raises(psycopg.errors.AdminShutdown):
            await waiting
        assert conn.closed

    on_connection(database_url, story)


def test_outside_of_autocommit_nothing_is_run(database_url: str):
    async def story(conn: Connection) -> None:
        await conn.set_autocommit(False)
        with pytest.raises(psycopg.ProgrammingError):
            await conn.run("SELECT $1::int", (1,))
        await conn.set_autocommit(True)

    on_connection(database_url, story)


ADD = "INSERT INTO public.done (n) VALUES ($1) RETURNING n"
COUNT = "SELECT count(*)::int FROM public.done"
LOCK = 7


async def doing(conn: psycopg.AsyncConnection[tuple[object, ...]], at_commit: str) -> None:
    """A table, and what the database does when a row of it is committed."""
    await conn.execute("CREATE TABLE public.done (n int)")
    await conn.execute("GRANT ALL ON public.done TO PUBLIC")
    body = f"$$ BEGIN {at_commit}; RETURN NULL; END $$"
    await conn.execute(f"CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql AS {body}")
    await conn.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.done DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION public.at_commit()"
    )


def while_committing(
    url: str, story: Callable[[Connection, psycopg.AsyncConnection[tuple[object, ...]]], Awaitable[None]]
) -> None:
    """The story of a connection that has begun a statement, and of another, on whose lock its commit waits."""

    async def told(conn: Connection) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            await doing(other, f"PERFORM pg_advisory_xact_lock({LOCK})")
            await other.execute(f"SELECT pg_advisory_lock({LOCK})")
            begun = await conn.begin(ADD, (1,), binary=True)
            assert (await begun.fetchall(), begun.rowcount) == ([(1,)], 1)
            assert await (await other.execute(COUNT)).fetchone() == (0,)
            await story(conn, other)

    on_connection(url, told)


def test_rows_are_here_before_the_commit(database_url: str):
    async def story(conn: Connection, other: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        committed = asyncio.create_task(conn.committed())
        await asyncio.sleep(0.1)
        assert not committed.done()
        await other.execute(f"SELECT pg_advisory_unlock({LOCK})")
        await committed
        assert await (await other.execute(COUNT)).fetchone() == (1,)
        for n in range(3):  # and again, and anything else
            begun = await conn.begin(ADD, (n,))
            await conn.committed()
            assert await begun.fetchone() == (n,)
            assert await (await conn.run(COUNT, ())).fetchone() == (n + 2,)

    while_committing(database_url, story)


def test_who_gives_up_before_the_commit_ends_the_connection(database_url: str):
    async def story(conn: Connection, other: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        committed = asyncio.create_task(conn.committed())
        await asyncio.sleep(0.1)
        committed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await committed
        assert conn.closed

    while_committing(database_url, story)


def test_a_connection_that_ends_before_the_commit_says_so(database_url: str):
    async def story(conn: Connection, other: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        await other.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            await conn.committed()
        assert conn.closed
        assert await (await other.execute(COUNT)).fetchone() == (0,)

    while_committing(database_url, story)


def test_a_commit_that_fails_says_why_and_leaves_the_connection_usable(database_url: str):
    async def story(conn: Connection) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await doing(other, "RAISE 'not this one'")
        for _ in range(2):
            begun = await conn.begin(ADD, (1,))
            assert begun.rowcount == 1
            with pytest.raises(psycopg.errors.RaiseException, match="not this one"):
                await conn.committed()
            assert await (await conn.run(COUNT, ())).fetchone() == (0,)

    on_connection(database_url, story)


def test_a_statement_that_is_begun_and_fails_leaves_the_connection_usable(database_url: str):
    async def story(conn: Connection) -> None:
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await conn.begin("SELECT 1 / $1::int", (0,))
            begun = await conn.begin("SELECT 1 / $1::int", (1,))
            await conn.committed()
            assert await begun.fetchall() == [(1,)]

    on_connection(database_url, story)


def test_more_than_a_socket_takes_is_sent_all_the_same(database_url: str):
    async def story(conn: Connection) -> None:
        begun = await conn.begin("SELECT length($1::text)", ("x" * 5_000_000,))
        await conn.committed()
        assert await begun.fetchone() == (5_000_000,)

    on_connection(database_url, story)


def test_the_connection_used_last_is_lent_first(database_url: str):
    async def story(pool: Pool) -> None:
        async with pool.connection() as one, pool.connection() as two:
            assert one is not two
        async with pool.connection() as again:
            assert again is one  # given back after the other

    on_pool(database_url, story, size=3)


def test_who_waits_is_given_what_is_given_back_in_order(database_url: str):
    async def story(pool: Pool) -> None:
        order: list[int] = []

        async def use(n: int) -> None:
            async with pool.connection() as conn:
                await conn.run("SELECT $1::int", (n,))
                order.append(n)

        async with asyncio.TaskGroup() as tasks:
            for n in range(20):
                tasks.create_task(use(n))
        assert order == list(range(20))

    on_pool(database_url, story)


def test_who_waits_too_long_is_refused_and_nothing_is_lost(database_url: str):
    async def story(pool: Pool) -> None:
        async with pool.connection():
            with pytest.raises(Refusal) as refused:
                async with pool.connection():
                    pass
        assert (refused.value.status, dict(refused.value.headers)) == (503, {"retry-after": "2"})
        async with pool.connection() as conn:
            assert await (await conn.run("SELECT $1::int", (7,))).fetchone() == (7,)

    on_pool(database_url, story, timeout=0.1)


def test_who_goes_while_waiting_leaves_the_connection_to_others(database_url: str):
    async def story(pool: Pool) -> None:
        async def use() -> int:
            async with pool.connection() as conn:
                row = await (await conn.run("SELECT $1::int", (7,))).fetchone()
                assert row is not None
                return int(row[0])

        async with pool.connection():
            gone, stays = asyncio.create_task(use()), asyncio.create_task(use())
            await asyncio.sleep(0)
        gone.cancel()  # it has been given the connection already, and does not know yet
        assert await stays == 7
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await use() == 7

    on_pool(database_url, story)


def test_connections_that_have_ended_make_room_for_others(database_url: str):
    async def story(pool: Pool) -> None:
        async def end() -> None:
            async with pool.connection() as conn:
                await conn.execute("SET ROLE NONE")
                with pytest.raises(psycopg.OperationalError):
                    await conn.run("SELECT pg_terminate_backend(pg_backend_pid()) AND $1", (True,))

        async def use() -> int:
            async with pool.connection() as conn:
                return (await conn.run("SELECT $1::int", (7,))).rowcount

        ended = asyncio.gather(end(), end())
        await asyncio.sleep(0)
        assert await asyncio.gather(*(use() for _ in range(100))) == [1] * 100
        await ended

    on_pool(database_url, story, size=2)


def test_what_is_prepared_has_one_plan_and_all_else_one_for_its_values(database_url: str):
    kept = "SELECT sum(generic_plans)::int, sum(custom_plans)::int FROM pg_prepared_statements"

    async def mode(conn: Connection) -> str:
        row = await (
            await conn.run("SELECT current_setting('plan_cache_mode') WHERE $1", (True,), prepare=False)
        ).fetchone()
        assert row is not None
        return str(row[0])

    async def story(conn: Connection) -> None:
        for _ in range(7):
            await conn.run("SELECT pk FROM mediconnect.resource WHERE pk = $1", (1,))
            assert await mode(conn) == "auto"
        async with conn.transaction():
            await conn.run("SELECT pk FROM mediconnect.resource WHERE pk = $1", (1,))
            assert await mode(conn) == "auto"
        await conn.run("SELECT pk FROM mediconnect.resource WHERE pk = $1", (1,))
        assert await (await conn.execute(kept)).fetchone() == (8, 1)  # in a transaction it stays as it was before

    on_connection(database_url, story)
