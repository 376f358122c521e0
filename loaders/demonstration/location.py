"""Where the hospital and the clinic are: buildings, wards and rooms.

https://hl7.org/fhir/R4/location.html
"""

from collections.abc import Iterator
from decimal import Decimal

from loaders.demonstration.datatypes import HL7, Code, Element, Resource, concept, identifier, phone
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.organization import CLINIC, DEPARTMENTS, HOSPITAL, NAMES, Department, address

MAIN_BUILDING = "location-main-building"
CLINIC_BUILDING = "location-clinic-building"
BUILDING: Code = ("bu", "Building")
WARD: Code = ("wa", "Ward")
ROOM: Code = ("ro", "Room")
HOSPITAL_ROLE: Code = ("HOSP", "Hospital")
UNIT: Code = ("HU", "Hospital unit")
OUTPATIENT: Code = ("OF", "Outpatient facility")
EMERGENCY: Code = ("ER", "Emergency room")

# Both points lie in open water, where nobody's house is.
SITES: dict[str, tuple[Decimal, Decimal]] = {
    MAIN_BUILDING: (Decimal("40.8400"), Decimal("29.0300")),
    CLINIC_BUILDING: (Decimal("40.8512"), Decimal("28.9847")),
}
BEDS = 4


def ward(department: Department) -> str:
    """The id of a department's ward (its consulting floor, where nobody stays overnight)."""
    return f"location-{department.slug}"


def bedroom(department: Department, number: int) -> str:
    return f"{ward(department)}-room-{number + 1}"


def room(department: Department, number: int) -> str:
    """The id of a clinician's consulting room."""
    return f"{ward(department)}-consulting-{number + 1}"


def locations() -> Iterator[Resource]:
    """Buildings, then the wards in them, then the rooms of those wards that have beds."""
    yield _building(MAIN_BUILDING, HOSPITAL, HOSPITAL_ROLE)
    yield _building(CLINIC_BUILDING, CLINIC, OUTPATIENT)
    for department in DEPARTMENTS:
        building = CLINIC_BUILDING if department.parent == CLINIC else MAIN_BUILDING
        role = EMERGENCY if department.slug == "emergency" else UNIT
        yield _place(ward(department), f"{department.name}, floor {department.floor}", department, WARD, role, building)
        if has_beds(department):
            for number in range(BEDS):
                name = f"{department.name}, room {department.floor}{number + 1:02d}"
                yield _place(bedroom(department, number), name, department, ROOM, role, ward(department))


def consulting_room(department: Department, number: int) -> Resource:
    """The consulting room of one clinician."""
    name = f"{department.name}, consulting room {number + 1}"
    return _place(room(department, number), name, department, ROOM, OUTPATIENT, ward(department))


def has_beds(department: Department) -> bool:
    return department.slug in {"surgery", "pulmonology", "cardiology", "emergency", "obstetrics-gynaecology"}


def _building(logical_id: str, owner: str, role: Code) -> Resource:
    latitude, longitude = SITES[logical_id]
    return {
        "resourceType": "Location",
        "id": logical_id,
        "identifier": [identifier("location", logical_id.removeprefix("location-"))],
        "status": "active",
        "name": f"{NAMES[owner]}, building",
        "mode": "instance",
        "type": [_role(role)],
        "telecom": [phone(100_0000)],
        "address": address("Fener Caddesi 1", "Sahil"),
        "physicalType": concept(f"{HL7}location-physical-type", BUILDING),
        "position": {"longitude": longitude, "latitude": latitude},
        "managingOrganization": refer(f"Organization/{owner}", NAMES[owner]),
        "hoursOfOperation": [{"allDay": owner == HOSPITAL, **_opening(owner)}],
    }


def _opening(owner: str) -> Element:
    if owner == HOSPITAL:
        return {"daysOfWeek": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    return {"daysOfWeek": ["mon", "tue", "wed", "thu", "fri"], "openingTime": "09:00:00", "closingTime": "17:00:00"}


def _place(logical_id: str, name: str, department: Department, physical: Code, role: Code, part_of: str) -> Resource:
    return {
        "resourceType": "Location",
        "id": logical_id,
        "identifier": [identifier("location", logical_id.removeprefix("location-"))],
        "status": "active",
        "name": name,
        "mode": "instance",
        "type": [_role(role)],
        "physicalType": concept(f"{HL7}location-physical-type", physical),
        "managingOrganization": refer(f"Organization/{department.id}", department.name),
        "partOf": refer(f"Location/{part_of}"),
    }


def _role(role: Code) -> Element:
    return concept(f"{HL7}v3-RoleCode", role)
