"""Connections for whoever has fewest: several doors to one socket, as several processes would have them."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from fhir_server import door as module
from fhir_server.door import Door, Places


class Guest(asyncio.Protocol):
    """A connection, on the list of those present until it ends."""

    def __init__(self, present: set["Guest"], came: Callable[[], None]) -> None:
        self.present = present
        self.came = came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.present.add(self)
        self.came()

    def connection_lost(self, _: Exception | None) -> None:
        self.present.discard(self)


class House:
    """Doors to one socket, and who came through each."""

    def __init__(self, doors: int) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.places = Places(doors + 1)
        self.present: list[set[Guest]] = [set() for _ in range(doors)]
        self.guests: list[Guest] = []
        self.awaited = 0
        self.complete = asyncio.Event()
        self.sockets = [self.socket]
        self.doors = [self.door(self.socket.dup(), present) for present in self.present]

    def door(self, listening: Any, present: set[Guest]) -> Door:
        self.sockets.append(listening)
        return Door(listening, lambda: self.guest(present), lambda: len(present), self.places, self.places.take())

    def guest(self, present: set[Guest]) -> Guest:
        self.guests.append(Guest(present, self.came))
        return self.guests[-1]

    def came(self) -> None:
        if sum(self.counts()) == self.awaited:
            self.complete.set()

    async def close(self) -> None:
        for door in self.doors:
            door.close()
        for guest in self.guests:
            guest.transport.close()
        await asyncio.sleep(0.01)
        for one in self.sockets:
            one.close()

    async def visited(self, guests: int) -> list[socket.socket]:
        """So many connect at once; returns when all are let in."""
        loop = asyncio.get_running_loop()
        self.awaited = sum(self.counts()) + guests
        visitors = [socket.socket() for _ in range(guests)]
        for one in visitors:
            one.setblocking(False)
        await asyncio.gather(*(loop.sock_connect(one, self.socket.getsockname()) for one in visitors))
        async with asyncio.timeout(20):
            await self.complete.wait()
        self.complete.clear()
        return visitors

    def counts(self) -> list[int]:
        return [len(present) for present in self.present]


@contextlib.asynccontextmanager
async def opened(house: House) -> AsyncIterator[House]:
    for one in house.doors:
        one.open()
    try:
        yield house
    finally:
        await house.close()


def test_connections_that_come_together_are_shared():
    async def story() -> None:
        async with opened(House(3)) as house:
            visitors = await house.visited(60)
            counts = house.counts()
            assert sum(counts) == 60
            assert max(counts) - min(counts) <= 1
            for one in visitors:
                one.close()

    uvloop.run(story())


def test_who_has_lost_connections_gets_the_next():
    async def story() -> None:
        async with opened(House(2)) as house:
            first = await house.visited(20)
            for guest in list(house.present[0]):
                house.present[0].discard(guest)
            house.doors[0].tell()
            assert house.counts()[0] == 0
            more = await house.visited(8)
            assert house.counts()[0] >= 7
            for one in (*first, *more):
                one.close()

    uvloop.run(story())


def test_nobody_waits_for_long_for_a_process_that_does_not_take_its_turn():
    """One that hangs has few connections, and so should have all that come."""

    async def story() -> None:
        house = House(1)
        house.places.tell(house.places.take(), 0)
        async with opened(house):
            for one in await house.visited(10):
                one.close()

    uvloop.run(story())


def test_who_has_left_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LOOK", 60)  # who waited once would wait for a minute

    async def story() -> None:
        house = House(1)
        other = house.places.take()
        house.places.tell(other, 0)
        house.places.leave(other)
        async with opened(house):
            for one in await house.visited(10):
                one.close()

    uvloop.run(story())


def test_a_closed_door_lets_nobody_in():
    async def story() -> None:
        async with opened(House(2)) as house:
            house.doors[0].close()
            house.doors[0].tell()  # as when one of those inside goes
            assert house.places.least(1) is None
            for one in await house.visited(10):
                one.close()
            assert house.counts()[0] == 0

    uvloop.run(story())


class Exhausted:
    """A socket that cannot be taken from at first."""

    def __init__(self, inner: socket.socket) -> None:
        self.inner = inner
        self.failures = 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self.inner.accept()


def test_without_descriptors_it_says_so_and_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "REST", 0.02)

    async def story() -> None:
        house = House(0)
        house.present.append(set())
        house.doors.append(house.door(Exhausted(house.socket), house.present[0]))
        async with opened(house):
            for one in await house.visited(3):
                one.close()

    with caplog.at_level(logging.WARNING, "mediconnect"):
        uvloop.run(story())
    assert [one.getMessage() for one in caplog.records] == [
        "no more connections for now: Too many open files; raise the limit of open files (ulimit -n)"
    ] * 2
