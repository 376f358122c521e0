"""Sealing: notes become AuditEvents, each chained by hash to the one before, so that a later change of any is found.

https://hl7.org/fhir/R4/auditevent.html and docs/access.md
"""

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.access.audit import about
from fhir_server.access.balp import audit_event, for_each_patient
from fhir_server.json import dump_json
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.search.parameter import Parameters
from fhir_server.search.registration import refresh
from fhir_server.store import audit
from fhir_server.store.audit import Note, Row, Sealed, Told
from fhir_server.store.changes import KnownShapes, Write, write
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types

BATCH = 100
PAUSE = 0.5  # seconds between two looks
SLICES = 10  # of a pause
SHARE = 0.3  # of the time, at most, that sealing takes while there is much to seal and nothing else to do
BUSY = 0.25  # of a processor: a process that works so much for others has next to no time for it
BUSY_SHARE = 0.005  # of the time, which it takes all the same, of all processes together

log = logging.getLogger("mediconnect")


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals the notes of a tenant. Of all processes one at a time does it; `base` is whom the events name as source.

    A search that found up to `apart` patients becomes an AuditEvent for each of them. `busy_share` is the part of its time that
    this process seals while it has much else to do.
    """

    pool: Pool
    tenant: int
    parameters: Parameters
    types: Types
    shapes: KnownShapes
    base: str
    apart: int = 100
    busy_share: float = BUSY_SHARE

    async def keep(self) -> None:
        """Seals what comes until it is cancelled; a failure is logged and tried again."""
        owed = 0.0  # seconds of sealing that are still to be made good
        while True:
            if owed <= 0:
                begun = time.monotonic()
                more = await self._tried()
                owed = time.monotonic() - begun if more else 0.0
            owed -= await self._pause()

    async def _tried(self) -> bool:
        try:
            return await self.seal()
        except Exception as error:  # noqa: BLE001 - logged and tried again: the trail must not end with one failure
            log.warning("the audit trail could not be sealed yet: %s", type(error).__name__)
            return False

    async def _pause(self) -> float:
        """A pause, and how many seconds of sealing it is good for: the fewer, the more this process worked meanwhile."""
        passed, worked = 0.0, time.process_time()
        for _ in range(SLICES):
            begun = time.monotonic()
            await asyncio.sleep(PAUSE / SLICES)
            # What took much longer is work that held this up, or a machine that slept: neither was time to spare.
            passed += min(time.monotonic() - begun, 2 * PAUSE / SLICES)
        load = (time.process_time() - worked) / passed
        return passed * max(self.busy_share, SHARE * (1 - load / BUSY))

    async def catch_up(self, most: int = 20) -> None:
        """Seals what is noted now, so that a search for AuditEvents finds it; no more than a bounded number of times."""
        for _ in range(most):
            if not await self.seal(wait=True):
                return

    async def seal(self, *, wait: bool = False) -> bool:
        """Seals some notes, in one transaction: BATCH AuditEvents, or a few more; whether there are more notes.

        While another process seals: nothing, or with `wait` what comes after.
        """
        return await self.pool.transact(lambda conn: self._seal(conn, wait=wait))

    async def _seal(self, conn: Connection, *, wait: bool) -> bool:
        if not await audit.lock(conn, self.tenant, wait=wait):
            return False
        rows = await audit.waiting(conn, self.tenant, BATCH)
        if not rows:
            return False
        if self.shapes.stale:
            await refresh(conn, self.tenant, self.parameters, self.shapes)
        now = datetime.now(UTC).replace(microsecond=0)
        read = await audit.what_was_read(conn, self.tenant, rows)
        made = [self._write(note, row.recorded, now) for row in rows for note in self._apart(row, read)]
        await write(conn, self.tenant, made, self.shapes)
        number, chain = await audit.last_seal(conn, self.tenant)
        await audit.seal(conn, self.tenant, chained(made, number, chain), [row.seq for row in rows])
        return sum(row.events for row in rows) >= BATCH

    def _apart(self, row: Row, read: Mapping[int, Told]) -> list[Note]:
        if row.versions is not None:
            return [about(note, read.get(seq)) for note, seq in zip(row.notes, row.versions, strict=True)]
        return [part for note in row.notes for part in for_each_patient(note, self.apart)]

    def _write(self, note: Note, recorded: datetime, sealed: datetime) -> Write:
        resource_id = str(uuid.uuid4())
        event = audit_event(note, recorded, resource_id, sealed, self.base)
        rows = extract(event, self.parameters, self.tenant)
        return Write(
            pk=0, type=self.types.code["AuditEvent"], id=resource_id,
            reference=reference_key(self.tenant, f"AuditEvent/{resource_id}"), version=1, written=sealed, method="C",
            content=dump_json(event), shape=shape_of(self.tenant, "AuditEvent", rows), added=rows,
        )  # fmt: skip


def chained(writes: Sequence[Write], number: int, chain: bytes) -> list[tuple[int, str, bytes, bytes]]:
    """(number, id, digest, chain) of each, behind a number and its chain."""
    made = []
    for one in writes:
        assert one.content is not None, "an AuditEvent"
        number, digest = number + 1, hashlib.sha256(one.content).digest()
        chain = link(chain, digest)
        made.append((number, one.id, digest, chain))
    return made


def link(chain: bytes, digest: bytes) -> bytes:
    """The chain with one more entry."""
    return hashlib.sha256(chain + digest).digest()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the trail found: how many entries are good, the chain up to there, and what is wrong behind them."""

    good: int
    chain: bytes
    problem: str | None = None


async def verify(conn: Connection, tenant: int, most: int = 1000) -> Finding:
    """Checks all sealed entries in order and stops at the first that is altered or missing.

    Entries cut off at the end leave no gap: compare the number and the chain with those of an earlier check.
    """
    number, chain = 0, b""
    while entries := await audit.sealed(conn, tenant, number, most):
        for entry in entries:
            problem = _problem(entry, number, chain)
            if problem is not None:
                return Finding(number, chain, problem)
            number, chain = entry.number, entry.chain
    return Finding(number, chain)


def _problem(entry: Sealed, number: int, chain: bytes) -> str | None:
    name = f"entry {number + 1}"
    if entry.number != number + 1:
        return f"{name} is missing from the seals; the next is {entry.number}"
    if entry.content is None or entry.deleted:
        return f"{name}, AuditEvent/{entry.id}, is missing"
    if entry.version != 1 or hashlib.sha256(entry.content).digest() != entry.digest:
        return f"{name}, AuditEvent/{entry.id}, was altered"
    if link(chain, entry.digest) != entry.chain:
        return f"{name}, AuditEvent/{entry.id}, does not follow the entry before it"
    return None
