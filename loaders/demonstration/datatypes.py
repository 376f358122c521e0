"""The data types the demonstration hospital is written with, as plain dicts, and the hospital's clock.

https://hl7.org/fhir/R4/datatypes.html
"""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from typing import Any

Resource = dict[str, Any]
Element = dict[str, Any]
Code = tuple[str, str]  # code and display; the system is known from where it stands

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
LANGUAGES = "urn:ietf:bcp:47"
HL7 = "http://terminology.hl7.org/CodeSystem/"
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
# Nobody owns a name under .example (RFC 2606), so none of these identifiers can be anyone's.
FICTION = "https://mediconnect.example/"

# Europe/Istanbul has kept +03:00 all year since September 2016; a fixed offset needs no time zone database.
HOSPITAL_ZONE = timezone(timedelta(hours=3), "Europe/Istanbul")


def coding(system: str, code: Code) -> Element:
    return {"system": system, "code": code[0], "display": code[1]}


def concept(system: str, code: Code, text: str | None = None) -> Element:
    """A CodeableConcept with one coding; its text is the display unless another is given."""
    return {"coding": [{"system": system, "code": code[0], "display": code[1]}], "text": text or code[1]}


def reference(target: str, display: str | None = None) -> Element:
    """A literal Reference to `Type/id`."""
    return {"reference": target, "display": display} if display else {"reference": target}


def identifier(name: str, value: str, code: Code | None = None) -> Element:
    """An official Identifier in one of our fictitious systems, typed by a code of HL7 table 0203."""
    system = f"{FICTION}identifier/{name}"
    if code is None:
        return {"use": "official", "system": system, "value": value}
    return {"use": "official", "type": concept(f"{HL7}v2-0203", code), "system": system, "value": value}


def decimal(value: float, digits: int) -> Decimal:
    """The number as it is written: `decimal(7, 1)` is 7.0."""
    return Decimal(f"{value:.{digits}f}")


def quantity(value: Decimal | int, unit: str, code: str | None = None) -> Element:
    """A Quantity in UCUM; the code is the unit's name unless they differ."""
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """A moment on the hospital's clock."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=HOSPITAL_ZONE)


def period(start: date | datetime, end: date | datetime | None = None) -> Element:
    return {"start": start.isoformat()} if end is None else {"start": start.isoformat(), "end": end.isoformat()}


def narrative(title: str, *lines: str) -> Element:
    """A generated Narrative: a title in bold and a paragraph per line, all escaped."""
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p><b>{escape(title)}</b></p>{body}</div>',
    }


def phone(number: int, use: str = "work") -> Element:
    """A telephone in the area code 000, which no exchange has."""
    digits = f"{number % 10_000_000:07d}"
    return {"system": "phone", "value": f"+90 000 {digits[:3]} {digits[3:5]} {digits[5:]}", "use": use}


def email(local: str, use: str = "work") -> Element:
    return {"system": "email", "value": f"{local}@example.com", "use": use}


def years_after(day: date, years: int) -> date:
    """The same day some years later (or earlier); 29 February becomes the 28th where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def age_on(birth: date, day: date) -> int:
    """Completed years."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
