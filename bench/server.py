"""The server under measurement: started as `mediconnect serve` starts it, and what it costs while it answers.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from urllib.error import URLError
from urllib.request import urlopen

from bench.client import Target
from bench.measurement import Cpu, Memory
from fhir_server.store.embedded import postmaster, running_url

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
STARTING = 120.0
# Where data directories and logs go: on the disk of the repository, for a commit in memory would not be durable.
RESULTS = Path(__file__).resolve().parent / "results"


class NotStarted(Exception):
    """The server ended, or did not answer in time; the message names its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat: parent, and seconds of processor time, those of ended children included."""

    parent: int
    seconds: float

    @classmethod
    def parse(cls, stat: str) -> "Process":
        fields = stat.rpartition(")")[2].split()
        return cls(int(fields[1]), sum(map(int, fields[11:15])) / TICKS)


@dataclass(slots=True)
class Meter:
    """Reads processor time and memory of the server's processes and of the database's, by their oldest ancestors.

    What is not known (0: another machine, another owner) counts nothing.
    """

    server: int = 0
    database: int = 0

    def cpu(self) -> Cpu:
        found = processes()
        below = tree(found, self.database) if self.database else set()
        above = (tree(found, self.server) if self.server else set()) - below
        own = os.times()
        return Cpu(_seconds(found, above), _seconds(found, below), own.user + own.system)

    def memory(self) -> Memory:
        """Of the largest process of the server."""
        found = processes()
        below = tree(found, self.database) if self.database else set()
        sizes = [resident(pid) for pid in (tree(found, self.server) - below if self.server else ())]
        return max(sizes, key=lambda size: size.now, default=Memory())


@dataclass(slots=True)
class Server:
    """A server to measure. `data_dir` is None where somebody else started it; `url` is its database, if that is known."""

    target: Target
    meter: Meter = field(default_factory=Meter)
    data_dir: Path | None = None
    url: str | None = None
    process: subprocess.Popen[bytes] | None = None
    started_in: float = 0.0

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of the server and of its database: SIGSTOP, and SIGCONT to let them go on."""
        found = processes()
        for pid in tree(found, self.meter.server) | tree(found, self.meter.database):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Ends it in order, as Ctrl-C would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)
            self.process = None


def processes() -> dict[int, Process]:
    """Every process of this machine that can be read."""
    found: dict[int, Process] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                found[int(entry.name)] = Process.parse((entry / "stat").read_text())
    return found


def tree(found: Mapping[int, Process], root: int) -> set[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, process in found.items():
        children.setdefault(process.parent, []).append(pid)
    reached, todo = set[int](), [root]
    while todo:
        pid = todo.pop()
        if pid in found and pid not in reached:
            reached.add(pid)
            todo += children.get(pid, [])
    return reached


def resident(pid: int) -> Memory:
    """MiB of one process, zero where it is gone."""
    try:
        lines = dict(
            line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines() if ":" in line
        )
        now, peak = (int(lines.get(name, "0 kB").split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    except OSError:
        return Memory()
    return Memory(now, peak)


def _seconds(found: Mapping[int, Process], pids: Iterable[int]) -> float:
    return sum(found[pid].seconds for pid in pids)


@contextlib.contextmanager
def data_directory() -> Iterator[Path]:
    """A new data directory on the disk, removed at the end."""
    RESULTS.mkdir(exist_ok=True)
    folder = Path(mkdtemp(prefix="data-", dir=RESULTS))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def started(data_dir: Path, *, workers: int = 1, headers: Mapping[str, str] | None = None) -> Iterator[Server]:
    """The server on a data directory: release settings, an empty start, a free port; stopped at the end."""
    server = start(data_dir, workers=workers, headers=headers)
    try:
        yield server
    finally:
        server.stop()


def start(
    data_dir: Path, *, workers: int = 1, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
) -> Server:
    """Starts the server and waits until it is ready; `started_in` says how long that took. `more` are settings of it."""
    port = free_port()
    begun = time.perf_counter()
    with (data_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fhir_server", "serve"],
            env=environment(data_dir, port, workers, more),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    origin = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, f"{origin}/health/ready", data_dir / "server.log")
    except BaseException:
        process.terminate()
        process.wait(90)
        raise
    took = time.perf_counter() - begun
    known = postmaster(data_dir / "postgres")
    meter = Meter(process.pid, known.pid if known else 0)
    return Server(Target(f"{origin}/fhir", dict(headers or {})), meter, data_dir, running_url(data_dir), process, took)


def environment(data_dir: Path, port: int, workers: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the server is started with: where it is, how many workers, open, `more`; everything else is its default."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDICONNECT_")}
    ours = {"DATA_DIR": str(data_dir), "PORT": str(port), "WORKERS": str(workers), "DEMO": "0", "SECURITY": "open"}
    return kept | {f"MEDICONNECT_{name}": value for name, value in (ours | dict(more or {})).items()}


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait_for(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStarted(f"the server has ended with {process.returncode}; its log is {log}")
        try:
            with urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.01)
    raise NotStarted(f"the server does not get ready; its log is {log}")
