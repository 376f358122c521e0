"""How many processors a process may use: what the machine has, less what it is bound to, less what its container may take.

And which of them each of several processes keeps to: docs/adr/0014-a-processor-of-its-own.md.
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files and https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
log = logging.getLogger("mediconnect")

_KEPT: ContextVar[int | None] = ContextVar("kept", default=None)


def processors(quota: Path = QUOTA) -> int:
    """At least one. A container's quota of two and a half processors counts as two."""
    bound = len(allowed()) or os.cpu_count() or 1
    return max(1, min(bound, _granted(quota) or bound))


def allowed() -> tuple[int, ...]:
    """The numbers of the processors that this thread may run on; none where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def one_each(processes: int, quota: Path = QUOTA) -> tuple[int, ...]:
    """The processors that so many processes share out among them, each keeping to one.

    None where that would leave one idle or give one more work than another, where there is nothing to share out, and where a
    container may use less than it sees: others would choose the same ones.
    """
    found = allowed()
    fair = len(found) > 1 and processes % len(found) == 0 and processors(quota) == len(found)
    return found if fair else ()


def keep_to(processor: int | None) -> None:
    """From now on this thread, and those it starts, run on this processor alone.

    None changes nothing, and neither does one that was taken away meanwhile: what a container may use can change while it runs.
    """
    if processor is None:
        return
    try:
        os.sched_setaffinity(0, (processor,))
    except OSError as error:
        log.warning("processor %d cannot be kept to: %s; running wherever there is room", processor, error.strerror)
        return
    _KEPT.set(processor)


def kept_to() -> int | None:
    """The processor that `keep_to` was told where this was begun from, None without: who has one only has not chosen it."""
    return _KEPT.get()


class Shares:
    """Which processor each of several processes keeps to: the one that fewest have, and of those the one given longest ago.

    So a process that takes the place of another, and begins before the other ends, has the other's.
    """

    def __init__(self, found: Sequence[int]) -> None:
        self._order = list(found)
        self._held: Counter[int] = Counter()

    def take(self) -> int | None:
        """A processor, None where there are none to share out."""
        if not self._order:
            return None
        chosen = min(self._order, key=self._held.__getitem__)
        self._order.remove(chosen)
        self._order.append(chosen)
        self._held[chosen] += 1
        return chosen

    def give_back(self, processor: int | None) -> None:
        """The process has gone."""
        if processor is not None:
            self._held[processor] -= 1


def _granted(quota: Path) -> int | None:
    """What the control group grants, None where there is none, or no limit."""
    try:
        most, period = quota.read_text().split()
    except (OSError, ValueError):
        return None
    return max(1, int(most) // int(period)) if most.isdigit() and period.isdigit() and int(period) else None
