"""Care of the long-term ill: the team and the plan.

https://hl7.org/fhir/R4/careplan.html and https://hl7.org/fhir/R4/careteam.html
"""

from collections.abc import Iterator

from loaders.demonstration.condition import Course
from loaders.demonstration.datatypes import LOINC, SNOMED, Code, Element, Resource, concept, period
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.organization import HOSPITAL, NAMES
from loaders.demonstration.patient import Person
from loaders.demonstration.practitioner import Clinician, Staff

PLAN: Code = ("734163000", "Care plan")
LONGITUDINAL: Code = ("LA28865-6", "Longitudinal care-coordination focused care team")
# What is agreed on for whom; the codes are SNOMED CT procedures.
ACTIVITIES: dict[str, tuple[Code, ...]] = {
    "type-2-diabetes": (
        ("160670007", "Diabetic diet"),
        ("229065009", "Exercise therapy"),
        ("698360004", "Diabetes self management plan"),
    ),
    "hypertension": (
        ("183063000", "Low salt diet education"),
        ("229065009", "Exercise therapy"),
    ),
    "asthma": (("699728000", "Asthma self management"), ("371605008", "Deep breathing and coughing exercises")),
    "copd": (("15081005", "Pulmonary rehabilitation"), ("371605008", "Deep breathing and coughing exercises")),
}


def care(person: Person, courses: tuple[Course, ...], staff: Staff) -> Iterator[Resource]:
    """A CareTeam and a CarePlan for the first disease there is a plan for; every other such person has them."""
    planned = next((course for course in courses if course.disease.slug in ACTIVITIES), None)
    if planned is None or person.death or person.index % 2:
        return
    yield _care_team(person, planned, staff)
    yield _care_plan(person, planned)


def _care_team(person: Person, course: Course, staff: Staff) -> Resource:
    return {
        "resourceType": "CareTeam",
        "id": f"care-team-{person.number}",
        "status": "active",
        "category": [concept(LOINC, LONGITUDINAL)],
        "name": f"Care team of {person.name.text}",
        "subject": refer(person.patient, person.name.text),
        "period": period(course.recorded.date()),
        "participant": [_member(person.doctor), _member(staff.nurse), _patient(person)],
        "reasonReference": [refer(course.condition, course.disease.snomed[1])],
        "managingOrganization": [refer(f"Organization/{HOSPITAL}", NAMES[HOSPITAL])],
    }


def _member(clinician: Clinician) -> Element:
    return {
        "role": [{"text": clinician.profession[1]}],
        "member": refer(clinician.practitioner, clinician.display),
        "onBehalfOf": refer(f"Organization/{clinician.department.id}", clinician.department.name),
    }


def _patient(person: Person) -> Element:
    return {"role": [concept(SNOMED, ("116154003", "Patient"))], "member": refer(person.patient, person.name.text)}


def _care_plan(person: Person, course: Course) -> Resource:
    return {
        "resourceType": "CarePlan",
        "id": f"care-plan-{person.number}",
        "status": "active",
        "intent": "plan",
        "category": [concept(SNOMED, PLAN)],
        "title": f"Living with {course.disease.snomed[1].lower()}",
        "subject": refer(person.patient, person.name.text),
        "period": period(course.recorded.date()),
        "created": course.recorded.date().isoformat(),
        "author": refer(person.doctor.practitioner, person.doctor.display),
        "careTeam": [refer(f"CareTeam/care-team-{person.number}")],
        "addresses": [refer(course.condition, course.disease.snomed[1])],
        "activity": [_activity(code) for code in ACTIVITIES[course.disease.slug]],
    }


def _activity(code: Code) -> Element:
    return {
        "detail": {
            "code": concept(SNOMED, code),
            "status": "in-progress",
            "doNotPerform": False,
        }
    }
