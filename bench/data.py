"""What is loaded: Synthea patients where the reference data is, and the demonstration hospital; in any multiple.

https://hl7.org/fhir/R4/http.html#transaction; MEDICONNECT_REFERENCE_DATA is the folder that holds `synthea/`.
"""

import gzip
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from fhir_server.json import dump_json
from loaders.demonstration import bundles as hospital_bundles

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
SEPARATE = "bulk-data-server-100"  # every patient's Bundle stands alone but for what it holds itself
CONDITIONAL = "fhir-data-pipes-hiv-79"  # patients refer to practitioners by criteria
FIRST = ("hospitalInformation", "practitionerInformation")
SEED = 7
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
READABLE = re.compile(
    rb'("resourceType":"\w+","id":"|"(?:reference|url)":"[A-Z]\w*/|"fullUrl":"[^"]*/)([A-Za-z0-9.-]+)(?=")'
)
COPIES = uuid.UUID("6f6c1f0e-4b8e-5d0a-9a43-0d7f7d3ab1c2")
TYPE = re.compile(rb'"method"\s*:\s*"(?:POST|PUT)"')


@dataclass(frozen=True, slots=True)
class Load:
    """One transaction or batch Bundle as it is sent, and how many entries it has."""

    body: bytes
    entries: int


@dataclass(frozen=True, slots=True)
class Data:
    """What goes in: `first`, one after another, before `rest` in any order, and all of that before `later` in any order."""

    name: str
    first: tuple[Load, ...]
    rest: tuple[Load, ...]
    later: tuple[Load, ...] = ()

    @property
    def loads(self) -> tuple[Load, ...]:
        return (*self.first, *self.rest, *self.later)

    @property
    def entries(self) -> int:
        return sum(load.entries for load in self.loads)


def reference_data() -> Path | None:
    """The folder of the Synthea patients, None where it is missing."""
    place = Path(os.environ.get("MEDICONNECT_REFERENCE_DATA", DEFAULT)) / "synthea"
    return place if place.is_dir() else None


def hospital(patients: int) -> tuple[Load, ...]:
    """The demonstration hospital in transactions of PUTs, which have to be sent in this order."""
    return tuple(load_of(dump_json(bundle)) for bundle in hospital_bundles(patients, SEED))


def synthea(patients: int) -> Data | None:
    """So many patients, a seeded choice in a seeded order; None where the reference data is missing.

    Of the separate set alone where that has enough; else those with criteria go first, for the separate set creates
    organizations under the same identifiers again, after which the criteria would select more than one.
    """
    place = reference_data()
    if place is None:
        return None
    before, those = _sorted(place / SEPARATE)
    criteria, others = _sorted(place / CONDITIONAL)
    random = Random(SEED)
    separate = [*before, *random.sample(those, min(patients, len(those)))]
    more = random.sample(others, min(max(0, patients - len(those)), len(others)))
    name = f"Synthea, {len(separate) - len(before) + len(more)} patients"
    if not more:
        return Data(name, (), _loads(separate))
    return Data(name, _loads(criteria), _loads(more), _loads(separate))


def growing(patients: int) -> Data:
    """Patients whose Bundles can be copied: of Synthea's separate set, else a hospital of that many."""
    place = reference_data()
    if place is None:
        return Data(f"demonstration hospital, {patients} patients", hospital(patients), ())
    _, those = _sorted(place / SEPARATE)
    loads = _loads(those[:patients])
    return Data(f"Synthea, {len(loads)} patients", (), loads)


def imported(patients: int) -> Data:
    """What the import measures: Synthea, else a hospital other than the one that is there already."""
    found = synthea(patients)
    if found is not None:
        return found
    loads = hospital(patients)
    return Data(f"demonstration hospital, {patients} patients", loads, ())


def copies(data: Data, times: int) -> Iterator[Data]:
    """So many copies of the data under ids of their own."""
    for n in range(1, times + 1):
        parts = (data.first, data.rest, data.later)
        yield Data(
            f"{data.name}, copy {n}",
            *(tuple(Load(fresh(load.body, n), load.entries) for load in part) for part in parts),
        )


def fresh(body: bytes, number: int) -> bytes:
    """The Bundle with other ids, the same for the same number, so that links inside it still lead where they led.

    Synthea's ids are UUIDs; the hospital's are readable, and its transactions put them in `fullUrl`.
    """
    known: dict[bytes, bytes] = {}

    def other(match: re.Match[bytes]) -> bytes:
        old = match[0]
        if old not in known:
            known[old] = str(uuid.uuid5(COPIES, f"{number}/{old.decode()}")).encode()
        return known[old]

    if UUID.search(body):
        return UUID.sub(other, body)
    return READABLE.sub(rb"\g<1>c%d-\2" % number, body)


def load_of(body: bytes) -> Load:
    """A Bundle with the number of its entries."""
    return Load(body, len(TYPE.findall(body)))


def _sorted(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a set: those that go first, in order, and the patients'."""
    files = sorted(folder.glob("*.json.gz"))
    first = [path for name in FIRST for path in files if path.name.startswith(name)]
    return first, [path for path in files if path not in first]


def _loads(paths: Iterable[Path]) -> tuple[Load, ...]:
    return tuple(load_of(_read(path)) for path in paths)


def _read(path: Path) -> bytes:
    """The Bundle without the white space between its members, as a client would send it."""
    with gzip.open(path) as stream:
        return msgspec.json.format(stream.read(), indent=-1)
