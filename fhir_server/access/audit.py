"""The audit trail as it is written: who did what, kept before the answer goes out, for all waiting answers at once.

https://hl7.org/fhir/R4/security.html#audit and https://profiles.ihe.net/ITI/BALP/
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from fhir_server.outcome import Refusal, refuse
from fhir_server.store.audit import Note, Told, append, encoded
from fhir_server.store.gather import Gather
from fhir_server.store.noted import Keeping, NotKept
from fhir_server.store.pool import Pool
from smart_auth.access_token import AccessToken
from smart_auth.event import Event

MOST_AT_ONCE = 500
MOST_PATIENTS = 2000
"""Most patients that one note names: those of the largest page, with what it includes."""
LONGEST = 8192
_PATIENT = re.compile(rb'(Patient/[A-Za-z0-9\-.]{1,64})"')


class Trail(msgspec.Struct):
    """What a request leaves behind. `written`: the statement of its write or read has noted it already.

    `keeping`: it has, but whether that is on the disk is still to be awaited.
    `reads`: what is noted of any read of one resource by this bearer, as JSON, but for the request and the resource.
    """

    request: str
    network: str
    token: AccessToken | None = None
    reads: str = ""
    written: bool = False
    used: bool = False
    keeping: Keeping | None = None

    def begun(self) -> "Trail":
        """This trail for the request itself; for its parts, such as entries of a Bundle, one of their own."""
        if self.used:
            return msgspec.structs.replace(self, written=False, keeping=None)
        self.used = True
        return self

    async def kept(self) -> None:
        """Returns when what was noted is on the disk. Raises Refusal (503) where it cannot be kept: then nothing is answered."""
        if self.keeping is None:
            return
        try:
            await self.keeping
        except NotKept as error:
            raise withheld() from error

    def note(
        self, subtype: str, status: int, *, patients: Iterable[str] = (), entities: Iterable[str] = (),
        query: str | None = None, detail: str | None = None,
    ) -> Note:  # fmt: skip
        """What is kept of one interaction that ended with an HTTP status."""
        token = self.token
        named, detail = _named(patients, detail)
        return Note(
            subtype=subtype,
            status=status,
            outcome=outcome_of(status),
            client=token.client if token else None,
            account=token.account if token else None,
            fhir_user=token.fhir_user if token else None,
            token=token.id if token else None,
            network=self.network,
            request=self.request,
            patients=named,
            entities=tuple(entities),
            query=query[:LONGEST] if query is not None else None,
            detail=detail[:LONGEST] if detail is not None else None,
        )


def withheld() -> Refusal:
    """The refusal (503) of what cannot be noted."""
    return refuse("transient", "the audit trail cannot be written, so the answer is withheld; try again")


def reads_of(token: AccessToken, network: str) -> str:
    """What is noted of every read that succeeds by a bearer from a network: all but the request and what was read."""
    note = Trail("", network, token).note("read", 200)
    return encoded(msgspec.structs.replace(note, request=None)).decode()


def outcome_of(status: int) -> int:
    """AuditEvent.outcome of an HTTP status: success, refused, failed."""
    return 0 if status < 400 else 4 if status < 500 else 8


def patients_in(content: bytes | None, kind: str = "", resource_id: str = "") -> list[str]:
    """The patients that a stored text tells of: those it refers to, and itself where it is one."""
    own = [f"Patient/{resource_id}"] if kind == "Patient" and resource_id else []
    return own if content is None else [*own, *(one.decode() for one in _PATIENT.findall(content))]


def about(note: Note, told: Told | None) -> Note:
    """The note of a read of one resource, with which it was and which patients its text tells of; None: that is not known."""
    entity, content = told if told is not None else (next(iter(note.entities), ""), None)
    patients, detail = _named(patients_in(content, *entity.split("/", 1)), note.detail)
    return msgspec.structs.replace(note, patients=patients, entities=(entity,) if entity else (), detail=detail)


def _named(patients: Iterable[str], detail: str | None) -> tuple[tuple[str, ...], str | None]:
    """Each patient once, no more than a note names, and the detail, which tells how many more there were."""
    named = tuple(dict.fromkeys(patients))
    if len(named) > MOST_PATIENTS:
        detail = " ".join(one for one in (detail, f"and {len(named) - MOST_PATIENTS} more patients") if one)
    return named[:MOST_PATIENTS], detail


class Ledger:
    """Keeps the notes of one process, on a connection of its own: whoever waits here may hold one of the pool."""

    def __init__(self, pool: Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._append: Gather[Note, None] = Gather(self._appended, most=MOST_AT_ONCE)

    async def keep(self, note: Note) -> None:
        """Returns when the note is on disk. Raises Refusal (503) where it cannot be kept: then nothing is answered."""
        try:
            await self._append(note)
        except Exception as error:
            raise withheld() from error

    async def _appended(self, notes: list[Note]) -> list[None]:
        async with self._pool.connection() as conn:
            await append(conn, self._tenant, notes)
        return [None] * len(notes)


@dataclass(frozen=True, slots=True)
class Journal:
    """The ledger as the authorization server knows it: called from its threads, it waits until the event is kept."""

    ledger: Ledger
    loop: asyncio.AbstractEventLoop

    def note(self, event: Event) -> None:
        """Keeps an event; returns when it is on disk."""
        asyncio.run_coroutine_threadsafe(self.ledger.keep(note_of(event)), self.loop).result(timeout=30)


def note_of(event: Event) -> Note:
    """What is kept of an event of the authorization server."""
    return Note(
        subtype=event.kind,
        status=200 if event.outcome == "success" else 403,
        outcome=0 if event.outcome == "success" else 4,
        client=event.client,
        account=event.account,
        fhir_user=event.fhir_user,
        network=event.network,
        detail=event.detail[:LONGEST] or None,
        operator=event.operator or None,
    )
