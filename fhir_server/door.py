"""New connections for the process that has the fewest: several accept from one socket, and whoever is quickest would take all.

The kernel wakes every process that waits for a connection, and one that is awake takes all that are there: of sixteen clients who
come together sixteen often had the same process. https://man7.org/linux/man-pages/man7/epoll.7.html
"""

import asyncio
import errno
import logging
import mmap
import socket
from collections.abc import Callable, Iterator

LOOK = 0.001  # seconds after which a process that has more looks again whether somebody else was served
PATIENCE = 5  # looks after which it takes one all the same: the others may be at work, or gone
REST = 1.0  # seconds without new connections where none can be taken, for want of descriptors perhaps
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE))
_NOBODY = 0

log = logging.getLogger("mediconnect")


class Places:
    """How many connections each of several processes has: numbers in memory that is shared by those forked afterwards.

    Each process writes its own place alone. A place holds one more than the connections, or nothing while nobody serves there.
    """

    def __init__(self, most: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * most)).cast("i")
        self._free = list(range(most))

    def take(self) -> int:
        """A free place. Only the process that forks the others takes places and gives them back."""
        return self._free.pop(0)

    def give_back(self, place: int) -> None:
        """The process has gone."""
        self._counts[place] = _NOBODY
        self._free.append(place)

    def tell(self, place: int, connections: int) -> None:
        """So many connections are here now."""
        self._counts[place] = connections + 1

    def leave(self, place: int) -> None:
        """No more connections are taken here."""
        self._counts[place] = _NOBODY

    def least(self, place: int) -> int | None:
        """The fewest connections of any other process that serves; None where there is no other."""
        others = [count - 1 for other, count in enumerate(self._counts) if count != _NOBODY and other != place]
        return min(others, default=None)


class Door:
    """Takes connections from a socket that listens, and gives each a protocol, until it is closed.

    `present` tells how many connections this process has.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        present: Callable[[], int],
        places: Places,
        place: int,
        backlog: int = 2048,
    ) -> None:
        self._listening = listening
        self._backlog = backlog
        self._protocol = protocol
        self._present = present
        self._places = places
        self._place = place
        self._coming: set[asyncio.Task[object]] = set()
        self._waited = 0
        self._later: asyncio.TimerHandle | None = None
        self._is_open = False

    def open(self) -> None:
        """From now on, on the running loop; what comes while nobody has time waits in a queue."""
        self._listening.listen(self._backlog)
        self._listening.setblocking(False)
        self._is_open = True
        self.tell()
        self._watch()

    def close(self) -> None:
        """Nobody else comes in; who is inside stays."""
        self._is_open = False
        self._unwatch()
        if self._later is not None:
            self._later.cancel()
        self._places.leave(self._place)

    def tell(self) -> None:
        """Tells the other processes how many are here, while anybody may come; to be called when somebody has gone."""
        if self._is_open:
            self._places.tell(self._place, self._count())

    def _count(self) -> int:
        return self._present() + len(self._coming)

    def _watch(self) -> None:
        self._later = None
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._on_knock)

    def _unwatch(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listening.fileno())

    def _pause(self, seconds: float) -> None:
        self._unwatch()
        self._later = asyncio.get_running_loop().call_later(seconds, self._watch)

    def _on_knock(self) -> None:
        least = self._places.least(self._place)
        if least is not None and self._count() > least and self._waited < PATIENCE:
            self._waited += 1
            self._pause(LOOK)
            return
        self._waited = 0
        for connection in self._accepted():
            self._let_in(connection)

    def _accepted(self) -> Iterator[socket.socket]:
        """The next connection, if nobody else was quicker."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            advice = "; raise the limit of open files (ulimit -n)" if error.errno in EXHAUSTED else ""
            log.warning("no more connections for now: %s%s", error.strerror, advice)
            self._pause(REST)
            return
        yield connection

    def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        coming = asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        task: asyncio.Task[object] = asyncio.ensure_future(coming)
        self._coming.add(task)
        task.add_done_callback(self._arrived)
        self.tell()

    def _arrived(self, task: asyncio.Task[object]) -> None:
        self._coming.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a connection was lost before it began: %s", type(task.exception()).__name__)
        self.tell()
