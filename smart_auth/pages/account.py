"""The page of one's own account: who one is, how one signs in, which apps have access, where one is signed in.

https://www.rfc-editor.org/rfc/rfc7009
"""

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from smart_auth.account import Account
from smart_auth.agent import browser_words, is_phone
from smart_auth.lockout import MAIL_FROM, MAIL_TO, TooMany, network_of
from smart_auth.mail import email_address
from smart_auth.pages.credentials import ProveFirst
from smart_auth.pages.sign_in import require
from smart_auth.pages.visit import Visit
from smart_auth.session import Session
from smart_auth.wording import names, permissions

DAY = 24 * 3600
DONE = {
    "name": "Your name is saved.",
    "email": "Your new address counts from now on.",
    "email-sent": "We have sent a mail to the new address. Follow the link in it.",
    "password": "Your new password is set, and you are signed out everywhere else.",
    "second-factor": "Your authenticator app is on.",
    "second-factor-off": "Your authenticator app is off.",
    "passkey": "Your passkey is added.",
    "passkey-removed": "The passkey is removed. You can delete it from the device too.",
    "session": "That browser is signed out.",
    "sessions": "You are signed out everywhere else.",
    "app": "The app has no access any more.",
    "connected": "The provider opens your account from now on.",
    "released": "The provider does not open your account any more.",
}
PROBLEMS = {
    "last": "That is the last way into your account. Set a password first.",
    "connected": "At the provider you are connected with another account already.",
}


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as its owner sees it."""

    id: str
    browser: str
    is_phone: bool
    network: str
    created: datetime
    seen: datetime
    is_this: bool


@dataclass(frozen=True, slots=True)
class ShownApp:
    """An app that has access, with what it may do in plain words."""

    id: str
    name: str
    self_registered: bool
    since: datetime
    words: tuple[str, ...]


def show(visit: Visit) -> Response:
    account, site = require(visit, "/auth/account"), visit.site
    return visit.page(
        "account.html",
        account=account,
        record=site.people.name_of(account.fhir_user) if account.fhir_user else "",
        codes_left=site.second_factors.recovery_codes_left(account),
        passkeys=site.passkeys.of(account),
        passkeys_possible=site.passkeys.is_possible,
        provider=site.external.provider.name if site.external else "",
        provider_bound=site.external is not None and site.external.is_bound(account),
        apps=_apps(visit, account),
        sessions=[_shown(session, visit.session) for session in site.sessions.of(account.id)],
        done=DONE.get(visit.query.get("done", ""), ""),
        problem=PROBLEMS.get(visit.query.get("problem", ""), ""),
    )


def _shown(session: Session, this: Session | None) -> ShownSession:
    return ShownSession(
        session.id,
        browser_words(session.agent),
        is_phone(session.agent),
        session.network,
        session.created,
        session.seen,
        this is not None and session.id == this.id,
    )


def name(visit: Visit) -> Response:
    return visit.page("name.html", name=require(visit, "/auth/account/name").name, problem="")


def set_name(visit: Visit) -> Response:
    account, chosen = require(visit, "/auth/account/name"), " ".join(visit.field("name", 200).split())
    if not chosen.isprintable() or not chosen:
        return visit.page("name.html", 422, name=chosen, problem="Type your name.")
    visit.site.accounts.set_name(account, chosen)
    return visit.go("/auth/account?done=name")


def email(visit: Visit) -> Response:
    return visit.page("email.html", account=_recent(visit), email="", problem="")


def set_email(visit: Visit) -> Response:
    """Sends a mail to the new address; the old one counts until its link is followed."""
    account, address = _recent(visit), email_address(visit.field("email", 300))
    if address is None or address == account.email:
        problem = "Type another address, such as name@example.org."
        return visit.page("email.html", 422, account=account, email=visit.field("email", 254), problem=problem)
    visit.site.attempts.reserve((MAIL_FROM, network_of(visit.visitor.network)))
    return visit.later(visit.go("/auth/account?done=email-sent"), lambda: _send(visit, account, address))


def _send(visit: Visit, account: Account, address: str) -> None:
    try:
        visit.site.attempts.reserve((MAIL_TO, address))
    except TooMany:
        return
    if visit.site.accounts.by_email(address):
        visit.write(address, "exists", link=visit.site.link("login"))
        return
    ticket = visit.site.tickets.issue("email", account.id, {"email": address}, DAY)
    visit.write(address, "email", name=account.name, link=visit.site.link(f"verify?ticket={ticket}"))


def end_session(visit: Visit) -> Response:
    account = require(visit, "/auth/account")
    if visit.site.sessions.end(account.id, visit.field("id", 100)):
        visit.note("logout", "success", detail="another browser")
    return visit.go("/auth/account?done=session")


def end_others(visit: Visit) -> Response:
    account = require(visit, "/auth/account")
    assert visit.session is not None, "there is an account"
    visit.site.sessions.end_others(account.id, visit.session.id)
    visit.note("logout", "success", detail="all other browsers")
    return visit.go("/auth/account?done=sessions")


def withdraw(visit: Visit) -> Response:
    """Takes an app's access away: its tokens are good no more."""
    account = require(visit, "/auth/account")
    client = visit.field("client", 128)
    visit.site.authorizations.withdraw(account.id, client)
    visit.note("revoke", "success", detail="access of an app withdrawn", client=client)
    return visit.go("/auth/account?done=app")


def _recent(visit: Visit) -> Account:
    account = require(visit, "/auth/account/email")
    if visit.session is None or not visit.session.is_recent:
        raise ProveFirst("/auth/account/email")
    return account


def _apps(visit: Visit, account: Account) -> list[ShownApp]:
    whose, types = "your" if not account.is_staff else "the patient's", visit.site.configuration.types
    return [
        ShownApp(
            app.client.id,
            app.client.name,
            app.client.self_registered,
            app.since,
            tuple(dict.fromkeys(each.words for each in (*permissions(app.scopes, whose, types), *names(app.scopes)))),
        )
        for app in visit.site.authorizations.apps_of(account.id)
    ]
