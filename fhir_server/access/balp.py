"""A note as an AuditEvent, in the patterns of IHE's Basic Audit Log Patterns.

https://profiles.ihe.net/ITI/BALP/ and https://hl7.org/fhir/R4/auditevent.html

Each RESTful interaction has its pattern, one more where a single patient is concerned. A search that finds several patients
is an AuditEvent for each of them, or where those are very many one that names them all. The token is named as the minimal pattern for OAuth asks: by its id.
"""

import base64
from datetime import datetime
from functools import cache
from typing import Any

from msgspec.structs import replace

from fhir_server.moment import instant
from fhir_server.store.audit import Note

PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
TYPES = "http://terminology.hl7.org/CodeSystem/"
OWN = "urn:mediconnect:audit-event"
COMMAND_LINE = "mediconnect command line"
# The pattern of an interaction, and AuditEvent.action.
PATTERNS: dict[str, tuple[str, str]] = {
    "read": ("Read", "R"),
    "vread": ("Read", "R"),
    "create": ("Create", "C"),
    "update": ("Update", "U"),
    "patch": ("Update", "U"),
    "delete": ("Delete", "D"),
    "search-type": ("Query", "E"),
    "search-system": ("Query", "E"),
}
RESTFUL = frozenset(
    (
        *PATTERNS,
        "history-instance",
        "history-type",
        "history-system",
        "batch",
        "transaction",
        "capabilities",
        "operation",
    )
)
# Events of DICOM; all others are of a list of our own.
AUTHENTICATION = {"login": ("110122", "Login"), "logout": ("110123", "Logout")}
EVENTS = {"register": "C", "account": "U", "consent": "C", "keys": "C", "policy": "U"}


def for_each_patient(note: Note, most: int) -> list[Note]:
    """The notes to make AuditEvents of: of a search that found several patients, up to `most`, one for each.

    A look at the trail itself is one event, or the trail would grow by as much as is looked at.
    """
    pattern, trail = PATTERNS.get(note.subtype), (note.query or "").startswith("AuditEvent")
    if pattern is None or pattern[0] != "Query" or note.outcome or trail or not 1 < len(note.patients) <= most:
        return [note]
    return [replace(note, patients=(one,)) for one in note.patients]


def audit_event(note: Note, recorded: datetime, resource_id: str, sealed: datetime, base: str) -> dict[str, Any]:
    """The AuditEvent of a note, complete with id and meta; `base` is the server that it happened on."""
    restful = note.subtype in RESTFUL
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": resource_id,
        "meta": {"versionId": "1", "lastUpdated": instant(sealed)}
        | ({"profile": one} if (one := _profiles(note)) else {}),
        "type": _REST if restful else _AUTHENTICATION,
        "subtype": [_subtype(note.subtype)],
        "action": PATTERNS.get(note.subtype, ("", EVENTS.get(note.subtype, "E")))[1],
        "recorded": instant(recorded),
        "outcome": str(note.outcome),
    }
    if note.outcome or note.detail:
        event["outcomeDesc"] = " ".join(
            part for part in (f"{note.status}" if note.outcome else "", note.detail) if part
        )
    agents = _agents(note, base) if note.operator is None else _terminal(note, base)
    return {**event, "agent": agents, "source": source(base), **_entities(note)}


def source(base: str) -> dict[str, Any]:
    """Who reports: this server. Clients may not report in its name."""
    return {
        "site": base,
        "observer": {"display": base},
        "type": [_coding(TYPES + "security-source-type", "4", "Application Server")],
    }


def claims_to_be(event: dict[str, Any], base: str) -> bool:
    """Whether an AuditEvent says that this server reports it."""
    reported = event.get("source")
    observer = reported.get("observer") if isinstance(reported, dict) else None
    return isinstance(reported, dict) and (
        reported.get("site") == base or (isinstance(observer, dict) and base in map(str, observer.values()))
    )


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


_REST = _coding(TYPES + "audit-event-type", "rest", "RESTful Operation")
_AUTHENTICATION = _coding(DICOM, "110114", "User Authentication")


@cache
def _subtype(subtype: str) -> dict[str, str]:
    if subtype in RESTFUL:
        return _coding("http://hl7.org/fhir/restful-interaction", subtype, subtype)
    if subtype in AUTHENTICATION:
        return _coding(DICOM, *AUTHENTICATION[subtype])
    return _coding(OWN, subtype, subtype)


def _profiles(note: Note) -> list[str]:
    """The patterns that the event follows; they are for what succeeded."""
    pattern = PATTERNS.get(note.subtype)
    if pattern is None or note.outcome:
        return []
    named = PROFILE + ("Patient" if len(note.patients) == 1 else "") + pattern[0]
    return [named, *([PROFILE + "OAUTHaccessTokenUse.Minimal"] if note.token else [])]


# --- agents ----------------------------------------------------------------------------------------------------------------

_SOURCE = {"coding": [_coding(DICOM, "110153", "Source Role ID")]}
_DESTINATION = {"coding": [_coding(DICOM, "110152", "Destination Role ID")]}
_RECIPIENT = _coding(TYPES + "v3-ParticipationType", "IRCP", "information recipient")
_AUTHOR = _coding(TYPES + "v3-ParticipationType", "AUT", "author (originator)")
_BEARER = _coding(
    "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes", "UserOauthAgent", "User OAuth Agent participant"
)


def _agents(note: Note, base: str) -> list[dict[str, Any]]:
    """The client and this server, whose roles say where the data goes, and the person or system that bears the token."""
    reads = note.subtype in ("read", "vread")
    client = {
        "type": _DESTINATION if reads else _SOURCE,
        "who": {"identifier": {"value": note.client}} if note.client else {"display": "unknown"},
        "requestor": False,
        "network": {"address": note.network or "unknown", "type": "2"},
    }
    server = {
        "type": _SOURCE if reads else _DESTINATION,
        "who": {"display": base},
        "requestor": False,
        "network": {"address": base, "type": "5"},
    }
    bearer = _bearer(note)
    if bearer is None:
        client["requestor"] = True
        return [client, server]
    return [client, server, bearer]


_HUMAN = {"coding": [_coding(TYPES + "extra-security-role-type", "humanuser", "human user")]}


def _terminal(note: Note, base: str) -> list[dict[str, Any]]:
    """The command line and this server, and who ran the command, by their account of the operating system."""
    return [
        {
            "type": _SOURCE,
            "who": {"display": COMMAND_LINE},
            "requestor": False,
            "network": {"address": note.network or "unknown", "type": "1"},
        },
        {"type": _DESTINATION, "who": {"display": base}, "requestor": False, "network": {"address": base, "type": "5"}},
        {"type": _HUMAN, "who": {"display": note.operator}, "requestor": True},
    ]


def _bearer(note: Note) -> dict[str, Any] | None:
    if note.token is None and note.account is None and note.fhir_user is None:
        return None
    writes = PATTERNS.get(note.subtype, ("", ""))[1] in ("C", "U", "D")
    role = [_AUTHOR if writes else _RECIPIENT] if note.subtype in PATTERNS else []
    made: dict[str, Any] = {"type": {"coding": [*role, _BEARER]}, "who": _who(note), "requestor": True}
    return made | (
        {"policy": [f"urn:uuid:{note.token}" if len(note.token) == 36 else note.token]} if note.token else {}
    )


def _who(note: Note) -> dict[str, Any]:
    named: dict[str, Any] = {"reference": note.fhir_user} if note.fhir_user else {}
    if note.account:
        named["identifier"] = {"system": "urn:mediconnect:account", "value": note.account}
    return named or {"identifier": {"value": note.client or "unknown"}}


# --- entities --------------------------------------------------------------------------------------------------------------

_PERSON, _OBJECT = (
    _coding(TYPES + "audit-entity-type", "1", "Person"),
    _coding(TYPES + "audit-entity-type", "2", "System Object"),
)
_REQUEST = _coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId", "X-Request-Id")
_PATIENT_ROLE = _coding(TYPES + "object-role", "1", "Patient")
_DOMAIN, _QUERY = _coding(TYPES + "object-role", "4", "Domain Resource"), _coding(TYPES + "object-role", "24", "Query")


def _entities(note: Note) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        {"what": {"reference": one}, "type": _OBJECT, "role": _DOMAIN} for one in note.entities
    ]
    found.extend({"what": {"reference": one}, "type": _PERSON, "role": _PATIENT_ROLE} for one in note.patients)
    if note.query is not None:
        found.append({"type": _OBJECT, "role": _QUERY, "query": base64.b64encode(note.query.encode()).decode()})
    if note.request:
        found.append({"what": {"identifier": {"value": note.request}}, "type": _REQUEST})
    return {"entity": found} if found else {}
