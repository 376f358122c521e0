"""A server of a test's own: the real application under uvicorn, on a free port, in a thread of the test process."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn

from fhir_server.app import Application, create_app
from fhir_server.settings import Settings

FHIR_JSON = "application/fhir+json"


@contextlib.contextmanager
def running(database_url: str, **settings: Any) -> Iterator[str]:
    """The FHIR base of a server on the database, stopped at the end; open unless the settings say otherwise."""
    settings.setdefault("security", "open")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with serve(create_app(Settings(database_url=database_url, port=port, **settings)), bound):
            yield f"http://127.0.0.1:{port}/fhir"


@contextlib.contextmanager
def serving(app: Application) -> Iterator[str]:
    """Where the FHIR base of an application is reached, whatever it believes to be its own address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with serve(app, bound):
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/fhir"


@contextlib.contextmanager
def serve(app: Application, bound: socket.socket) -> Iterator[None]:
    """Serves an application on a socket that is bound already."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended before it answered"
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=15)


@contextlib.contextmanager
def client(base: str, **headers: str) -> Iterator[httpx.Client]:
    """An HTTP client of a FHIR base that sends and wants FHIR JSON unless told otherwise."""
    wanted = {"accept": FHIR_JSON, "content-type": FHIR_JSON, **headers}
    with httpx.Client(base_url=base, headers=wanted, timeout=60) as http:
        yield http
