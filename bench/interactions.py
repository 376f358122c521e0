"""Ten single interactions and searches, each measured alone: those that Medplum was measured with on the same machine.

https://hl7.org/fhir/R4/http.html
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import count
from random import Random
from urllib.parse import quote

from bench.crud import body, template
from bench.expectation import Expectation, resource, searchset, transaction_response
from bench.load import Client, Scenario
from bench.pools import Pools
from bench.shapes import SAFE

PATIENTS = 200  # whose Patients are updated, and read, in turn
ENTRIES = 100
PATHS = 200


def scenarios(pools: Pools, seed: str) -> Mapping[str, Scenario]:
    """The scenarios by the name of their row, but for the read; those for which the server holds nothing are left out."""
    random = Random(seed)
    searches = {
        "Patient?family&given": _family_and_given(pools),
        "Observation?patient&code&date": _patient_code_date(pools),
        "Appointment?practitioner&date, a week": _practitioner_week(pools),
        "Observation?patient&_sort=-date": [f"Observation?patient={one}&_sort=-date" for one in _patients(pools)],
        "Appointment?patient&_include=actor": _included(pools),
    }
    found: dict[str, Scenario] = {"create Patient": create, "update Patient": _update()}
    for name, paths in searches.items():
        if paths:
            found[name] = _gets(name, random.sample(paths, min(PATHS, len(paths))), searchset)
    return found | {"transaction of 100": transaction, "metadata": _gets("metadata", ["metadata"], _metadata)}


_metadata = resource("CapabilityStatement", 200)
_created = resource("Patient", 201, has=b'"id"')


async def create(client: Client) -> None:
    """A new Patient."""
    await client.ask("create Patient", "POST", "Patient", _created, template("Patient"))


async def transaction(client: Client) -> None:
    """A Patient and 99 Observations of it."""
    await client.ask("transaction", "POST", "", transaction_response(ENTRIES), bundle(), ENTRIES)


_PLACE = "urn:uuid:5b0a6c1e-0000-4000-8000-000000000417"


@cache
def bundle() -> bytes:
    """A transaction of ENTRIES resources that refer to its first."""
    patient = _entry(_PLACE, template("Patient"), "Patient")
    return _transaction([patient, *_weights(_PLACE, ENTRIES - 1)])


def weights(subject: str, encounter: str) -> bytes:
    """A transaction of ENTRIES Observations of a Patient in an Encounter, which are there already."""
    return _transaction(_weights(subject, ENTRIES, encounter))


def weight(subject: str, number: int, encounter: str = "") -> bytes:
    """An Observation of a body's weight, without a performer."""
    of = b'"encounter":{"reference":"%s"},' % encounter.encode() if encounter else b""
    text = template("Observation").replace(b'"encounter":{"reference":"Encounter/PLACE"},', of)
    text = text.replace(b',"performer":[{"reference":"Practitioner/PLACE"}]', b"")
    return text.replace(b"71.50", b"%d.50" % number).replace(b"Patient/PLACE", subject.encode())


def _weights(subject: str, many: int, encounter: str = "") -> list[str]:
    return [_entry(f"{_PLACE[:-3]}{500 + n}", weight(subject, n, encounter), "Observation") for n in range(1, many + 1)]


def _entry(place: str, content: bytes, kind: str) -> str:
    return f'{{"fullUrl":"{place}","resource":{content.decode()},"request":{{"method":"POST","url":"{kind}"}}}}'


def _transaction(entries: Sequence[str]) -> bytes:
    return f'{{"resourceType":"Bundle","type":"transaction","entry":[{",".join(entries)}]}}'.encode()


def _gets(label: str, paths: Sequence[str], expected: Expectation) -> Scenario:
    encoded = [quote(path, safe=f"{SAFE}?") for path in paths]

    async def get(client: Client) -> None:
        await client.ask(label, "GET", client.random.choice(encoded), expected)

    return get


def read(pools: Pools) -> Scenario:
    """Patients by their id."""
    return _gets("read Patient", [f"Patient/{one}" for one in pools.ids("Patient")], resource("Patient", 200))


def _update() -> Scenario:
    """Patients of the benchmark's own, each with another birth date each time; a client has its own, so none conflicts."""
    turns = count()

    async def update(client: Client) -> None:
        number = next(turns)
        resource_id = f"bench-{client.number}-{number % PATIENTS}"
        born = str(date(1930, 1, 1) + timedelta(days=number % 30000)).encode()
        content = body("Patient", {}).replace(b"1978-04-09", born)
        content = b'{"id":"%s",' % resource_id.encode() + content[1:]
        right = resource("Patient", 200, 201, has=born)
        await client.ask("update Patient", "PUT", f"Patient/{resource_id}", right, content)

    return update


def _patients(pools: Pools) -> list[str]:
    return pools.referenced("Observation", "subject", "Patient")


def _family_and_given(pools: Pools) -> list[str]:
    names = (name for one in pools.of("Patient") for name in one.get("name", ())[:1])
    return [f"Patient?family={n['family']}&given={n['given'][0]}" for n in names if n.get("family") and n.get("given")]


def _patient_code_date(pools: Pools) -> list[str]:
    found: list[str] = []
    for one in pools.of("Observation"):
        code, day = one["code"].get("coding", [{}])[0].get("code"), one.get("effectiveDateTime", "")[:10]
        if code and day and "subject" in one:
            found.append(f"Observation?patient={one['subject']['reference']}&code={code}&date=le{day}")
    return found


def _practitioner_week(pools: Pools) -> list[str]:
    found: list[str] = []
    for one in pools.of("Appointment"):
        actors = [part.get("actor", {}).get("reference", "") for part in one.get("participant", ())]
        start = one.get("start", "")[:10]
        those = [actor for actor in actors if actor.startswith("Practitioner/")]
        if those and start:
            end = date.fromisoformat(start) + timedelta(days=7)
            found.append(f"Appointment?practitioner={those[0]}&date=ge{start}&date=lt{end}")
    return found


def _included(pools: Pools) -> list[str]:
    patients = pools.referenced("Appointment", "participant", "Patient")
    return [f"Appointment?patient={one}&_include=Appointment:actor" for one in patients]
