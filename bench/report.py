"""The report: a table to read, JSON to keep, the difference from the run before, and the tables of docs/performance.md.

https://datatracker.ietf.org/doc/html/rfc8259
"""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.explain import Explained, worst
from bench.growth import Growth
from bench.measurement import Figures, Measurement
from bench.server import RESULTS
from bench.targets import GOALS, MIX_P50, SHAPE_CLIENTS, SHAPE_P95, Goal, missed
from bench.workloads import Run
from fhir_server.doctor import optimized

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
SLOW, PAGES = (
    25.0,
    2000,
)  # a statement is told that takes more milliseconds, or touches more pages, which no busy machine blurs
HEAD = (
    "workload",
    "clients",
    "per s",
    "p50",
    "p95",
    "p99",
    "errors",
    "server",
    "database",
    "load",
    "of floor",
    "MiB",
    "before",
)
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier run measured of one row."""

    rate: float
    cpu_ms: float


def document(run: Run, mode: str) -> dict[str, Any]:
    """All that was found, as JSON."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "mode": mode,
        "server": "own" if run.server.data_dir else run.server.target.base,
        "workers": run.options.workers,
        "patients": run.options.patients,
        "machine": machine(),
        "rows": [asdict(row) for row in run.rows],
        "parity": [asdict(check) for check in run.checks],
        "tried": [asdict(one) for one in run.tried],
        "plans": [asdict(plan) for plan in run.plans],
        "growth": [asdict(one) for one in run.growth],
        "notes": run.notes,
    }


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was with other things."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory GiB": memory,
        "system": platform.platform(terse=True),
        "python": platform.python_version() + ("" if optimized() else " (built without optimizations)"),
        "busy": round(os.getloadavg()[0], 2),
    }


def save(found: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Writes the run's JSON; its file's name is when it ended."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{found['at'].replace(':', '').replace('+0000', 'Z')}-{found['mode']}.json"
    path.write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    return path


def before(found: dict[str, Any], folder: Path = RESULTS) -> dict[Key, Past]:
    """Each row as it was last recorded by a run that is alike: mode, server, number of workers, amount of data."""
    rows: dict[Key, Past] = {}
    for path in sorted(folder.glob("*.json"), reverse=True):
        old = json.loads(path.read_text(encoding="utf-8"))
        if all(old.get(name) == found[name] for name in ("mode", "server", "workers", "patients")):
            for row in old["rows"]:
                past = Past(row["rate"], row["server_ms"] + row["database_ms"])
                rows.setdefault((row["workload"], row["name"], row["clients"]), past)
    return rows


def table(rows: Sequence[Measurement], past: dict[Key, Past]) -> str:
    """The rows for a terminal; milliseconds of processor time are for one request, or one resource where rates are of those."""
    lines = [HEAD, *(_line(row, past.get((row.workload, row.name, row.clients))) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


def _line(row: Measurement, past: Past | None) -> tuple[str, ...]:
    took = row.all
    name = row.name if row.workload in row.name else f"{row.workload}: {row.name}"
    return (
        name, str(row.clients), f"{row.rate:.1f}" if row.rate < 10 else f"{row.rate:.0f}",
        f"{took.p50:.1f}", f"{took.p95:.1f}", f"{took.p99:.1f}", str(row.errors),
        f"{row.server_ms:.2f}", f"{row.database_ms:.2f}", f"{row.load_ms:.2f}",
        f"{row.of_floor:.0%}" if row.floor else "", f"{row.memory.now:.0f}" if row.memory.now else "", _difference(row, past),
    )  # fmt: skip


def _difference(row: Measurement, past: Past | None) -> str:
    """Rate and processor time against the run before."""
    if past is None or not past.rate:
        return ""
    cpu = f", CPU {row.cpu_ms / past.cpu_ms - 1:+.0%}" if past.cpu_ms else ""
    return f"{row.rate / past.rate - 1:+.0%}{cpu}"


def remarks(run: Run) -> list[str]:
    """What a reader must not miss: errors, wrong answers, plans and shapes that are not as they should be."""
    found = [f"{row.name}, {row.clients} clients: {fault}" for row in run.rows for fault in row.faults[:8]]
    found += [f"wrong: {one.path or one.shape}: {one.fault}" for one in run.tried if one.fault]
    found += [f"parity: {check.name}: {check.seen}" for check in run.checks if check.right is False]
    found += [
        f"Seq Scan over {', '.join(plan.scanned)}: {plan.path} ({plan.part})" for plan in run.plans if plan.scanned
    ]
    found += [f"no plan: {plan.path} ({plan.part}): {plan.plan[:200]}" for plan in run.plans if plan.milliseconds < 0]
    slow = [plan for plan in run.plans if plan.milliseconds > SLOW or plan.pages > PAGES]
    found += [f"slow: {_plan(plan)}" for plan in sorted(slow, key=lambda plan: -plan.milliseconds)]
    found += [f"grows: {_growth(one)}" for one in run.growth if one.degrades]
    found += [f"above target: {text}" for row in run.rows if row.clients == SHAPE_CLIENTS for text in _too_slow(row)]
    for row in run.rows:
        goal = GOALS.get((row.workload, row.name, row.clients), Goal())
        if short := missed(goal, row.rate, row.cpu_ms, row.of_floor):
            found.append(f"below target: {row.name}, {row.clients} clients: {', '.join(short)}")
    return list(dict.fromkeys(found))


def _too_slow(row: Measurement) -> list[str]:
    """The shapes whose p95, and the mix whose p50, is above its target."""
    match row.workload:
        case "search":
            shapes = row.labels.items()
            return [f"{name}: p95 {f.p95:.1f} ms of {SHAPE_P95:.0f} ms" for name, f in shapes if f.p95 > SHAPE_P95]
        case "mix" if row.all.p50 > MIX_P50:
            return [f"{row.name}: p50 {row.all.p50:.1f} ms of {MIX_P50:.0f} ms"]
        case _:
            return []


def _plan(plan: Explained) -> str:
    return f"{plan.milliseconds:.0f} ms, {plan.pages} pages: {plan.path} ({plan.part})"


def _growth(one: Growth) -> str:
    return (
        f"{one.before.path}: {one.before.seconds * 1000:.1f} -> {one.after.seconds * 1000:.1f} ms, "
        f"{one.before.entries} -> {one.after.entries} on the page, {one.before.matches} -> {one.after.matches} in all"
    )


def record(run: Run, found: dict[str, Any], page: Path = PAGE) -> None:
    """Writes the tables of docs/performance.md anew, between its markers."""
    between(page, BEGIN, END, tables(run, found))


def between(page: Path, begin: str, end: str, tables: str) -> None:
    """Writes tables into a page, in place of what stands between two markers. Raises ValueError where it lacks them."""
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, marker, tail = rest.partition(end)
    if not marker:
        raise ValueError(f"{page} lacks the markers {begin} and {end}")
    page.write_text(f"{head}{begin}\n\n{tables}\n\n{end}{tail}", encoding="utf-8")


def tables(run: Run, found: dict[str, Any]) -> str:
    """Markdown of all that was measured."""
    on = found["machine"]
    busy = f"{on['cores']} cores ({on['processor']}), {on['memory GiB']} GiB, Python {on['python']}, load average {on['busy']} at the end"
    parts = [f"Measured {found['at'][:10]}, mode `{found['mode']}`, {run.options.workers} worker(s), on {busy}."]
    parts.append(_workloads(run.rows))
    for workload in ("search", "mix"):
        rows = [row for row in run.rows if row.workload == workload]
        if rows:
            parts.append(f"### Shapes: {workload}\n\n{_shapes(rows, run)}")
    if run.growth:
        parts.append(f"### Growth\n\n{_grown(run.growth)}")
    if run.checks:
        parts.append(f"### Parity\n\n{_parity(run)}")
    if "disk" in run.notes:
        disk = run.notes["disk"]
        parts.append(
            f"An Observation of {disk['bytes']} bytes takes {disk['on disk']} bytes in the database with its index rows."
        )
    return "\n\n".join(parts)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *escaped))


def _workloads(rows: Sequence[Measurement]) -> str:
    head = (
        "workload",
        "clients",
        "per s",
        "p50 / p95 / p99 ms",
        "errors",
        "CPU ms: server + database",
        "floor per s",
        "of floor",
        "MiB",
        "target",
        "Medplum",
    )
    return _markdown(head, (_workload(row) for row in rows))


def _workload(row: Measurement) -> tuple[str, ...]:
    goal, took = GOALS.get((row.workload, row.name, row.clients), Goal()), row.all
    unit = "" if row.unit == "requests" else f" ({row.unit})"
    return (
        f"{row.workload}: {row.name}{unit}", str(row.clients), f"{row.rate:,.0f}" if row.rate >= 10 else f"{row.rate:.1f}",
        f"{took.p50:.1f} / {took.p95:.1f} / {took.p99:.1f}", str(row.errors),
        f"{row.server_ms:.2f} + {row.database_ms:.2f}",
        f"{row.floor:,.0f}" if row.floor else "", f"{row.of_floor:.0%}" if row.floor else "",
        f"{row.memory.now:.0f}" if row.memory.now else "", _goal(goal.rate, goal.cpu_ms, goal.of_floor),
        _goal(goal.medplum_rate, goal.medplum_ms, 0),
    )  # fmt: skip


def _goal(rate: float, cpu_ms: float, of_floor: float) -> str:
    parts = [
        f"{rate:,.0f}/s" if rate else "",
        f"{cpu_ms} ms" if cpu_ms else "",
        f"{of_floor:.0%} of floor" if of_floor else "",
    ]
    return ", ".join(part for part in parts if part)


def _shapes(rows: Sequence[Measurement], run: Run) -> str:
    """A line for each shape: p50 and p95 at each number of clients."""
    names = dict.fromkeys(name for row in rows for name in row.labels)
    plans = {plan.shape: plan for plan in worst(run.plans) if plan.part == "page"}
    head = ("shape", *(f"{row.clients} clients: p50 / p95 ms" for row in rows), "database: ms, pages")
    lines = [
        (
            f"`{name}`",
            *(f"{f.p50:.1f} / {f.p95:.1f}" for f in (row.labels.get(name, Figures(0, 0, 0, 0)) for row in rows)),
            f"{plans[name].milliseconds:.1f}, {plans[name].pages}" if name in plans else "",
        )
        for name in names
    ]
    return _markdown(head, lines)


def _grown(growth: Sequence[Growth]) -> str:
    head = (
        "search", "on the page", "matches", "ms, 1x", "ms, 10x", "times", "pages of the database", "degrades",
    )  # fmt: skip
    lines = [
        (
            f"`{one.before.path}`", f"{one.before.entries} → {one.after.entries}",
            f"{one.before.matches} → {one.after.matches}", f"{one.before.seconds * 1000:.2f}", f"{one.after.seconds * 1000:.2f}",
            f"{one.slower:.1f}", f"{one.before.pages} → {one.after.pages}", "yes" if one.degrades else "",
        )
        for one in growth
    ]  # fmt: skip
    return _markdown(head, lines)


def _parity(run: Run) -> str:
    words = {True: "right", False: "wrong", None: "either is permitted"}
    return _markdown(("check", "", "seen"), ((check.name, words[check.right], check.seen) for check in run.checks))
