"""HTTP in one process or several: the application on a socket that is bound already, until a signal ends it.

https://uvicorn.dev/deployment/
"""

import asyncio
import functools
import gc
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn import _subprocess
from uvicorn.importer import import_from_string
from uvicorn.supervisors import Multiprocess, multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS

from fhir_server.door import Door, Places
from fhir_server.store.cluster import bind_to_parent

Announce = Callable[[], None]
Look = Callable[[], None]
"""A look, every second or so, whether what the server needs is still there; it may send this process a signal."""
# New objects after which a process looks for garbage in circles, and how often among older ones. Python's own 700 are made by
# a single resource, and leave next to none: docs/performance.md.
COLLECTED = (20_000, 20, 20)
TICKS = 10  # of uvicorn in a second
GRACE = 10  # seconds that running requests get to finish


# Workers are forked from the process that has imported the application, instead of importing it again, each for itself. It has
# no threads; uvicorn's own choice is for those that have.
_subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]  # used as the other is


class AnnouncedServer(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, announce: Announce, look: Look) -> None:
        super().__init__(config)
        self._announce = announce
        self._look = look

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            self._announce()

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._look()
        return await super().on_tick(counter)


class Present(set[Any]):
    """The connections of a server, as uvicorn keeps them; says when one has gone."""

    def __init__(self, gone: Callable[[], None]) -> None:
        super().__init__()
        self._gone = gone

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self._gone()


class SharingServer(uvicorn.Server):
    """A server that shares a socket with others, each with its place among them."""

    def __init__(self, config: uvicorn.Config, places: Places, place: int) -> None:
        super().__init__(config)
        self._places = places
        self._place = place
        self._doors: list[Door] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
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
    """A process that serves, with its place among the others."""

    places: Places

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._place = self.places.take()
        super().__init__(config, sockets)

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = SharingServer(self.config, self.places, self._place)
        return self._server

    def join(self) -> None:
        super().join()
        self.places.give_back(self._place)


multiprocess.Process = Worker  # type: ignore[misc]  # the supervisor makes its processes by this name


class AnnouncedWorkers(Multiprocess):
    """Worker processes that are started again when they fail; says when all answer, and keeps which signal ended them."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], announce: Announce, look: Look) -> None:
        super().__init__(config, sockets)
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


def imported(application: str) -> Any:
    """The factory that an import string names."""
    return import_from_string(application)


def listen(application: str, bound: socket.socket, workers: int, announce: Announce, look: Look) -> bool:
    """Serve `application` (the import string of a factory) until a signal; whether it ever answered.

    Running requests are finished first. Raises KeyboardInterrupt after Ctrl-C, and OSError where the port was taken
    by somebody else since it was bound.
    """
    config = uvicorn.Config(functools.partial(make, application, os.getpid()), workers=workers, **options())
    if workers == 1:
        server = AnnouncedServer(config, announce, look)
        server.run(sockets=[bound])
        return server.started
    supervisor = AnnouncedWorkers(config, [bound], announce, look)
    supervisor.run()
    if supervisor.ended_by is signal.SIGINT:
        raise KeyboardInterrupt
    return supervisor.ended_by is not None


def options() -> dict[str, Any]:
    """How HTTP is served: the fast loop and parser, no access log of uvicorn's, no name of the software in answers."""
    return {
        "factory": True,
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "backlog": 2048,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": GRACE,
        "timeout_worker_healthcheck": 30,
    }


def make(application: str, supervisor: int) -> object:
    """The application, made in the process that serves it; a worker ends in order when its supervisor was killed."""
    if multiprocessing.parent_process() is not None:
        bind_to_parent(supervisor, signal.SIGTERM)
        gc.enable()
    made = imported(application)()
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    return made
