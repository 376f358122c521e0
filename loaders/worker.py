"""A worker process of a load: takes tasks, reads them into units, and stores unit after unit.

docs/loading.md; it ends by itself when the process that started it is gone.
"""

import asyncio
import contextlib
import gc
import hashlib
import signal
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from multiprocessing.connection import Connection
from pathlib import Path

from fhir_server.app import context_of, pool_of
from fhir_server.context import Context, Validator
from fhir_server.json import parse_json
from fhir_server.outcome import Refusal, refuse
from fhir_server.rest.xml import parse_xml
from fhir_server.settings import LEVELS, Settings
from fhir_server.validation import Validation
from loaders.bundles import parts_of
from loaders.database import Database
from loaders.ndjson import parts_of_lines
from loaders.remote import Server
from loaders.source import opened
from loaders.unit import Done, Interrupted, Outcome, Part, Target, Task, Unit

ENTRIES = 250  # of a batch that are stored and recorded at once
TASKS = 64  # between two collections of cyclic garbage
STATEMENT_TIMEOUT = 600.0
NONE = "none"  # the level for what was validated elsewhere


@dataclass(frozen=True, slots=True)
class Orders:
    """What every worker of a load is told: the database (`url`) or server, the record, the level of validation."""

    url: str
    server: str
    load: str | None
    done: Done
    validate: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A task was worked off; `skipped` units of it had been done before."""

    weight: int
    files: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The target is gone, and with it this worker."""

    reason: str


Message = list[Outcome] | Finished | Lost


def work(channel: Connection, others: Sequence[Connection]) -> None:
    """The life of a worker: orders first, then tasks until there is None or nobody any more.

    `others` are the ends of the process that gives the tasks; held here too, they would hide that it is gone.
    """
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives the tasks; it ends us in order
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        orders: Orders | None = channel.recv()
        if orders is None:
            return
        try:
            asyncio.run(_work(channel, orders))
        except Interrupted as error:
            channel.send(Lost(str(error)))


async def _work(channel: Connection, orders: Orders) -> None:
    settings = Settings(database_url=orders.url, pool_size=1, statement_timeout=STATEMENT_TIMEOUT)
    async with _target(orders, settings) as target:
        # What is read is large, full of containers, and without cycles: looking for them took a seventh of the time.
        gc.freeze()
        gc.disable()
        for number in count(1):
            if (task := channel.recv()) is None:
                return
            await _task(channel, target, task, orders.done, settings.max_depth)
            if number % TASKS == 0:
                gc.collect()


async def _task(channel: Connection, target: Target, task: Task, done: Done, max_depth: int) -> None:
    skipped = 0
    for units in _together(task, units_of(task, max_depth)):
        left = [one for unit in units if (one := remaining(unit, done)) is not None]
        skipped += len(units) - len(left)
        if left:
            channel.send(await target.store(left))
        if channel.poll():  # told to stop, for nothing else is said to a worker with a task
            return
    channel.send(Finished(task.weight, len(task.files) if task.line <= 1 else 0, skipped))


@contextlib.asynccontextmanager
async def _target(orders: Orders, settings: Settings) -> AsyncIterator[Target]:
    if orders.server:
        with contextlib.closing(Server(orders.server)) as server:
            yield server
        return
    async with opened_context(settings, orders.validate) as context:
        yield Database(context, orders.load, orders.done)


@contextlib.asynccontextmanager
async def opened_context(settings: Settings, level: str = "") -> AsyncIterator[Context]:
    """A context on the migrated database of the settings, for use in this process, validating at the level."""
    pool = pool_of(settings)
    await pool.open()
    try:
        context = await context_of(settings, pool)
        yield replace(context, validate=validator(context, level))
    finally:
        await pool.close()


def validator(context: Context, level: str) -> Validator:
    """The validator of a level: that of the settings where it is empty; who loads may choose a lower one."""
    if level == NONE:
        return lambda resource: ()  # noqa: ARG005 - the Protocol names it
    asked = next((one for one in LEVELS if one == level), None)
    return Validation(context.settings, context.packages, asked, relax=True)


def check_level(level: str) -> None:
    """Raises ValueError for what is no level of validation."""
    if level not in ("", *LEVELS, NONE):
        raise ValueError(f"there is no validation '{level}'; there are {', '.join((*LEVELS, NONE))}")


def remaining(unit: Unit, done: Done) -> Unit | None:
    """The unit without what is durably done of it, None where all of it is."""
    if unit.name not in done:
        return unit
    failed = done[unit.name]
    parts = tuple(part for part in unit.parts if part.ordinal in failed)
    return replace(unit, parts=parts) if parts else None


def _together(task: Task, units: Iterator[Unit]) -> Iterator[list[Unit]]:
    """Small files are stored together, all else is a transaction of its own."""
    if len(task.files) > 1:
        yield list(units)
    else:
        yield from ([unit] for unit in units)


def units_of(task: Task, max_depth: int) -> Iterator[Unit]:
    """The units of a task; each is named by the file, where in it the unit begins, and a digest of the bytes."""
    for path in task.files:
        try:
            data = task.data if task.data is not None else _read(path)
        except (OSError, EOFError, zlib.error) as error:
            parts = [Part(0, "", refusal=refuse("structure", f"the file cannot be read: {error}"))]
            yield Unit(f"{path}:unreadable", str(path), tuple(parts))
            continue
        digest = hashlib.blake2b(data, digest_size=12).hexdigest()
        parts = parts_of_lines(data, task.line, max_depth) if task.line else parts_of_file(data, max_depth)
        for first, some in _slices(parts):
            yield Unit(f"{path}:{task.line}:{first}:{digest}", str(path), some)


def parts_of_file(data: bytes, max_depth: int) -> list[Part]:
    """The parts of a file that holds one resource or Bundle in JSON or XML; none of a bulk export's manifest."""
    try:
        text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
        resource = (parse_xml if text.startswith(b"<") else parse_json)(data, max_depth=max_depth)
        manifest = "resourceType" not in resource and resource.keys() >= {"transactionTime", "output"}
        return [] if manifest else parts_of(resource)
    except Refusal as refusal:
        return [Part(0, "", refusal=refusal)]


def _slices(parts: Sequence[Part]) -> Iterator[tuple[int, tuple[Part, ...]]]:
    rest = iter(parts)
    while some := tuple(islice(rest, ENTRIES)):
        yield some[0].ordinal, some


def _read(path: Path) -> bytes:
    with opened(path) as stream:
        return stream.read()
