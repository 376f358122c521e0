"""The hospital's calendar: Schedules, the Slots of the coming four weeks, and when past visits took place.

https://hl7.org/fhir/R4/schedule.html and https://hl7.org/fhir/R4/slot.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import gcd
from random import Random

from loaders.demonstration.datatypes import HL7, SNOMED, Code, Resource, at, concept, identifier, period
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.healthcare_service import service_id, service_type
from loaders.demonstration.practitioner import Clinician

WEEKS = 4
LENGTH = timedelta(minutes=30)
# Nine to twelve and one to five; lunch is the hour that has no slots.
STARTS: tuple[tuple[int, int], ...] = tuple(
    (hour, minute) for hour in (9, 10, 11, 13, 14, 15, 16) for minute in (0, 30)
)
PER_DAY = len(STARTS)
AFTERNOON = STARTS.index((13, 0))
QUARTER_WEEKS = 13
ROUTINE: Code = ("ROUTINE", "Routine appointment - default if not valued")


@dataclass(frozen=True, slots=True)
class Opening:
    """A place in a clinician's calendar that can be booked."""

    clinician: Clinician
    start: datetime

    @property
    def end(self) -> datetime:
        return self.start + LENGTH

    @property
    def slot(self) -> str:
        return f"Slot/slot-{self.clinician.slug}-{self.start:%Y%m%d-%H%M}"


class Calendar:
    """Which openings of the coming weeks are taken; it holds one number per taken opening and nothing of the rest."""

    def __init__(self, clinicians: Iterable[Clinician], today: date, random: Random) -> None:
        self._days = {clinician.slug: _coming_days(clinician, today) for clinician in clinicians}
        self._taken: dict[str, set[int]] = {slug: set() for slug in self._days}
        self._clinicians = tuple(clinicians)
        self._away: dict[str, int] = {slug: random.randrange(len(days)) for slug, days in self._days.items()}
        for slug, day in self._away.items():
            self._taken[slug].update(range(day * PER_DAY + AFTERNOON, (day + 1) * PER_DAY))

    def take(self, clinician: Clinician, random: Random, others: Iterable[datetime]) -> Opening | None:
        """A free opening of this clinician, none of `others` in time, now taken; None where nothing is left."""
        taken, size = self._taken[clinician.slug], len(self._days[clinician.slug]) * PER_DAY
        start = random.randrange(size)
        avoided = set(others)
        for step in range(size):
            number = (start + step) % size
            if number not in taken:
                opening = self._opening(clinician, number)
                if opening.start not in avoided:
                    taken.add(number)
                    return opening
        return None

    def remaining(self) -> Iterator[Resource]:
        """The Slots that nobody took: free, or `busy-unavailable` where the clinician is away for an afternoon."""
        for clinician in self._clinicians:
            slug = clinician.slug
            away = range(self._away[slug] * PER_DAY + AFTERNOON, (self._away[slug] + 1) * PER_DAY)
            for number in range(len(self._days[slug]) * PER_DAY):
                if number in away:
                    yield slot(self._opening(clinician, number), "busy-unavailable")
                elif number not in self._taken[slug]:
                    yield slot(self._opening(clinician, number), "free")

    def _opening(self, clinician: Clinician, number: int) -> Opening:
        day, place = divmod(number, PER_DAY)
        return Opening(clinician, at(self._days[clinician.slug][day], *STARTS[place]))


def _coming_days(clinician: Clinician, today: date) -> list[date]:
    days = (today + timedelta(days=ahead) for ahead in range(1, WEEKS * 7 + 1))
    return [day for day in days if day.weekday() in clinician.weekdays]


def past_opening(clinician: Clinician, panel: int, place: int, quarter: int, today: date) -> Opening:
    """Where the visit of the patient at `place` of a panel of `panel` patients lies, `quarter` quarters back.

    No two patients of a clinician ever get the same opening: within a quarter, places go to openings one to one.
    """
    week = len(clinician.weekdays) * PER_DAY
    span = max(QUARTER_WEEKS * week, panel)
    stride = _stride(span)
    # A few openings' shift from quarter to quarter, so that nobody comes at the same hour for years.
    number = quarter * span + (place * stride + quarter * 5) % span
    weeks, rest = divmod(number, week)
    day, start = divmod(rest, PER_DAY)
    return Opening(clinician, at(_worked_before(clinician, today - timedelta(weeks=weeks), day), *STARTS[start]))


def _worked_before(clinician: Clinician, end: date, day: int) -> date:
    """The clinician's working days of the week before `end`, counted backwards from 0."""
    days = (end - timedelta(days=back) for back in range(1, 8))
    return [each for each in days if each.weekday() in clinician.weekdays][day]


def _stride(span: int) -> int:
    """A step near the golden section of the span that visits every opening before it comes back to one."""
    stride = max(1, int(span * 0.618))
    while gcd(stride, span) != 1:
        stride += 1
    return stride


def schedules(clinicians: Iterable[Clinician], today: date) -> Iterator[Resource]:
    """One active Schedule for each clinician with consulting hours."""
    for clinician in clinicians:
        resource: Resource = {
            "resourceType": "Schedule",
            "id": clinician.schedule.removeprefix("Schedule/"),
            "identifier": [identifier("schedule", clinician.slug)],
            "active": True,
            "specialty": [concept(SNOMED, clinician.department.specialty)],
            "actor": [
                refer(clinician.practitioner, clinician.display),
                refer(clinician.role),
                refer(clinician.location),
                refer(f"HealthcareService/{service_id(clinician.department)}", clinician.department.name),
            ],
            "planningHorizon": period(at(today + timedelta(days=1), 0), at(today + timedelta(days=WEEKS * 7 + 1), 0)),
            "comment": f"Consulting hours of {clinician.display}, 30 minutes each",
        }
        kind = service_type(clinician.department)
        if kind is not None:
            resource["serviceType"] = [kind]
        yield resource


def slot(opening: Opening, status: str) -> Resource:
    """The Slot of an opening: free, busy, busy-tentative or busy-unavailable."""
    department = opening.clinician.department
    resource: Resource = {
        "resourceType": "Slot",
        "id": opening.slot.removeprefix("Slot/"),
        "specialty": [concept(SNOMED, department.specialty)],
        "appointmentType": concept(f"{HL7}v2-0276", ROUTINE),
        "schedule": refer(opening.clinician.schedule),
        "status": status,
        "start": opening.start.isoformat(),
        "end": opening.end.isoformat(),
    }
    kind = service_type(department)
    if kind is not None:
        resource["serviceType"] = [kind]
    return resource
