"""What lies behind a person: at which visits which disease was found and looked after, and which visits fell through.

https://hl7.org/fhir/R4/encounter.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from loaders.demonstration.condition import AMBULATORY, EMERGENCY, Course, Disease
from loaders.demonstration.datatypes import Code, age_on, at, years_after
from loaders.demonstration.encounter import Visit
from loaders.demonstration.location import bedroom
from loaders.demonstration.organization import BY_SLUG
from loaders.demonstration.patient import Person, assigned
from loaders.demonstration.practitioner import Clinician, Staff
from loaders.demonstration.schedule import Opening, past_opening

QUARTERS = 12
APART = timedelta(days=3)
RECOVERY = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Stop:
    """A visit before it is known which of all it is."""

    setting: Code
    start: datetime
    end: datetime | None
    clinician: Clinician
    location: str
    diagnosed: tuple[Disease, ...] = ()
    about: Disease | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A person's visits in the order of time, and the openings that they booked and did not use."""

    visits: tuple[Visit, ...]
    missed: tuple[Opening, ...]

    @property
    def courses(self) -> tuple[Course, ...]:
        return tuple(course for visit in self.visits for course in visit.diagnosed)


def history(person: Person, diseases: tuple[Disease, ...], staff: Staff, patients: int, random: Random) -> History:
    """The last three years of a person with those diseases, or as much of them as they lived."""
    openings = _openings(person)
    outpatient = [disease for disease in diseases if disease.setting is AMBULATORY]
    wanted = random.randint(1, 3) + sum(2 if disease.chronic else 1 for disease in outpatient)
    kept = sorted(random.sample(range(len(openings)), min(wanted, len(openings), 8)))
    unused = [opening for number, opening in enumerate(openings) if number not in kept]
    found = _findings(person, [openings[number] for number in kept], outpatient, random)
    stops = [_consultation(openings[number], found.get(place, ()), random) for place, number in enumerate(kept)]
    for disease in diseases:
        stops.extend(_hospital_stay(person, disease, staff, stops, random))
    stops.extend(_referrals(person, staff, patients, stops, random))
    return History(
        _visits(person, stops, random), tuple(random.sample(unused, min(len(unused), random.choice((0, 0, 1, 2)))))
    )


def _openings(person: Person) -> list[Opening]:
    """The person's place in their doctor's calendar in each past quarter of their life, oldest first."""
    openings = [
        past_opening(person.doctor, person.panel, person.place, quarter, person.today) for quarter in range(QUARTERS)
    ]
    first = person.birth + timedelta(days=7)
    return [opening for opening in reversed(openings) if first <= opening.start.date() <= person.last_day]


def _findings(
    person: Person, openings: list[Opening], diseases: Iterable[Disease], random: Random
) -> dict[int, tuple[Disease, ...]]:
    """Which disease is found at which of the openings: lasting ones in the first half, others at any."""
    found: dict[int, tuple[Disease, ...]] = {}
    for disease in diseases:
        places = [
            place
            for place, opening in enumerate(openings)
            if age_on(person.birth, opening.start.date()) >= disease.ages[0] and _within(person, disease, opening)
        ]
        if places:
            half = places[: len(places) // 2 + 1] if disease.chronic else places
            place = random.choice(half)
            found[place] = (*found.get(place, ()), disease)
    return found


def _within(person: Person, disease: Disease, opening: Opening) -> bool:
    return disease.within is None or opening.start.date() > person.today - timedelta(days=disease.within - 40)


def _consultation(opening: Opening, diagnosed: tuple[Disease, ...], random: Random) -> Stop:
    start = opening.start + timedelta(minutes=random.randint(0, 4))
    end = start + timedelta(minutes=random.randint(14, 25))
    return Stop(AMBULATORY, start, end, opening.clinician, opening.clinician.location, diagnosed)


def _hospital_stay(person: Person, disease: Disease, staff: Staff, stops: list[Stop], random: Random) -> Iterator[Stop]:
    """The stay that a disease asks for, apart from everything else; one in four of the long ones is not over yet."""
    if disease.setting is AMBULATORY:
        return
    present = disease.stay > 3 and not person.death and random.random() < 0.25
    for _ in range(6):
        back = random.randint(0, 1) if present else random.randint(disease.stay + 1, 700)
        start = at(person.last_day - timedelta(days=back), random.randint(8, 20), random.randint(0, 59))
        apart = all(abs(stop.start - start) > RECOVERY for stop in stops)
        if apart and age_on(person.birth, start.date()) >= disease.ages[0]:
            doctors = staff.doctors[disease.ward]
            doctor = doctors[random.randrange(len(doctors))]
            yield _stay(disease, start, doctor, present, random)
            return


def _stay(disease: Disease, start: datetime, doctor: Clinician, present: bool, random: Random) -> Stop:
    room = f"Location/{bedroom(BY_SLUG[disease.ward], random.randrange(4))}"
    end = start + (timedelta(days=disease.stay) if disease.stay else timedelta(hours=3, minutes=random.randint(0, 50)))
    if disease.stay:
        end = at(end.date(), 11, random.randint(0, 59))
    return Stop(disease.setting, start, None if present else end, doctor, room, (disease,))


def _referrals(person: Person, staff: Staff, patients: int, stops: list[Stop], random: Random) -> Iterator[Stop]:
    """Visits to specialists, after the disease was found and at least some days from any other visit."""
    seen: set[str] = set()
    for stop in list(stops):
        for disease in stop.diagnosed:
            specialty = disease.specialty
            if specialty is None or specialty in seen or random.random() > 0.4:
                continue
            seen.add(specialty)
            clinician, place, panel = assigned(staff.doctors[specialty], person.index, patients)
            opening = past_opening(clinician, panel, place, random.randint(0, 3), person.today)
            if opening.start - stop.start < RECOVERY or opening.start.date() > person.last_day:
                continue
            visit = _consultation(opening, (), random)
            if all(_apart(visit, other) for other in stops):
                yield Stop(AMBULATORY, visit.start, visit.end, clinician, clinician.location, about=disease)


def _apart(one: Stop, other: Stop) -> bool:
    """Whether there are some days between two visits; a stay on the ward that is not over is near to every later one."""
    if other.end is None:
        return one.start < other.start - APART
    return one.start > other.end + APART or (one.end or one.start) < other.start - APART


def _visits(person: Person, stops: list[Stop], random: Random) -> tuple[Visit, ...]:
    ordered = sorted(stops, key=lambda stop: stop.start)
    first = next((n for n, stop in enumerate(ordered) if any(d.chronic for d in stop.diagnosed)), 0)
    known: tuple[Disease, ...] = ()
    visits = []
    for number, stop in enumerate(ordered):
        followed = (stop.about,) if stop.about else known if stop.setting is AMBULATORY else ()
        courses = tuple(_course(person, disease, stop, number + 1, random) for disease in stop.diagnosed)
        progress = max(0.0, (number - first) / max(1, len(ordered) - 1 - first))
        visits.append(
            Visit(
                number + 1,
                stop.setting,
                stop.start,
                stop.end,
                stop.clinician,
                stop.location,
                courses,
                followed,
                progress,
            )
        )
        known = (*known, *(disease for disease in stop.diagnosed if disease.chronic))
    return tuple(visits)


def _course(person: Person, disease: Disease, stop: Stop, number: int, random: Random) -> Course:
    day = stop.start.date()
    abatement = None
    if disease.days is None:
        earliest = max(years_after(person.birth, disease.ages[0]), day - timedelta(days=400))
        if disease.within is not None:
            earliest = max(earliest, day - timedelta(days=40))
        onset = earliest + (day - earliest) * random.random()
    else:
        onset = _before(person, day, 0 if stop.setting is EMERGENCY else random.randint(1, 4))
        over = onset + timedelta(days=disease.days)
        abatement = over if over <= person.last_day and stop.end else None
    key = f"condition-{person.number}-{number}-{disease.slug}"
    return Course(key, disease, onset, stop.start, stop.clinician, abatement)


def _before(person: Person, day: date, days: int) -> date:
    return max(person.birth, day - timedelta(days=days))
