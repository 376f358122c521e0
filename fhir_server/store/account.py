"""The system account that PostgreSQL runs as when the server itself was started by root, which PostgreSQL refuses.

https://www.postgresql.org/docs/18/postgres-user.html
"""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAME = "mediconnect"

# How the account is made, by what the system has: shadow-utils first, then BusyBox.
MAKERS: tuple[tuple[str, ...], ...] = (
    ("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false", NAME),
    ("adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/bin/false", NAME),
)


@dataclass(frozen=True, slots=True)
class Account:
    """A system account: user and group number, both different from root's."""

    uid: int
    gid: int


def account_for(directory: Path) -> Account | None:
    """The account to run PostgreSQL as, or None: the account of this process, which is not root's.

    A cluster that already belongs to somebody stays theirs; else the account `mediconnect` is found or made, and where
    a system can make none, `nobody` serves.
    """
    if os.geteuid() != 0:
        return None
    owner = directory.stat().st_uid if directory.exists() else 0
    entry = _by_uid(owner) if owner else None
    entry = entry or _by_name(NAME) or _made() or _by_name("nobody") or _anyone()
    return Account(entry.pw_uid, entry.pw_gid)


def give(directory: Path, account: Account) -> None:
    """Make the account the owner of the directory and all it holds; raises OSError where the file system cannot."""
    if directory.stat().st_uid == account.uid:
        return
    for folder, _, names in os.walk(directory):
        for name in names:
            os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(folder, account.uid, account.gid)


def let_through(path: Path, account: Account) -> list[Path]:
    """Let the account pass the folders above `path`; the folders that had to be opened for passing (never for listing).

    A data directory below /root would be out of its reach otherwise.
    """
    opened = [folder for folder in path.resolve().parents if not _passable(folder, account)]
    for folder in opened:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
    return opened


def let_read(directory: Path) -> None:
    """Make an installation readable for everybody that was installed under a narrow umask."""
    if directory.stat().st_mode & stat.S_IROTH and directory.stat().st_mode & stat.S_IXOTH:
        return
    for path in [directory, *directory.rglob("*")]:
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _passable(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _made() -> pwd.struct_passwd | None:
    for command in MAKERS:
        if shutil.which(command[0]):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            # Asked again in place of trusting the exit code: another server may have made it at the same moment.
            if entry := _by_name(NAME):
                return entry
    return None


def _anyone() -> pwd.struct_passwd:
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry
    raise LookupError("PostgreSQL refuses to run as root, and this system has no other account to run it as")


def _by_name(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _by_uid(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None
