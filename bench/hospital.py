"""A day at the hospital: 60 % of the requests read, 30 % book and order, 10 % are emergency reads and writes.

https://hl7.org/fhir/R4/workflow.html; users ask without pausing unless told to, which is harder than a real day.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from bench.client import Answer
from bench.expectation import resource, searchset, transaction_response
from bench.load import Client, Scenario
from bench.pools import Pools
from bench.shapes import SAFE

LOINC = "http://loinc.org"
FINISHED = "2026-01-15T10:00:00+03:00"

_encode = msgspec.json.encode


class NoHospital(Exception):
    """The server lacks what a hospital works with."""


@dataclass(slots=True)
class Booking:
    """A place in a Schedule: its Slot as it stands, and the Appointment that takes it, if any."""

    slot: dict[str, Any]
    etag: str
    appointment: dict[str, Any] | None = None


@dataclass(slots=True)
class Hospital:
    """What the users know. Nobody takes a place that another has in hand, so every booking has to succeed."""

    patients: Sequence[str]
    practitioners: Sequence[str]
    locations: Sequence[str]
    identifiers: Sequence[str]
    families: Sequence[str]
    schedules: Sequence[str]
    free: deque[Booking] = field(default_factory=deque)
    taken: deque[Booking] = field(default_factory=deque)


def hospital(pools: Pools) -> Hospital:
    """The hospital that the server holds; raises NoHospital where it has no Slots or no patients."""
    slots = [one for one in pools.of("Slot") if one.get("status") == "free"]
    patients, practitioners = pools.ids("Patient"), pools.ids("Practitioner")
    if not (slots and patients and practitioners):
        raise NoHospital("there are no free Slots, Patients or Practitioners")
    identifiers = [
        f"{given['system']}|{given['value']}"
        for one in pools.of("Patient")
        for given in one.get("identifier", ())[:1]
        if given.keys() >= {"system", "value"}
    ]
    return Hospital(
        patients=patients,
        practitioners=practitioners,
        locations=pools.ids("Location"),
        identifiers=identifiers,
        families=[name for name in pools.families() if name.isascii() and name.isalpha()],
        schedules=list({one["schedule"]["reference"] for one in slots}),
        free=deque(Booking(one, f'W/"{one["meta"]["versionId"]}"') for one in slots),
    )


Action = Callable[[Hospital, Client], Awaitable[None]]


async def read_patient(hospital: Hospital, client: Client) -> None:
    patient = client.random.choice(hospital.patients)
    await client.ask("read: patient", "GET", f"Patient/{patient}", resource("Patient", 200))


def _of_patient(label: str, path: str) -> Action:
    """A search for something of one patient, whose id takes the place of `{}`."""

    async def ask(hospital: Hospital, client: Client) -> None:
        await client.ask(label, "GET", path.replace("{}", client.random.choice(hospital.patients)), searchset)

    return ask


async def search_slots(hospital: Hospital, client: Client) -> None:
    schedule = client.random.choice(hospital.schedules)
    await client.ask(
        "read: free slots", "GET", f"Slot?schedule={schedule}&status=free&_sort=start&_count=10", searchset
    )


async def search_agenda(hospital: Hospital, client: Client) -> None:
    doctor = client.random.choice(hospital.practitioners)
    await client.ask(
        "read: agenda", "GET", f"Appointment?practitioner=Practitioner/{doctor}&_sort=date&_count=20", searchset
    )


async def book(hospital: Hospital, client: Client) -> None:
    """Takes a free Slot and books an Appointment in one transaction; a place is given back where there is no free one."""
    if not hospital.free:
        await cancel(hospital, client)
        return
    booking = hospital.free.popleft()
    patient = f"Patient/{client.random.choice(hospital.patients)}"
    slot = {**booking.slot, "status": "busy"}
    entries = [
        _put(slot, booking.etag),
        _post(appointment(slot, patient, client.random.choice(hospital.practitioners))),
    ]
    answer = await client.ask("book: slot", "POST", "", transaction_response(2), _transaction(entries), 1)
    if answer is None:
        return
    first, second = (entry["response"] for entry in answer.json()["entry"])
    booking.slot, booking.etag = slot, first["etag"]
    booking.appointment = {**entries[1]["resource"], "id": _id(second["location"])}
    hospital.taken.append(booking)


async def cancel(hospital: Hospital, client: Client) -> None:
    """Cancels an Appointment and frees its Slot in one transaction."""
    if not hospital.taken:
        await order_medication(hospital, client)
        return
    booking = hospital.taken.popleft()
    assert booking.appointment is not None
    slot = {**booking.slot, "status": "free"}
    reason = {"text": "asked for by the patient"}
    called_off = {**booking.appointment, "status": "cancelled", "cancelationReason": reason}
    body = _transaction([_put(slot, booking.etag), _put(called_off)])
    answer = await client.ask("book: cancel", "POST", "", transaction_response(2), body, 1)
    if answer is not None:
        booking.slot, booking.etag, booking.appointment = slot, answer.json()["entry"][0]["response"]["etag"], None
        hospital.free.append(booking)


async def order_medication(hospital: Hospital, client: Client) -> None:
    await _create("order: medication", medication_request(*_pair(hospital, client)), client)


async def order_service(hospital: Hospital, client: Client) -> None:
    await _create("order: laboratory", service_request(*_pair(hospital, client)), client)


async def report_result(hospital: Hospital, client: Client) -> None:
    value = client.random.randint(60, 180)
    await _create("order: result", observation(*_pair(hospital, client), "2339-0", "Glucose", value, "mg/dL"), client)


async def find_by_identifier(hospital: Hospital, client: Client) -> None:
    path = f"Patient?identifier={quote(client.random.choice(hospital.identifiers), safe=SAFE)}"
    await client.ask("emergency: identify", "GET", path, searchset)


async def find_by_name(hospital: Hospital, client: Client) -> None:
    path = f"Patient?family={client.random.choice(hospital.families)}&_sort=-birthdate&_count=10"
    await client.ask("emergency: by name", "GET", path, searchset)


async def admit(hospital: Hospital, client: Client) -> None:
    """An emergency Encounter with the first vital signs, in one transaction."""
    patient, doctor = _pair(hospital, client)
    place = "urn:uuid:5b0a6c1e-0000-4000-8000-000000000911"
    entries = [{**_post(encounter(patient, doctor)), "fullUrl": place}]
    for code, name, value, unit in (("8867-4", "Heart rate", 128, "/min"), ("9279-1", "Respiratory rate", 26, "/min")):
        entries.append(
            _post({**observation(patient, doctor, code, name, value, unit), "encounter": {"reference": place}})
        )
    await client.ask("emergency: admit", "POST", "", transaction_response(3), _transaction(entries))


# Of a hundred requests: 60 reads, 30 bookings and orders, 10 in an emergency.
MIX: tuple[tuple[Action, int], ...] = (
    (read_patient, 15),
    (_of_patient("read: results", "Observation?patient=Patient/{}&_sort=-date&_count=10"), 12),
    (_of_patient("read: medication", "MedicationRequest?patient=Patient/{}&status=active"), 8),
    (_of_patient("read: problems", "Condition?patient=Patient/{}"), 6),
    (_of_patient("read: appointments", "Appointment?patient=Patient/{}&_include=Appointment:actor"), 6),
    (search_slots, 7),
    (search_agenda, 6),
    (book, 8),
    (cancel, 4),
    (order_medication, 6),
    (order_service, 6),
    (report_result, 6),
    (find_by_identifier, 2),
    (find_by_name, 2),
    (_of_patient("emergency: allergies", "AllergyIntolerance?patient=Patient/{}"), 2),
    (admit, 4),
)


def scenario(known: Hospital, pause: float = 0.0) -> Scenario:
    """One request of the mix, then a pause of so many seconds on average."""
    actions, weights = zip(*MIX, strict=True)

    async def one(client: Client) -> None:
        (action,) = client.random.choices(actions, weights)
        await action(known, client)
        if pause:
            await asyncio.sleep(client.random.expovariate(1 / pause))

    return one


def appointment(slot: dict[str, Any], patient: str, practitioner: str) -> dict[str, Any]:
    """A booked Appointment in the place of a Slot."""
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "start": slot["start"],
        "end": slot["end"],
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "participant": [
            {"actor": {"reference": patient}, "status": "accepted"},
            {"actor": {"reference": f"Practitioner/{practitioner}"}, "status": "accepted"},
        ],
    }


def medication_request(patient: str, practitioner: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "314076"}],
            "text": "lisinopril 10 MG Oral Tablet",
        },
        "subject": {"reference": patient},
        "authoredOn": FINISHED,
        "requester": {"reference": practitioner},
        "dosageInstruction": [{"text": "one tablet each morning"}],
    }


def service_request(patient: str, practitioner: str) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "code": {"coding": [{"system": LOINC, "code": "24323-8"}], "text": "Comprehensive metabolic panel"},
        "subject": {"reference": patient},
        "authoredOn": FINISHED,
        "requester": {"reference": practitioner},
    }


def observation(patient: str, practitioner: str, code: str, name: str, value: int, unit: str) -> dict[str, Any]:
    quantity = {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code, "display": name}], "text": name},
        "subject": {"reference": patient},
        "effectiveDateTime": FINISHED,
        "performer": [{"reference": practitioner}],
        "valueQuantity": quantity,
    }


def encounter(patient: str, practitioner: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
        "subject": {"reference": patient},
        "participant": [{"individual": {"reference": practitioner}}],
        "period": {"start": FINISHED},
    }


def _pair(hospital: Hospital, client: Client) -> tuple[str, str]:
    """References to a patient and a practitioner."""
    patient, practitioner = client.random.choice(hospital.patients), client.random.choice(hospital.practitioners)
    return f"Patient/{patient}", f"Practitioner/{practitioner}"


async def _create(label: str, content: dict[str, Any], client: Client) -> Answer | None:
    kind = content["resourceType"]
    return await client.ask(label, "POST", kind, resource(kind, 201, has=b'"id"'), _encode(content))


def _post(content: dict[str, Any]) -> dict[str, Any]:
    return {"resource": content, "request": {"method": "POST", "url": content["resourceType"]}}


def _put(content: dict[str, Any], etag: str = "") -> dict[str, Any]:
    condition = {"ifMatch": etag} if etag else {}
    url = f"{content['resourceType']}/{content['id']}"
    return {"resource": content, "request": {"method": "PUT", "url": url, **condition}}


def _transaction(entries: Sequence[dict[str, Any]]) -> bytes:
    return _encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _id(location: str) -> str:
    """`Appointment/123/_history/1`, also absolute -> `123`."""
    return location.partition("/_history/")[0].rpartition("/")[2]
