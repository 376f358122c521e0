"""`python -m bench`: measures this server, or any FHIR server, and tells what it found.

docs/performance.md has the method, the tables, and how to repeat them.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from bench import floor, report
from bench.client import Target
from bench.imports import NotLoaded
from bench.pools import NotHarvested
from bench.server import Meter, NotStarted, Server, data_directory, started
from bench.workloads import QUICK, WORKLOADS, Options, Run, loaded, settled
from fhir_server.settings import Settings

# What asks a server for data that the benchmark itself brings; the rest runs on whatever is there.
FILLING = frozenset(("import", "parity", "growth"))
OF_ITS_OWN = frozenset(("disk", "growth"))
"""What is measured on a server of its own, started for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the chosen workloads; 0, or 1 where there were errors or bad plans, and 2 where nothing could be measured."""
    given = parser().parse_args(arguments)
    try:
        run, mode = uvloop.run(measured(given))
    except (NotStarted, NotLoaded, NotHarvested) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    found = report.document(run, mode)
    past = report.before(found)
    print(f"\n{report.table(run.rows, past)}\n")
    print("CPU columns: milliseconds for one request, or one resource where the rate is of those.")
    for remark in report.remarks(run):
        print(f"- {remark}")
    print(f"\nwritten to {report.save(found)}")
    if given.record:
        report.record(run, found)
        print(f"tables written to {report.PAGE}")
    return 1 if any(row.errors for row in run.rows) or any(plan.amiss for plan in run.plans) else 0


def parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:13} {text}" for name, (_, text) in WORKLOADS.items())
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"Measures a FHIR server. Workloads:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("workloads", nargs="*", metavar="WORKLOAD", choices=[*WORKLOADS, []], help="all, unless named")
    made.add_argument("--quick", action="store_true", help="about one minute: less data, shorter, without growth")
    made.add_argument("--clients", type=_numbers, default=(), help="numbers of clients, as 16,64")
    made.add_argument("--seconds", type=float, help="seconds of a stretch; a row has two, or one with --quick")
    made.add_argument("--patients", type=int, help="Synthea patients to import")
    made.add_argument(
        "--workers",
        type=int,
        default=Settings(workers=0).processes,
        help="server processes; as many as `make run` starts, unless given",
    )
    made.add_argument("--pause", type=float, default=0.0, help="seconds a hospital user waits between requests")
    made.add_argument("--seed", default="1", help="another seed draws other values")
    made.add_argument("--base-url", help="measure the FHIR server at this base instead of starting one")
    made.add_argument("--token", help="bearer token for that server")
    made.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="header of every request")
    made.add_argument("--server-pid", type=int, default=0, help="process of that server, for its processor time")
    made.add_argument("--database-pid", type=int, default=0, help="process of its database")
    made.add_argument("--filled", action="store_true", help="that server has its data already: load nothing")
    made.add_argument("--record", action="store_true", help="write the tables of docs/performance.md")
    return made


def options_of(given: argparse.Namespace) -> Options:
    """The options of the command line."""
    chosen = QUICK if given.quick else Options()
    chosen = replace(chosen, clients=given.clients, workers=given.workers, pause=given.pause, seed=given.seed)
    chosen = replace(chosen, headers=headers_of(given.header, given.token))
    if given.seconds:
        chosen = replace(chosen, seconds=given.seconds)
    return replace(chosen, patients=given.patients) if given.patients is not None else chosen


def headers_of(lines: Sequence[str], token: str | None) -> dict[str, str]:
    """`Name: value` lines and a token as headers."""
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return headers | ({"authorization": f"Bearer {token}"} if token else {})


def chosen(names: Sequence[str], *, quick: bool, foreign: bool, filled: bool) -> list[str]:
    """The workloads to run, in their order: those named, else all that fit."""
    left_out: set[str] = {"growth"} if quick else set()
    left_out |= {"growth", "coldstart", "disk"} if foreign else set()
    left_out |= FILLING if filled else set()
    return [name for name in WORKLOADS if (name in names if names else name not in left_out)]


async def measured(given: argparse.Namespace) -> tuple[Run, str]:
    """Runs the workloads; what was found, and the name of what was done, under which runs are compared."""
    options = options_of(given)
    names = chosen(given.workloads, quick=given.quick, foreign=bool(given.base_url), filled=given.filled)
    mode = "quick" if given.quick else "full"
    if names and OF_ITS_OWN.issuperset(names):
        run = Run(options, Server(Target("http://127.0.0.1")))
        for name in names:
            await WORKLOADS[name][0](run)
        return run, mode
    with contextlib.ExitStack() as stack:
        run = Run(options, _server(given, options, stack))
        if run.server.url:
            log = (run.server.data_dir or Path()) / "floor.log"
            run.floor = stack.enter_context(floor.running(run.server, options.workers, log))
        await _filled(run, names, given)
        for name in names:
            if name != "import":
                await WORKLOADS[name][0](run)
    return run, mode


async def _filled(run: Run, names: Sequence[str], given: argparse.Namespace) -> None:
    """The server with its data in it; where nobody asked for the import, some of it still goes in, for the searches."""
    if not given.filled:
        await loaded(run)
        if "import" not in names and given.patients is None:
            run.options = replace(run.options, patients=min(run.options.patients, 20))
        await WORKLOADS["import"][0](run)
        if "import" not in names:
            run.rows.clear()
    await settled(run)


def _server(given: argparse.Namespace, options: Options, stack: contextlib.ExitStack) -> Server:
    if given.base_url:
        target = Target(given.base_url.rstrip("/"), options.headers)
        return Server(target, Meter(given.server_pid, given.database_pid))
    folder = stack.enter_context(data_directory())
    server = stack.enter_context(started(folder, workers=options.workers, headers=options.headers))
    print(f"server started in {server.started_in:.2f} s; {json.dumps(report.machine())}")
    return server


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
