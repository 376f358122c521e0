"""How often what was done within a sliding window: counted here, and told by the other processes of the installation.

https://limits.readthedocs.io/en/stable/strategies.html#sliding-window-counter

Time is cut into spans as long as the limit's. What was counted in the span before counts by the part of it that the window
still reaches into.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport

MOST = 50_000
"""Most counts that are kept; of more, the lower half is forgotten."""
PORTION = 100
"""Counts below this part of a limit are not told to others: so little of each process makes no difference."""

Key = tuple[str, int]  # name and span


@dataclass(slots=True)
class Count:
    """What this process counted, what the others did, and when it says nothing any more, in seconds since 1970."""

    until: float
    least: int = 1  # from when on the others should know of it
    own: int = 0
    others: dict[int, int] = field(default_factory=dict)  # by process
    told: int = 0  # how much of the own the others know

    @property
    def total(self) -> int:
        """The count of all processes."""
        return self.own + sum(self.others.values()) if self.others else self.own


class Counts(Storage, SlidingWindowCounterSupport):
    """A storage of the library `limits`: in memory, for one event loop, joined with the counts of other processes."""

    STORAGE_SCHEME = ["mediconnect"]

    def __init__(self, uri: str | None = None) -> None:
        super().__init__(uri)
        self._counts: dict[Key, Count] = {}

    # --- counting -----------------------------------------------------------------------------------------------------

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts so many more, unless there would be more than the limit in the window."""
        now = time.time()
        span = int(now // expiry)
        if self._used(key, span, now, expiry) + amount > limit:
            return False
        self._count(key, span, expiry, limit).own += amount
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and seconds left of the span before, count and seconds left of this one."""
        now = time.time()
        span = int(now // expiry)
        left = (span + 1) * expiry - now
        return self.get(f"{key}/{span - 1}"), left, self.get(f"{key}/{span}"), left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forgets what was counted under a name."""
        span = int(time.time() // expiry)
        for one in (span - 1, span):
            self._counts.pop((key, one), None)

    def wait(self, key: str, limit: int, expiry: int) -> float:
        """Seconds until one more is within the limit, if nothing else comes."""
        before, left, current, _ = self.get_sliding_window(key, expiry)
        room = limit - 1 - current
        if before + current < limit:
            return 0.0
        if room >= 0:
            return max(0.0, left - room / before * expiry)
        return left + expiry * (1 - (limit - 1) / current)

    def _used(self, key: str, span: int, now: float, expiry: int) -> float:
        before, current = self._counts.get((key, span - 1)), self._counts.get((key, span))
        part = (span + 1) - now / expiry
        return (before.total * part if before is not None else 0) + (current.total if current is not None else 0)

    def _count(self, key: str, span: int, expiry: int, limit: int = 1) -> Count:
        found = self._counts.get((key, span))
        if found is None:
            if len(self._counts) >= MOST:
                self._forget()
            found = self._counts[key, span] = Count((span + 2) * expiry, max(1, limit // PORTION))
        return found

    def _forget(self) -> None:
        """Forgets what is over; and of the rest, where it is too much, the lower counts."""
        self.sweep()
        if len(self._counts) >= MOST:
            kept = sorted(self._counts.items(), key=lambda pair: -pair[1].total)
            self._counts = dict(kept[: MOST // 2])

    def sweep(self) -> None:
        """Forgets what is over."""
        now = time.time()
        self._counts = {key: one for key, one in self._counts.items() if one.until > now}

    # --- other processes ----------------------------------------------------------------------------------------------

    def untold(self) -> list[tuple[str, int, int, float]]:
        """(name, span, count, until) of the own counts that have grown since they were told, and are not too low to matter."""
        some = ((key, one) for key, one in self._counts.items() if one.own != one.told and one.own >= one.least)
        return [(*key, one.own, one.until) for key, one in some]

    def told(self, rows: Iterable[tuple[str, int, int, float]]) -> None:
        """Takes note that the others can know these counts."""
        for name, span, count, _ in rows:
            if (found := self._counts.get((name, span))) is not None:
                found.told = count

    def hear(self, process: int, name: str, span: int, count: int, until: float) -> None:
        """Takes note of the count of another process."""
        found = self._counts.get((name, span))
        if found is None:
            found = self._counts[name, span] = Count(until)
        found.others[process] = count

    # --- what else a storage has --------------------------------------------------------------------------------------

    @property
    def base_exceptions(self) -> type[Exception]:
        """Errors of the storage: it has none of its own."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts so many more, whatever the limit; the count then."""
        found = self._count(*_parts(key), expiry)
        found.own += amount
        return found.total

    def get(self, key: str) -> int:
        """The count of `name/span`."""
        found = self._counts.get(_parts(key))
        return found.total if found is not None else 0

    def get_expiry(self, key: str) -> float:
        """When the count of `name/span` says nothing any more."""
        found = self._counts.get(_parts(key))
        return found.until if found is not None else time.time()

    def check(self) -> bool:
        """Whether it can be used."""
        return True

    def reset(self) -> int:
        """Forgets everything; how many counts that was."""
        many = len(self._counts)
        self._counts.clear()
        return many

    def clear(self, key: str) -> None:
        """Forgets the count of `name/span`."""
        self._counts.pop(_parts(key), None)


def _parts(key: str) -> Key:
    name, _, span = key.rpartition("/")
    return name, int(span)
