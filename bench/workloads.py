"""The workloads in the order in which they are run, each on what the one before it left.

docs/performance.md tells what each of them asks and why.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench import coldstart, crud, data, explain, growth, hospital, imports, interactions, parity, search
from bench.floor import Running, beside
from bench.growth import Growth
from bench.load import Plan, Scenario, Trial
from bench.measurement import Measurement, Memory, measurement
from bench.pools import Pools, harvest
from bench.server import Server, data_directory, started
from bench.shapes import MIX_OF_30, SETS_OF_24, Shape

TOO_LONG = 3600.0
EXPLAINED = 8  # instances of a shape; each prefix and modifier may have a plan of its own


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured. `clients` and `users` are the numbers to try; none in `clients`: each workload's own."""

    seconds: float = 3.0
    warm: float = 1.0
    rounds: int = 2
    clients: tuple[int, ...] = ()
    users: tuple[int, ...] = (50, 200, 500)
    pause: float = 0.0
    patients: int = 200
    hospital_patients: int = 200
    growing_patients: int = 15
    starts: int = 3
    workers: int = 1
    seed: str = "1"
    headers: Mapping[str, str] = field(default_factory=dict)
    quick: bool = False


QUICK = Options(
    seconds=1.5,
    warm=0.4,
    rounds=1,
    users=(50,),
    patients=8,
    hospital_patients=30,
    growing_patients=4,
    starts=2,
    quick=True,
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a row is measured: stretches of `seconds`, 0 for the usual ones, each cut into `turns` with the floor, after `ahead` times the usual warm-up."""

    seconds: float = 0.0
    turns: int = 1
    ahead: float = 1.0


USUAL = Pace()
BESIDE_FLOOR = Pace(turns=4)  # where the target is a part of the floor
PLANNED = Pace(ahead=3.0)  # each connection plans the many forms of the searches' statements first


@dataclass(slots=True)
class Run:
    """One run of the benchmark: the server, the floor on its database if that is known, and what was found so far."""

    options: Options
    server: Server
    floor: Running | None = None
    tell: Callable[[str], None] = print
    loads: list[data.Load] = field(default_factory=list)
    pools: Pools = field(default_factory=lambda: Pools({}))
    rows: list[Measurement] = field(default_factory=list)
    checks: list[parity.Check] = field(default_factory=list)
    tried: list[search.Tried] = field(default_factory=list)
    plans: list[explain.Explained] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def clients(self, *own: int) -> tuple[int, ...]:
        """The numbers of clients to try: the workload's own unless others were asked for; one of them in a quick run."""
        given = self.options.clients or own
        return given[:1] if self.options.quick else given

    async def measure(
        self, workload: str, name: str, clients: int, rounds: Sequence[Scenario], *, seconds: float = 0.0,
        unit: str = "requests", warm: float | None = None, notes: dict[str, Any] | None = None,
    ) -> Measurement:  # fmt: skip
        """One row: the rounds, in turns with the floor."""
        options = self.options
        length = seconds or options.seconds
        ahead = options.warm if warm is None else warm
        plan = Plan(clients, length, ahead, min(length, options.seconds) / 2, options.seed)
        trial = Trial(self.server.target, rounds[0], plan)
        below = await beside(trial, rounds, self.server.meter.cpu, self.floor)
        memory, beneath = self.server.meter.memory(), below.samples if below else None
        row = measurement(workload, name, clients, trial.samples, memory, floor=beneath, unit=unit, notes=notes)
        self.rows.append(row)
        self.tell(f"{workload}: {name}, {clients} clients: {row.rate:.0f} {unit}/s, {row.errors} errors")
        return row


Workload = Callable[[Run], Awaitable[None]]


async def loaded(run: Run) -> None:
    """The demonstration hospital, and, unless that is to be measured, the patients; unmeasured."""
    loads = data.hospital(run.options.hospital_patients)
    run.tell(f"loading the demonstration hospital, {sum(load.entries for load in loads)} resources")
    await imports.loaded(run.server.target, loads)
    run.loads += loads


async def imported(run: Run) -> None:
    """Whole patients, in two stretches; what their references need goes first, unmeasured."""
    patients = data.imported(run.options.patients)
    run.tell(f"importing {patients.name}, {patients.entries} resources")
    await imports.loaded(run.server.target, patients.first)
    run.loads += patients.loads
    half = (len(patients.rest) + 1) // 2
    parts = (patients.rest, patients.later) if patients.later else (patients.rest[:half], patients.rest[half:])
    rounds = [imports.scenario(part) for part in parts if part]
    (clients,) = run.clients(imports.CLIENTS)[:1]
    if rounds:
        await run.measure("import", "import", clients, rounds, seconds=TOO_LONG, unit="resources", warm=0.0)


async def settled(run: Run) -> None:
    """Statistics and visibility as autovacuum would leave them within minutes, then what there is to ask for."""
    if run.server.url:
        await asyncio.to_thread(_vacuum, run.server.url)
    run.pools = await harvest(run.server.target)
    gc.collect()
    gc.freeze()  # what is kept for the whole run is not to be walked again and again while the clock runs


async def checked(run: Run) -> None:
    run.checks = await parity.checks(run.server.target, run.pools, run.loads)


async def read(run: Run) -> None:
    for clients in run.clients(16, 64):
        await _repeated(run, "read", "read Patient", clients, interactions.read(run.pools), pace=BESIDE_FLOOR)


async def single(run: Run) -> None:
    (clients,) = run.clients(16)[:1]
    for name, scenario in interactions.scenarios(run.pools, run.options.seed).items():
        # A transaction takes a second with 16 clients: a short stretch would see the answers of a single round, or none.
        large = name.startswith("transaction")
        unit, pace = ("resources", Pace(3 * run.options.seconds)) if large else ("requests", USUAL)
        await _repeated(run, "interactions", name, clients, scenario, unit=unit, pace=pace)


async def chained(run: Run) -> None:
    for clients in run.clients(16, 64):
        await _repeated(run, "crud", "CRUD chain", clients, crud.chain, pace=BESIDE_FLOOR)


async def searched(run: Run) -> None:
    await _searches(run, "search", "24 shapes", SETS_OF_24)


async def mixed(run: Run) -> None:
    await _searches(run, "mix", "30 shapes", MIX_OF_30)


async def explained(run: Run) -> None:
    """The plans of some instances of every shape; only where the database is known."""
    if run.server.url is None:
        return
    instances = search.drawn((*SETS_OF_24, *MIX_OF_30), run.pools, run.options.seed)
    asked = [
        search.Tried(shape.name, path, 0, "")
        for shape, paths in instances.items()
        for path in list(dict.fromkeys(paths))[:EXPLAINED]
    ]
    run.plans = await explain.plans(run.server.url, asked)
    for one in explain.worst(run.plans):
        run.tell(f"explain: {one.milliseconds:6.1f} ms {one.pages:6} pages  {one.path} ({one.part})")


async def visited(run: Run) -> None:
    known = hospital.hospital(run.pools)
    for users in run.options.clients or run.options.users:
        await _repeated(run, "hospital", "hospital", users, hospital.scenario(known, run.options.pause))


async def weighed(run: Run) -> None:
    """What the database takes on the disk for an Observation of 0.6 KB: on a server of its own, where nothing was deleted before.

    What was deleted leaves room in the tables, which takes new rows without growing.
    """
    options = run.options
    times = 5 if options.quick else 200  # 20,000, as many as the other server was weighed with
    small = data.growing(options.growing_patients)
    with data_directory() as folder, started(folder, workers=options.workers, headers=options.headers) as server:
        assert server.url is not None, "it is one of ours"
        inner = Run(options, server, tell=run.tell)
        await imports.loaded(server.target, small.first)
        await _filled(inner, small.rest)
        await settled(inner)
        patient, encounter = (f"{kind}/{max(inner.pools.ids(kind), key=len)}" for kind in ("Patient", "Encounter"))
        bundle = data.Load(interactions.weights(patient, encounter), interactions.ENTRIES)
        before = await asyncio.to_thread(_size, server.url)
        await imports.loaded(server.target, [bundle] * times)
        grown = await asyncio.to_thread(_size, server.url) - before
    run.notes["disk"] = {
        "bytes": len(interactions.weight(patient, 50, encounter)),
        "on disk": grown // (times * bundle.entries),
    }


async def started_cold(run: Run) -> None:
    """Stops the server, and starts it some times more on the data that it holds; last, for nobody answers afterwards."""
    options, data_dir = run.options, run.server.data_dir
    if data_dir is None:
        return
    await asyncio.to_thread(run.server.stop)
    patient = run.pools.ids("Patient")[0]
    samples = await coldstart.starts(data_dir, patient, options.starts, options.workers, options.headers)
    run.rows.append(measurement("coldstart", "start to first read", 1, samples, Memory(), unit="starts"))


async def grown(run: Run) -> None:
    """On a data directory of its own: some patients, then ten times as many, and the searches after both."""
    options = run.options
    small = data.growing(options.growing_patients)
    with data_directory() as folder, started(folder, workers=options.workers, headers=options.headers) as server:
        inner = Run(options, server, tell=run.tell)
        run.tell(f"growth: loading {small.name}, {small.entries} resources")
        await imports.loaded(server.target, small.first)
        await _filled(inner, small.rest)
        await settled(inner)
        for shapes in (SETS_OF_24, MIX_OF_30):
            found = await search.tried(server.target, shapes, inner.pools, options.seed)
            inner.tried += [one for one in found if one.path and not one.fault]
        before = await growth.timed(server.target, inner.tried, await _planned(inner))
        run.tell(f"growth: loading {growth.FACTOR - 1} copies of them")
        for copy in data.copies(small, growth.FACTOR - 1):
            await imports.loaded(server.target, copy.first)
            await _filled(inner, copy.rest)
        await settled(inner)
        run.growth = growth.compared(before, await growth.timed(server.target, inner.tried, await _planned(inner)))
    run.tell(f"growth: {len(run.growth)} searches, {sum(one.degrades for one in run.growth)} degrade")
    run.notes["growth"] = {"resources": small.entries, "times": growth.FACTOR}


# In the order in which they run; the first three fill the server for the rest.
WORKLOADS: dict[str, tuple[Workload, str]] = {
    "import": (imported, "whole patients in transactions, 8 clients"),
    "parity": (checked, "five checks that the work is done"),
    "read": (read, "Patients by id, 16 and 64 clients"),
    "interactions": (single, "nine more interactions and searches, one by one, 16 clients"),
    "crud": (chained, "the chain of 36 requests over 9 types, 16 and 64 clients"),
    "search": (searched, "24 shapes over one parameter each, 1 and 16 clients"),
    "mix": (mixed, "30 shapes with totals and full text, 1 and 16 clients"),
    "explain": (explained, "the plan of every shape"),
    "hospital": (visited, "60 % reads, 30 % bookings and orders, 10 % emergencies; 50, 200 and 500 users"),
    "disk": (weighed, "bytes on the disk of a small Observation"),
    "coldstart": (started_cold, "from the command to the first answer"),
    "growth": (grown, "the shapes over ten times the data, on a server of its own"),
}


async def _repeated(
    run: Run, workload: str, name: str, clients: int, scenario: Scenario, unit: str = "requests", pace: Pace = USUAL,
) -> None:  # fmt: skip
    """Rounds of the same, each in some turns with the floor: what the machine does for a second is then done to both."""
    options, rounds = run.options, [scenario] * (run.options.rounds * pace.turns)
    length = (pace.seconds or options.seconds) / pace.turns
    warm = pace.ahead * options.warm / min(pace.turns, 2)
    await run.measure(workload, name, clients, rounds, unit=unit, seconds=length, warm=warm)


async def _searches(run: Run, workload: str, name: str, shapes: Sequence[Shape]) -> None:
    """Each shape once with a close look, then all of them by some clients; a shape answered wrongly stays in, and counts."""
    found = await search.tried(run.server.target, shapes, run.pools, run.options.seed)
    run.tried += found
    for one in found:
        if one.fault:
            run.tell(f"{workload}: {one.shape}: {one.fault}")
    instances = search.drawn(shapes, run.pools, run.options.seed)
    for clients in run.clients(16, 1):
        await _repeated(run, workload, name, clients, search.scenario(instances), pace=PLANNED)


async def _filled(run: Run, loads: Iterable[data.Load]) -> None:
    """The Bundles by the import's clients, unmeasured."""
    trial = Trial(run.server.target, imports.scenario(loads), Plan(imports.CLIENTS, TOO_LONG, 0.0))
    await trial.stretch(run.server.meter.cpu, TOO_LONG)
    if trial.samples.wrong:
        raise imports.NotLoaded(str(trial.samples.wrong.most_common(1)))


async def _planned(run: Run) -> list[explain.Explained]:
    return await explain.plans(run.server.url, run.tried) if run.server.url else []


def _vacuum(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE)")


def _size(url: str) -> int:
    """Bytes of the database's files, without the write-ahead log."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])
