"""HTTP in one process or several: the application on a socket that is bound already, until a signal ends it.

https://uvicorn.dev/deployment/
"""

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
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS

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


class AnnouncedWorkers(Multiprocess):
    """Worker processes that are started again when they fail; says when all answer, and keeps which signal ended them."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], announce: Announce, look: Look) -> None:
        super().__init__(config, sockets)
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
