"""Vaccinations: children's by their age, adults' by the season and the decade.

https://hl7.org/fhir/R4/immunization.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from loaders.demonstration.datatypes import CVX, HL7, Code, Resource, concept, quantity, years_after
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.organization import HOSPITAL, NAMES
from loaders.demonstration.patient import Person

INTRAMUSCULAR: Code = ("IM", "Injection, intramuscular")
SUBCUTANEOUS: Code = ("SQ", "Injection, subcutaneous")
SITES: tuple[Code, ...] = (("LD", "left deltoid"), ("RD", "right deltoid"))
OBJECTION: Code = ("PATOBJ", "patient objection")


@dataclass(frozen=True, slots=True)
class Vaccine:
    """A vaccine (CVX), how it is given, and the ages in months at which its doses are due."""

    code: Code
    route: Code
    months: tuple[int, ...]


CHILDHOOD: tuple[Vaccine, ...] = (
    Vaccine(("08", "Hep B, adolescent or pediatric"), INTRAMUSCULAR, (0, 1, 6)),
    Vaccine(("20", "DTaP"), INTRAMUSCULAR, (2, 4, 6, 18, 48)),
    Vaccine(("10", "IPV"), INTRAMUSCULAR, (2, 4, 6, 18)),
    Vaccine(("133", "Pneumococcal conjugate PCV 13"), INTRAMUSCULAR, (2, 4, 12)),
    Vaccine(("03", "MMR"), SUBCUTANEOUS, (12, 48)),
    Vaccine(("21", "varicella"), SUBCUTANEOUS, (12,)),
    Vaccine(("62", "HPV, quadrivalent"), INTRAMUSCULAR, (132, 138)),
)
INFLUENZA = Vaccine(("140", "Influenza, seasonal, injectable, preservative free"), INTRAMUSCULAR, ())
TETANUS = Vaccine(("113", "Td (adult) preservative free"), INTRAMUSCULAR, ())
PNEUMOCOCCAL = Vaccine(("33", "pneumococcal polysaccharide vaccine, 23 valent"), INTRAMUSCULAR, ())
INFLUENZA_YEARS = 3


def immunizations(person: Person, random: Random) -> Iterator[Resource]:
    """A person's vaccinations up to their last day, each vaccine's doses in order."""
    given = _childhood(person, random) if person.minor else _adulthood(person, random)
    number = 0
    for vaccine, dose, day in given:
        if person.birth <= day <= person.last_day:
            number += 1
            yield _immunization(person, number, vaccine, dose, day, random)


def _childhood(person: Person, random: Random) -> Iterator[tuple[Vaccine, int, date]]:
    for vaccine in CHILDHOOD:
        for dose, month in enumerate(vaccine.months):
            yield vaccine, dose + 1, person.birth + timedelta(days=round(month * 30.44) + random.randint(0, 12))


def _adulthood(person: Person, random: Random) -> Iterator[tuple[Vaccine, int, date]]:
    if random.random() < 0.4:
        yield TETANUS, 1, person.last_day - timedelta(days=random.randint(100, 2500))
    if person.age >= 66:
        yield PNEUMOCOCCAL, 1, years_after(person.birth, 65) + timedelta(days=random.randint(20, 300))
    if random.random() < (0.7 if person.age >= 60 else 0.25):
        for year in range(person.today.year - INFLUENZA_YEARS, person.today.year + 1):
            yield INFLUENZA, 1, date(year, 10, 1) + timedelta(days=random.randint(0, 60))


def _immunization(person: Person, number: int, vaccine: Vaccine, dose: int, day: date, random: Random) -> Resource:
    resource: Resource = {
        "resourceType": "Immunization",
        "id": f"immunization-{person.number}-{number}",
        "status": "completed",
        "vaccineCode": concept(CVX, vaccine.code),
        "patient": refer(person.patient, person.name.text),
        "occurrenceDateTime": day.isoformat(),
        "primarySource": True,
    }
    if vaccine is INFLUENZA and random.random() < 0.05:
        resource["status"] = "not-done"
        resource["statusReason"] = concept(f"{HL7}v3-ActReason", OBJECTION)
        return resource
    resource["lotNumber"] = f"L{random.randint(10_000, 99_999)}"
    resource["expirationDate"] = (day + timedelta(days=random.randint(60, 500))).isoformat()
    resource["site"] = concept(f"{HL7}v3-ActSite", random.choice(SITES))
    resource["route"] = concept(f"{HL7}v3-RouteOfAdministration", vaccine.route)
    resource["doseQuantity"] = quantity(Decimal("0.5"), "mL")
    resource["performer"] = [{"actor": refer(f"Organization/{HOSPITAL}", NAMES[HOSPITAL])}]
    resource["protocolApplied"] = [{"doseNumberPositiveInt": dose}]
    return resource
