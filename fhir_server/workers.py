"""Several processes that serve HTTP: forked from one that looks after them, each with its share of connections and processors.

https://uvicorn.dev/deployment/ and docs/adr/0010-processes-by-processor.md, 0011-new-connections.md, 0014-a-processor-of-its-own.md
"""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn import _subprocess
from uvicorn.supervisors import Multiprocess, multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS

from fhir_server.door import Door, Places
from fhir_server.processors import Shares, keep_to

Announce = Callable[[], None]
Look = Callable[[], None]
"""A look, every second or so, whether what the server needs is still there; it may send this process a signal."""

# Workers are forked from the process that has imported the application, instead of importing it again, each for itself. It has
# no threads; uvicorn's own choice is for those that have.
_subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]  # used as the other is


class Present(set[Any]):
    """The connections of a server, as uvicorn keeps them; says when one has gone."""

    def __init__(self, gone: Callable[[], None]) -> None:
        super().__init__()
        self._gone = gone

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._gone()


class SharingServer(uvicorn.Server):
    """A server that shares a socket with others, each with its place among them, and a processor to keep to or None."""

    def __init__(self, config: uvicorn.Config, places: Places, place: int, processor: int | None) -> None:
        super().__init__(config)
        self._places = places
        self._place = place
        self._processor = processor
        self._doors: list[Door] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        keep_to(self._processor)  # before the application connects to its database
        await super().startup(sockets=[])  # which would take connections as fast as it can
        present = self.server_state.connections = Present(self._tell)
        for listening in sockets or ():
            door = Door(listening, self._protocol, lambda: len(present), self._places, self._place, self.config.backlog)
            self._doors.append(door)
            door.open()

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    def _tell(self) -> None:
        for door in self._doors:
            door.tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        while self._doors:
            self._doors.pop().close()
        await super().shutdown(sockets=sockets)


class Worker(multiprocess.Process):
    """A process that serves, with its place among the others and its processor."""

    places: Places
    shares: Shares

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._place = self.places.take()
        self._processor = self.shares.take()
        super().__init__(config, sockets)

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = SharingServer(self.config, self.places, self._place, self._processor)
        return self._server

    def join(self) -> None:
        super().join()
        self.places.give_back(self._place)
        self.shares.give_back(self._processor)


multiprocess.Process = Worker  # type: ignore[misc]  # the supervisor makes its processes by this name


class AnnouncedWorkers(Multiprocess):
    """Worker processes that are started again when they fail; says when all answer, and keeps which signal ended them.

    `processors`: those that they share out among them, each keeping to one; none: each runs wherever there is room.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], announce: Announce, look: Look, processors: Sequence[int] = ()
    ) -> None:  # fmt: skip
        super().__init__(config, sockets)
        Worker.shares = Shares(processors)
        Worker.places = Places(2 * config.workers)  # twice: a restart begins a new process before it ends the old one
        self._announce = announce
        self._look = look
        self.ended_by: signal.Signals | None = None
        os.register_at_fork(after_in_child=_forget_signals)

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(60, self.should_exit) for process in self.processes):
            self._announce()

    def keep_subprocess_alive(self) -> None:
        self._look()
        super().keep_subprocess_alive()

    def handle_int(self) -> None:
        self.ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self.ended_by = signal.SIGTERM
        super().handle_term()


def _forget_signals() -> None:
    """What this process does with signals is not for a worker, which says for itself what it does, a moment later."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
