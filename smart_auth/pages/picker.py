"""The page on which a person chooses the patient, and where an app wants one, the encounter.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#requesting-context-with-scopes
"""

from starlette.responses import Response

from smart_auth.authorization import Pending
from smart_auth.pages.consent import due, pending_of, person_of
from smart_auth.pages.visit import Visit
from smart_auth.people import SignedIn


def show(visit: Visit) -> Response:
    pending, person = due(visit, "pick"), person_of(visit)
    if isinstance(pending, Response):
        return pending
    assert person is not None, "nobody chooses before they have signed in"
    return _page(visit, pending, person)


def _page(visit: Visit, pending: Pending, person: SignedIn, problem: str = "", status: int = 200) -> Response:
    """The visits of the patient once one is chosen, before that the patients this person may open."""
    people, user = visit.site.people, person.fhir_user or ""
    words, is_encounter = visit.query.get("words", "")[:100], pending.patient is not None
    choices: object = (
        people.encounters_for(user, person.roles, pending.patient)
        if pending.patient is not None
        else people.patients_for(user, person.roles, words)
    )
    return visit.page(
        "pick.html",
        status,
        app=pending.client.name,
        words=words,
        problem=problem,
        is_encounter=is_encounter,
        searchable=not is_encounter and visit.account is not None and visit.account.is_staff,
        choices=choices,
    )


def pick(visit: Visit) -> Response:
    """Keeps the choice, which must be one this person may make, and goes on."""
    pending, person = pending_of(visit), person_of(visit)
    if person is None:
        return visit.go(f"/auth/login{visit.carried()}")
    if visit.field("decision") == "deny":
        return visit.go(visit.site.authorizations.deny(pending))
    patient, encounter = visit.field("patient", 64), visit.field("encounter", 64)
    if patient and not visit.site.people.may_open(person.fhir_user or "", person.roles, patient):
        visit.note("denied", "failure", detail="patient picker")
        return _page(visit, pending, person, "You may not open this record.", 403)
    visit.site.authorizations.choose(pending, person, patient or None, encounter or None)
    return visit.go(f"/auth/continue{visit.carried()}")
