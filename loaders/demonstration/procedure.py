"""What was done to people at their visits.

https://hl7.org/fhir/R4/procedure.html
"""

from datetime import timedelta

from loaders.demonstration.condition import AMBULATORY, Course
from loaders.demonstration.datatypes import SNOMED, Code, Resource, concept, period
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.encounter import Visit
from loaders.demonstration.patient import Person

DIAGNOSTIC: Code = ("103693007", "Diagnostic procedure")
SURGICAL: Code = ("387713003", "Surgical procedure")
THERAPEUTIC: Code = ("277132007", "Therapeutic procedure")
CATEGORIES = {"appendicitis": SURGICAL, "forearm-fracture": THERAPEUTIC}


def procedure(visit: Visit, person: Person, course: Course, code: Code) -> Resource:
    """The procedure that a disease led to at the visit at which it was found."""
    # On the ward it begins hours after admission; at a consultation within it.
    start = visit.start + (timedelta(minutes=10) if visit.setting is AMBULATORY else timedelta(hours=2))
    end = start + (timedelta(minutes=15) if visit.setting is AMBULATORY else timedelta(minutes=55))
    return {
        "resourceType": "Procedure",
        "id": f"procedure-{visit.key(person)}-{course.disease.slug}",
        "status": "completed",
        "category": concept(SNOMED, CATEGORIES.get(course.disease.slug, DIAGNOSTIC)),
        "code": concept(SNOMED, code),
        "subject": refer(person.patient, person.name.text),
        "encounter": refer(visit.encounter(person)),
        "performedPeriod": period(start, end),
        "performer": [{"actor": refer(visit.clinician.practitioner, visit.clinician.display)}],
        "location": refer(visit.location),
        "reasonReference": [refer(course.condition, course.disease.snomed[1])],
    }
