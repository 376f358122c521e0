"""A forgotten password: a link by mail, a new password, everybody else signed out.

https://cheatsheetseries.owasp.org/cheatsheets/Forgot_Password_Cheat_Sheet.html
"""

from starlette.responses import Response

from smart_auth.lockout import MAIL_FROM, MAIL_TO, TooMany, network_of
from smart_auth.mail import email_address
from smart_auth.pages.sign_in import proven
from smart_auth.pages.visit import Halt, Visit
from smart_auth.password import UnfitPassword, check_password

HOUR = 3600
SENT = "If {email} has an account here, a mail with a link to choose a new password is on its way."
OVER = Halt(
    410,
    "This link is no longer good",
    "It was used already, or is older than an hour. Ask for a new one.",
    ("/auth/forgot", "Ask for a new link"),
)


def show(visit: Visit) -> Response:
    return visit.page("forgot.html", email="", problem="")


def forgot(visit: Visit) -> Response:
    """Answers the same, in the same time, whether the address has an account or not."""
    email = email_address(visit.field("email", 300))
    if email is None:
        problem = "Type an address such as name@example.org."
        return visit.page("forgot.html", 422, email=visit.field("email", 254), problem=problem)
    visit.site.attempts.reserve((MAIL_FROM, network_of(visit.visitor.network)))
    return visit.later(visit.page("sent.html", text=SENT.format(email=email)), lambda: _send(visit, email))


def _send(visit: Visit, email: str) -> None:
    try:
        visit.site.attempts.reserve((MAIL_TO, email))
    except TooMany:
        return
    account = visit.site.accounts.by_email(email)
    if account is None or account.disabled:
        return
    ticket = visit.site.tickets.issue("reset", account.id, {"pending": visit.pending}, HOUR)
    visit.write(email, "reset", name=account.name, link=visit.site.link(f"reset?ticket={ticket}"))


def choose(visit: Visit) -> Response:
    return _form(visit, visit.query.get("ticket", ""))


def _form(visit: Visit, secret: str, problem: str = "", status: int = 200) -> Response:
    ticket = visit.site.tickets.peek("reset", secret)
    account = visit.site.accounts.by_id(ticket.account) if ticket and ticket.account else None
    if account is None or account.disabled:
        raise OVER
    return visit.page(
        "reset.html",
        status,
        ticket=secret,
        email=account.email,
        problem=problem,
        action="/auth/reset",
        lead="You are signed out everywhere else as soon as it is set.",
        to="",
        adopt_ticket="",
    )


def reset(visit: Visit) -> Response:
    """Sets the password and signs everybody else out. The mail stands for the password; a second factor is still asked for."""
    secret, password = visit.field("ticket", 100), visit.field("password", 400)
    ticket = visit.site.tickets.peek("reset", secret)
    account = visit.site.accounts.by_id(ticket.account) if ticket and ticket.account else None
    if account is None or account.disabled:
        raise OVER
    try:
        check_password(password, account.email, account.name)
    except UnfitPassword as error:
        return _form(visit, secret, str(error), 422)
    if visit.site.tickets.take("reset", secret) is None:
        raise OVER
    visit.site.accounts.set_password(account, password)
    visit.site.accounts.forget_devices(account)
    visit.site.sessions.end_others(account.id)
    visit.site.tickets.void("reset", account.id)
    visit.note("account", "success", account, "password reset by mail")
    what, link = "a new password was set", visit.site.link("forgot")
    response = proven(visit, account, ("pwd", "mail"))
    return visit.later(response, lambda: visit.write(account.email, "changed", name=account.name, what=what, link=link))
