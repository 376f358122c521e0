"""The page on which somebody who works here starts an app for the record that is open.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from starlette.responses import Response

from smart_auth.error import OAuthError
from smart_auth.launch import Launch, launch_of, with_patient
from smart_auth.pages.consent import person_of
from smart_auth.pages.sign_in import require
from smart_auth.pages.visit import Halt, Visit

CONTEXT = ("patient", "encounter", "intent")


def show(visit: Visit) -> Response:
    """The apps that can be started, for the patient and encounter of the address."""
    account = require(visit, "/auth/account")
    asked = {name: visit.query[name][:200] for name in CONTEXT if visit.query.get(name)}
    patient = _opened(visit, asked, account.id).patient
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
    launch = _opened(visit, body, account.id)
    try:
        _, address = visit.site.authorizations.launch(launch)
    except OAuthError as error:
        raise _refused(error) from None
    visit.note("launch", "success", detail=body.get("client_id", ""))
    return visit.go(address)


def _opened(visit: Visit, body: dict[str, str], account: str) -> Launch:
    """What is open, as this person may open it; raises Halt."""
    person = person_of(visit)
    assert person is not None, "required before"
    try:
        return with_patient(launch_of(body, account), visit.site.people, person.fhir_user or "", person.roles)
    except OAuthError as error:
        if error.status != 403:
            raise _refused(error) from None
        what = "encounter" if "encounter" in body else "patient"
        visit.note("launch", "failure", detail=what)
        text = "It does not exist, or it is not for you to open."
        if what == "encounter":
            text = "The visit does not exist, is not one of this record, or is not for you to open."
        raise Halt(403, "You may not open this record", text, ("/auth/account", "Your account")) from None


def _refused(error: OAuthError) -> Halt:
    return Halt(400, "This app cannot be started", f"{error.description}.")
