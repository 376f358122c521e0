"""One server per data directory: a lock that the kernel takes back when its holder is gone, however it went.

https://man7.org/linux/man-pages/man2/flock.2.html
"""

import fcntl
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class CannotStart(Exception):
    """A command cannot do its work; the message is one line that says why and how to mend it."""


class DataDirectoryHeld(CannotStart):
    """Another process holds the data directory; the message says which."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a data directory; both are empty while the holder is about to write them."""

    pid: str
    address: str


@dataclass(slots=True)
class DataDirectoryLock:
    """The lock on DATA_DIR/server.lock, a file of two lines: process id and address of the holder."""

    data_dir: Path
    _descriptor: int = -1

    def take(self, address: str | None = None) -> Self:
        """Take the lock, or raise DataDirectoryHeld before anything but the folder was touched.

        Taking it twice is harmless; with an address, it is the one that others are told.
        """
        if self._descriptor < 0:
            descriptor = _open(self.data_dir)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found = _read(descriptor)
                os.close(descriptor)
                raise DataDirectoryHeld(_held(self.data_dir, found)) from None
            self._descriptor = descriptor
            os.register_at_fork(after_in_child=functools.partial(self._leave, descriptor))
            address = address or ""
        if address is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n{address}\n".encode(), 0)
        return self

    def _leave(self, descriptor: int) -> None:
        """In a process that was forked from the holder: when the holder is killed, no other may keep the lock."""
        if self._descriptor == descriptor:
            os.close(descriptor)
            self._descriptor = -1

    def release(self) -> None:
        """Give the lock back; releasing twice is harmless."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def holder(data_dir: Path) -> Holder | None:
    """Who holds the data directory at this moment, or None."""
    try:
        descriptor = os.open(data_dir / "server.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _open(data_dir: Path) -> int:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        # Close-on-exec as all of Python's descriptors: the database must not keep the lock when the server is killed.
        return os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotStart(
            f"cannot use the data directory {data_dir.absolute()}: {error.strerror}; "
            "make it a folder this account may write, or set MEDICONNECT_DATA_DIR to another one"
        ) from error


def _read(descriptor: int) -> Holder:
    lines = os.pread(descriptor, 400, 0).decode(errors="replace").split("\n")
    return Holder(lines[0], lines[1] if len(lines) > 1 else "")


def _held(data_dir: Path, found: Holder) -> str:
    who = f"process {found.pid or 'unknown'}" + (f", {found.address}" if found.address else "")
    return (
        f"the data directory {data_dir.resolve()} is in use by another server ({who}); "
        "stop that one, or set MEDICONNECT_DATA_DIR to another folder"
    )
