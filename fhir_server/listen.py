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
from uvicorn.importer import import_from_string
from uvicorn.supervisors import Multiprocess

from fhir_server.store.cluster import bind_to_parent

Announce = Callable[[], None]
# New objects after which a process looks for garbage in circles, and how often among older ones. Python's own 700 are made by
# a single resource, and leave next to none: docs/performance.md.
COLLECTED = (20_000, 20, 20)
GRACE = 10  # seconds that running requests get to finish


class AnnouncedServer(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, announce: Announce) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            self._announce()


class AnnouncedWorkers(Multiprocess):
    """Worker processes that are started again when they fail; says when all answer, and keeps which signal ended them."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], announce: Announce) -> None:
        super().__init__(config, sockets)
        self._announce = announce
        self.ended_by: signal.Signals | None = None

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(60, self.should_exit) for process in self.processes):
            self._announce()

    def handle_int(self) -> None:
        self.ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self.ended_by = signal.SIGTERM
        super().handle_term()


def listen(application: str, bound: socket.socket, workers: int, announce: Announce) -> bool:
    """Serve `application` (the import string of a factory) until a signal; whether it ever answered.

    Running requests are finished first. Raises KeyboardInterrupt after Ctrl-C, and OSError where the port was taken
    by somebody else since it was bound.
    """
    config = uvicorn.Config(functools.partial(make, application, os.getpid()), workers=workers, **options())
    if workers == 1:
        server = AnnouncedServer(config, announce)
        server.run(sockets=[bound])
        return server.started
    supervisor = AnnouncedWorkers(config, [bound], announce)
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
    made = import_from_string(application)()
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    return made
