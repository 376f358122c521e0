"""The authorization endpoint as the browser meets it: on to a page, back to the app, or a page that says what is wrong.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from starlette.responses import Response

from smart_auth.authorize import Returned
from smart_auth.configuration import PREFIX
from smart_auth.error import Unsafe
from smart_auth.pages.consent import person_of
from smart_auth.pages.visit import Halt, Visit


def by_get(visit: Visit) -> Response:
    """The request in the address: on to what is needed next."""
    id_ = _begun(visit, visit.browser.hash)
    if isinstance(id_, Response):
        return id_
    pending = visit.site.authorizations.pending(id_, visit.browser.hash, visit.visitor.network)
    assert pending is not None, "kept just now"
    return visit.go(visit.site.authorizations.next(pending, person_of(visit)))


def by_post(visit: Visit) -> Response:
    """The request in a form. Browsers send no cookies with a form of another site: the page it leads to gets them."""
    id_ = _begun(visit, None if visit.browser.is_new else visit.browser.hash)
    return id_ if isinstance(id_, Response) else visit.go(f"{PREFIX}/continue?pending={id_}")


def _begun(visit: Visit, browser: bytes | None) -> str | Response:
    """The id that the request waits under, or the way back to the app with what is wrong. Raises Halt."""
    try:
        return visit.site.authorizations.begin(visit.raw, browser)
    except Unsafe as error:
        visit.note("denied", "failure", detail="authorization request")
        raise Halt(error.status, "This app cannot be let in", f"{error} Tell those who make the app.") from None
    except Returned as error:
        detail = f"authorization request: {error.error.code}"
        visit.note("denied", "failure", detail=detail, client=error.client)
        return visit.go(error.url)
