"""One request to a page, with who sent it, and the answers a page can give.

https://cheatsheetseries.owasp.org/cheatsheets/Content_Security_Policy_Cheat_Sheet.html
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.background import BackgroundTask
from starlette.responses import HTMLResponse, RedirectResponse, Response

from smart_auth.account import Account, Visitor
from smart_auth.browser import Browser, clear_session, set_session
from smart_auth.csrf import csrf_token
from smart_auth.event import Event, Kind, Outcome
from smart_auth.mail import Letter, NotSent
from smart_auth.pages.site import Site
from smart_auth.session import Session

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A form that ends at an app is followed by redirects to wherever the app is, which browsers count as the form's target.
FORMS, FORMS_TO_APPS = "; form-action 'self'", ""
HEADERS = {
    "cache-control": "no-store",
    "pragma": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_OWN_PAGE = re.compile(r"/auth/account(?:/[a-z-]+)*")
_PENDING = re.compile(r"[A-Za-z0-9_-]{20,100}")
_LONGEST_FIELD = 2000


class Halt(Exception):
    """A page that cannot go on; what the person is told, with one link to somewhere useful."""

    def __init__(self, status: int, heading: str, text: str, link: tuple[str, str] | None = None) -> None:
        super().__init__(heading)
        self.status, self.heading, self.text, self.link = status, heading, text, link


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: the browser and who is signed in with it, and what was sent. `pending` names an authorization, or is empty.

    `raw` is the form, or without one the query, as it was sent.
    """

    site: Site
    browser: Browser
    visitor: Visitor
    session: Session | None
    account: Account | None
    query: Mapping[str, str]
    form: Mapping[str, list[str]]
    headers: Mapping[str, str]
    is_local: bool
    raw: bytes = b""

    @property
    def csrf(self) -> str:
        return csrf_token(self.site.csrf_key, self.browser.id, self.browser.session)

    @property
    def pending(self) -> str:
        sent = self.field("pending") or self.query.get("pending", "")
        return sent if _PENDING.fullmatch(sent) else ""

    @property
    def to(self) -> str:
        """The page of the account that the person wanted, or empty: never an address of anybody else."""
        sent = self.field("to") or self.query.get("to", "")
        return sent if _OWN_PAGE.fullmatch(sent) else ""

    def field(self, name: str, most: int = _LONGEST_FIELD) -> str:
        """A field of the form as it was typed, cut off at `most`; empty where there is none."""
        return self.form.get(name, [""])[0][:most].replace("\0", "")

    def carried(self, **more: str) -> str:
        """The query that takes along where the person wants to go: "?pending=…", or empty."""
        kept = {"pending": self.pending, "to": self.to, **more}
        query = urlencode({name: value for name, value in kept.items() if value})
        return f"?{query}" if query else ""

    def back_with(self, carried: Mapping[str, str]) -> "Visit":
        """The same visit, on the way that was begun before the browser went elsewhere."""
        return replace(self, query={**self.query, "pending": carried["pending"], "to": carried["to"]})

    def page(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """A page from its template."""
        shown = {
            "visit": self,
            "status": status,
            "organization": self.site.organization,
            "query": self.carried(),
            "outbox": self.outbox,
        }
        text = environment().get_template(template).render(**shown, **values)
        return HTMLResponse(text, status)

    @property
    def outbox(self) -> bool:
        """Whether this visitor may read the letters of a server that sends none: both are on this machine."""
        return self.site.outbox is not None and self.is_local and is_loopback(self.site.configuration.origin)

    def go(self, path: str) -> RedirectResponse:
        """Sends the browser on, to a page of ours or to where an authorization ends."""
        return RedirectResponse(path, 303)

    def signed_in(self, account: Account, factors: tuple[str, ...]) -> RedirectResponse:
        """Starts a session, or renews that of the same person, under a new cookie, and goes on to where they wanted."""
        cookie = self.site.accounts.welcome(account, self.visitor, factors, self.session)
        self.note("login", "success", account, "+".join(factors))
        onward = f"/auth/continue?pending={self.pending}" if self.pending else self.to or "/auth/account"
        response = self.go(onward)
        set_session(response, cookie, secure=self.site.configuration.secure)
        return response

    def signed_out(self, path: str) -> RedirectResponse:
        response = self.go(path)
        clear_session(response, secure=self.site.configuration.secure)
        return response

    def note(
        self, kind: Kind, outcome: Outcome, account: Account | None = None, detail: str = "", client: str | None = None
    ) -> None:
        """Puts on record what happened."""
        who = account or self.account
        self.site.journal.note(
            Event(
                kind=kind,
                outcome=outcome,
                client=client,
                account=who.id if who else None,
                fhir_user=who.fhir_user if who else None,
                network=self.visitor.network,
                detail=detail,
            )
        )

    def later(self, response: Response, work: Callable[[], None]) -> Response:
        """Does the work once the answer has gone out, so that its time tells nothing of what there was to do."""
        response.background = BackgroundTask(work)
        return response

    def write(self, to: str, template: str, **values: object) -> None:
        """Sends a letter from its template; a letter that cannot be sent is on record, and the person asks again."""
        shown = {"organization": self.site.organization, **values}
        subject, _, text = letters().get_template(f"{template}.txt").render(**shown).partition("\n\n")
        try:
            self.site.post.send(Letter(to, subject.strip(), text.strip() + "\n"))
        except NotSent as error:
            self.note("account", "failure", detail=f"mail not sent: {error}")


def secured(response: Response, *, to_apps: bool) -> Response:
    """The headers that each page has."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["content-security-policy"] = POLICY + (FORMS_TO_APPS if to_apps else FORMS)
    return response


def is_loopback(origin: str) -> bool:
    """Whether the address of a server leads to this machine alone."""
    return urlsplit(origin).hostname in {"localhost", "127.0.0.1", "::1"}


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("smart_auth.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset
    return made


@cache
def letters() -> Environment:
    """The letters alone: they go out as text/plain, where an escaped apostrophe would be read as it stands."""
    folder = PackageLoader("smart_auth.pages", "templates/mail")
    return Environment(loader=folder, autoescape=False, undefined=StrictUndefined)  # noqa: S701 - no markup in this folder


@cache
def asset(name: str) -> str:
    """The path of a static file, other with each content, so that browsers may keep it for ever."""
    return f"/auth/static/{name}?v={hashlib.sha256(static(name) or b'').hexdigest()[:12]}"


@cache
def static(name: str) -> bytes | None:
    """The bytes of a static file, or None where there is none of this name."""
    found = {entry.name: entry for entry in (files("smart_auth.pages") / "static").iterdir()}
    return found[name].read_bytes() if name in found else None
