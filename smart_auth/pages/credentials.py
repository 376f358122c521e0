"""What opens an account: password, authenticator app and passkeys, changed only by one who has just shown who they are.

https://pages.nist.gov/800-63-4/sp800-63b.html
"""

import json

from starlette.responses import JSONResponse, Response

from smart_auth.account import Account
from smart_auth.agent import browser_words
from smart_auth.pages.sign_in import require
from smart_auth.pages.sign_up import Wrong
from smart_auth.pages.visit import Halt, Visit
from smart_auth.passkey import InvalidPasskey
from smart_auth.password import UnfitPassword, check_password
from smart_auth.totp import new_secret, provisioning_uri, qr_code

SETUP_SECONDS = 1800


class ProveFirst(Halt):
    """The person has to show again who they are."""

    def __init__(self, to: str) -> None:
        text = "It has been a while since you signed in. Show once more that it is you."
        super().__init__(403, "Show that it is you", text, (f"/auth/account/prove?to={to}", "Go on"))


def _recent(visit: Visit, to: str) -> Account:
    """Who is signed in and has shown a short while ago who they are."""
    account = require(visit, to)
    if visit.session is None or not visit.session.is_recent:
        raise ProveFirst(to)
    return account


def prove(visit: Visit) -> Response:
    account = require(visit, "/auth/account")
    return visit.page("prove.html", account=account, to=visit.to, problem="")


def proved(visit: Visit) -> Response:
    """Password, and the code where there is an app, once more."""
    account = require(visit, "/auth/account")
    fits = visit.site.accounts.check_password(account, visit.field("password", 400), visit.visitor)
    if not fits or (account.has_totp and not visit.site.second_factors.accepts(account, visit.field("code", 40))):
        visit.note("login", "failure", detail="proof of a signed-in person")
        problem = "The password or the code is wrong." if account.has_totp else "This is not your password."
        return visit.page("prove.html", 401, account=account, to=visit.to, problem=problem)
    assert visit.session is not None, "there is an account"
    visit.site.accounts.trust(account, visit.visitor)
    visit.site.sessions.prove(visit.session)
    return visit.go(visit.to or "/auth/account")


def password(visit: Visit) -> Response:
    return _password(visit, {})


def _password(visit: Visit, wrong: dict[str, str], status: int = 200) -> Response:
    account = _recent(visit, "/auth/account/password")
    return visit.page("password.html", status, account=account, wrong=Wrong(wrong, ("old", "password")))


def set_password(visit: Visit) -> Response:
    """Sets a new password and signs the person out everywhere else."""
    account, chosen = _recent(visit, "/auth/account/password"), visit.field("password", 400)
    try:
        check_password(chosen, account.email, account.name)
    except UnfitPassword as error:
        return _password(visit, {"password": str(error)}, 422)
    if account.has_password and not visit.site.accounts.check_password(account, visit.field("old", 400), visit.visitor):
        return _password(visit, {"old": "This is not your password."}, 401)
    assert visit.session is not None, "there is an account"
    visit.site.accounts.trust(account, visit.visitor)
    visit.site.accounts.set_password(account, chosen)
    visit.site.sessions.end_others(account.id, visit.session.id)
    visit.site.tickets.void("reset", account.id)
    return _changed(visit, account, "password", "a new password was set")


def second_factor(visit: Visit) -> Response:
    """A new key for the app, shown as a QR code; nothing is on until the app has shown a right code."""
    account = _recent(visit, "/auth/account/second-factor")
    sealed = visit.site.second_factors.seal(account, new_secret())
    return _second_factor(
        visit, account, visit.site.tickets.issue("setup", account.id, {"sealed": sealed}, SETUP_SECONDS)
    )


def _second_factor(visit: Visit, account: Account, ticket: str, problem: str = "", status: int = 200) -> Response:
    secret = _setup(visit, account, ticket)
    return visit.page(
        "authenticator.html",
        status,
        ticket=ticket,
        problem=problem,
        qr=qr_code(provisioning_uri(secret, account.email)),
        spaced=" ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
    )


def _setup(visit: Visit, account: Account, ticket: str) -> str:
    found = visit.site.tickets.peek("setup", ticket)
    if found is None or found.account != account.id:
        raise Halt(410, "That took too long", "Start again.", ("/auth/account/second-factor", "Start again"))
    return visit.site.second_factors.unseal(account, found.content["sealed"])


def confirm_second_factor(visit: Visit) -> Response:
    """Turns the app on and shows the recovery codes, this once."""
    account, ticket = _recent(visit, "/auth/account/second-factor"), visit.field("ticket", 100)
    codes = visit.site.second_factors.confirm(account, _setup(visit, account, ticket), visit.field("code", 20))
    if codes is None:
        return _second_factor(visit, account, ticket, "This code is wrong. Wait for the next one and type that.", 422)
    visit.site.tickets.take("setup", ticket)
    visit.note("account", "success", detail="authenticator app on")
    return _told(visit, account, visit.page("recovery_codes.html", codes=codes), "an authenticator app was added")


def remove_second_factor(visit: Visit) -> Response:
    account = _recent(visit, "/auth/account")
    visit.site.second_factors.remove(account)
    return _changed(visit, account, "second-factor-off", "the authenticator app was turned off")


def recovery_codes(visit: Visit) -> Response:
    """New recovery codes; the old ones are good no more."""
    account = _recent(visit, "/auth/account")
    if not account.has_totp:
        return visit.go("/auth/account")
    codes = visit.site.second_factors.new_recovery_codes(account)
    visit.note("account", "success", detail="new recovery codes")
    return visit.page("recovery_codes.html", codes=codes)


def passkeys(visit: Visit) -> Response:
    return _passkeys(visit, "")


def _passkeys(visit: Visit, problem: str, status: int = 200) -> Response:
    _recent(visit, "/auth/account/passkeys")
    name = visit.field("name", 100) or browser_words(visit.visitor.agent)
    return visit.page("passkey.html", status, name=name, problem=problem)


def passkey_options(visit: Visit) -> Response:
    """What the browser needs to make a passkey, for the script of the page."""
    options, ticket = visit.site.passkeys.begin(_recent(visit, "/auth/account/passkeys"))
    return JSONResponse({"options": json.loads(options), "ticket": ticket})


def add_passkey(visit: Visit) -> Response:
    account = _recent(visit, "/auth/account/passkeys")
    name = visit.field("name", 100).strip() or "Passkey"
    try:
        visit.site.passkeys.add(account, visit.field("ticket", 100), visit.field("credential", 20_000), name)
    except InvalidPasskey as error:
        visit.note("account", "failure", detail=f"passkey: {error}")
        return _passkeys(visit, "The passkey could not be kept. Try again.", 422)
    return _changed(visit, account, "passkey", "a passkey was added")


def remove_passkey(visit: Visit) -> Response:
    """Removes a passkey, unless it is the last way in."""
    account, id_ = _recent(visit, "/auth/account"), visit.field("id", 100)
    others = [key for key in visit.site.passkeys.of(account) if key.id != id_]
    bound = visit.site.external is not None and visit.site.external.is_bound(account)
    if not (account.has_password or others or bound):
        return visit.go("/auth/account?problem=last")
    visit.site.passkeys.remove(account, id_)
    return _changed(visit, account, "passkey-removed", "a passkey was removed")


def _changed(visit: Visit, account: Account, done: str, what: str) -> Response:
    visit.note("account", "success", detail=done)
    return _told(visit, account, visit.go(f"/auth/account?done={done}"), what)


def _told(visit: Visit, account: Account, response: Response, what: str) -> Response:
    """The owner hears of each change, in case it was not theirs."""
    link = visit.site.link("forgot")
    return visit.later(response, lambda: visit.write(account.email, "changed", name=account.name, what=what, link=link))
