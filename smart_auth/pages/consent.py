"""The page on which a person decides what an app may do, and the way there and back.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import Response

from smart_auth.account import Account
from smart_auth.authorization import Pending
from smart_auth.pages.visit import Halt, Visit
from smart_auth.people import PatientChoice, SignedIn
from smart_auth.wording import granted, names, permissions


def pending_of(visit: Visit) -> Pending:
    """The authorization this browser has begun; raises Halt where there is none."""
    found = _found(visit)
    if found is None:
        raise Halt(
            410,
            "This request is over",
            "It took too long, was decided already, or was begun in another browser. Go back to the app and start again.",
            ("/auth/account", "Your account"),
        )
    return found


def name_of_app(visit: Visit) -> str:
    """The name of the app that waits for the person, or empty."""
    found = _found(visit)
    return found.client.name if found else ""


def _found(visit: Visit) -> Pending | None:
    site, network = visit.site, visit.visitor.network
    return site.authorizations.pending(visit.pending, visit.browser.hash, network) if visit.pending else None


def person_of(visit: Visit) -> SignedIn | None:
    """Who is signed in, as the protocol core knows them."""
    account, session = visit.account, visit.session
    if account is None or session is None:
        return None
    return SignedIn(
        account.id,
        account.name,
        account.email,
        account.fhir_user,
        account.roles,
        session.id,
        session.proved.timestamp(),
    )


def go_on(visit: Visit) -> Response:
    """Where an authorization goes next: to signing in, the choice of a patient, consent, or back to the app."""
    return visit.go(visit.site.authorizations.next(pending_of(visit), person_of(visit)))


def due(visit: Visit, page: str) -> Pending | Response:
    """The authorization as it stands for who is signed in, where this page is what it needs next; else the way there.

    An address in a browser's history outlives who opened it: what somebody else has chosen is forgotten here, not shown.
    """
    pending, person = pending_of(visit), person_of(visit)
    onward = visit.site.authorizations.next(pending, person)
    return pending_of(visit) if onward == f"/auth/{page}?pending={pending.id}" else visit.go(onward)


def show(visit: Visit) -> Response:
    pending, account = due(visit, "consent"), visit.account
    if isinstance(pending, Response):
        return pending
    assert account is not None, "nobody is asked for consent before they have signed in"
    patient = _patient(visit, pending)
    parts = permissions(pending.scopes, whose(account, patient), visit.site.configuration.types)
    return visit.page(
        "consent.html",
        app=pending.client,
        back=place_of(pending.redirect_uri),
        patient=patient,
        reading=[part for part in parts if not part.is_writing],
        writing=[part for part in parts if part.is_writing],
        others=names(pending.scopes),
    )


def decide(visit: Visit) -> Response:
    """Back to the app, with what was left ticked, or with a no."""
    pending, person = pending_of(visit), person_of(visit)
    if person is None:
        return visit.go(f"/auth/login{visit.carried()}")
    if visit.field("decision") != "allow":
        return visit.go(visit.site.authorizations.deny(pending))
    chosen, kinds = chosen_of(visit.form)
    words = granted(pending.scopes, chosen, kinds)
    return visit.go(visit.site.authorizations.approve(pending, person, words))


def chosen_of(form: Mapping[str, list[str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """What a consent form says: the ticked scopes, and the kinds chosen in place of wildcards.

    A wildcard of which only some kinds are wanted, and none is ticked, is not wanted.
    """
    narrowed = {
        name.removeprefix("all-") for name, value in form.items() if name.startswith("all-") and value == ["no"]
    }
    kinds = [(scope, kind) for scope in sorted(narrowed) for kind in form.get(f"kind-{scope}", [])]
    wanted = {scope for scope, _ in kinds}
    return [scope for scope in form.get("scope", []) if scope not in narrowed or scope in wanted], kinds


def whose(account: Account, patient: PatientChoice | None) -> str:
    """Whose data it is: the word "your", or the name of the patient."""
    if patient and account.fhir_user != f"Patient/{patient.id}":
        return f"{patient.name}'s"
    return "the patient's" if account.is_staff else "your"


def place_of(redirect_uri: str) -> str:
    """Where an app is, for people: its host, or the scheme of an app on the device."""
    parts = urlsplit(redirect_uri)
    return parts.netloc if parts.scheme in {"http", "https"} else f"the app on this device ({parts.scheme})"


def _patient(visit: Visit, pending: Pending) -> PatientChoice | None:
    if pending.patient is None:
        return None
    name = visit.site.people.name_of(f"Patient/{pending.patient}")
    return PatientChoice(pending.patient, name or "a patient without a name")
