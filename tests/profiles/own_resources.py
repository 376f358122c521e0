"""A resource of each kind that MediConnect's own profiles are for, as the server writes them, and the ways in which tests break them."""

from decimal import Decimal

from tests.profiles.mutations import REMOVED, Mutation, Resource

HL7 = "http://terminology.hl7.org/CodeSystem/"
REST = "http://hl7.org/fhir/restful-interaction"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
FICTION = "https://mediconnect.example/identifier/"


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def patient() -> Resource:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [
            {"type": concept(f"{HL7}v2-0203", "MR"), "system": f"{FICTION}mrn", "value": "MRN-1"},
            {"type": concept(f"{HL7}v2-0203", "NI"), "system": f"{FICTION}national", "value": "YK1"},
            {"system": f"{FICTION}card", "value": "C-1"},
        ],
        "active": True,
        "name": [
            {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation",
                        "valueCode": "ABC",
                    }
                ],
                "use": "official",
                "family": "Imaginary",
                "given": ["Oona"],
            }
        ],
        "telecom": [{"system": "email", "value": "oona@example.com"}],
        "gender": "female",
        "birthDate": "1980-03",
        "deceasedDateTime": "2020-01-01",
        "address": [{"city": "Nowhere", "country": "TR"}],
        "contact": [{"relationship": [concept(f"{HL7}v2-0131", "N")], "name": {"text": "Somebody"}}],
        "communication": [
            {"language": concept("urn:ietf:bcp:47", "tr"), "preferred": True},
            {"language": concept("urn:ietf:bcp:47", "en")},
        ],
        "generalPractitioner": [{"reference": "Practitioner/d1"}],
        "link": [{"other": {"reference": "Patient/p0"}, "type": "replaces"}],
    }


def practitioner() -> Resource:
    return {
        "resourceType": "Practitioner",
        "identifier": [{"type": concept(f"{HL7}v2-0203", "EI"), "system": f"{FICTION}staff", "value": "S-1"}],
        "active": True,
        "name": [{"text": "Dr. Imagined"}],
        "telecom": [{"system": "phone", "value": "+90 000 000 00 00"}],
        "qualification": [{"code": concept(f"{HL7}v2-0360", "MD"), "period": {"start": "2001"}}],
    }


def practitioner_role() -> Resource:
    return {
        "resourceType": "PractitionerRole",
        "active": True,
        "practitioner": {"reference": "Practitioner/d1"},
        "organization": {"reference": "Organization/o1"},
        "code": [concept(f"{HL7}practitioner-role", "doctor")],
        "availableTime": [
            {"daysOfWeek": ["mon"], "availableStartTime": "09:00:00", "availableEndTime": "12:00:00"},
            {"daysOfWeek": ["tue"], "allDay": True},
        ],
        "notAvailable": [{"description": "away", "during": {"start": "2026-01-01", "end": "2026-01-08"}}],
    }


def schedule() -> Resource:
    return {
        "resourceType": "Schedule",
        "active": True,
        "actor": [{"reference": "Practitioner/d1"}, {"identifier": {"value": "room 1"}}],
        "planningHorizon": {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"},
    }


def slot() -> Resource:
    return {
        "resourceType": "Slot",
        "appointmentType": concept(f"{HL7}v2-0276", "ROUTINE"),
        "schedule": {"reference": "Schedule/s1"},
        "status": "free",
        "start": "2026-01-05T09:00:00Z",
        "end": "2026-01-05T09:30:00Z",
        "overbooked": False,
        "comment": "first floor",
    }


def appointment() -> Resource:
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "appointmentType": concept(f"{HL7}v2-0276", "CHECKUP"),
        "start": "2026-01-05T09:00:00Z",
        "end": "2026-01-05T09:30:00Z",
        "minutesDuration": 30,
        "slot": [{"reference": "Slot/s1"}],
        "created": "2026-01-01",
        "participant": [
            {"actor": {"reference": "Patient/p1"}, "required": "required", "status": "accepted"},
            {"actor": {"reference": "Practitioner/d1"}, "required": "required", "status": "accepted"},
            {"actor": {"type": "Location", "display": "room 1"}, "required": "information-only", "status": "tentative"},
        ],
    }


def cancelled() -> Resource:
    reason = concept(f"{HL7}appointment-cancellation-reason", "pat")
    return {**appointment(), "status": "cancelled", "cancelationReason": reason}


def pending() -> Resource:
    return {**appointment(), "status": "pending"}


def proposed() -> Resource:
    taken = ("start", "end", "slot")
    wish = {key: value for key, value in appointment().items() if key not in taken}
    return {**wish, "status": "proposed", "requestedPeriod": [{"start": "2026-01-05", "end": "2026-01-12"}]}


def medication_request() -> Resource:
    dose = {"value": Decimal(2), "unit": "tablet", "system": "http://unitsofmeasure.org", "code": "{tbl}"}
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "category": [concept(f"{HL7}medicationrequest-category", "outpatient")],
        "medicationCodeableConcept": concept("http://www.whocc.no/atc", "N02BE01"),
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2026-01-05T09:20:00Z",
        "requester": {"reference": "Practitioner/d1"},
        "dosageInstruction": [
            {
                "text": "two tablets a day",
                "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": dose}],
            }
        ],
        "dispenseRequest": {
            "validityPeriod": {"start": "2026-01-05", "end": "2026-02-05"},
            "numberOfRepeatsAllowed": 3,
        },
    }


def medication_by_reference() -> Resource:
    request = medication_request()
    del request["medicationCodeableConcept"]
    return {**request, "medicationReference": {"reference": "Medication/m1"}}


def audit_event() -> Resource:
    """The record of a read, in the shape of IHE's Basic Audit Log Patterns."""
    return {
        "resourceType": "AuditEvent",
        "type": {"system": f"{HL7}audit-event-type", "code": "rest"},
        "subtype": [{"system": REST, "code": "read"}],
        "action": "R",
        "recorded": "2026-01-05T09:00:00.123Z",
        "outcome": "0",
        "agent": [
            {
                "type": concept(DCM, "110153"),
                "who": {"display": "this server"},
                "requestor": False,
                "network": {"address": "https://mediconnect.example/fhir", "type": "5"},
            },
            {
                "type": concept(DCM, "110152"),
                "who": {"identifier": {"value": "client-1"}},
                "requestor": False,
                "network": {"address": "192.0.2.1", "type": "2"},
            },
            {
                "type": concept(f"{HL7}v3-ParticipationType", "IRCP"),
                "who": {"reference": "Practitioner/d1"},
                "requestor": True,
            },
        ],
        "source": {"observer": {"display": "this server"}},
        "entity": [
            {
                "what": {"identifier": {"value": "0f8fad5b"}},
                "type": {
                    "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                    "code": "XrequestId",
                },
            },
            {
                "what": {"reference": "Observation/1/_history/2"},
                "type": {"system": f"{HL7}audit-entity-type", "code": "2"},
                "role": {"system": f"{HL7}object-role", "code": "4"},
            },
            {
                "what": {"reference": "Patient/p1"},
                "type": {"system": f"{HL7}audit-entity-type", "code": "1"},
                "role": {"system": f"{HL7}object-role", "code": "1"},
            },
        ],
    }


def audited_search() -> Resource:
    query = {
        "type": {"system": f"{HL7}audit-entity-type", "code": "2"},
        "role": {"system": f"{HL7}object-role", "code": "24"},
        "query": "UGF0aWVudD9uYW1lPWE=",
    }
    event = audit_event()
    return {
        **event,
        "subtype": [{"system": REST, "code": "search"}],
        "action": "E",
        "entity": [*event["entity"][:1], query],
    }


VALID = (
    patient,
    practitioner,
    practitioner_role,
    schedule,
    slot,
    appointment,
    cancelled,
    pending,
    proposed,
    medication_request,
    medication_by_reference,
    audit_event,
    audited_search,
)
_HOURS = {"daysOfWeek": ["mon"], "availableStartTime": "12:00:00", "availableEndTime": "09:00:00"}
_DOSE = ("dosageInstruction", 0, "doseAndRate", 0, "doseQuantity")
_AT_DOSE = "MedicationRequest.dosageInstruction[0].doseAndRate[0].dose"

BROKEN = (
    Mutation("a patient without medical record number", patient, ("identifier", 0, "type"), REMOVED, "Patient.identifier", "required"),
    Mutation("two national identifiers", patient, ("identifier", 0, "type"), concept(f"{HL7}v2-0203", "NI"), "Patient.identifier", "structure"),
    Mutation("an identifier without system", patient, ("identifier", 2, "system"), REMOVED, "Patient.identifier[2].system", "required"),
    Mutation("an identifier without value", patient, ("identifier", 0, "value"), REMOVED, "Patient.identifier[0].value", "required"),
    Mutation("an identifier of more than 100 characters", patient, ("identifier", 0, "value"), "1" * 101, "Patient.identifier[0].value", "value"),
    Mutation("a patient of whom nobody says whether they are active", patient, ("active",), REMOVED, "Patient.active", "required"),
    Mutation("a patient without name", patient, ("name",), REMOVED, "Patient.name", "required"),
    Mutation("mc-pat-1: a name that names nobody", patient, ("name", 0), {"use": "official"}, "Patient.name[0]", "invariant"),
    Mutation("a script of unknown kind", patient, ("name", 0, "extension", 0, "valueCode"), "LATIN", "Patient.name[0].extension[0].value", "code-invalid"),
    Mutation("a telecom without value", patient, ("telecom", 0), {"system": "email"}, "Patient.telecom[0].value", "required"),
    Mutation("a patient without gender", patient, ("gender",), REMOVED, "Patient.gender", "required"),
    Mutation("a patient without date of birth", patient, ("birthDate",), REMOVED, "Patient.birthDate", "required"),
    Mutation("mc-pat-2: born tomorrow", patient, ("birthDate",), "2999-01-01", "Patient", "invariant"),
    Mutation("mc-pat-3: dead before birth", patient, ("deceasedDateTime",), "1979-12-31T10:00:00Z", "Patient", "invariant"),
    Mutation("mc-pat-4: two preferred languages", patient, ("communication", 1, "preferred"), True, "Patient", "invariant"),
    Mutation("mc-pat-5: replaced and active", patient, ("link", 0, "type"), "replaced-by", "Patient", "invariant"),
    Mutation("a language in words alone", patient, ("communication", 1, "language"), {"text": "English"}, "Patient.communication[1].language.coding", "required"),
    Mutation("a contact of no relationship", patient, ("contact", 0, "relationship"), REMOVED, "Patient.contact[0].relationship", "required"),
    Mutation("a practitioner without employee number", practitioner, ("identifier", 0, "type", "coding", 0, "code"), "MD", "Practitioner.identifier", "required"),
    Mutation("mc-prc-1: a practitioner's name that names nobody", practitioner, ("name", 0), {"prefix": ["Dr."]}, "Practitioner.name[0]", "invariant"),
    Mutation("mc-prc-2: nobody can reach them", practitioner, ("telecom",), REMOVED, "Practitioner", "invariant"),
    Mutation("mc-prc-3: a qualification nobody knows", practitioner, ("qualification", 0, "code"), {"id": "a", "extension": [{"url": "http://example.org/x", "valueCode": "x"}]}, "Practitioner.qualification[0].code", "invariant"),
    Mutation("a role of nobody", practitioner_role, ("practitioner",), REMOVED, "PractitionerRole.practitioner", "required"),
    Mutation("a role in words alone", practitioner_role, ("code", 0), {"text": "Doctor"}, "PractitionerRole.code[0].coding", "required"),
    Mutation("mc-rol-1: hours that end before they begin", practitioner_role, ("availableTime", 0), _HOURS, "PractitionerRole.availableTime[0]", "invariant"),
    Mutation("mc-rol-1: hours without end", practitioner_role, ("availableTime", 0, "availableEndTime"), REMOVED, "PractitionerRole.availableTime[0]", "invariant"),
    Mutation("mc-rol-1: all day, from nine", practitioner_role, ("availableTime", 1, "availableStartTime"), "09:00:00", "PractitionerRole.availableTime[1]", "invariant"),
    Mutation("hours of no day", practitioner_role, ("availableTime", 1, "daysOfWeek"), REMOVED, "PractitionerRole.availableTime[1].daysOfWeek", "required"),
    Mutation("away, nobody knows when", practitioner_role, ("notAvailable", 0, "during"), REMOVED, "PractitionerRole.notAvailable[0].during", "required"),
    Mutation("mc-scd-1: an actor nobody can find", schedule, ("actor", 1), {"display": "room 1"}, "Schedule.actor[1]", "invariant"),
    Mutation("a calendar of no time", schedule, ("planningHorizon",), REMOVED, "Schedule.planningHorizon", "required"),
    Mutation("a calendar without end", schedule, ("planningHorizon", "end"), REMOVED, "Schedule.planningHorizon.end", "required"),
    Mutation("mc-scd-2: a calendar of no length", schedule, ("planningHorizon", "end"), "2026-01-01T00:00:00Z", "Schedule.planningHorizon", "invariant"),
    Mutation("a slot of a logical schedule", slot, ("schedule",), {"identifier": {"value": "s1"}}, "Slot.schedule.reference", "required"),
    Mutation("mc-slt-1: a slot that ends when it begins", slot, ("end",), "2026-01-05T10:00:00+01:00", "Slot", "invariant"),
    Mutation("mc-slt-2: a slot of two days", slot, ("end",), "2026-01-07T09:00:00Z", "Slot", "invariant"),
    Mutation("mc-slt-3: free and overbooked", slot, ("overbooked",), True, "Slot", "invariant"),
    Mutation("a slot with a novel in it", slot, ("comment",), "a" * 1001, "Slot.comment", "value"),
    Mutation("mc-apt-1: an appointment of no patient", appointment, ("participant", 0, "actor"), {"reference": "RelatedPerson/r1"}, "Appointment", "invariant"),
    Mutation("mc-apt-2: an appointment with nobody", appointment, ("participant",), [{"actor": {"reference": "Patient/p1"}, "status": "accepted"}], "Appointment", "invariant"),
    Mutation("mc-apt-3: an end before the start", appointment, ("end",), "2026-01-05T08:59:59Z", "Appointment", "invariant"),
    Mutation("mc-apt-4: longer than its time", appointment, ("minutesDuration",), 31, "Appointment", "invariant"),
    Mutation("mc-apt-5: booked before everybody accepted", appointment, ("participant", 1, "status"), "needs-action", "Appointment", "invariant"),
    Mutation("mc-apt-6: pending for nobody", pending, ("participant", 2, "status"), "accepted", "Appointment", "invariant"),
    Mutation("mc-apt-7: called off, nobody knows why", cancelled, ("cancelationReason",), REMOVED, "Appointment", "invariant"),
    Mutation("mc-apt-8: proposed for no time", proposed, ("requestedPeriod",), REMOVED, "Appointment", "invariant"),
    Mutation("an appointment of more than a day", proposed, ("minutesDuration",), 1441, "Appointment.minutesDuration", "value"),
    Mutation("a participant without actor", appointment, ("participant", 2), {"type": [concept(f"{HL7}v3-ParticipationType", "ATND")], "status": "accepted"}, "Appointment.participant[2].actor", "required"),
    Mutation("an appointment made at no time", appointment, ("created",), REMOVED, "Appointment.created", "required"),
    Mutation("a wish without start", proposed, ("requestedPeriod", 0, "start"), REMOVED, "Appointment.requestedPeriod[0].start", "required"),
    Mutation("a medication in words alone", medication_request, ("medicationCodeableConcept",), {"text": "paracetamol"}, "MedicationRequest.medication.coding", "required"),
    Mutation("a medication of no system", medication_request, ("medicationCodeableConcept", "coding", 0, "system"), REMOVED, "MedicationRequest.medication.coding[0].system", "required"),
    Mutation("a prescription for a group", medication_request, ("subject", "reference"), "Group/1", "MedicationRequest.subject", "value"),
    Mutation("a prescription by nobody", medication_request, ("requester",), REMOVED, "MedicationRequest.requester", "required"),
    Mutation("a prescription of no time", medication_request, ("authoredOn",), REMOVED, "MedicationRequest.authoredOn", "required"),
    Mutation("a prescription without dosage", medication_request, ("dosageInstruction",), REMOVED, "MedicationRequest.dosageInstruction", "required"),
    Mutation("mc-dos-1: a dosage that says nothing", medication_request, ("dosageInstruction", 0), {"sequence": 1}, "MedicationRequest.dosageInstruction[0]", "invariant"),
    Mutation("a dosage that goes on and on", medication_request, ("dosageInstruction", 0, "text"), "a" * 1001, "MedicationRequest.dosageInstruction[0].text", "value"),
    Mutation("mc-med-2: to be dispensed before it is prescribed", medication_request, ("dispenseRequest", "validityPeriod"), {"end": "2026-01-01"}, "MedicationRequest", "invariant"),
    Mutation("a dose in a system of one's own", medication_request, (*_DOSE, "system"), "http://example.org/units", f"{_AT_DOSE}.system", "value"),
    Mutation("a dose without number", medication_request, (*_DOSE, "value"), REMOVED, f"{_AT_DOSE}.value", "required"),
    Mutation("a hundred repeats", medication_request, ("dispenseRequest", "numberOfRepeatsAllowed"), 100, "MedicationRequest.dispenseRequest.numberOfRepeatsAllowed", "value"),
    Mutation("an audit entry of another type", audit_event, ("type", "code"), "hl7-v3", "AuditEvent.type", "value"),
    Mutation("an audit entry of no interaction", audit_event, ("subtype", 0, "code"), "look", "AuditEvent.subtype", "required"),
    Mutation("mc-aud-1: a read that creates", audit_event, ("action",), "C", "AuditEvent", "invariant"),
    Mutation("mc-aud-2: a failure without reason", audit_event, ("outcome",), "4", "AuditEvent", "invariant"),
    Mutation("mc-aud-3: two who asked", audit_event, ("agent", 0, "requestor"), True, "AuditEvent", "invariant"),
    Mutation("mc-aud-4: a search for nothing", audited_search, ("entity", 1), REMOVED, "AuditEvent", "invariant"),
    Mutation("a source of the data that is missing", audit_event, ("agent", 0, "type"), REMOVED, "AuditEvent.agent", "required"),
    Mutation("an agent nobody knows", audit_event, ("agent", 1, "who"), REMOVED, "AuditEvent.agent[1].who", "required"),
    Mutation("a user who did not ask", audit_event, ("agent", 2, "requestor"), False, "AuditEvent.agent[2].requestor", "value"),
    Mutation("media of an agent", audit_event, ("agent", 0, "media"), {"code": "110030"}, "AuditEvent.agent[0].media", "structure"),
    Mutation("a patient who is none", audit_event, ("entity", 2, "what", "reference"), "Group/1", "AuditEvent.entity[2].what", "value"),
    Mutation("a resource without address", audit_event, ("entity", 1, "what"), {"display": "something"}, "AuditEvent.entity[1].what.reference", "required"),
    Mutation("a request without id", audit_event, ("entity", 0, "what"), {"display": "something"}, "AuditEvent.entity[0].what.identifier", "required"),
    Mutation("a query that was not kept", audited_search, ("entity", 1, "query"), REMOVED, "AuditEvent.entity[1].query", "required"),
)  # fmt: skip
