"""EHR launches: an app is started from a record that is open, and finds it again by the launch id it was given.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from smart_auth.cipher import digest, new_secret
from smart_auth.client import Client
from smart_auth.configuration import LAUNCH_SECONDS, Configuration
from smart_auth.error import OAuthError, invalid_request
from smart_auth.people import People
from smart_auth.store import Database, Jsonb

ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,63})/[A-Za-z0-9.-]{1,64}")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:\S+", re.IGNORECASE)
# Roles without a colon are the specification's own: others are URIs.
ROLES = frozenset(("launch",))
MOST_CONTEXT = 20
LONGEST = 1000

CLEAR = "DELETE FROM launch WHERE tenant = %(tenant)s AND expires < now()"
KEEP = """
INSERT INTO launch (tenant, id_hash, client, account, patient, encounter, context, banner, intent, expires)
VALUES (%(tenant)s, %(id)s, %(client)s, %(account)s, %(patient)s, %(encounter)s, %(context)s, %(banner)s, %(intent)s,
    now() + make_interval(secs => %(seconds)s))
"""
FIND = """
SELECT client, account, patient, encounter, context, banner, intent FROM launch
WHERE tenant = %(tenant)s AND id_hash = %(id)s AND expires > now()
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """What is open where an app is started: ids of patient and encounter, further resources (`context`, as fhirContext),
    what the app is to do (`intent`), and whether it has to show whose record it is (`banner`).

    `account` is who has it open, None where that is not known; nobody else goes on with it then.
    """

    client: str
    account: str | None
    patient: str | None = None
    encounter: str | None = None
    context: Sequence[Mapping[str, Any]] = ()
    banner: bool = False
    intent: str | None = None


class Launches:
    """The launches of one tenant, each good for ten minutes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, launch: Launch) -> str:
        """Keeps a launch; returns its id, a secret."""
        id_ = new_secret()
        values = {name: getattr(launch, name) for name in "client account patient encounter banner intent".split()}
        self._database.run(CLEAR)
        more = {"id": digest(id_), "context": Jsonb(list(launch.context)), "seconds": LAUNCH_SECONDS}
        self._database.run(KEEP, {**values, **more})
        return id_

    def find(self, id_: str, client: str) -> Launch | None:
        """The launch, for the client that was launched."""
        row = self._database.one(FIND, {"id": digest(id_.encode("ascii", "replace").decode())})
        return Launch(**row) if row and row["client"] == client else None


def launch_address(client: Client, configuration: Configuration, id_: str) -> str:
    """Where the browser goes so that the app starts: its launch URL with `iss` and `launch`."""
    assert client.launch_url is not None, "only what can be launched is launched"
    query = urlencode({"iss": configuration.fhir_base, "launch": id_})
    return f"{client.launch_url}{'&' if urlsplit(client.launch_url).query else '?'}{query}"


def is_launchable(client: Client | None) -> bool:
    """Whether an app can be started from a record."""
    return (
        client is not None
        and client.status == "active"
        and client.launch_url is not None
        and "authorization_code" in client.grants
    )


def launch_of(body: Mapping[str, Any], account: str | None) -> Launch:
    """The launch that a request asks for, with the names of the token reply. Raises OAuthError."""
    known = {"client_id", "patient", "encounter", "fhirContext", "intent", "need_patient_banner"}
    if unknown := sorted(set(body) - known):
        raise invalid_request(f"{unknown[0]} is unknown; known are {', '.join(sorted(known))}")
    banner = body.get("need_patient_banner", False)
    if not isinstance(banner, bool):
        raise invalid_request("need_patient_banner is true or false")
    return Launch(
        client=_text(body, "client_id", 128) or "",
        account=account,
        patient=_id(body, "patient"),
        encounter=_id(body, "encounter"),
        context=context_of(body.get("fhirContext", [])),
        banner=banner,
        intent=_text(body, "intent", 200),
    )


def with_patient(launch: Launch, people: People, fhir_user: str, roles: Sequence[str] | None) -> Launch:
    """The launch with the patient of its encounter. Raises OAuthError where the two do not belong together or do not exist.

    `roles` are those of the person who has the record open, and who must be allowed to; None: a system, which opens any.
    """
    if launch.encounter is not None:
        patient = people.patient_of(launch.encounter)
        if roles is None and patient is None:
            raise invalid_request("there is no encounter of a patient with this id")
        if roles is None and launch.patient not in (None, patient):
            raise invalid_request("the encounter is not one of this patient")
        launch = replace(launch, patient=launch.patient or patient)
    elif roles is None and launch.patient is not None and people.name_of(f"Patient/{launch.patient}") is None:
        raise invalid_request("there is no patient with this id")
    if roles is not None:
        _check_person(launch, people, fhir_user, roles)
    return launch


def _check_person(launch: Launch, people: People, fhir_user: str, roles: Sequence[str]) -> None:
    """A person is told the same of what does not exist and of what is not theirs to open."""
    if launch.encounter is not None:
        patient = launch.patient or ""
        if not patient or not people.may_open_encounter(fhir_user, roles, patient, launch.encounter):
            text = "the encounter does not exist, is not one of this patient, or may not be opened by this person"
            raise OAuthError("access_denied", text, 403)
    elif launch.patient is not None and not people.may_open(fhir_user, roles, launch.patient):
        raise OAuthError("access_denied", "the patient does not exist, or may not be opened by this person", 403)


def context_of(value: Any) -> list[dict[str, Any]]:
    """The entries of a fhirContext. Raises OAuthError where the specification does not allow one."""
    if not isinstance(value, list) or len(value) > MOST_CONTEXT:
        raise invalid_request(f"fhirContext is an array of at most {MOST_CONTEXT} objects")
    return [_entry(one) for one in value]


def _entry(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not {"reference", "canonical", "identifier"} & set(entry):
        raise invalid_request("an entry of fhirContext has a reference, a canonical or an identifier")
    if set(entry) - {"reference", "canonical", "identifier", "type", "role"}:
        raise invalid_request("an entry of fhirContext has reference, canonical, identifier, type and role")
    role = entry.get("role", "launch")
    if not isinstance(role, str) or not (role in ROLES or ABSOLUTE.fullmatch(role[:LONGEST])):
        raise invalid_request("the role of an entry of fhirContext is launch or an absolute URI")
    kind = _entry_type(entry)
    if kind in ("Patient", "Encounter") and role == "launch":
        raise invalid_request(f"a {kind} in fhirContext has a role other than launch")
    for name in ("canonical", "type"):
        if name in entry and not (isinstance(entry[name], str) and 0 < len(entry[name]) <= LONGEST):
            raise invalid_request(f"the {name} of an entry of fhirContext is a string")
    if "identifier" in entry and not isinstance(entry["identifier"], dict):
        raise invalid_request("the identifier of an entry of fhirContext is an object")
    return entry


def _entry_type(entry: Mapping[str, Any]) -> str | None:
    if "reference" not in entry:
        return str(entry["type"]) if "type" in entry else None
    found = REFERENCE.fullmatch(entry["reference"]) if isinstance(entry["reference"], str) else None
    if found is None:
        raise invalid_request("the reference of an entry of fhirContext is relative, as in ImagingStudy/1")
    return found[1]


def _text(body: Mapping[str, Any], name: str, most: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise invalid_request(f"{name} is a string of at most {most} characters")
    return value


def _id(body: Mapping[str, Any], name: str) -> str | None:
    value = _text(body, name, 64)
    if value is not None and not ID.fullmatch(value):
        raise invalid_request(f"{name} is the id of a resource, without its type")
    return value
