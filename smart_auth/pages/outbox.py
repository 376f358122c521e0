"""The letters that a server without SMTP has not sent, for the person who develops on this machine.

https://www.rfc-editor.org/rfc/rfc5322
"""

from starlette.responses import Response

from smart_auth.pages.visit import Halt, Visit


def show(visit: Visit) -> Response:
    """The letters, the newest first; to everybody from elsewhere there is no such page."""
    outbox = visit.site.outbox
    if outbox is None or not visit.outbox:
        raise Halt(404, "There is no such page", "The address may be mistyped.")
    return visit.page("outbox.html", letters=outbox.letters()[:50], folder=str(outbox.folder))
