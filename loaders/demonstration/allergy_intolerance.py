"""What people must not be given or come near to.

https://hl7.org/fhir/R4/allergyintolerance.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from loaders.demonstration.datatypes import HL7, SNOMED, Code, Element, Resource, concept
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.patient import Person

HIVES: Code = ("126485001", "Urticaria")
ITCHING: Code = ("418363000", "Itching of skin")
ANAPHYLAXIS: Code = ("39579001", "Anaphylaxis")
SNEEZING: Code = ("76067001", "Sneezing")
RASH: Code = ("271807003", "Eruption of skin")


@dataclass(frozen=True, slots=True)
class Allergy:
    """An allergy, the share of people who have it, how it shows and how dangerous it is."""

    code: Code
    category: str
    share: float
    manifestations: tuple[Code, ...]
    criticality: str


PENICILLIN = Allergy(("91936005", "Allergy to penicillin"), "medication", 0.05, (RASH, HIVES), "high")
ALLERGIES: tuple[Allergy, ...] = (
    PENICILLIN,
    Allergy(("91935009", "Allergy to peanuts"), "food", 0.03, (HIVES, ANAPHYLAXIS), "high"),
    Allergy(("300913006", "Shellfish allergy"), "food", 0.02, (HIVES,), "low"),
    Allergy(("425525006", "Allergy to dairy product"), "food", 0.02, (RASH,), "low"),
    Allergy(("418689008", "Allergy to grass pollen"), "environment", 0.08, (SNEEZING, ITCHING), "low"),
    Allergy(("419263009", "Allergy to tree pollen"), "environment", 0.05, (SNEEZING,), "low"),
    Allergy(("232350006", "House dust mite allergy"), "environment", 0.05, (SNEEZING,), "low"),
    Allergy(("424213003", "Allergy to bee venom"), "environment", 0.02, (HIVES, ANAPHYLAXIS), "high"),
)
NONE_KNOWN: Code = ("716186003", "No known allergy")


def allergies(person: Person, random: Random) -> tuple[Allergy, ...]:
    """The allergies of one person, often none; infants' are not known yet."""
    if person.age < 1:
        return ()
    return tuple(allergy for allergy in ALLERGIES if random.random() < allergy.share)


def allergy_intolerances(person: Person, had: tuple[Allergy, ...], random: Random) -> Iterator[Resource]:
    """One AllergyIntolerance for each; where there is none, half of the charts say so."""
    for number, allergy in enumerate(had):
        resource = _allergy(person, number, allergy.code, random)
        resource["type"] = "allergy"
        resource["category"] = [allergy.category]
        resource["criticality"] = allergy.criticality
        resource["reaction"] = [_reaction(allergy, random)]
        yield resource
    if not had and person.index % 2:
        yield _allergy(person, 0, NONE_KNOWN, random)


def _allergy(person: Person, number: int, code: Code, random: Random) -> Resource:
    known = min(1500, (person.last_day - person.birth).days)
    recorded = person.last_day - timedelta(days=random.randint(0, known))
    return {
        "resourceType": "AllergyIntolerance",
        "id": f"allergy-{person.number}-{number + 1}",
        "clinicalStatus": concept(f"{HL7}allergyintolerance-clinical", ("active", "Active")),
        "verificationStatus": concept(f"{HL7}allergyintolerance-verification", ("confirmed", "Confirmed")),
        "code": concept(SNOMED, code),
        "patient": refer(person.patient, person.name.text),
        "recordedDate": recorded.isoformat(),
        "recorder": refer(person.doctor.practitioner, person.doctor.display),
    }


def _reaction(allergy: Allergy, random: Random) -> Element:
    shown = random.choice(allergy.manifestations)
    severity = "severe" if shown is ANAPHYLAXIS else random.choice(("mild", "moderate"))
    return {"manifestation": [concept(SNOMED, shown)], "severity": severity}
