"""HTTP in one process or several: the application on a socket that is bound already, until a signal ends it.

https://uvicorn.dev/deployment/
"""

import functools
import gc
import multiprocessing
import os
import signal
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.importer import import_from_string

from fhir_server.store.cluster import bind_to_parent
from fhir_server.transport import WholeAnswers
from fhir_server.workers import Announce, AnnouncedWorkers, Look

# New objects after which a process looks for garbage in circles, and how often among older ones. Python's own 700 are made by
# a single resource, and leave next to none: docs/performance.md.
COLLECTED = (20_000, 20, 20)
TICKS = 10  # of uvicorn in a second
GRACE = 10  # seconds that running requests get to finish


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


def imported(application: str) -> Any:
    """The factory that an import string names."""
    return import_from_string(application)


def listen(
    application: str, bound: socket.socket, workers: int, announce: Announce, look: Look, processors: Sequence[int] = ()
) -> bool:
    """Serve `application` (the import string of a factory) until a signal; whether it ever answered.

    `processors`: those that several workers share out among them, each keeping to one; none: each runs wherever there is room.

    Running requests are finished first. Raises KeyboardInterrupt after Ctrl-C, and OSError where the port was taken
    by somebody else since it was bound.
    """
    config = uvicorn.Config(functools.partial(make, application, os.getpid()), workers=workers, **options())
    if workers == 1:
        server = AnnouncedServer(config, announce, look)
        server.run(sockets=[bound])
        return server.started
    supervisor = AnnouncedWorkers(config, [bound], announce, look, processors)
    supervisor.run()
    if supervisor.ended_by is signal.SIGINT:
        raise KeyboardInterrupt
    return supervisor.ended_by is not None


def options() -> dict[str, Any]:
    """How HTTP is served: the fast loop and parser, no access log of uvicorn's, no name of the software in answers."""
    return {
        "factory": True,
        "loop": "uvloop",
        "http": WholeAnswers,
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
