"""The pages as a table of method, path and function, and what happens around each: cookies, CSRF, bounds, errors.

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from smart_auth.account import Visitor
from smart_auth.browser import browser_of, set_browser
from smart_auth.cipher import Unsealable
from smart_auth.csrf import is_ours, is_same_site
from smart_auth.lockout import TooMany
from smart_auth.pages import (
    account,
    authorize,
    clients,
    consent,
    credentials,
    external,
    launch,
    outbox,
    picker,
    recovery,
    sign_in,
    sign_up,
)
from smart_auth.pages.site import Site
from smart_auth.pages.visit import Halt, Visit, secured, static
from smart_auth.password import Busy as PasswordsBusy
from smart_auth.store import Busy as DatabaseBusy

LOG = logging.getLogger("mediconnect")
Page = Callable[[Visit], Response]

LONGEST_FORM = 64 * 1024
MOST_FIELDS = 1000
KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

PAGES: tuple[tuple[str, str, Page], ...] = (
    ("GET", "/authorize", authorize.by_get),
    ("POST", "/authorize", authorize.by_post),
    ("GET", "/launch", launch.show),
    ("POST", "/launch/start", launch.start),
    ("GET", "/login", sign_in.show),
    ("POST", "/login", sign_in.sign_in),
    ("POST", "/login/code", sign_in.code),
    ("POST", "/login/password", sign_in.choose_password),
    ("POST", "/login/passkey/options", sign_in.passkey_options),
    ("POST", "/login/passkey", sign_in.passkey),
    ("POST", "/logout", sign_in.sign_out),
    ("GET", "/continue", consent.go_on),
    ("GET", "/signup", sign_up.show),
    ("POST", "/signup", sign_up.sign_up),
    ("GET", "/verify", sign_up.confirm),
    ("POST", "/verify", sign_up.verify),
    ("GET", "/forgot", recovery.show),
    ("POST", "/forgot", recovery.forgot),
    ("GET", "/reset", recovery.choose),
    ("POST", "/reset", recovery.reset),
    ("POST", "/external", external.begin),
    ("GET", "/external/callback", external.callback),
    ("POST", "/external/connect", external.connect),
    ("POST", "/external/new", external.new),
    ("GET", "/consent", consent.show),
    ("POST", "/consent", consent.decide),
    ("GET", "/pick", picker.show),
    ("POST", "/pick", picker.pick),
    ("GET", "/account", account.show),
    ("GET", "/account/name", account.name),
    ("POST", "/account/name", account.set_name),
    ("GET", "/account/email", account.email),
    ("POST", "/account/email", account.set_email),
    ("POST", "/account/sessions/end", account.end_session),
    ("POST", "/account/sessions/end-others", account.end_others),
    ("POST", "/account/apps/withdraw", account.withdraw),
    ("GET", "/account/clients", clients.show),
    ("POST", "/account/clients/approve", clients.approve),
    ("POST", "/account/clients/close", clients.close),
    ("POST", "/account/clients/remove", clients.remove),
    ("GET", "/account/prove", credentials.prove),
    ("POST", "/account/prove", credentials.proved),
    ("GET", "/account/password", credentials.password),
    ("POST", "/account/password", credentials.set_password),
    ("GET", "/account/second-factor", credentials.second_factor),
    ("POST", "/account/second-factor", credentials.confirm_second_factor),
    ("POST", "/account/second-factor/off", credentials.remove_second_factor),
    ("POST", "/account/recovery-codes", credentials.recovery_codes),
    ("GET", "/account/passkeys", credentials.passkeys),
    ("POST", "/account/passkeys", credentials.add_passkey),
    ("POST", "/account/passkeys/options", credentials.passkey_options),
    ("POST", "/account/passkeys/remove", credentials.remove_passkey),
    ("POST", "/account/external/release", external.release),
    ("GET", "/outbox", outbox.show),
)
# Forms that come from apps, not from pages of ours: they only ask, as a link does.
FROM_APPS: frozenset[Page] = frozenset((authorize.by_post,))
# Pages with a form that ends at an app without an authorization that waits.
TO_APPS: frozenset[Page] = frozenset((launch.show,))


def pages_router(site: Site) -> APIRouter:
    """The pages, below /auth; none of them stands in the OpenAPI document."""
    router = APIRouter(prefix="/auth", include_in_schema=False)
    for method, path, page in PAGES:
        router.add_api_route(path, _endpoint(site, page), methods=[method], name=f"{method} {path}")
    router.add_api_route("/static/{name}", _static, methods=["GET"])
    return router


def _static(name: str) -> Response:
    content = static(name)
    if content is None:
        return Response("not found", 404, media_type="text/plain")
    headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
    return Response(content, headers=headers, media_type=KINDS[name.rpartition(".")[2]])


def _endpoint(site: Site, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        return await run_in_threadpool(_answer, site, page, request, body)

    return endpoint


async def _body(request: Request) -> bytes | None:
    """The body, or None where it is too long for a form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    return body


def _form(body: bytes | None) -> Mapping[str, list[str]] | None:
    """The fields of a form, or None where the body is too long or no form."""
    if body is None:
        return None
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return None


def _answer(site: Site, page: Page, request: Request, body: bytes | None) -> Response:
    """Runs in a worker thread: all that a page does is synchronous."""
    secure, form = site.configuration.secure, _form(body)
    try:
        visit = _visit(site, request, form or {}, body or b"")
    except DatabaseBusy:
        return Response("The server is busy. Try again.", 503, {"retry-after": "5"}, "text/plain")
    try:
        if request.method == "POST" and page not in FROM_APPS:
            _refuse_foreign(visit, site, form)
        response = page(visit)
    except Halt as halt:
        response = visit.page("error.html", halt.status, heading=halt.heading, text=halt.text, link=halt.link)
    except TooMany as wait:
        response = _wait(visit, wait.seconds)
    except Unsealable:
        LOG.exception("a second factor cannot be opened")
        text = "Your second factor cannot be read. Tell those who run this server."
        response = visit.page("error.html", 500, heading="Something is broken here", text=text, link=None)
    except (PasswordsBusy, DatabaseBusy):
        response = visit.page(
            "error.html", 503, heading="One moment, please", text="Many people are signing in. Try again.", link=None
        )
    if request.method == "GET":
        set_browser(response, visit.browser, secure=secure)
    return secured(response, to_apps=bool(visit.pending or (page in TO_APPS and visit.account)))


def _wait(visit: Visit, seconds: int) -> Response:
    text = f"That was tried often. Wait {seconds} seconds, then go back and try again."
    response = visit.page("error.html", 429, heading="Too many tries", text=text, link=None)
    response.headers["retry-after"] = str(seconds)
    return response


def _visit(site: Site, request: Request, form: Mapping[str, list[str]], body: bytes) -> Visit:
    browser = browser_of(request.cookies, secure=site.configuration.secure)
    session = site.sessions.by_cookie(browser.session)
    network = request.client.host if request.client else ""
    return Visit(
        site=site,
        browser=browser,
        visitor=Visitor(network, browser.id, request.headers.get("user-agent", "")),
        session=session,
        account=site.accounts.by_id(session.account) if session else None,
        query=dict(request.query_params),
        form=form,
        headers=request.headers,
        is_local=_is_local(request, network),
        raw=body if request.method == "POST" else bytes(request.scope["query_string"]),
    )


def _refuse_foreign(visit: Visit, site: Site, form: Mapping[str, list[str]] | None) -> None:
    if form is None:
        raise Halt(413, "That is too much", "The form was too long.")
    known = not visit.browser.is_new and is_ours(
        site.csrf_key, visit.browser.id, visit.browser.session, visit.field("csrf")
    )
    if not known or not is_same_site(visit.headers, site.configuration.origin):
        raise Halt(
            403,
            "This page was open for too long",
            "For your safety the form was not taken. Open the page again; if it keeps happening, allow cookies for this site.",
            (f"/auth/login{visit.carried()}", "Open the page again"),
        )


def _is_local(request: Request, network: str) -> bool:
    """Whether the request was made on this machine, to this machine, by way of no proxy."""
    try:
        near = ipaddress.ip_address(network).is_loopback
    except ValueError:
        return False
    named = request.url.hostname in {"localhost", "127.0.0.1", "::1"}
    return near and named and not any(name in request.headers for name in ("forwarded", "x-forwarded-for"))
