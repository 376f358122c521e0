"""Patients make their own account: names, birth date, a confirmed address; the Patient is made when the address is confirmed.

https://pages.nist.gov/800-63-4/sp800-63a.html
"""

import re
from datetime import UTC, date, datetime

from starlette.responses import Response

from smart_auth.account import Account, EmailTaken
from smart_auth.cipher import same
from smart_auth.lockout import MAIL_FROM, MAIL_TO, TooMany, network_of
from smart_auth.mail import email_address
from smart_auth.pages.visit import Halt, Visit
from smart_auth.password import UnfitPassword, check_password, hash_password, verify_password
from smart_auth.ticket import Ticket

DAY = 24 * 3600
SENT = "We have sent a mail to {email}. Follow the link in it to go on."
OVER = Halt(
    410,
    "This link is no longer good",
    "It was used already, or is older than a day. Ask for a new one.",
    ("/auth/login", "Go to signing in"),
)
_NAME = re.compile(r"[^\x00-\x1f\x7f<>]{1,100}")
EARLIEST = date(1890, 1, 1)


def show(visit: Visit) -> Response:
    _refuse_where_closed(visit)
    return _form(visit, {})


def _form(visit: Visit, wrong: dict[str, str], status: int = 200) -> Response:
    names = ("given", "family", "birth_date", "email", "password")
    return visit.page(
        "signup.html",
        status,
        wrong=Wrong(wrong, names) if wrong else Wrong({}, names),
        today=datetime.now(UTC).date().isoformat(),
        **{name: visit.field(name, 254) for name in names if name != "password"},
    )


class Wrong(dict[str, str]):
    """What is wrong with each field, empty where nothing is, for the template; false where all is well."""

    def __init__(self, wrong: dict[str, str], names: tuple[str, ...]) -> None:
        super().__init__({name: wrong.get(name, "") for name in names})
        self._any = bool(wrong)

    def __bool__(self) -> bool:
        return self._any


def sign_up(visit: Visit) -> Response:
    """Answers the same whether the address has an account or not; what is true stands in the mail."""
    _refuse_where_closed(visit)
    email = email_address(visit.field("email", 300))
    wrong = _wrong(visit, email)
    if wrong or email is None:
        return _form(visit, wrong, 422)
    visit.site.attempts.reserve((MAIL_FROM, network_of(visit.visitor.network)))
    hashed = hash_password(visit.field("password", 400))
    content = {
        "email": email,
        "given": visit.field("given", 100).strip(),
        "family": visit.field("family", 100).strip(),
        "birth_date": visit.field("birth_date", 10),
        "password": hashed,
        "browser": visit.browser.hash.hex(),
        "pending": visit.pending,
    }
    page = visit.page("sent.html", text=SENT.format(email=email))
    return visit.later(page, lambda: _send(visit, email, content))


def _wrong(visit: Visit, email: str | None) -> dict[str, str]:
    given, family = visit.field("given", 200).strip(), visit.field("family", 200).strip()
    wrong = {
        "given": "" if _NAME.fullmatch(given) else "Type your first name.",
        "family": "" if _NAME.fullmatch(family) else "Type your last name.",
        "birth_date": "" if birth_date(visit.field("birth_date", 20)) else "Type your date of birth.",
        "email": "" if email else "Type an address such as name@example.org.",
    }
    try:
        check_password(visit.field("password", 400), email or "", f"{given} {family}")
    except UnfitPassword as error:
        wrong["password"] = str(error)
    return {name: text for name, text in wrong.items() if text}


def birth_date(text: str) -> str | None:
    """The date, where somebody can have been born on it."""
    try:
        born = date.fromisoformat(text)
    except ValueError:
        return None
    return text if len(text) == 10 and EARLIEST <= born <= datetime.now(UTC).date() else None


def _send(visit: Visit, email: str, content: dict[str, str]) -> None:
    """After the answer has gone out. An address that had its mails for this hour gets no more."""
    try:
        visit.site.attempts.reserve((MAIL_TO, email))
    except TooMany:
        return
    if visit.site.accounts.by_email(email):
        visit.write(email, "exists", link=visit.site.link("login"))
        return
    ticket = visit.site.tickets.issue("verify", None, dict(content), DAY)
    visit.write(email, "verify", name=content["given"], link=visit.site.link(f"verify?ticket={ticket}"))


def confirm(visit: Visit) -> Response:
    """The page behind the link. It changes nothing: programs that look into mails follow links too."""
    secret = visit.query.get("ticket", "")
    return _confirm(visit, secret)


def _confirm(visit: Visit, secret: str, problem: str = "", status: int = 200) -> Response:
    found = visit.site.tickets.peek("verify", secret)
    change = visit.site.tickets.peek("email", secret)
    ticket = found or change
    if ticket is None:
        raise OVER
    return visit.page(
        "verify.html",
        status,
        ticket=secret,
        email=ticket.content["email"],
        change=change is not None,
        ask_password=found is not None and not _is_same_browser(visit, found),
        problem=problem,
    )


def _is_same_browser(visit: Visit, ticket: Ticket) -> bool:
    return same(bytes.fromhex(ticket.content["browser"]), visit.browser.hash)


def verify(visit: Visit) -> Response:
    """Makes the Patient and the account, or sets the new address.

    In another browser than the one that signed up the password is asked for: else one could sign up somebody else's address
    with a password of one's own, and wait for the owner to follow the link.
    """
    secret = visit.field("ticket", 100)
    if visit.site.tickets.peek("email", secret):
        return _change_email(visit, secret)
    found = visit.site.tickets.tried("verify", secret)
    if found is None:
        raise OVER
    if not _is_same_browser(visit, found) and not verify_password(
        found.content["password"], visit.field("password", 400)
    ):
        return _confirm(visit, secret, "This is not the password that was chosen with the account.", 401)
    if visit.site.tickets.take("verify", secret) is None:
        raise OVER
    account = register(visit, found.content, found.content["password"])
    response = visit.signed_in(account, ("pwd", "mail"))
    if not visit.pending and found.content["pending"] and _is_same_browser(visit, found):
        response.headers["location"] = f"/auth/continue?pending={found.content['pending']}"
    return response


def register(visit: Visit, content: dict[str, str], hashed: str | None) -> Account:
    """The Patient and the account of somebody new; raises Halt where the address has got an account meanwhile."""
    taken = Halt(409, "You have an account already", "Sign in with it.", ("/auth/login", "Sign in"))
    if visit.site.accounts.by_email(content["email"]):
        raise taken
    name = f"{content['given']} {content['family']}"
    patient = visit.site.people.register_patient(
        content["family"], content["given"], content["birth_date"], content["email"]
    )
    try:
        account = visit.site.accounts.create(content["email"], name, ("patient",), patient, hashed=hashed)
    except EmailTaken:
        raise taken from None
    visit.note("account", "success", account, "account created")
    return account


def _change_email(visit: Visit, secret: str) -> Response:
    ticket = visit.site.tickets.take("email", secret)
    account = visit.site.accounts.by_id(ticket.account) if ticket and ticket.account else None
    if ticket is None or account is None:
        raise OVER
    try:
        visit.site.accounts.set_email(account, ticket.content["email"])
    except EmailTaken:
        raise Halt(409, "This address is taken", "Another account has it.", ("/auth/account", "Your account")) from None
    visit.note("account", "success", account, "e-mail address changed")
    link = visit.site.link("forgot")
    what = "the e-mail address was changed to another one"
    response = visit.go("/auth/account?done=email" if visit.account else "/auth/login?done=verified")
    return visit.later(response, lambda: visit.write(account.email, "changed", name=account.name, what=what, link=link))


def _refuse_where_closed(visit: Visit) -> None:
    if not visit.site.sign_up:
        raise Halt(403, "Accounts are made at the desk", "Ask there for one.", ("/auth/login", "Go to signing in"))
