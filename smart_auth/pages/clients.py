"""The page on which an administrator looks at the apps that are registered, and lets them in, refuses or removes them.

https://www.rfc-editor.org/rfc/rfc7591#section-5
"""

from starlette.responses import Response

from smart_auth.account import Account
from smart_auth.client import Status
from smart_auth.pages.credentials import ProveFirst
from smart_auth.pages.sign_in import require
from smart_auth.pages.visit import Halt, Visit

HERE = "/auth/account/clients"
DONE = {
    "approved": "The app is let in.",
    "closed": "The app is let in no more. What it held is no longer good.",
    "removed": "The app is removed.",
}
PROBLEMS = {
    "gone": "This app is not registered any more.",
    "active": "An app that is let in is closed before it is removed.",
}


def show(visit: Visit) -> Response:
    """The apps, those that wait first; what is shown of them they have said themselves."""
    account, clients = _administrator(visit), visit.site.clients.all()
    return visit.page(
        "clients.html",
        account=account,
        waiting=[each for each in clients if each.status == "pending"],
        others=[each for each in clients if each.status != "pending"],
        done=DONE.get(visit.query.get("done", ""), ""),
        problem=PROBLEMS.get(visit.query.get("problem", ""), ""),
    )


def approve(visit: Visit) -> Response:
    return _set(visit, "active", "approved")


def close(visit: Visit) -> Response:
    """Refuses an app that waits, or lets one in no more that was."""
    return _set(visit, "disabled", "closed")


def remove(visit: Visit) -> Response:
    """Removes an app for good, once it is let in no more."""
    _recent(visit)
    client = visit.site.clients.by_id(visit.field("client", 128))
    if client is None:
        return visit.go(f"{HERE}?problem=gone")
    if client.status == "active":
        return visit.go(f"{HERE}?problem=active")
    visit.site.clients.remove(client.id)
    return _noted(visit, client.id, "removed")


def _set(visit: Visit, status: Status, done: str) -> Response:
    _recent(visit)
    id_ = visit.field("client", 128)
    return _noted(visit, id_, done) if visit.site.clients.set_status(id_, status) else visit.go(f"{HERE}?problem=gone")


def _noted(visit: Visit, client: str, done: str) -> Response:
    visit.note("register", "success", detail=f"{done} by an administrator", client=client)
    return visit.go(f"{HERE}?done={done}")


def _recent(visit: Visit) -> None:
    """Letting an app in is for an administrator who has shown a short while ago who they are."""
    _administrator(visit)
    if visit.session is None or not visit.session.is_recent:
        raise ProveFirst(HERE)


def _administrator(visit: Visit) -> Account:
    account = require(visit, HERE)
    if not account.is_administrator:
        visit.note("denied", "failure", detail="page of registered apps")
        raise Halt(403, "This page is for administrators", "Ask one of them.", ("/auth/account", "Your account"))
    return account
