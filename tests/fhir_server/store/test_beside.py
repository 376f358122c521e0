"""The database's process for a connection runs where this process does, if that is one processor of the same machine."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from fhir_server.processors import allowed, keep_to
from fhir_server.store.beside import bring_beside
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool

pytestmark = pytest.mark.skipif(len(allowed()) < 2, reason="needs a system that tells of two processors or more")

Story = Callable[[Connection], Awaitable[None]]


def bound(processor: int | None, url: str, story: Story) -> None:
    """The story on a connection of a pool that was opened by a thread on this processor alone; the test's own stays free."""

    async def told() -> None:
        pool = Pool(url, size=1)
        await pool.open()
        try:
            async with pool.connection() as conn:
                await story(conn)
        finally:
            await pool.close()

    def on_processor() -> None:
        keep_to(processor)
        asyncio.run(told())

    asyncio.run(asyncio.to_thread(on_processor))


def backend_of(conn: Connection) -> set[int]:
    return os.sched_getaffinity(conn.info.backend_pid)


@pytest.mark.parametrize("processor", allowed()[:2])
def test_the_process_of_a_new_connection_follows(database_url: str, processor: int):
    async def story(conn: Connection) -> None:
        assert backend_of(conn) == {processor}

    bound(processor, database_url, story)


def test_who_may_run_anywhere_leaves_the_database_alone(database_url: str):
    async def story(conn: Connection) -> None:
        assert backend_of(conn) == set(allowed())
        assert not bring_beside(conn.fileno(), conn.info.backend_pid)

    bound(None, database_url, story)


def test_who_was_given_one_processor_only_leaves_the_database_alone(database_url: str):
    """As by taskset: nobody has said that the database has to make do with it too."""

    everywhere = set(allowed())

    async def story(conn: Connection) -> None:
        assert len(allowed()) == 1
        assert backend_of(conn) == everywhere

    def on_processor() -> None:
        os.sched_setaffinity(0, allowed()[:1])
        bound(None, database_url, story)

    asyncio.run(asyncio.to_thread(on_processor))


def test_a_number_of_another_process_is_not_touched(database_url: str):
    async def story(conn: Connection) -> None:
        assert not bring_beside(conn.fileno(), os.getpid())
        assert not bring_beside(conn.fileno(), 2**22 + 1)  # above the largest there can be

    bound(allowed()[0], database_url, story)
    assert allowed() == tuple(sorted(os.sched_getaffinity(os.getpid())))


def test_a_database_behind_tcp_is_left_alone(database_url: str):
    async def story(conn: Connection) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            assert not bring_beside(client.fileno(), conn.info.backend_pid)

    bound(allowed()[0], database_url, story)


def test_what_the_system_refuses_is_told_and_nothing_fails(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def story(conn: Connection) -> None:
        def refused(process: int, _: object) -> None:
            raise PermissionError(1, f"not permitted for {process}")

        monkeypatch.setattr("os.sched_setaffinity", refused)
        with caplog.at_level(logging.INFO, "mediconnect"):
            assert not bring_beside(conn.fileno(), conn.info.backend_pid)
        monkeypatch.undo()
        assert f"process {conn.info.backend_pid} stays where it is" in caplog.text

    bound(allowed()[0], database_url, story)
