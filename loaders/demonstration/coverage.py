"""Who pays.

https://hl7.org/fhir/R4/coverage.html
"""

from datetime import date, timedelta
from random import Random

from loaders.demonstration.datatypes import HL7, Code, Resource, concept, identifier, period
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.organization import INSURANCE, NAMES
from loaders.demonstration.patient import Person

PLANS: tuple[Code, ...] = (("basis", "Martı Basis"), ("family", "Martı Family"), ("plus", "Martı Plus"))
PUBLIC: Code = ("PUBLICPOL", "public healthcare")
PRIVATE: Code = ("EHCPOL", "extended healthcare")


def coverage(person: Person, random: Random) -> Resource:
    """One person's health insurance; a parent subscribes for a minor, whose relationship to them is `child`."""
    plan, name = random.choice(PLANS)
    kind = PRIVATE if plan == "plus" else PUBLIC
    relationship = ("child", "Child") if person.minor else ("self", "Self")
    start = max(date(person.today.year - random.randint(0, 6), 1, 1), person.birth)
    resource: Resource = {
        "resourceType": "Coverage",
        "id": f"coverage-{person.number}",
        "identifier": [identifier("insurance", f"MS-{person.index + 1:08d}", ("MB", "Member Number"))],
        "status": "active",
        "type": concept(f"{HL7}v3-ActCode", kind),
        "subscriberId": f"MS-{person.index + 1:08d}",
        "beneficiary": refer(person.patient, person.name.text),
        "relationship": concept(f"{HL7}subscriber-relationship", relationship),
        "period": period(start),
        "payor": [refer(f"Organization/{INSURANCE}", NAMES[INSURANCE])],
        "class": [
            {"type": concept(f"{HL7}coverage-class", ("plan", "Plan")), "value": plan, "name": name},
        ],
    }
    if person.death:
        ended = person.death.date()
        resource["status"] = "cancelled"
        resource["period"] = period(min(start, ended - timedelta(days=1)), ended)
    if not person.minor:
        resource["subscriber"] = refer(person.patient, person.name.text)
    return resource
