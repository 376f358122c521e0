"""Signing in: password, second factor, passkey; and signing out.

https://pages.nist.gov/800-63-4/sp800-63b.html
"""

import json

from starlette.responses import JSONResponse, Response

from smart_auth.account import Account, SignInRefused
from smart_auth.cipher import same
from smart_auth.lockout import NETWORK, TooMany, network_of
from smart_auth.mail import email_address
from smart_auth.pages.consent import name_of_app
from smart_auth.pages.visit import Halt, Visit
from smart_auth.passkey import InvalidPasskey
from smart_auth.password import UnfitPassword, check_password

SECOND_FACTOR_SECONDS = 600
PASSWORD_SECONDS = 1800
WRONG = "The e-mail address or the password is wrong."
DONE = {
    "signed-out": "You are signed out.",
    "verified": "Your address is confirmed. Sign in to go on.",
    "password": "Your new password is set. Sign in with it.",
}


def show(visit: Visit) -> Response:
    """The page to sign in on; who is signed in already goes on, unless a fresh sign-in was asked for."""
    if visit.account and not visit.pending:
        return visit.go(visit.to or "/auth/account")
    return form(visit)


def form(visit: Visit, problem: str = "", status: int = 200, adopt_ticket: str = "") -> Response:
    """The form, with what went wrong."""
    site = visit.site
    return visit.page(
        "login.html",
        status,
        problem=problem,
        done=DONE.get(visit.query.get("done", ""), ""),
        app=name_of_app(visit),
        email=visit.field("email", 254),
        to=visit.to,
        passkeys=site.passkeys.is_possible and not adopt_ticket,
        provider=site.external.provider.name if site.external and not adopt_ticket else "",
        sign_up=site.sign_up and not adopt_ticket,
        adopt=site.external.provider.name if site.external and adopt_ticket else "",
        adopt_ticket=adopt_ticket,
    )


def sign_in(visit: Visit) -> Response:
    """Takes address and password; asks for the second factor where there is one."""
    typed, adopt_ticket = visit.field("email", 254), visit.field("adopt", 100)
    try:
        account = visit.site.accounts.sign_in(
            email_address(typed) or typed, visit.field("password", 400), visit.visitor
        )
    except SignInRefused:
        visit.note("login", "failure", detail="password")
        return form(visit, WRONG, 401, adopt_ticket)
    except TooMany as wait:
        visit.note("login", "failure", detail="slowed down")
        text = f"That was tried often. Wait {wait.seconds} seconds, then try again."
        response = form(visit, text, 429, adopt_ticket)
        response.headers["retry-after"] = str(wait.seconds)
        return response
    return proven(visit, account, ("pwd",))


def proven(visit: Visit, account: Account, factors: tuple[str, ...]) -> Response:
    """Goes on with one who has shown a first factor: to the second, or in."""
    if not account.has_totp:
        return _in(visit, account, factors)
    content = {"factors": list(factors), "browser": visit.browser.hash.hex()}
    ticket = visit.site.tickets.issue("second-factor", account.id, content, SECOND_FACTOR_SECONDS)
    return _ask_code(visit, ticket)


def _ask_code(visit: Visit, ticket: str, problem: str = "", status: int = 200) -> Response:
    return visit.page(
        "second_factor.html",
        status,
        ticket=ticket,
        problem=problem,
        to=visit.to,
        adopt_ticket=visit.field("adopt", 100),
    )


def code(visit: Visit) -> Response:
    """Takes a code of the app or a recovery code, a few times for each right password."""
    secret = visit.field("ticket", 100)
    ticket = visit.site.tickets.tried("second-factor", secret)
    account = visit.site.accounts.by_id(ticket.account) if ticket and ticket.account else None
    if ticket is None or account is None or account.disabled or not _same_browser(visit, ticket.content["browser"]):
        return form(visit, "That took too long or too many tries. Sign in again.", 401, visit.field("adopt", 100))
    if not visit.site.second_factors.accepts(account, visit.field("code", 40)):
        visit.note("login", "failure", account, "second factor")
        return _ask_code(visit, secret, "This code is wrong or was used already.", 401)
    if visit.site.tickets.take("second-factor", secret) is None:
        return form(visit, "Sign in again.", 401)
    return _in(visit, account, (*ticket.content["factors"], "otp"))


def _same_browser(visit: Visit, kept: str) -> bool:
    return same(bytes.fromhex(kept), visit.browser.hash)


def _in(visit: Visit, account: Account, factors: tuple[str, ...]) -> Response:
    """In; with a password that an administrator has chosen, behind the choice of one of the person's own."""
    # "mail" stands for a password that was chosen just now, behind the link in a letter.
    if account.password_given == "administrator" and "pwd" in factors and "mail" not in factors:
        content = {"factors": list(factors), "browser": visit.browser.hash.hex()}
        ticket = visit.site.tickets.issue("password", account.id, content, PASSWORD_SECONDS)
        return _ask_password(visit, account, ticket)
    return _entered(visit, account, factors)


def _ask_password(visit: Visit, account: Account, ticket: str, problem: str = "", status: int = 200) -> Response:
    return visit.page(
        "reset.html",
        status,
        ticket=ticket,
        email=account.email,
        problem=problem,
        action="/auth/login/password",
        lead="Yours was given to you, so somebody else knows it. Choose one that only you know.",
        to=visit.to,
        adopt_ticket=visit.field("adopt", 100),
    )


def choose_password(visit: Visit) -> Response:
    """Takes the password that the person chooses in place of the one they were given, and lets them in."""
    secret, chosen = visit.field("ticket", 100), visit.field("password", 400)
    ticket = visit.site.tickets.peek("password", secret)
    account = visit.site.accounts.by_id(ticket.account) if ticket and ticket.account else None
    if ticket is None or account is None or account.disabled or not _same_browser(visit, ticket.content["browser"]):
        return form(visit, "That took too long. Sign in again.", 401, visit.field("adopt", 100))
    if problem := _unfit(visit, account, chosen):
        return _ask_password(visit, account, secret, problem, 422)
    if visit.site.tickets.take("password", secret) is None:
        return form(visit, "Sign in again.", 401)
    visit.site.accounts.set_password(account, chosen)
    visit.site.sessions.end_others(account.id)
    visit.site.tickets.void("reset", account.id)
    visit.note("account", "success", account, "password chosen in place of a given one")
    return _entered(visit, account, tuple(ticket.content["factors"]))


def _unfit(visit: Visit, account: Account, chosen: str) -> str:
    """What is wrong with a password, in words for the person, or empty."""
    try:
        check_password(chosen, account.email, account.name)
    except UnfitPassword as error:
        return str(error)
    return "Choose another one than the one you were given." if visit.site.accounts.is_password(account, chosen) else ""


def _entered(visit: Visit, account: Account, factors: tuple[str, ...]) -> Response:
    """In, with the provider bound that the person came with."""
    external = visit.site.external
    voucher = external.held(visit.field("adopt", 100), take=True) if external else None
    if external and voucher and external.adopt(account, voucher):
        visit.note("account", "success", account, "provider connected")
    return visit.signed_in(account, factors)


def passkey_options(visit: Visit) -> Response:
    """A new challenge, for the script of the page."""
    visit.site.attempts.reserve((NETWORK, network_of(visit.visitor.network)))
    options, ticket = visit.site.passkeys.challenge()
    return JSONResponse({"options": json.loads(options), "ticket": ticket})


def passkey(visit: Visit) -> Response:
    """Signs in the one whose passkey answered the challenge; the device has asked for finger, face or PIN."""
    try:
        id_ = visit.site.passkeys.account_of(visit.field("ticket", 100), visit.field("credential", 20_000))
    except InvalidPasskey as error:
        visit.note("login", "failure", detail=f"passkey: {error}")
        return form(visit, "This passkey does not open an account here.", 401)
    account = visit.site.accounts.by_id(id_)
    if account is None or account.disabled:
        return form(visit, "This passkey does not open an account here.", 401)
    return visit.signed_in(account, ("hwk", "user"))


def sign_out(visit: Visit) -> Response:
    """Ends the session of this browser."""
    if visit.session and visit.account:
        visit.site.sessions.end(visit.account.id, visit.session.id)
        visit.note("logout", "success")
    return visit.signed_out(f"/auth/login{visit.carried(done='signed-out')}")


def require(visit: Visit, to: str) -> Account:
    """Who is signed in; raises Halt where nobody is."""
    if visit.account is None:
        raise Halt(
            401, "Please sign in", "This page is for people who are signed in.", (f"/auth/login?to={to}", "Sign in")
        )
    return visit.account
