"""The pages of signing in with an OpenID provider: there, back, and what happens the first time.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from datetime import UTC, datetime

from starlette.responses import Response

from smart_auth.external import ExternalSignIn, ProviderFailed
from smart_auth.pages.credentials import ProveFirst
from smart_auth.pages.sign_in import form as sign_in_form
from smart_auth.pages.sign_in import proven, require
from smart_auth.pages.sign_up import birth_date, register
from smart_auth.pages.visit import Halt, Visit

NONE = Halt(404, "There is no such page", "No other provider is set up here.", ("/auth/login", "Go to signing in"))


def begin(visit: Visit) -> Response:
    """Sends the browser to the provider; somebody signed in comes back with their account connected."""
    external = _external(visit)
    if visit.account and not (visit.session and visit.session.is_recent):
        raise ProveFirst("/auth/account")
    carried = {"pending": visit.pending, "to": visit.to, "account": visit.account.id if visit.account else ""}
    try:
        url = external.begin(visit.browser, carried)
    except ProviderFailed as error:
        raise _failed(visit, external, error) from error
    # A page of its own: a redirect would count as the form's target, which the policy keeps to this server.
    return visit.page("onward.html", url=url, name=external.provider.name)


def callback(visit: Visit) -> Response:
    """Back from the provider: in, with an account that is bound already, or on to the question whose it is."""
    external = _external(visit)
    try:
        voucher, carried = external.finish(visit.browser, visit.query)
    except ProviderFailed as error:
        raise _failed(visit, external, error) from error
    back = visit.back_with(carried)
    if visit.account and carried["account"] == visit.account.id:
        bound = external.adopt(visit.account, voucher)
        visit.note("account", "success" if bound else "failure", detail="provider connected")
        return visit.go(f"/auth/account?{'done=connected' if bound else 'problem=connected'}")
    known = external.account_of(voucher)
    account = visit.site.accounts.by_id(known) if known else None
    if account and not account.disabled:
        return proven(back, account, ("fed",))
    return _whose(back, external.hold(voucher))


def _whose(visit: Visit, ticket: str, wrong: str = "", status: int = 200) -> Response:
    external = _external(visit)
    voucher = external.held(ticket, take=False)
    if voucher is None:
        raise Halt(410, "That took too long", "Sign in with the provider again.", ("/auth/login", "Go to signing in"))
    return visit.page(
        "adopt.html",
        status,
        ticket=ticket,
        wrong=wrong,
        to=visit.to,
        provider=external.provider.name,
        email=voucher.email,
        given=visit.field("given", 100) or voucher.given,
        family=visit.field("family", 100) or voucher.family,
        birth_date=visit.field("birth_date", 10),
        today=datetime.now(UTC).date().isoformat(),
        sign_up=visit.site.sign_up,
    )


def connect(visit: Visit) -> Response:
    """The person has an account: they sign in to it once, and it is connected."""
    _external(visit)
    return sign_in_form(visit, adopt_ticket=visit.field("ticket", 100))


def new(visit: Visit) -> Response:
    """The person is new: a Patient and an account under the address that the provider has verified."""
    external, ticket = _external(visit), visit.field("ticket", 100)
    given, family = visit.field("given", 100).strip(), visit.field("family", 100).strip()
    born = birth_date(visit.field("birth_date", 20))
    if not (visit.site.sign_up and given and family and born):
        return _whose(visit, ticket, "Type your names and your date of birth.", 422)
    voucher = external.held(ticket, take=True)
    if voucher is None or voucher.email is None:
        raise Halt(410, "That took too long", "Sign in with the provider again.", ("/auth/login", "Go to signing in"))
    content = {"email": voucher.email, "given": given, "family": family, "birth_date": born}
    account = register(visit, content, None)
    external.adopt(account, voucher)
    return visit.signed_in(account, ("fed",))


def release(visit: Visit) -> Response:
    """Disconnects the provider, as long as there is another way in."""
    account, external = require(visit, "/auth/account"), _external(visit)
    if not account.has_password and not visit.site.passkeys.of(account):
        return visit.go("/auth/account?problem=last")
    external.release(account)
    visit.note("account", "success", detail="provider disconnected")
    return visit.go("/auth/account?done=released")


def _external(visit: Visit) -> ExternalSignIn:
    if visit.site.external is None:
        raise NONE
    return visit.site.external


def _failed(visit: Visit, external: ExternalSignIn, error: ProviderFailed) -> Halt:
    visit.note("login", "failure", detail=f"provider: {error}")
    name = external.provider.name
    return Halt(
        502, f"{name} did not sign you in", "Try again, or sign in another way.", ("/auth/login", "Go to signing in")
    )
