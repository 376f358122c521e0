"""The whole demonstration hospital, of any size, from a seed.

https://hl7.org/fhir/R4/resourcelist.html
"""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from random import Random

from loaders.demonstration.datatypes import FICTION, HOSPITAL_ZONE, Resource
from loaders.demonstration.healthcare_service import healthcare_services
from loaders.demonstration.location import locations
from loaders.demonstration.medication import medications
from loaders.demonstration.organization import organizations
from loaders.demonstration.patient import person
from loaders.demonstration.practitioner import practitioners, staff
from loaders.demonstration.record import record
from loaders.demonstration.schedule import Calendar, schedules

BASE = f"{FICTION}fhir"
ENTRIES = 500


def generate(patients: int = 60, seed: int = 7, today: date | None = None) -> Iterator[Resource]:
    """Every resource of a hospital with so many patients, each after all those that it refers to.

    The same number of patients, seed and day give the same resources with the same ids. `today` is the day in the
    hospital's time zone unless given: visits lie before it, open Slots in the four weeks after it. Nothing is held
    in memory but the staff and which of the coming openings are taken.
    """
    if patients < 0:
        raise ValueError(f"a hospital cannot have {patients} patients")
    day = today or datetime.now(HOSPITAL_ZONE).date()
    people = staff(seed, patients, day)
    calendar = Calendar(people.consulting(), day, Random(f"{seed}/calendar"))
    yield from organizations()
    yield from locations()
    yield from healthcare_services()
    yield from medications()
    yield from practitioners(people, day)
    yield from schedules(people.consulting(), day)
    for index in range(patients):
        random = Random(f"{seed}/patient/{index}")
        yield from record(person(random, index, people, patients, day), people, calendar, patients, random)
    yield from calendar.remaining()


def bundles(patients: int = 60, seed: int = 7, today: date | None = None, entries: int = ENTRIES) -> Iterator[Resource]:
    """The same resources in transaction Bundles of at most so many entries, each a PUT to its id.

    POSTed in order, every reference has its target before it or in the same Bundle; POSTed again, nothing changes.
    """
    resources = generate(patients, seed, today)
    while batch := list(islice(resources, entries)):
        yield {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": f"{BASE}/{resource['resourceType']}/{resource['id']}",
                    "resource": resource,
                    "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
                }
                for resource in batch
            ],
        }
