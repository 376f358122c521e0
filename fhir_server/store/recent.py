"""What this process wrote a moment ago, and need not read again, nor read through again: in memory, bounded, the oldest goes first.

https://hl7.org/fhir/R4/http.html#concurrency; docs/adr/0017-recent-writes.md. A version never changes, so the rows of one hold until
other search parameters make them. Whether it is the latest is told by who writes the next: a statement that builds on an older one fails.
"""

import mmap
import os
import time
from collections import OrderedDict
from datetime import datetime
from decimal import Decimal

import msgspec

from fhir_server.store.changes import Write
from fhir_server.store.resources import Current, Target
from fhir_server.store.rows import Rows

MOST = 4 << 20  # bytes of content and rows
MEMBERS = 600  # bytes of what else belongs to one
PAUSE = 10.0  # seconds

# Which process of this server wrote a resource last; nobody where that was told and not followed yet. Several resources share a place: then one is read though it need not be.
# Made when the module is imported, which is before processes are forked, so it is shared by them: what one writes the others know of.
_PLACES, _NOBODY = 1 << 16, 0
_writers = memoryview(mmap.mmap(-1, 4 * _PLACES)).cast("I")


def _plain(value: object) -> str:
    """The digits of a number that is some other class's Decimal."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"index rows hold no {type(value).__name__}")


# Rows are kept as one text, not as some hundred objects: those would be as many places of memory, far from all that is at work.
_encoded = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decoded = msgspec.msgpack.Decoder(Rows).decode


class _Kept(msgspec.Struct, gc=False):
    """A version that was written, as a Write tells it; `generation` is that of the search parameters that its rows were made by."""

    pk: int
    version: int
    written: datetime
    content: bytes
    rows: bytes
    generation: int
    alone: bool

    @property
    def weight(self) -> int:
        return len(self.content) + len(self.rows) + MEMBERS


class Recent:
    """The writes of one process in one tenant."""

    def __init__(self, tenant: int, most: int = MOST) -> None:
        self._tenant = tenant
        self._most = most
        self._held = 0
        self._writes: OrderedDict[Target, _Kept] = OrderedDict()
        self._paused = 0.0

    def keep(self, write: Write, generation: int) -> None:
        """Remembers what was committed, its rows as made by search parameters of this generation."""
        target = write.type, write.id
        self.forget(target)
        if write.whole is not None and write.content is not None:
            rows = _encoded(write.whole)
            kept = _Kept(write.pk, write.version, write.written, write.content, rows, generation, write.alone)
            self._writes[target] = kept
            self._held += kept.weight
            while self._held > self._most:
                self._held -= self._writes.popitem(last=False)[1].weight

    def latest(self, target: Target) -> Current | None:
        """The latest version, where nobody but this process has written the resource as far as it knows. It is told once."""
        found = self._writes.get(target)
        if found is None or not found.alone or self._paused > time.monotonic():
            return None
        found.alone = False
        place = self._place(target)
        if _writers[place] != os.getpid():
            return None
        _writers[place] = _NOBODY
        return Current(found.pk, found.version, found.written, False, found.content, remembered=True)

    def rows(self, target: Target, version: int, generation: int) -> Rows | None:
        """The rows of a version that is about to be followed by another; None where they are not known."""
        found = self._writes.get(target)
        if found is None or (found.version, found.generation) != (version, generation):
            return None
        self._drop(target)
        return _decoded(found.rows)

    def forget(self, target: Target) -> None:
        """Somebody in this process writes the resource."""
        _writers[self._place(target)] = os.getpid()
        self._drop(target)

    def was_wrong(self, target: Target) -> None:
        """What was told of a resource was not its latest version. Where no process of this server has written it, it will happen again."""
        if _writers[self._place(target)] == _NOBODY:
            self._paused = time.monotonic() + PAUSE

    def _drop(self, target: Target) -> None:
        found = self._writes.pop(target, None)
        self._held -= found.weight if found is not None else 0

    def _place(self, target: Target) -> int:
        return hash((self._tenant, target)) % _PLACES
