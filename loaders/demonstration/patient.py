"""The people the hospital cares for: who they are, and as Patients and RelatedPersons.

https://hl7.org/fhir/R4/patient.html and https://hl7.org/fhir/R4/relatedperson.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from loaders.demonstration.datatypes import (
    HL7,
    Code,
    Element,
    Resource,
    age_on,
    at,
    concept,
    email,
    identifier,
    narrative,
    phone,
    years_after,
)
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.names import LANGUAGES, Name, human_names, invent, relative
from loaders.demonstration.organization import HOSPITAL, NAMES, address
from loaders.demonstration.practitioner import Clinician, Staff, language

STREETS = ("Martı Sokağı", "Deniz Feneri Caddesi", "Yelkenli Yokuşu", "Çınaraltı Sokağı", "Poyraz Caddesi")
DISTRICTS = ("Sahil", "Kuzeyrüzgar", "Tepebağ", "Çınaraltı")
MARITAL: dict[str, Code] = {
    "S": ("S", "Never Married"),
    "M": ("M", "Married"),
    "D": ("D", "Divorced"),
    "W": ("W", "Widowed"),
}
MOTHER: Code = ("MTH", "mother")
FATHER: Code = ("FTH", "father")
CONTACTS: dict[str, Code] = {"C": ("C", "Emergency Contact"), "N": ("N", "Next-of-Kin")}
ADULT = 18


@dataclass(frozen=True, slots=True)
class Person:
    """One person as drawn from the seed; everything else about them follows from this.

    `doctor` is the clinician they are registered with, `place` their place on that doctor's panel of `panel` people.
    """

    index: int
    name: Name
    gender: str
    birth: date
    death: datetime | None
    today: date
    doctor: Clinician
    place: int
    panel: int

    @property
    def id(self) -> str:
        return f"patient-{self.number}"

    @property
    def number(self) -> str:
        """The number that all ids of this person's resources carry."""
        return f"{self.index + 1:04d}"

    @property
    def patient(self) -> str:
        return f"Patient/{self.id}"

    @property
    def age(self) -> int:
        """Completed years today, or at death."""
        return age_on(self.birth, self.last_day)

    @property
    def minor(self) -> bool:
        return self.age < ADULT

    @property
    def last_day(self) -> date:
        """The last day on which anything can happen to them: yesterday, or the day before the death."""
        return (self.death.date() if self.death else self.today) - timedelta(days=1)


def person(random: Random, index: int, staff: Staff, patients: int, today: date) -> Person:
    """The index-th of the patients."""
    gender = random.choice(("female", "male"))
    name = invent(random, gender)
    birth = _birth(random, today)
    death = _death(random, birth, today)
    doctors = staff.doctors["paediatrics"] if age_on(birth, today) < ADULT else staff.primary
    doctor, place, panel = assigned(doctors, index, patients)
    return Person(index, name, gender, birth, death, today, doctor, place, panel)


def assigned(doctors: tuple[Clinician, ...], index: int, patients: int) -> tuple[Clinician, int, int]:
    """Which of some doctors sees the index-th patient, the place on that doctor's panel, and the panel's size."""
    return doctors[index % len(doctors)], index // len(doctors), -(-patients // len(doctors))


def _birth(random: Random, today: date) -> date:
    youngest, oldest = random.choices(((0, 17), (18, 44), (45, 69), (70, 94)), (22, 30, 30, 18))[0]
    born = years_after(today, -random.randint(youngest, oldest)) - timedelta(days=random.randint(0, 364))
    return min(born, today - timedelta(days=3))


def _death(random: Random, birth: date, today: date) -> datetime | None:
    if age_on(birth, today) < 70 or random.random() > 0.1:
        return None
    return at(today - timedelta(days=random.randint(20, 700)), random.randint(0, 23), random.randint(0, 59))


def patient(person: Person, random: Random) -> Resource:
    """The Patient."""
    name, number = person.name, person.index
    resource: Resource = {
        "resourceType": "Patient",
        "id": person.id,
        "text": narrative(name.text, f"{person.gender}, born {person.birth.isoformat()}", f"MRN-{number + 1:07d}"),
        "identifier": [
            {
                **identifier("mrn", f"MRN-{number + 1:07d}", ("MR", "Medical record number")),
                "assigner": refer(f"Organization/{HOSPITAL}", NAMES[HOSPITAL]),
            },
            identifier("national", _national(number), ("NI", "National unique individual identifier")),
        ],
        "active": person.death is None,
        "name": human_names(name),
        "telecom": _telecom(person),
        "gender": person.gender,
        "birthDate": person.birth.isoformat(),
    }
    if person.death:
        resource["deceasedDateTime"] = person.death.isoformat()
    street, district = random.choice(STREETS), random.choice(DISTRICTS)
    resource["address"] = [address(f"{street} {random.randint(1, 199)}", district, "home")]
    resource["maritalStatus"] = concept(f"{HL7}v3-MaritalStatus", MARITAL[_marital(person, random)])
    if random.random() < 0.03:
        resource["multipleBirthInteger"] = random.randint(1, 2)
    elif random.random() < 0.5:
        resource["multipleBirthBoolean"] = False
    if not person.minor and random.random() < 0.4:
        resource["contact"] = [_contact(person, random)]
    resource["communication"] = _communication(person)
    resource["generalPractitioner"] = [refer(person.doctor.practitioner, person.doctor.display)]
    resource["managingOrganization"] = refer(f"Organization/{HOSPITAL}", NAMES[HOSPITAL])
    return resource


def _national(number: int) -> str:
    """A number with a check digit that no country issues: its letters mark it as fiction."""
    digits = f"{(number * 7_919 + 104_729) % 100_000_000:08d}"
    check = sum((place + 1) * int(digit) for place, digit in enumerate(digits)) % 11 % 10
    return f"YK{digits}{check}"


def _telecom(person: Person) -> list[Element]:
    contacts = [{**phone(500_0000 + person.index, "mobile"), "rank": 1}]
    if not person.minor:
        contacts.append({**email(f"{person.name.slug.replace('-', '.')}.{person.number}", "home"), "rank": 2})
    return contacts


def _marital(person: Person, random: Random) -> str:
    if person.age < 22:
        return "S"
    return random.choices("SMDW", (30, 50, 15, 5) if person.age < 65 else (10, 50, 15, 25))[0]


def _contact(person: Person, random: Random) -> Element:
    gender = random.choice(("female", "male"))
    kind = random.choice(("C", "N"))
    return {
        "relationship": [concept(f"{HL7}v2-0131", CONTACTS[kind])],
        "name": human_names(relative(random, person.name, gender))[0],
        "telecom": [phone(600_0000 + person.index, "mobile")],
        "gender": gender,
    }


def _communication(person: Person) -> list[Element]:
    own = person.name.language
    spoken: list[Element] = [{"language": language(own), "preferred": True}]
    if own is not LANGUAGES[0] and person.index % 3:
        spoken.append({"language": language(LANGUAGES[0]), "preferred": False})
    return spoken


def related_persons(person: Person, random: Random) -> Iterator[Resource]:
    """A minor's parents: the mother, the father, or both."""
    if not person.minor:
        return
    parents = random.choice((("female",), ("male",), ("female", "male"), ("female", "male")))
    for gender in parents:
        kind = MOTHER if gender == "female" else FATHER
        name = relative(random, person.name, gender)
        born = years_after(person.birth, -random.randint(22, 41))
        yield {
            "resourceType": "RelatedPerson",
            "id": f"related-{person.number}-{kind[1]}",
            "identifier": [identifier("related-person", f"REL-{person.number}-{kind[0]}")],
            "active": True,
            "patient": refer(person.patient, person.name.text),
            "relationship": [concept(f"{HL7}v3-RoleCode", kind)],
            "name": human_names(name),
            "telecom": [
                phone((600_0000 if gender == "female" else 700_0000) + person.index, "mobile"),
                email(f"{name.slug.replace('-', '.')}.{person.number}", "home"),
            ],
            "gender": gender,
            "birthDate": born.isoformat(),
            "communication": [{"language": language(name.language), "preferred": True}],
        }
