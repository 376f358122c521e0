"""What each department offers, and when.

https://hl7.org/fhir/R4/healthcareservice.html
"""

from collections.abc import Iterator

from loaders.demonstration.datatypes import HL7, SNOMED, Element, Resource, concept, email, identifier, phone
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.location import ward
from loaders.demonstration.organization import DEPARTMENTS, Department

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def service_id(department: Department) -> str:
    return f"service-{department.slug}"


def healthcare_services() -> Iterator[Resource]:
    """One HealthcareService for each department."""
    for number, department in enumerate(DEPARTMENTS):
        yield _healthcare_service(department, number)


def available_time(weekdays: tuple[int, ...]) -> list[Element]:
    """Consulting hours on those weekdays: a morning and an afternoon, with lunch between."""
    days = [DAYS[day] for day in weekdays]
    return [
        {"daysOfWeek": days, "availableStartTime": "09:00:00", "availableEndTime": "12:00:00"},
        {"daysOfWeek": list(days), "availableStartTime": "13:00:00", "availableEndTime": "17:00:00"},
    ]


def service_type(department: Department) -> Element | None:
    """The department's service type, where HL7's example code system has one."""
    if department.service_type is None:
        return None
    return concept(f"{HL7}service-type", department.service_type)


def _healthcare_service(department: Department, number: int) -> Resource:
    resource: Resource = {
        "resourceType": "HealthcareService",
        "id": service_id(department),
        "identifier": [identifier("service", department.slug)],
        "active": True,
        "providedBy": refer(f"Organization/{department.id}", department.name),
        "category": [concept(f"{HL7}service-category", department.category)],
        "specialty": [concept(SNOMED, department.specialty)],
        "location": [refer(f"Location/{ward(department)}", department.name)],
        "name": department.name,
        "comment": department.turkish,
        "telecom": [phone(110_0000 + number), email(f"appointments.{department.slug}")],
        "appointmentRequired": bool(department.weekdays),
    }
    kind = service_type(department)
    if kind is not None:
        resource["type"] = [kind]
    if department.weekdays:
        days = tuple(sorted({day for pattern in department.weekdays for day in pattern}))
        resource["availableTime"] = available_time(days)
        resource["notAvailable"] = [{"description": "Closed at weekends."}]
    else:
        resource["availableTime"] = [{"daysOfWeek": list(DAYS), "allDay": True}]
    return resource
