"""Past visits to the hospital, and the Encounters they were.

https://hl7.org/fhir/R4/encounter.html
"""

from dataclasses import dataclass
from datetime import datetime

from loaders.demonstration.condition import AMBULATORY, EMERGENCY, INPATIENT, Course, Disease
from loaders.demonstration.datatypes import HL7, ICD10, SNOMED, Code, Element, Resource, coding, identifier, period
from loaders.demonstration.datatypes import concept as codeable
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.patient import Person
from loaders.demonstration.practitioner import Clinician

CHECK_UP: Code = ("185349003", "Encounter for check up")
WELL_CHILD: Code = ("410620009", "Well child visit")
FOLLOW_UP: Code = ("390906007", "Follow-up encounter")
SYMPTOM: Code = ("185345009", "Encounter for symptom")
ADMISSION: Code = ("183452005", "Encounter Inpatient")
EMERGENCY_ADMISSION: Code = ("50849002", "Emergency room admission")
PRIMARY_PERFORMER: Code = ("PPRF", "primary performer")


@dataclass(frozen=True, slots=True)
class Visit:
    """One past visit: which of the person's (counted from 1), when, with whom, where (Location references).

    `diagnosed` began with it, `followed` were known before and are looked after. `end` is None while the person is
    still on the ward. `progress` runs from 0 at the first visit to 1 at the last.
    """

    number: int
    setting: Code
    start: datetime
    end: datetime | None
    clinician: Clinician
    location: str
    diagnosed: tuple[Course, ...] = ()
    followed: tuple[Disease, ...] = ()
    progress: float = 0.0

    def key(self, person: Person) -> str:
        """What the ids of everything that belongs to this visit end in."""
        return f"{person.number}-{self.number}"

    def encounter(self, person: Person) -> str:
        return f"Encounter/encounter-{self.key(person)}"

    @property
    def diseases(self) -> tuple[Disease, ...]:
        return (*(course.disease for course in self.diagnosed), *self.followed)


def kind(visit: Visit, person: Person) -> Code:
    """What the visit was for."""
    if visit.setting is INPATIENT:
        return ADMISSION
    if visit.setting is EMERGENCY:
        return EMERGENCY_ADMISSION
    if visit.diagnosed:
        return SYMPTOM
    if visit.followed:
        return FOLLOW_UP
    return WELL_CHILD if person.minor else CHECK_UP


def encounter(visit: Visit, person: Person, appointment: str | None) -> Resource:
    """The Encounter, finished or, without an end, in progress; `appointment` is a reference."""
    duration = period(visit.start, visit.end)
    clinician = visit.clinician
    resource: Resource = {
        "resourceType": "Encounter",
        "id": f"encounter-{visit.key(person)}",
        "identifier": [identifier("encounter", f"ENC-{visit.key(person)}")],
        "status": "finished" if visit.end else "in-progress",
        "class": coding(f"{HL7}v3-ActCode", visit.setting),
        "type": [codeable(SNOMED, kind(visit, person))],
        "serviceType": codeable(SNOMED, clinician.department.specialty),
        "subject": refer(person.patient, person.name.text),
        "participant": [
            {
                "type": [codeable(f"{HL7}v3-ParticipationType", PRIMARY_PERFORMER)],
                "period": dict(duration),
                "individual": refer(clinician.practitioner, clinician.display),
            }
        ],
    }
    if appointment:
        resource["appointment"] = [refer(appointment)]
    resource["period"] = duration
    if visit.diseases:
        resource["reasonCode"] = [_reason(disease) for disease in visit.diseases[:3]]
    if visit.setting is not AMBULATORY:
        resource["hospitalization"] = _hospitalization(visit)
    resource["location"] = [
        {
            "location": refer(visit.location),
            "status": "completed" if visit.end else "active",
            "period": dict(duration),
        }
    ]
    resource["serviceProvider"] = refer(f"Organization/{clinician.department.id}", clinician.department.name)
    return resource


def _reason(disease: Disease) -> Element:
    return {"coding": [coding(SNOMED, disease.snomed), coding(ICD10, disease.icd10)], "text": disease.snomed[1]}


def _hospitalization(visit: Visit) -> Element:
    source = ("emd", "From accident/emergency department") if visit.setting is INPATIENT else ("other", "Other")
    element: Element = {"admitSource": codeable(f"{HL7}admit-source", source)}
    if visit.end:
        element["dischargeDisposition"] = codeable(f"{HL7}discharge-disposition", ("home", "Home"))
    return element
