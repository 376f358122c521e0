"""What a load is made of: tasks for workers, units that are stored as a whole, the parts of a unit, what came of each.

docs/loading.md; a part is one request of https://hl7.org/fhir/R4/http.html, a transaction with all its entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fhir_server.outcome import Refusal

WHOLE = "resource"  # the place of a part that is all of a file
EntryDict = dict[str, Any]
Done = Mapping[str, tuple[int, ...]]
"""Names of the units that are durably done, with the ordinals of their parts that were refused."""


class Interrupted(Exception):
    """The database or server went away; what is not durably done by then is for `--resume`."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker takes at once: whole files, or a run of lines of an NDJSON file (`data`, its first line `line`).

    `weight` is its share of the bytes to be loaded.
    """

    files: tuple[Path, ...]
    weight: int
    data: bytes | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What succeeds or fails as one: one entry, or with `linked` all entries of a transaction.

    Entries have the form of Bundle.entry: fullUrl, resource, request. `place` says where in the file it stands, "" for
    the whole of it. `refusal`: it could not even be read.
    """

    ordinal: int
    place: str
    entries: tuple[EntryDict, ...] = ()
    linked: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Parts that are stored and recorded as done in one database transaction, however many of them are refused."""

    name: str
    file: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that was refused, as the report has it."""

    file: str
    place: str
    status: int
    diagnostics: str
    expression: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a unit: resources stored, and the parts that were refused. `durable`: the refusals are on record."""

    unit: str
    stored: int
    failed: tuple[int, ...] = ()
    failures: tuple[Failure, ...] = ()
    durable: bool = True


class Target(Protocol):
    """Where resources are loaded to: a database of ours, or any FHIR server."""

    async def store(self, units: Sequence[Unit]) -> list[Outcome]:
        """Stores the units as one; raises Interrupted where the target is gone."""
        ...


def outcome_of(unit: Unit, refusals: Mapping[int, Refusal], *, durable: bool = True) -> Outcome:
    """The outcome of a unit, given the refusals of its parts by ordinal."""
    failures = [_failure(unit, part, refusals[part.ordinal]) for part in unit.parts if part.ordinal in refusals]
    stored = sum(_writes(part) for part in unit.parts if part.ordinal not in refusals)
    return Outcome(unit.name, stored, tuple(sorted(refusals)), tuple(failures), durable)


def _writes(part: Part) -> int:
    return sum(entry["request"]["method"] in ("POST", "PUT") for entry in part.entries)


def _failure(unit: Unit, part: Part, refusal: Refusal) -> Failure:
    place, text = part.place, str(refusal).removeprefix(f"{part.place or WHOLE}: ")
    if part.linked and text.startswith("Bundle.entry["):
        place = f"{place} {text.partition(':')[0]}".strip()
    expression = dict.fromkeys(one for issue in refusal.issues for one in issue.expression)
    return Failure(unit.file, place, refusal.status, text, tuple(_inside(part, one) for one in expression))


def _inside(part: Part, expression: str) -> str:
    """The expression as one inside the resource, where it came back as one inside the part."""
    before = f"{part.place or WHOLE}.resource."
    if part.linked or not expression.startswith(before):
        return expression
    return f"{part.entries[0]['resource'].get('resourceType')}.{expression.removeprefix(before)}"
