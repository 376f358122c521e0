"""The hospital's mix has the parts it is said to have, and its users never ask for what has to fail."""

import asyncio
import json
from random import Random

import pytest

from bench.client import Answer
from bench.hospital import (
    MIX,
    Booking,
    Hospital,
    NoHospital,
    appointment,
    book,
    cancel,
    encounter,
    hospital,
    medication_request,
    observation,
    scenario,
    service_request,
)
from bench.load import Client
from bench.pools import Pools
from fhir_server.json import parse_json
from fhir_server.validation import base_issues

SLOT = {
    "resourceType": "Slot",
    "id": "s1",
    "meta": {"versionId": "4"},
    "schedule": {"reference": "Schedule/1"},
    "status": "free",
    "start": "2026-02-01T09:00:00+03:00",
    "end": "2026-02-01T09:30:00+03:00",
}
RESOURCES = [
    appointment(SLOT, "Patient/1", "2"),
    medication_request("Patient/1", "Practitioner/2"),
    service_request("Patient/1", "Practitioner/2"),
    observation("Patient/1", "Practitioner/2", "8867-4", "Heart rate", 128, "/min"),
    encounter("Patient/1", "Practitioner/2"),
]


class Asked(Client):
    """A client whose requests are kept and answered by a server that has version 5 of everything."""

    def __init__(self) -> None:
        self.random = Random(1)
        self.requests: list[tuple[str, str, bytes]] = []

    async def ask(self, _label, method, path, _expected, body=b"", _units=1):
        self.requests.append((method, path, body))
        entry = {"response": {"status": "201", "etag": 'W/"5"', "location": "Appointment/a1/_history/1"}}
        return Answer(
            200, b"", json.dumps({"resourceType": "Bundle", "entry": [entry] * body.count(b'"method"')}).encode()
        )


def a_hospital(*free: Booking) -> Hospital:
    known = Hospital(["p1"], ["d1"], ["l1"], ["sys|1"], ["Adams"], ["Schedule/1"])
    known.free.extend(free)
    return known


def test_sixty_read_thirty_book_and_order_ten_are_in_an_emergency():
    emergencies = sum(weight for action, weight in MIX[-4:])
    booking = sum(weight for action, weight in MIX[-9:-4])
    assert (sum(weight for _, weight in MIX[:-9]), booking, emergencies) == (60, 30, 10)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource["resourceType"])
def test_what_is_written_is_valid(resource):
    found = parse_json(json.dumps(resource).encode())
    assert not [issue for issue in base_issues(found) if issue.severity in ("error", "fatal")]


def test_a_place_is_booked_under_the_version_that_is_known_and_given_back_under_the_next():
    known, client = a_hospital(Booking(SLOT, 'W/"4"')), Asked()
    asyncio.run(book(known, client))
    assert not known.free
    asyncio.run(cancel(known, client))
    assert not known.taken
    first, second = (json.loads(body)["entry"] for _, _, body in client.requests)
    assert first[0]["request"]["ifMatch"] == 'W/"4"'
    assert (first[0]["resource"]["status"], first[1]["resource"]["status"]) == ("busy", "booked")
    assert second[0]["request"]["ifMatch"] == 'W/"5"'
    assert (second[0]["resource"]["status"], second[1]["resource"]["status"]) == ("free", "cancelled")
    assert second[1]["request"]["url"] == "Appointment/a1"


def test_a_full_calendar_books_nothing_and_asks_for_something_else():
    client = Asked()
    asyncio.run(book(a_hospital(), client))
    assert [path for _, path, _ in client.requests] == ["MedicationRequest"]


def test_every_action_asks_once():
    known, client = a_hospital(*(Booking({**SLOT, "id": f"s{n}"}, 'W/"1"') for n in range(50))), Asked()
    one = scenario(known)

    async def many() -> None:
        for _ in range(400):
            await one(client)

    asyncio.run(many())
    assert len(client.requests) == 400
    assert len(known.free) + len(known.taken) == 50


def test_a_server_without_slots_is_no_hospital():
    with pytest.raises(NoHospital):
        hospital(Pools({"Patient": [{"id": "1"}], "Practitioner": [{"id": "2"}]}))


def test_the_hospital_is_what_the_server_lists():
    pools = Pools(
        {
            "Slot": [SLOT, {**SLOT, "status": "busy"}],
            "Patient": [{"id": "p", "identifier": [{"system": "s", "value": "v"}], "name": [{"family": "Oz"}]}],
            "Practitioner": [{"id": "d"}],
        }
    )
    known = hospital(pools)
    assert [(booking.slot["id"], booking.etag) for booking in known.free] == [("s1", 'W/"4"')]
    assert (known.identifiers, known.families, known.schedules) == (["s|v"], ["Oz"], ["Schedule/1"])
