"""The calendar of the demonstration hospital: nothing twice, nothing at lunch, nothing at weekends.

https://hl7.org/fhir/R4/slot.html
"""

from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from loaders.demonstration import generate
from loaders.demonstration.practitioner import staff
from loaders.demonstration.schedule import PER_DAY, Calendar, past_opening

TODAY = date(2026, 3, 18)


@cache
def hospital() -> tuple[dict[str, Any], ...]:
    return tuple(generate(300, 9, TODAY))


def slots() -> dict[str, dict[str, Any]]:
    return {f"Slot/{each['id']}": each for each in hospital() if each["resourceType"] == "Slot"}


def appointments() -> list[dict[str, Any]]:
    return [each for each in hospital() if each["resourceType"] == "Appointment"]


def start(resource: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(resource["start"])


def end(resource: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(resource["end"])


def test_slots_of_a_schedule_do_not_overlap():
    schedules = defaultdict(list)
    for slot in slots().values():
        schedules[slot["schedule"]["reference"]].append((start(slot), end(slot)))
    assert schedules
    for times in schedules.values():
        times.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(times))


def test_slots_lie_in_the_coming_four_weeks_on_weekdays_outside_lunch():
    for slot in slots().values():
        assert TODAY < start(slot).date() <= TODAY + timedelta(weeks=4)
        assert start(slot).weekday() < 5
        assert end(slot) - start(slot) == timedelta(minutes=30)
        assert start(slot).hour in (9, 10, 11, 13, 14, 15, 16)


def test_slots_lie_within_the_hours_of_the_role():
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    days = {
        each["id"].removeprefix("role-"): set(each["availableTime"][0]["daysOfWeek"])
        for each in hospital()
        if each["resourceType"] == "PractitionerRole" and "availableTime" in each
    }
    for slot in slots().values():
        clinician = slot["schedule"]["reference"].removeprefix("Schedule/schedule-")
        assert names[start(slot).weekday()] in days[clinician]


@pytest.mark.parametrize(("status", "slot_status"), [("booked", "busy"), ("pending", "busy-tentative")])
def test_an_appointment_to_come_has_a_slot_of_its_own(status, slot_status):
    coming = [each for each in appointments() if each["status"] == status]
    every = slots()
    taken = [each["slot"][0]["reference"] for each in coming]
    assert taken
    assert len(taken) == len(set(taken))
    assert set(taken) == {name for name, slot in every.items() if slot["status"] == slot_status}
    for appointment in coming:
        slot = every[appointment["slot"][0]["reference"]]
        assert (slot["start"], slot["end"]) == (appointment["start"], appointment["end"])
        practitioner = appointment["participant"][1]["actor"]["reference"].removeprefix("Practitioner/practitioner-")
        assert slot["schedule"]["reference"] == f"Schedule/schedule-{practitioner}"


def test_every_schedule_has_free_slots_and_an_afternoon_away():
    states = defaultdict(set)
    for slot in slots().values():
        states[slot["schedule"]["reference"]].add(slot["status"])
    assert all({"free", "busy-unavailable"} <= found for found in states.values())


def test_every_state_of_an_appointment_is_there():
    assert {each["status"] for each in appointments()} == {
        "booked", "pending", "proposed", "fulfilled", "noshow", "cancelled",
    }  # fmt: skip


def test_only_a_proposal_has_no_times_and_only_a_cancellation_has_a_reason():
    for each in appointments():
        assert ("start" in each) == ("end" in each) == (each["status"] != "proposed")
        assert ("requestedPeriod" in each) == (each["status"] == "proposed")
        assert ("cancelationReason" in each) == (each["status"] == "cancelled")
        if each["status"] in ("booked", "pending"):
            assert start(each).date() > TODAY
        elif "start" in each:
            assert start(each).date() < TODAY


def test_nobody_books_two_appointments_at_one_time():
    times = [(each["participant"][0]["actor"]["reference"], each["start"]) for each in appointments() if "slot" in each]
    assert len(times) == len(set(times))


def test_a_full_calendar_says_so():
    clinician = staff(1, 1, TODAY).consulting()[0]
    calendar, random = Calendar([clinician], TODAY, Random(1)), Random(2)
    free = sum(slot["status"] == "free" for slot in calendar.remaining())
    taken = [calendar.take(clinician, random, ()) for _ in range(free)]
    assert len({opening.start for opening in taken if opening}) == free
    assert calendar.take(clinician, random, ()) is None


@pytest.mark.parametrize("panel", [1, 60, 546, 5000])
@pytest.mark.parametrize("number", [0, 6])
def test_no_two_patients_of_a_clinician_had_the_same_opening(panel, number):
    clinician = staff(1, 1, TODAY).consulting()[number]
    openings = [past_opening(clinician, panel, place, quarter, TODAY) for place in range(panel) for quarter in range(3)]
    assert len({opening.start for opening in openings}) == 3 * panel
    assert all(opening.start.date() < TODAY for opening in openings)
    assert all(opening.start.weekday() in clinician.weekdays for opening in openings)


def test_quarters_follow_each_other_backwards():
    clinician = staff(1, 1, TODAY).consulting()[0]
    for place in range(40):
        starts = [past_opening(clinician, 40, place, quarter, TODAY).start for quarter in range(12)]
        assert starts == sorted(starts, reverse=True)


def test_a_day_has_seven_hours_of_slots():
    assert PER_DAY == 14
