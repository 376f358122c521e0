"""The PostgreSQL that comes with the server: made, started and stopped in the data directory, behind one private socket.

https://www.postgresql.org/docs/18/runtime.html
"""

import contextlib
import hashlib
import logging
import os
import re
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from urllib.parse import quote

from fhir_server.store.account import Account, account_for, give, let_read, let_through
from fhir_server.store.cluster import (
    DATABASE,
    MAJOR,
    SUPERUSER,
    DatabaseUnavailable,
    create_cluster,
    programs,
    settings,
    spawn,
)
from fhir_server.store.lock import DataDirectoryLock

MIB = 1024 * 1024

# The kernel's limit for the path of a socket is 107 bytes (103 on macOS), of which "/.s.PGSQL.5432" takes 14.
LONGEST_SOCKET_FOLDER = 103 - 14
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@=~-]+")
LONGEST_LOG = 10 * MIB

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What postmaster.pid says of a running, starting or long gone PostgreSQL."""

    pid: int
    socket_folder: str
    status: str


class EmbeddedPostgres:
    """One PostgreSQL 18 whose cluster is DATA_DIR/postgres and whose life is bound to this process.

    `start` gives the URL of its database; the process that calls it does so on its main thread and holds the data
    directory until `stop`. If this process is killed, the kernel has PostgreSQL shut down in order (on Linux; elsewhere the next
    start does). `options` are PostgreSQL settings that come on top of the server's own.
    """

    def __init__(self, data_dir: Path, *, connections: int = 60, options: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.cluster = self.data_dir.resolve() / "postgres"
        self.log = self.data_dir / "postgres.log"
        self.lock = DataDirectoryLock(self.data_dir)
        self.options = settings(connections) | dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._stopping = False

    def start(self) -> str:
        """Start PostgreSQL, making the cluster where there is none, and wait for it; the URL of the database.

        Raises DataDirectoryHeld or DatabaseUnavailable.
        """
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """The first half of `start`: everything but the waiting, so that the caller can do other work meanwhile."""
        if threading.current_thread() is not threading.main_thread():
            # The kernel binds PostgreSQL to the thread that started it and would stop it when that thread ends.
            raise RuntimeError("the embedded database must be started on the main thread")
        self.lock.take()
        self._stopping = False
        try:
            account = self._prepare()
            self._process = self._spawn(account)
        except (OSError, subprocess.SubprocessError, LookupError) as error:
            self.lock.release()
            raise DatabaseUnavailable(f"cannot start the embedded database: {error}") from error
        except BaseException:
            self.lock.release()
            raise

    def wait(self, timeout: float = 300.0) -> str:
        """Wait until PostgreSQL answers (after a crash it first replays its log); the URL of the database."""
        deadline = time.monotonic() + timeout
        while self._process is not None:
            known = postmaster(self.cluster)
            if known and known.pid == self._process.pid and known.status == "ready":
                return url(known.socket_folder)
            if (self._process.poll() is not None and not self._relaunch(deadline)) or time.monotonic() > deadline:
                reason = self._reason()
                self.stop()
                raise DatabaseUnavailable(f"the embedded database does not start: {reason} (see {self.log})")
            time.sleep(0.01)
        raise DatabaseUnavailable("the embedded database was not launched")

    def alive(self) -> bool:
        """Whether PostgreSQL was launched and still runs."""
        return self._process is not None and self._process.poll() is None

    def lost(self) -> bool:
        """Whether PostgreSQL was launched and has ended without having been stopped."""
        return not self._stopping and self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """Shut PostgreSQL down in order and give the data directory back; stopping twice is harmless."""
        self._stopping = True
        if self._process is not None:
            known = postmaster(self.cluster)
            _shut_down(self._process.pid, lambda: self._process is None or self._process.poll() is not None)
            self._process = None
            if known and known.socket_folder != str(self.cluster):
                rmtree(known.socket_folder, ignore_errors=True)
        self.lock.release()

    def _prepare(self) -> Account | None:
        account = account_for(self.cluster)
        if account:
            let_read(programs().parent)
            for folder in let_through(programs() / "postgres", account) + let_through(self.cluster, account):
                logger.warning(
                    "%s may now be passed (not listed) by all accounts; PostgreSQL runs as one of them", folder
                )
            if self.cluster.exists():
                give(self.cluster, account)
        stop_orphan(self.cluster)
        if not self.cluster.exists():
            create_cluster(self.cluster, account)
        if (version := (self.cluster / "PG_VERSION").read_text().strip()) != str(MAJOR):
            raise DatabaseUnavailable(
                f"{self.cluster} was made by PostgreSQL {version}, this server brings {MAJOR}; "
                "move the data with pg_upgrade, or set MEDICONNECT_DATA_DIR to another folder"
            )
        return account

    def _spawn(self, account: Account | None) -> subprocess.Popen[bytes]:
        folder = socket_folder(self.cluster, account)
        # No PostgreSQL of this cluster runs now. A killed one's lock would still count while its process waits to be reaped.
        for left in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            Path(folder, left).unlink(missing_ok=True)
        options = self.options | {"unix_socket_directories": folder}
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            # Its own session: Ctrl-C in the terminal must stop HTTP first, and the database through us.
            return spawn(
                ["postgres", "-D", str(self.cluster), *(f"--{name}={value}" for name, value in options.items())],
                account,
                signal.SIGINT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _relaunch(self, deadline: float) -> bool:
        """Try once more where only the remains of a killed PostgreSQL are in the way, which go by themselves."""
        if "pre-existing shared memory block" not in self._reason() or time.monotonic() > deadline:
            return False
        time.sleep(0.2)
        self._process = self._spawn(account_for(self.cluster))
        return True

    def _reason(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        grave = [line for line in lines if "FATAL:" in line or "PANIC:" in line or line.startswith("postgres: ")]
        return re.sub(r"^.*(FATAL|PANIC): +", "", (grave or lines or ["no reason given"])[-1])


def url(folder: str, database: str = DATABASE) -> str:
    """The URL of a database behind the socket in `folder`."""
    return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(folder, safe='')}"


def running_url(data_dir: Path) -> str | None:
    """The URL of the embedded database that another process runs in this data directory, or None."""
    cluster = data_dir.resolve() / "postgres"
    known = postmaster(cluster)
    ready = known is not None and known.status == "ready" and is_postmaster(known.pid, cluster)
    return url(known.socket_folder) if known and ready else None


@contextlib.contextmanager
def database(data_dir: Path, database_url: str = "") -> Iterator[str]:
    """The URL of the database for as long as a command runs: the given one, the running embedded one, or one started for it."""
    if found := database_url or running_url(data_dir):
        yield found
        return
    embedded = EmbeddedPostgres(data_dir)
    try:
        yield embedded.start()
    finally:
        embedded.stop()


def postmaster(cluster: Path) -> Postmaster | None:
    """What postmaster.pid says, or None where there is none or it is not written yet."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), lines[4].strip(), lines[7].strip() if len(lines) > 7 else "starting")
    except (OSError, IndexError, ValueError):
        return None


def is_postmaster(pid: int, cluster: Path) -> bool:
    """Whether the process is a PostgreSQL of this cluster, and not one that got the number of a gone one."""
    if Path("/proc/self/comm").exists():
        return _is_postmaster_of(Path(f"/proc/{pid}"), cluster)
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in shown.stdout and str(cluster) in shown.stdout


def stop_orphan(cluster: Path) -> None:
    """Stop the PostgreSQL of a killed server and clear what it left; the caller holds the data directory."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if is_postmaster(pid, cluster):
        _shut_down(pid, lambda: not is_postmaster(pid, cluster))
    elif _exists(pid):
        # After a restart of the machine another process can have this number; PostgreSQL would take it for itself.
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def socket_folder(cluster: Path, account: Account | None) -> str:
    """The folder of the socket: the cluster, or where its path is too long for a socket a private folder in /tmp."""
    if len(os.fsencode(cluster)) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(str(cluster)):
        return str(cluster)
    uid = account.uid if account else os.geteuid()
    name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:12]
    root = tempfile.gettempdir()
    folder = Path(root if len(root) < 40 and PLAIN_PATH.fullmatch(root) else "/tmp", f"mediconnect-{uid}-{name}")  # noqa: S108 - the owner is checked below
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, account.uid, account.gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise DatabaseUnavailable(f"{folder} is somebody else's; remove it, or use a shorter MEDICONNECT_DATA_DIR")
    return str(folder)


def _shut_down(pid: int, gone: Callable[[], bool]) -> None:
    # Fast shutdown, which ends with a checkpoint; then the immediate one, after which the next start replays the log.
    for number, patience in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 20.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if gone():
                return
            time.sleep(0.01)
    raise DatabaseUnavailable(f"the embedded database (process {pid}) does not stop; end that process and start again")


def _is_postmaster_of(process: Path, cluster: Path) -> bool:
    try:
        if (process / "comm").read_text().strip() != "postgres":
            return False
        try:
            return (process / "cwd").samefile(cluster)
        except PermissionError:
            # Root in a container may not look at other accounts' folders; the command line is for everybody.
            return os.fsencode(cluster) in (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
