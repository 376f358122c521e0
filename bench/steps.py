"""What a write takes, step by step, in one process and by one connection: a create and an update of each body of the CRUD chain.

docs/performance.md; `python -m bench.steps [TYPE …]` prints the table.

Steps in Python are the median of many measurements of processor time. What the database does is the processor time of the one process
that serves the connection, and the log it writes, the median of some rounds on a new database; versions go eight to a statement, as
those of requests that are under way together do. Nothing waits for the disk.
"""

import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import uvloop

from bench.crud import CHANGES, PLACE, TYPES, changed, template
from bench.server import data_directory, started
from bench.validation import took
from fhir_server.app import context_of, pool_of
from fhir_server.context import Context
from fhir_server.interactions.change import stamped
from fhir_server.json import dump_json, parse_json
from fhir_server.search.difference import difference
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.search.words import vectors
from fhir_server.settings import Settings
from fhir_server.store.changes import Write, parameters, write
from fhir_server.store.connection import Connection
from fhir_server.store.resources import current

Json = dict[str, Any]
TOGETHER = 8
STATEMENTS = 25  # a round
ROUNDS = 7
SECONDS = 0.3  # for a step in Python
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = (
    "", "bytes", "rows", "parse", "validate", "extract", "words", "text", "parameters", "create", "log",
    "rows of update", "difference", "current", "update", "log of update",
)  # fmt: skip
T = TypeVar("T")
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the database did for one version: microseconds of a processor, and bytes of the log."""

    microseconds: float
    log: float


def resources(kind: str) -> Iterator[Json]:
    """Resources of a type without end, each with identifiers of its own; every seventh refers to others than those before."""
    for number in _numbers:
        found = parse_json(template(kind).replace(PLACE, b"%d" % (number // 7)))
        found["identifier"] = [{**one, "value": f"{one['value']}-{number}"} for one in found.get("identifier", [])]
        if not found["identifier"]:
            del found["identifier"]
        yield stamped(found, str(uuid.UUID(int=number)), 1, BEGAN)


def updated(kind: str, resource: Json) -> Json:
    """The next version, with one member changed, as the CRUD chain does."""
    after = parse_json(changed(kind, dump_json(resource)))
    return stamped(after, resource["id"], 2, BEGAN + timedelta(seconds=1))


def created(context: Context, resource: Json) -> Write:
    """The version of a create."""
    rows = extract(resource, context.parameters, context.tenant)
    return _version(context, resource, 0, 1, shape_of(context.tenant, resource["resourceType"], rows), added=rows)


def following(context: Context, before: Json, after: Json, pk: int) -> Write:
    """The version of an update."""
    added, removed = difference(before, after, context.parameters, context.tenant)
    shape = shape_of(context.tenant, after["resourceType"], added)
    return _version(context, after, pk, 2, shape, added=added, removed=removed)


def _version(context: Context, resource: Json, pk: int, version: int, shape: int, **rows: Any) -> Write:
    kind, resource_id = resource["resourceType"], resource["id"]
    return Write(
        pk=pk, type=context.type_code(kind), id=resource_id, version=version, shape=shape,
        reference=reference_key(context.tenant, f"{kind}/{resource_id}"), written=BEGAN + timedelta(seconds=version),
        method="C" if version == 1 else "U", content=dump_json(resource), **rows,
    )  # fmt: skip


async def in_database(context: Context, conn: Connection, kind: str) -> tuple[Cost, Cost, Cost]:
    """What creates of a type cost, looking up what they made, and updates of these."""
    creates, lookups, updates = [], [], []
    made = resources(kind)
    for _ in range(ROUNDS + 1):
        before = [next(made) for _ in range(TOGETHER * STATEMENTS)]
        writes = [created(context, one) for one in before]
        creates.append(
            await _cost(conn, [partial(write, conn, context.tenant, some, context.shapes) for some in _batches(writes)])
        )
        targets = [(one.type, one.id) for one in writes]
        lookups.append(
            await _cost(conn, [partial(current, conn, context.tenant, some, lock=False) for some in _batches(targets)])
        )
        found = await current(conn, context.tenant, targets, lock=False)
        pairs = zip(before, targets, strict=True)
        writes = [following(context, one, updated(kind, one), found[target].pk) for one, target in pairs]
        updates.append(
            await _cost(conn, [partial(write, conn, context.tenant, some, context.shapes) for some in _batches(writes)])
        )
    return _typical(creates), _typical(lookups), _typical(updates)


def _batches(some: Sequence[T]) -> list[Sequence[T]]:
    return [some[at : at + TOGETHER] for at in range(0, len(some), TOGETHER)]


async def _cost(conn: Connection, statements: Sequence[Callable[[], Awaitable[object]]]) -> Cost:
    """Of one version, of statements about TOGETHER of them each."""
    begun, log = _processor(conn), await _log(conn)
    for statement in statements:
        await statement()
    many = TOGETHER * len(statements)
    return Cost((_processor(conn) - begun) / 1000 / many, (await _log(conn) - log) / many)


def _processor(conn: Connection) -> int:
    """Nanoseconds of processor time of the process that serves a connection: https://docs.kernel.org/scheduler/sched-stats.html."""
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0])


async def _log(conn: Connection) -> int:
    row = await (await conn.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8")).fetchone()
    assert row is not None
    return int(row[0])


def _typical(costs: Sequence[Cost]) -> Cost:
    """The median, without the first, which warms up."""
    costs = costs[1:]
    return Cost(median(one.microseconds for one in costs), median(one.log for one in costs))


def in_python(context: Context, kind: str) -> Iterator[tuple[str, Callable[[], object], int]]:
    """The steps of a type by the names of their columns, and for how many versions each call takes them."""
    made = resources(kind)
    resource = next(made)
    after = updated(kind, resource)
    body, several = dump_json(resource), cycle(list(islice(made, 500)))  # whose identifiers are not all known
    writes = [created(context, one) for one in islice(made, TOGETHER)]
    yield "parse", lambda: parse_json(body), 1
    yield "validate", lambda: context.validate(resource), 1
    yield "extract", lambda: extract(next(several), context.parameters, context.tenant), 1
    yield "words", lambda: vectors(resource), 1
    yield "text", lambda: dump_json(resource), 1
    yield "parameters", lambda: parameters(context.tenant, writes, {}, 0), TOGETHER
    yield "difference", lambda: difference(resource, after, context.parameters, context.tenant), 1


async def line(context: Context, conn: Connection, kind: str) -> dict[str, str]:
    """The row of the table for a type, by column."""
    made = resources(kind)
    resource = next(made)
    first, second = created(context, resource), following(context, resource, updated(kind, resource), 1)
    create, lookup, update = await in_database(context, conn, kind)
    steps = {name: took(step, SECONDS).median / versions for name, step, versions in in_python(context, kind)}
    return {
        "": kind, "bytes": f"{len(first.content or b''):,}", "rows": str(len(first.added)),
        **{name: f"{microseconds:.0f}" for name, microseconds in steps.items()},
        "create": f"{create.microseconds:.0f}", "log": f"{create.log:,.0f}",
        "rows of update": f"+{len(second.added)} -{len(second.removed or ())}",
        "current": f"{lookup.microseconds:.0f}", "update": f"{update.microseconds:.0f}", "log of update": f"{update.log:,.0f}",
    }  # fmt: skip


async def measured(url: str, kinds: Sequence[str]) -> None:
    """Prints the table, each row when it is measured."""
    pool = pool_of(settings := Settings(database_url=url))
    await pool.open()
    try:
        context = await context_of(settings, pool)
        async with context.connection() as conn:
            await conn.execute("SET synchronous_commit = off")
            for kind in kinds:
                row = await line(context, conn, kind)
                print("| " + " | ".join(row[name] for name in HEAD) + " |", flush=True)
    finally:
        await pool.close()


def main(arguments: Sequence[str] = ()) -> int:
    """Measures and prints; 2 where a type is none of the chain's or the machine does not tell a process's time."""
    wrong = [kind for kind in arguments if kind not in CHANGES]
    if wrong or not Path("/proc/self/schedstat").exists():
        told = (
            f"no body of type {wrong[0]}; known are {', '.join(TYPES)}"
            if wrong
            else "needs Linux's /proc/PID/schedstat"
        )
        print(f"bench.steps: {told}", file=sys.stderr)
        return 2
    with data_directory() as folder, started(folder) as server:
        assert server.url is not None
        print(f"| {' | '.join(HEAD)} |\n|---{'|--:' * (len(HEAD) - 1)}|", flush=True)
        uvloop.run(measured(server.url, arguments or TYPES))
    print(
        "\nMicroseconds of processor time; log in bytes. create, current and update are what the database does for one version."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
