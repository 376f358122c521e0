"""What was measured: samples while a workload runs, and the figures that are made of them.

https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of processor time: of the server's processes, of the database's, and of this one, which makes the load."""

    server: float = 0.0
    database: float = 0.0
    load: float = 0.0

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.server - other.server, self.database - other.database, self.load - other.load)

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.server + other.server, self.database + other.database, self.load + other.load)


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of the largest server process: now, and at its highest since it started."""

    now: float = 0.0
    peak: float = 0.0


@dataclass(slots=True)
class Samples:
    """What clients saw of one workload; several stretches of time add up. Seconds are of right answers only."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    units: int = 0
    seconds: float = 0.0
    cpu: Cpu = field(default_factory=Cpu)

    def add(self, label: str, seconds: float, fault: str, units: int = 1) -> None:
        """One answer: how long it took, and what was wrong with it ("" where nothing was)."""
        if fault:
            self.wrong[label, fault] += 1
        else:
            self.latencies[label].append(seconds)
            self.units += units


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of a set of right answers."""

    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, latencies: Sequence[float]) -> "Figures":
        """Of seconds in any order; all zero where there is none."""
        ordered = sorted(latencies)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0)
        p50, p95, p99 = (percentile(ordered, q) * 1000 for q in (50, 95, 99))
        return cls(len(ordered), p50, p95, p99)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the report. `rate` is units a second: requests, or resources where `unit` says so.

    `cpu_ms` is milliseconds of server and database for one unit; `floor` is the rate of the floor, 0 where there is none.
    """

    workload: str
    name: str
    clients: int
    unit: str
    rate: float
    all: Figures
    errors: int
    server_ms: float
    database_ms: float
    load_ms: float
    memory: Memory
    floor: float = 0.0
    floor_ms: float = 0.0
    labels: dict[str, Figures] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.database_ms

    @property
    def of_floor(self) -> float:
        """The rate as a part of the floor's, 0 where there is no floor."""
        return self.rate / self.floor if self.floor else 0.0


def percentile(ordered: Sequence[float], q: float) -> float:
    """The nearest-rank percentile of values in ascending order, of which there is at least one."""
    return ordered[max(0, math.ceil(q / 100 * len(ordered)) - 1)]


def measurement(
    workload: str,
    name: str,
    clients: int,
    samples: Samples,
    memory: Memory,
    *,
    floor: Samples | None = None,
    unit: str = "requests",
    notes: dict[str, Any] | None = None,
) -> Measurement:
    """The figures of the samples, beside those of the floor that was measured between them."""
    units = max(1, samples.units)
    everything = [seconds for latencies in samples.latencies.values() for seconds in latencies]
    return Measurement(
        workload=workload,
        name=name,
        clients=clients,
        unit=unit,
        rate=samples.units / samples.seconds if samples.seconds else 0.0,
        all=Figures.of(everything),
        errors=samples.wrong.total(),
        server_ms=samples.cpu.server * 1000 / units,
        database_ms=samples.cpu.database * 1000 / units,
        load_ms=samples.cpu.load * 1000 / units,
        memory=memory,
        floor=floor.units / floor.seconds if floor and floor.seconds else 0.0,
        floor_ms=(floor.cpu.server + floor.cpu.database) * 1000 / max(1, floor.units) if floor else 0.0,
        labels={label: Figures.of(latencies) for label, latencies in sorted(samples.latencies.items())},
        faults=tuple(f"{count} x {label}: {fault}" for (label, fault), count in samples.wrong.most_common(20)),
        notes=notes or {},
    )
