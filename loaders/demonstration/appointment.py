"""Appointments: kept, missed and called off in the past; booked, asked for and proposed in the weeks to come.

https://hl7.org/fhir/R4/appointment.html
"""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from random import Random

from loaders.demonstration.condition import Disease
from loaders.demonstration.datatypes import HL7, HOSPITAL_ZONE, SNOMED, Code, Element, Resource, at, concept, period
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.encounter import Visit, kind
from loaders.demonstration.healthcare_service import service_type
from loaders.demonstration.patient import Person, assigned
from loaders.demonstration.practitioner import Clinician, Staff
from loaders.demonstration.schedule import LENGTH, Calendar, Opening, slot

CHECKUP: Code = ("CHECKUP", "A routine check-up, such as an annual physical")
FOLLOWUP: Code = ("FOLLOWUP", "A follow up visit from a previous appointment")
ROUTINE: Code = ("ROUTINE", "Routine appointment - default if not valued")
ATTENDER: Code = ("ATND", "attender")
REASONS: tuple[Code, ...] = (
    ("pat-fb", "Patient: Feeling Better"),
    ("pat-lt", "Patient: Lack of Transportation"),
    ("pat-cpp", "Patient: Canceled via Patient Portal"),
    ("prov-edu", "Provider: Edu/Meeting"),
    ("oth-weath", "Other: Weather"),
)


def kept(visit: Visit, person: Person) -> Resource:
    """The fulfilled Appointment of a visit; it lasted as long as it was planned for, not as the visit did."""
    start = visit.start.replace(minute=visit.start.minute // 30 * 30)
    resource = _appointment(f"appointment-{visit.key(person)}", "fulfilled", person, visit.clinician)
    resource["appointmentType"] = concept(f"{HL7}v2-0276", FOLLOWUP if visit.followed else CHECKUP)
    resource["reasonCode"] = [concept(SNOMED, kind(visit, person))]
    _schedule(resource, start, person, 3 + person.index % 18)
    resource["participant"] = _participants(person, visit.clinician, "accepted", "accepted")
    return resource


def missed(person: Person, openings: tuple[Opening, ...], random: Random) -> Iterator[Resource]:
    """Appointments of the past at which nothing happened: no-shows and cancellations with their reason."""
    for number, opening in enumerate(openings):
        status = random.choice(("noshow", "cancelled"))
        resource = _appointment(f"appointment-{person.number}-missed-{number + 1}", status, person, opening.clinician)
        if status == "cancelled":
            resource["cancelationReason"] = concept(f"{HL7}appointment-cancellation-reason", random.choice(REASONS))
        resource["appointmentType"] = concept(f"{HL7}v2-0276", ROUTINE)
        _schedule(resource, opening.start, person, random.randint(2, 20))
        patient = "declined" if status == "cancelled" else "accepted"
        resource["participant"] = _participants(person, opening.clinician, patient, "accepted")
        yield resource


def coming(
    person: Person, diseases: tuple[Disease, ...], staff: Staff, calendar: Calendar, patients: int, random: Random
) -> Iterator[Resource]:
    """The Slots a person's next appointments take, each before its Appointment, and proposals without a Slot."""
    if person.death:
        return
    clinicians = [person.doctor] if random.random() < 0.45 else []
    specialties = dict.fromkeys(disease.specialty for disease in diseases if disease.specialty)
    clinicians += [
        assigned(staff.doctors[specialty], person.index, patients)[0]
        for specialty in specialties
        if random.random() < 0.35
    ]
    starts: list[datetime] = []
    for number, clinician in enumerate(clinicians):
        key = f"appointment-{person.number}-next-{number + 1}"
        status = random.choices(("booked", "pending", "proposed"), (75, 15, 10))[0]
        if status == "proposed":
            yield _proposed(key, person, clinician, random)
            continue
        opening = calendar.take(clinician, random, starts)
        if opening is not None:
            starts.append(opening.start)
            yield slot(opening, "busy" if status == "booked" else "busy-tentative")
            yield _next(key, status, person, opening, random)


def _next(key: str, status: str, person: Person, opening: Opening, random: Random) -> Resource:
    resource = _appointment(key, status, person, opening.clinician)
    general = opening.clinician is person.doctor
    resource["appointmentType"] = concept(f"{HL7}v2-0276", CHECKUP if general else FOLLOWUP)
    created = at(person.last_day - timedelta(days=random.randint(0, 20)), random.randint(8, 18), 5)
    _schedule(resource, opening.start, person, 0)
    resource["slot"] = [refer(opening.slot)]
    resource["created"] = _not_before_birth(created, person)
    resource["patientInstruction"] = "Please bring your insurance card and a list of what you take."
    clinician = "accepted" if status == "booked" else "needs-action"
    resource["participant"] = _participants(person, opening.clinician, "accepted", clinician)
    return resource


def _proposed(key: str, person: Person, clinician: Clinician, random: Random) -> Resource:
    """A wish for an appointment some time in the coming month."""
    resource = _appointment(key, "proposed", person, clinician)
    first = person.today + timedelta(days=random.randint(2, 10))
    resource["created"] = _not_before_birth(at(person.last_day, 12), person)
    resource["minutesDuration"] = LENGTH // timedelta(minutes=1)
    resource["requestedPeriod"] = [period(first, first + timedelta(days=14))]
    resource["participant"] = _participants(person, clinician, "accepted", "needs-action")
    return resource


def _appointment(key: str, status: str, person: Person, clinician: Clinician) -> Resource:
    department = clinician.department
    resource: Resource = {
        "resourceType": "Appointment",
        "id": key,
        "status": status,
        "serviceCategory": [concept(f"{HL7}service-category", department.category)],
        "specialty": [concept(SNOMED, department.specialty)],
        "description": f"{department.name}: {person.name.latin}",
    }
    kind_of_service = service_type(department)
    if kind_of_service is not None:
        resource["serviceType"] = [kind_of_service]
    return resource


def _schedule(resource: Resource, start: datetime, person: Person, days_before: int) -> None:
    resource["start"] = start.isoformat()
    resource["end"] = (start + LENGTH).isoformat()
    resource["minutesDuration"] = LENGTH // timedelta(minutes=1)
    resource["created"] = _not_before_birth(start - timedelta(days=days_before), person)


def _not_before_birth(moment: datetime, person: Person) -> str:
    born = datetime.combine(person.birth, time(12), HOSPITAL_ZONE)
    return max(moment, born).isoformat()


def _participants(person: Person, clinician: Clinician, patient: str, practitioner: str) -> list[Element]:
    attends = [concept(f"{HL7}v3-ParticipationType", ATTENDER)]
    return [
        {"actor": refer(person.patient, person.name.text), "required": "required", "status": patient},
        {
            "type": attends,
            "actor": refer(clinician.practitioner, clinician.display),
            "required": "required",
            "status": practitioner,
        },
        {"actor": refer(clinician.location), "required": "information-only", "status": "accepted"},
    ]
