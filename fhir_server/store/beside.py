"""What PostgreSQL does for this process, on the processor that this process keeps to.

docs/adr/0014-a-processor-of-its-own.md; https://man7.org/linux/man-pages/man7/unix.7.html#SO_PEERCRED
"""

import logging
import os
import socket
import struct
from pathlib import Path

from fhir_server.processors import kept_to

log = logging.getLogger("mediconnect")

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred


def bring_beside(descriptor: int, backend: int) -> bool:
    """Has the process of PostgreSQL that serves a connection run where this process does; whether it does now.

    `descriptor` is the connection's socket, `backend` the number that PostgreSQL tells of its process. Nothing changes where this
    process keeps to no processor, where the database is not on this machine, or where its numbers are not this one's.
    """
    processor = kept_to()
    if processor is None or not _is_ours(descriptor, backend):
        return False
    try:
        os.sched_setaffinity(backend, (processor,))
    except OSError as error:  # it is somebody else's, or has ended: it works as well, if slower, where it is
        log.info("the database's process %d stays where it is: %s", backend, error.strerror)
        return False
    return True


def _is_ours(descriptor: int, backend: int) -> bool:
    """Whether the process that listens at the other end has a child of this number: a container counts for itself."""
    with socket.socket(fileno=os.dup(descriptor)) as peer:
        if peer.family != socket.AF_UNIX:
            return False
        listening: int
        listening, _, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return listening > 0 and _parent(backend) == listening


def _parent(process: int) -> int | None:
    """None where there is no such process, or none that is shown."""
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(told.rpartition(")")[2].split()[1])  # behind its name, which may hold anything
