"""What follows from appointments to come: a Task for who must agree, a reminder for who is expected.

https://hl7.org/fhir/R4/task.html and https://hl7.org/fhir/R4/communication.html
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from loaders.demonstration.datatypes import HL7, Resource, at, concept
from loaders.demonstration.datatypes import reference as refer
from loaders.demonstration.organization import HOSPITAL, NAMES
from loaders.demonstration.patient import Person

TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
SOON = timedelta(days=8)


def follow_up(appointment: Resource, person: Person) -> Iterator[Resource]:
    """The Task of a pending appointment, the Communication of a booked one that is near."""
    if appointment["status"] == "pending":
        yield _task(appointment, person)
    elif appointment["status"] == "booked" and _near(appointment, person):
        yield _reminder(appointment, person)


def _near(appointment: Resource, person: Person) -> bool:
    return datetime.fromisoformat(appointment["start"]) - at(person.today, 0) < SOON


def _task(appointment: Resource, person: Person) -> Resource:
    clinician = appointment["participant"][1]["actor"]
    return {
        "resourceType": "Task",
        "id": f"task-{appointment['id']}",
        "status": "requested",
        "intent": "order",
        "priority": "routine",
        "code": concept(TASK_CODE, ("approve", "Activate/approve the focal resource")),
        "description": "Confirm or decline the requested appointment.",
        "focus": refer(f"Appointment/{appointment['id']}"),
        "for": refer(person.patient, person.name.text),
        "authoredOn": appointment["created"],
        "lastModified": appointment["created"],
        "requester": refer(person.patient, person.name.text),
        "owner": dict(clinician),
    }


def _reminder(appointment: Resource, person: Person) -> Resource:
    when = datetime.fromisoformat(appointment["start"])
    return {
        "resourceType": "Communication",
        "id": f"reminder-{appointment['id']}",
        "status": "completed",
        "category": [concept(f"{HL7}communication-category", ("reminder", "Reminder"))],
        "priority": "routine",
        "subject": refer(person.patient, person.name.text),
        "about": [refer(f"Appointment/{appointment['id']}")],
        "sent": at(person.today - timedelta(days=1), 18, 30).isoformat(),
        "recipient": [refer(person.patient, person.name.text)],
        "sender": refer(f"Organization/{HOSPITAL}", NAMES[HOSPITAL]),
        "payload": [{"contentString": f"You are expected on {when:%d.%m.%Y} at {when:%H:%M}."}],
    }
