"""`mediconnect load PATH…`: what is to be loaded, in stages, by several worker processes, so that it can be resumed.

docs/loading.md tells what is accepted and what is durable when.
"""

import asyncio
import hashlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from fhir_server.outcome import refuse
from fhir_server.settings import Settings
from fhir_server.store.cluster import DatabaseUnavailable
from fhir_server.store.embedded import database
from fhir_server.store.migrate import UnfitSchema, migrate
from loaders.database import done_units, latest_load
from loaders.progress import Display, Report
from loaders.record import Record
from loaders.source import Source, Stage, files, survey, tasks
from loaders.unit import Failure, Interrupted, Outcome, Task
from loaders.worker import Finished, Lost, Message, Orders, check_level, opened_context, work

LOADED, REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 3
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to load. `server`: the base of a FHIR server to load to over HTTP; else the database of the settings."""

    workers: int = 2
    validate: str = ""  # empty: as the server of these settings does
    resume: bool = False
    server: str = ""
    report: Path | None = None


class Crew:
    """The worker processes of a load."""

    def __init__(self, size: int) -> None:
        # A fork has imported the server already; where it is not safe with the system's libraries, a new process does.
        linux = sys.platform == "linux"
        context = multiprocessing.get_context("fork") if linux else multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self.channels: list[Connection] = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            self.channels.append(ours)
            process = context.Process(target=work, args=(theirs, tuple(self.channels)), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)

    def order(self, orders: Orders) -> None:
        """What all workers are told before the first task."""
        for channel in self.channels:
            channel.send(orders)

    def run(self, todo: Iterator[Task], hear: Callable[[Message], None]) -> None:
        """Gives the tasks to whoever is idle until all are done; raises Interrupted where a worker or the target is gone."""
        idle, busy = list(self.channels), list[Connection]()
        while True:
            while idle and (task := next(todo, None)) is not None:
                _send(idle[-1], task)
                busy.append(idle.pop())
            if not busy:
                return
            for channel in wait(busy):
                assert isinstance(channel, Connection)
                message = _received(channel)
                hear(message)
                if isinstance(message, Finished):
                    busy.remove(channel)
                    idle.append(channel)

    def stop(self, hear: Callable[[Message], None]) -> None:
        """Lets each worker end the unit it is at, hears what it still has to say, and ends those that do not end."""
        for channel in self.channels:
            try:
                channel.send(None)
            except OSError:
                continue
        for channel, process in zip(self.channels, self._processes, strict=True):
            try:
                while channel.poll(PATIENCE):
                    hear(channel.recv())
            except (EOFError, OSError, Interrupted):
                pass
            process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()
            channel.close()


def _send(channel: Connection, task: Task) -> None:
    try:
        channel.send(task)
    except OSError as error:
        raise Interrupted("a worker process has ended") from error


def _received(channel: Connection) -> Message:
    try:
        message: Message = channel.recv()
    except (EOFError, OSError) as error:
        raise Interrupted("a worker process has ended") from error
    return message


class Load:
    """One load under way: hears what its workers say, shows it, and keeps the report and the record."""

    def __init__(self, display: Display, report: Report, record: Record | None) -> None:
        self._display = display
        self._report = report
        self._record = record
        self.skipped = 0

    def hear(self, message: Message) -> None:
        """Takes in what a worker says; raises Interrupted where that is the loss of the target."""
        match message:
            case Finished(weight, count, skipped):
                self.skipped += skipped
                self._display.finished(weight, count)
            case Lost(reason):
                raise Interrupted(reason)
            case outcomes:
                self._stored(outcomes)

    def refuse(self, failure: Failure) -> None:
        """A file that could not be read at all."""
        self._report.add([failure])
        self._display.stored(0, 1)

    def _stored(self, outcomes: list[Outcome]) -> None:
        if self._record is not None:
            self._record.add([outcome for outcome in outcomes if outcome.durable])
        for outcome in outcomes:
            self._report.add(outcome.failures)
            self._display.stored(outcome.stored, len(outcome.failures))


def load(paths: Sequence[Path], settings: Settings, options: Options) -> int:
    """Loads the paths and returns the exit code: 0 all loaded, 1 some refused, 2 nothing readable, 3 interrupted."""
    display = Display()
    missing = [path for path in paths if not path.exists()]
    found = list(files(path.resolve() for path in paths if path.exists()))
    if missing or not found:
        display.say(f"mediconnect: there is no {missing[0]}" if missing else "mediconnect: there is nothing to load")
        return USAGE
    try:
        check_level(options.validate)
    except ValueError as error:
        display.say(f"mediconnect: {error}")
        return USAGE
    now = datetime.now(UTC)
    report = Report(options.report or settings.data_dir / "reports" / f"load-{now:%Y%m%dT%H%M%SZ}.ndjson")
    with closing(report), _terminable():
        try:
            return _run(found, f"{digest(paths, options)}-{now:%Y%m%dT%H%M%S.%fZ}", settings, options, display, report)
        except (Interrupted, KeyboardInterrupt) as error:
            why = str(error) or "it was told to stop"
            display.say(f"interrupted after {display.resources:,} resources: {why}; the same with --resume goes on")
            return INTERRUPTED


def digest(paths: Iterable[Path], options: Options) -> str:
    """Names the loads of the same paths to the same target, whatever the order of the paths."""
    text = "\n".join([options.server, *sorted(str(path.resolve()) for path in paths)])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _run(
    found: Sequence[Path], load_id: str, settings: Settings, options: Options, display: Display, report: Report
) -> int:
    one = Load(display, report, None)
    with ExitStack() as stack:
        # Started first, while there are no threads and no files but the standard ones; stopped before the database is.
        crew = Crew(options.workers if _divisible(found) else min(options.workers, len(found)))
        try:
            orders, record = _orders(stack, load_id, settings, options)
            one = Load(display, report, record)
            stack.enter_context(display)
            sources = list(_surveyed(found, one))
            if not sources:
                return USAGE
            crew.order(orders)
            display.begin(sum(source.size for source in sources), len(sources))
            for stage in Stage:
                crew.run(tasks(source for source in sources if source.stage is stage), one.hear)
        finally:
            crew.stop(one.hear)
    _summary(display, report, one.skipped)
    return REFUSED if report.count else LOADED


def _divisible(found: Sequence[Path]) -> bool:
    return any(".ndjson" in path.name.lower() for path in found)


def _orders(stack: ExitStack, load_id: str, settings: Settings, options: Options) -> tuple[Orders, Record | None]:
    """What the workers are told; the database runs as long as the stack is not closed."""
    if options.server:
        record = Record(settings.data_dir / "loads" / f"{load_id.partition('-')[0]}.ndjson", resume=options.resume)
        stack.callback(record.close)
        return Orders("", options.server, None, record.done, options.validate), record
    url = stack.enter_context(database(settings.data_dir, settings.database_url))
    load_id, done = asyncio.run(_known(url, load_id, resume=options.resume))
    return Orders(url, "", load_id, done, options.validate), None


async def _known(url: str, load_id: str, *, resume: bool) -> tuple[str, dict[str, tuple[int, ...]]]:
    """The load to go on with and what is done of it, in the migrated database."""
    try:
        await migrate(url)
    except UnfitSchema as error:
        raise DatabaseUnavailable(str(error)) from error
    if not resume:
        return load_id, {}
    async with opened_context(Settings(database_url=url, pool_size=1)) as context:
        latest = await latest_load(context, load_id.partition("-")[0])
        return (latest, await done_units(context, latest)) if latest else (load_id, {})


def _surveyed(found: Iterable[Path], one: Load) -> Iterator[Source]:
    for path in found:
        try:
            yield survey(path)
        except (OSError, EOFError) as error:
            refusal = refuse("structure", f"the file cannot be read: {error}")
            one.refuse(Failure(str(path), "", refusal.status, str(refusal)))


def _summary(display: Display, report: Report, skipped: int) -> None:
    rate = display.resources / max(display.seconds, 0.001)
    display.say(f"loaded {display.resources:,} resources in {display.seconds:.1f} s ({rate:,.0f}/s)")
    if skipped:
        display.say(f"{skipped:,} units had been done before and were left alone")
    if report.count:
        display.say(f"{report.count:,} refused: {report.path}")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the load in order, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
