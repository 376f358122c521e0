"""Everything the hospital knows of one person, each resource after those that it refers to.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from loaders.demonstration.allergy_intolerance import PENICILLIN, allergies, allergy_intolerances
from loaders.demonstration.appointment import coming, kept, missed
from loaders.demonstration.care_plan import care
from loaders.demonstration.communication import follow_up
from loaders.demonstration.condition import AMBULATORY, Course, condition, diseases
from loaders.demonstration.coverage import coverage
from loaders.demonstration.datatypes import Resource
from loaders.demonstration.diagnostic_report import PANELS, laboratory
from loaders.demonstration.encounter import Visit, encounter
from loaders.demonstration.history import history
from loaders.demonstration.immunization import immunizations
from loaders.demonstration.medication import (
    INPATIENT,
    OUTPATIENT,
    Drug,
    Prescription,
    chosen,
    medication_dispense,
    medication_request,
)
from loaders.demonstration.observation import Body, Occasion, body, depression_score, smoking_status, vital_signs
from loaders.demonstration.patient import ADULT, Person, patient, related_persons
from loaders.demonstration.practitioner import Staff
from loaders.demonstration.procedure import procedure
from loaders.demonstration.schedule import Calendar

CHILD = 12
SAMPLE_AFTER = timedelta(minutes=12)
DISPENSED_AFTER = timedelta(hours=1)
SUPPLIES = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """What is needed to write about any of a person's visits."""

    person: Person
    body: Body
    staff: Staff
    penicillin_allergy: bool
    random: Random


def record(person: Person, staff: Staff, calendar: Calendar, patients: int, random: Random) -> Iterator[Resource]:
    """The Patient and everything about them; takes from the calendar what they book."""
    yield patient(person, random)
    yield from related_persons(person, random)
    yield coverage(person, random)
    had = allergies(person, random)
    yield from allergy_intolerances(person, had, random)
    ill = diseases(random, person.age, person.gender)
    past = history(person, ill, staff, patients, random)
    chart = Chart(person, body(random, person.gender, person.age), staff, PENICILLIN in had, random)
    for visit in past.visits:
        yield from _visit(chart, visit)
    yield from immunizations(person, random)
    yield from care(person, past.courses, staff)
    yield from missed(person, past.missed, random)
    found = tuple(course.disease for course in past.courses)
    for resource in coming(person, found, staff, calendar, patients, random):
        yield resource
        if resource["resourceType"] == "Appointment":
            yield from follow_up(resource, person)


def _visit(chart: Chart, visit: Visit) -> Iterator[Resource]:
    person, appointment = chart.person, None
    if visit.setting is AMBULATORY:
        planned = kept(visit, person)
        appointment = f"Appointment/{planned['id']}"
        yield planned
    yield encounter(visit, person, appointment)
    for course in visit.diagnosed:
        yield condition(course, person.patient, visit.encounter(person))
    yield from _observations(chart, visit)
    prescribed: set[str] = set()
    for course in visit.diagnosed:
        code = course.disease.procedure
        if code is not None:
            yield procedure(visit, person, course, code)
        yield from _prescriptions(chart, visit, course, prescribed)


def _observations(chart: Chart, visit: Visit) -> Iterator[Resource]:
    person, random = chart.person, chart.random
    occasion = _occasion(chart, visit)
    slugs = frozenset(disease.slug for disease in visit.diseases)
    yield from vital_signs(occasion, chart.body, person.birth, slugs, visit.progress, random)
    if visit.number == 1 and person.age >= ADULT + 4:
        yield smoking_status(occasion, random)
    if "depression" in slugs:
        yield depression_score(occasion, visit.progress, random)
    for slug in _panels(chart, visit):
        yield from laboratory(occasion, PANELS[slug], person.gender, visit.diseases, visit.progress, random)


def _occasion(chart: Chart, visit: Visit) -> Occasion:
    person = chart.person
    return Occasion(
        visit.key(person),
        person.patient,
        visit.encounter(person),
        visit.clinician.practitioner,
        visit.start + SAMPLE_AFTER,
    )


def _panels(chart: Chart, visit: Visit) -> list[str]:
    """What the laboratory is asked for: by diseases when they are found, mostly so later, and at grown-ups' check-ups."""
    random = chart.random
    slugs = [slug for course in visit.diagnosed for slug in course.disease.panels]
    slugs += [slug for disease in visit.followed for slug in disease.panels if random.random() < 0.6]
    if not visit.diseases and chart.person.age >= 30:
        slugs += [slug for slug in ("blood-count", "lipids", "metabolic") if random.random() < 0.35]
    return list(dict.fromkeys(slugs))


def _prescriptions(chart: Chart, visit: Visit, course: Course, prescribed: set[str]) -> Iterator[Resource]:
    """The first drug for a disease always, the others often, none twice; what is then fetched from the pharmacy."""
    disease, person = course.disease, chart.person
    young = disease.children and (visit.start.date() - person.birth).days < CHILD * 365.25
    for number, slug in enumerate(disease.children if young else disease.drugs):
        drug = chosen(slug, chart.penicillin_allergy)
        if drug.slug in prescribed or (number and chart.random.random() > 0.6):
            continue
        prescribed.add(drug.slug)
        prescription = _prescription(chart, visit, course, drug)
        yield medication_request(prescription)
        if visit.setting is AMBULATORY and chart.random.random() < 0.5:
            yield from _dispenses(chart, prescription)


def _prescription(chart: Chart, visit: Visit, course: Course, drug: Drug) -> Prescription:
    person = chart.person
    over = not drug.chronic and visit.start.date() + timedelta(days=drug.days) <= person.last_day
    return Prescription(
        id=f"prescription-{visit.key(person)}-{drug.slug}",
        drug=drug,
        patient=person.patient,
        encounter=visit.encounter(person),
        condition=course.condition,
        requester=visit.clinician,
        authored=visit.start + SAMPLE_AFTER,
        category=OUTPATIENT if visit.setting is AMBULATORY else INPATIENT,
        ended="completed" if over or person.death else None,
    )


def _dispenses(chart: Chart, prescription: Prescription) -> Iterator[Resource]:
    drug = prescription.drug
    for number in range(SUPPLIES if drug.chronic else 1):
        when = prescription.authored + DISPENSED_AFTER + timedelta(days=number * drug.days)
        if when.date() <= chart.person.last_day:
            yield medication_dispense(prescription, number, when, chart.staff.pharmacist)
