"""Who works at the hospital, and as what.

https://hl7.org/fhir/R4/practitioner.html and https://hl7.org/fhir/R4/practitionerrole.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from loaders.demonstration.datatypes import (
    HL7,
    LANGUAGES,
    SNOMED,
    Code,
    Element,
    Resource,
    coding,
    concept,
    email,
    identifier,
    narrative,
    period,
    phone,
    years_after,
)
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.healthcare_service import available_time, service_id
from loaders.demonstration.location import consulting_room, room, ward
from loaders.demonstration.names import LANGUAGES as TONGUES
from loaders.demonstration.names import Language as Tongue
from loaders.demonstration.names import Name, human_names, invent
from loaders.demonstration.organization import BY_SLUG, DEPARTMENTS, HOSPITAL, NAMES, Department

DOCTOR: Code = ("doctor", "Doctor")
NURSE: Code = ("nurse", "Nurse")
PHARMACIST: Code = ("pharmacist", "Pharmacist")
DEGREES: dict[Code, Code] = {
    DOCTOR: ("MD", "Doctor of Medicine"),
    NURSE: ("RN", "Registered Nurse"),
    PHARMACIST: ("RPH", "Registered Pharmacist"),
}
PREFIXES = {DOCTOR: "Dr.", NURSE: None, PHARMACIST: None}
PRIMARY = ("general-practice", "neighbourhood-practice")


@dataclass(frozen=True, slots=True)
class Clinician:
    """One of the staff: a Practitioner and the role in which patients meet them.

    `rank` counts within the department; `weekdays` are the days with consulting hours, none without a Schedule.
    """

    slug: str
    name: Name
    gender: str
    birth: date
    profession: Code
    department: Department
    rank: int
    weekdays: tuple[int, ...]

    @property
    def practitioner(self) -> str:
        return f"Practitioner/practitioner-{self.slug}"

    @property
    def role(self) -> str:
        return f"PractitionerRole/role-{self.slug}"

    @property
    def schedule(self) -> str:
        return f"Schedule/schedule-{self.slug}"

    @property
    def location(self) -> str:
        """The consulting room, or the ward where there are no consulting hours."""
        return f"Location/{room(self.department, self.rank) if self.weekdays else ward(self.department)}"

    @property
    def display(self) -> str:
        prefix = PREFIXES[self.profession]
        return f"{prefix} {self.name.latin}" if prefix else self.name.latin


@dataclass(frozen=True, slots=True)
class Staff:
    """Everyone who works at the hospital, by department slug; `primary` are the doctors adults are registered with."""

    doctors: dict[str, tuple[Clinician, ...]]
    primary: tuple[Clinician, ...]
    nurse: Clinician
    pharmacist: Clinician

    def everyone(self) -> Iterator[Clinician]:
        for doctors in self.doctors.values():
            yield from doctors
        yield self.nurse
        yield self.pharmacist

    def consulting(self) -> list[Clinician]:
        """Those who see patients by appointment."""
        return [clinician for clinician in self.everyone() if clinician.weekdays]


def staff(seed: int, patients: int, today: date) -> Staff:
    """The staff that so many patients need."""
    random = Random(f"{seed}/staff")
    used: set[str] = set()
    doctors = {}
    for department in DEPARTMENTS:
        size = max(department.least, -(-patients // department.panel))
        doctors[department.slug] = tuple(
            _clinician(random, used, today, department, rank, DOCTOR) for rank in range(size)
        )
    primary = tuple(doctor for slug in PRIMARY for doctor in doctors[slug])
    nurse = _clinician(random, used, today, BY_SLUG["general-practice"], 0, NURSE)
    pharmacist = _clinician(random, used, today, BY_SLUG["general-practice"], 0, PHARMACIST)
    return Staff(doctors, primary, nurse, pharmacist)


def _clinician(
    random: Random, used: set[str], today: date, department: Department, rank: int, profession: Code
) -> Clinician:
    gender = random.choice(("female", "male"))
    name = invent(random, gender)
    slug = name.slug
    while slug in used:
        name = invent(random, gender)
        slug = name.slug if len(used) < 500 else f"{name.slug}-{len(used)}"
    used.add(slug)
    birth = date(today.year - random.randint(32, 62), random.randint(1, 12), random.randint(1, 28))
    patterns = department.weekdays if profession is DOCTOR else ()
    weekdays = patterns[rank % len(patterns)] if patterns else ()
    return Clinician(slug, name, gender, birth, profession, department, rank, weekdays)


def practitioners(people: Staff, today: date) -> Iterator[Resource]:
    """Per clinician: the Practitioner, the consulting Location, the PractitionerRole."""
    for number, clinician in enumerate(people.everyone()):
        yield _practitioner(clinician, number)
        if clinician.weekdays:
            yield consulting_room(clinician.department, clinician.rank)
        yield _role(clinician, number, today)


def _practitioner(clinician: Clinician, number: int) -> Resource:
    return {
        "resourceType": "Practitioner",
        "id": f"practitioner-{clinician.slug}",
        "text": narrative(clinician.display, f"{clinician.profession[1]}, {clinician.department.name}"),
        "identifier": [identifier("practitioner", f"STAFF-{number + 1:05d}", ("EI", "Employee number"))],
        "active": True,
        "name": human_names(clinician.name, PREFIXES[clinician.profession]),
        "telecom": [phone(200_0000 + number), email(clinician.slug.replace("-", "."))],
        "gender": clinician.gender,
        "birthDate": clinician.birth.isoformat(),
        "qualification": [_qualification(clinician, number)],
        "communication": [language(tongue) for tongue in _tongues(clinician)],
    }


def _qualification(clinician: Clinician, number: int) -> Element:
    code, display = DEGREES[clinician.profession]
    return {
        "identifier": [identifier("licence", f"LIC-{number + 1:05d}")],
        "code": {"coding": [{"system": f"{HL7}v2-0360", "version": "2.7", "code": code, "display": display}]},
        "period": period(years_after(clinician.birth, 26)),
        "issuer": {"display": "Yıldızkıyı University"},
    }


def _tongues(clinician: Clinician) -> list[Tongue]:
    """One's own language, that of the country, and English."""
    by_code = {tongue.code[0]: tongue for tongue in TONGUES}
    codes = dict.fromkeys((clinician.name.language.code[0], "tr", "en"))
    return [by_code[code] for code in codes]


def language(tongue: Tongue) -> Element:
    """A language as a CodeableConcept, called by its own name."""
    return {"coding": [coding(LANGUAGES, tongue.code)], "text": tongue.native}


def _role(clinician: Clinician, number: int, today: date) -> Resource:
    department = clinician.department
    resource: Resource = {
        "resourceType": "PractitionerRole",
        "id": clinician.role.removeprefix("PractitionerRole/"),
        "identifier": [identifier("role", f"ROLE-{number + 1:05d}")],
        "active": True,
        "period": period(date(today.year - 1 - number % 5, 1, 1)),
        "practitioner": refer(clinician.practitioner, clinician.display),
        "organization": refer(f"Organization/{department.id}", department.name),
        "code": [concept(f"{HL7}practitioner-role", clinician.profession)],
        "specialty": [concept(SNOMED, department.specialty)],
        "location": [refer(clinician.location)],
        "healthcareService": [refer(f"HealthcareService/{service_id(department)}", department.name)],
        "telecom": [phone(210_0000 + number), email(f"{clinician.slug.replace('-', '.')}.{department.slug}")],
    }
    if clinician.weekdays:
        resource["availableTime"] = available_time(clinician.weekdays)
        resource["availabilityExceptions"] = f"Public holidays as announced by {NAMES[HOSPITAL]}."
    return resource
