"""The process that holds the server: data directory, port, database, HTTP, in this order, and back in reverse.

https://hl7.org/fhir/R4/http.html
"""

import asyncio
import contextlib
import functools
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn, TextIO

from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.embedded import EmbeddedPostgres
from fhir_server.store.lock import CannotStart

APPLICATION = "fhir_server.app:create_app"
SPARE_CONNECTIONS = 20
# The addresses that mean "every interface", with one on which this machine reaches itself.
LOCAL = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - shown, not chosen


class PortUnavailable(CannotStart):
    """The address cannot be listened on."""


class Terminated(SystemExit):
    """The process was asked to end. A SystemExit, because event loops swallow every other exception of a signal."""


class Steps:
    """What the server is doing, for the person or the log that started it.

    `report` takes "step: how far it is"; the last word on a step is kept as a line with the time it took, what was said
    before it is overwritten on a terminal and thinned out to a line every five seconds elsewhere.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._text = ""
        self._begun = self._shown = time.monotonic()

    def report(self, text: str) -> None:
        if text.partition(":")[0] != self._text.partition(":")[0]:
            self.finish()
        self._text = text
        if self._out.isatty():
            self._out.write(f"\r\x1b[2K  {text}")
            self._out.flush()
        elif time.monotonic() - self._shown > 5:
            self.line(f"  {text} …")

    def finish(self) -> None:
        """The step at hand is done."""
        if self._text:
            self.line(f"  {self._text} ({time.monotonic() - self._begun:.2f} s)")
        self._text, self._begun = "", time.monotonic()

    def line(self, text: str) -> None:
        """A line that stays."""
        self._shown = time.monotonic()
        self._out.write(f"\r\x1b[2K{text}\n" if self._out.isatty() else f"{text}\n")
        self._out.flush()


def serve(settings: Settings, application: str = APPLICATION) -> int:
    """Run the server until it is told to stop; the exit code: 0, or 1 where it cannot go on, or 130 after Ctrl-C.

    `application` is the import string of a factory without arguments that reads Settings from the environment.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is ignored and stays so
        signal.signal(signal.SIGHUP, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))
    try:
        return _serve(settings, application)
    except CannotStart as error:
        print(f"mediconnect: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 0


def bind(host: str, port: int) -> socket.socket:
    """A socket on the address, bound and not yet listening; raises PortUnavailable."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortUnavailable(f"cannot listen on {host}: {error.strerror}; set MEDICONNECT_HOST") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise PortUnavailable(
            f"cannot listen on {host}, port {port}: {error.strerror}; stop the program that does, or set MEDICONNECT_PORT"
        ) from error
    return bound


def check_openness(settings: Settings) -> None:
    """Raises CannotStart where a server without security would be reached from elsewhere."""
    if settings.security == "open" and not settings.is_local:
        raise CannotStart(
            f"MEDICONNECT_SECURITY=open on {settings.host or 'every address'}: a server without security listens on "
            "127.0.0.1, ::1 or localhost alone"
        )


def _serve(settings: Settings, application: str) -> int:
    steps = Steps()
    check_openness(settings)
    gc.disable()  # imports make a million objects that all stay: looking through them costs a tenth of the start
    with _database(settings) as embedded, contextlib.closing(bind(settings.host, settings.port)) as bound:
        # Workers and the application's factory read the environment, so what is decided here has to stand there.
        os.environ["MEDICONNECT_PORT"] = str(bound.getsockname()[1])
        os.environ["MEDICONNECT_WORKERS"] = str(settings.processes)  # who keeps to one processor sees no other
        if embedded:
            steps.report("database: starting PostgreSQL")
            embedded.lock.take(_origin(Settings()))
            embedded.launch()
        from fhir_server.listen import imported, listen  # noqa: PLC0415 - while PostgreSQL starts: a second, else lost
        from fhir_server.prepare import accounts, prepare  # noqa: PLC0415 - likewise

        imported(application)
        if embedded:
            os.environ["MEDICONNECT_DATABASE_URL"] = embedded.wait()
            steps.report(f"database: PostgreSQL in {embedded.cluster}")
        settings = Settings()
        is_furnished = asyncio.run(prepare(settings, settings.database_url, steps.report))
        told = accounts(settings, steps.report, is_furnished=is_furnished)
        steps.finish()
        lost = functools.partial(_end_if_lost, embedded)
        answered = listen(
            application,
            bound,
            settings.processes,
            lambda: _announce(settings, steps, told),
            lost,
            settings.own_processors,
        )
    return 0 if answered else 1


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[EmbeddedPostgres | None]:
    """The embedded database, its directory held and not started yet, or None with a URL; stopped at the end."""
    if settings.database_url:
        yield None
        return
    embedded = EmbeddedPostgres(settings.data_dir, connections=settings.connections + SPARE_CONNECTIONS)
    embedded.lock.take(_origin(settings))
    try:
        yield embedded
    finally:
        # Nothing may interrupt the orderly shutdown; who insists has SIGKILL, which loses nothing either.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        lost = embedded.lost()
        embedded.stop()
        if lost:
            raise DatabaseUnavailable(f"the database has ended by itself; its log is {embedded.log}")


def _end_if_lost(embedded: EmbeddedPostgres | None) -> None:
    """End the server where its database has ended by itself: whoever runs the server starts both again."""
    if embedded is not None and embedded.lost():
        os.kill(os.getpid(), signal.SIGTERM)


def _announce(settings: Settings, steps: Steps, told: Sequence[str]) -> None:
    gc.freeze()
    gc.enable()
    origin = _origin(settings)
    steps.line(f"  FHIR base  {settings.fhir_base}")
    steps.line(f"  docs       {origin}/docs")
    steps.line(f"  health     {origin}/health/ready")
    for line in told:
        steps.line(f"  {line}")
    steps.line("  Ctrl-C stops the server.")


def _origin(settings: Settings) -> str:
    host = LOCAL.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    return f"http://{host}:{settings.port}"


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
