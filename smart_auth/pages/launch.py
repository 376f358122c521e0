"""The page on which somebody who works here starts an app for the record that is open.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from starlette.responses import Response

from smart_auth.error import OAuthError
from smart_auth.launch import launch_of
from smart_auth.pages.consent import person_of
from smart_auth.pages.sign_in import require
from smart_auth.pages.visit import Halt, Visit

CONTEXT = ("patient", "encounter", "intent")


def show(visit: Visit) -> Response:
    """The apps that can be started, for the patient of the address."""
    require(visit, "/auth/account")
    asked = {name: visit.query[name][:200] for name in CONTEXT if visit.query.get(name)}
    patient = asked.get("patient", "")
    _check(visit, patient)
    return visit.page(
        "launch.html",
        apps=visit.site.authorizations.launchable(),
        asked=asked,
        patient=visit.site.people.name_of(f"Patient/{patient}") if patient else "",
    )


def start(visit: Visit) -> Response:
    """Starts the app: the browser goes there with a launch id."""
    account = require(visit, "/auth/account")
    body = {name: visit.field(name, 200) for name in ("client_id", *CONTEXT) if visit.field(name, 200)}
    _check(visit, body.get("patient", ""))
    try:
        _, address = visit.site.authorizations.launch(launch_of(body, account.id))
    except OAuthError as error:
        raise Halt(400, "This app cannot be started", f"{error.description}.") from None
    visit.note("launch", "success", detail=body.get("client_id", ""))
    return visit.go(address)


def _check(visit: Visit, patient: str) -> None:
    person = person_of(visit)
    assert person is not None, "required before"
    if patient and not visit.site.people.may_open(person.fhir_user or "", person.roles, patient):
        visit.note("launch", "failure", detail="patient")
        raise Halt(403, "You may not open this record", "It does not exist, or it is not for you to open.")
