"""What is answered: status, ETag, Last-Modified, Location, and the body in the form that was asked for.

https://hl7.org/fhir/R4/http.html#Status-Codes, #ops and #versioning
"""

from datetime import datetime

import msgspec

from fhir_server.etag import etag
from fhir_server.moment import http_date

Headers = list[tuple[str, str]]


class Response(msgspec.Struct):
    """One answer, of HTTP or of a batch entry.

    `content` is a resource's JSON text as stored or spliced, which the endpoint brings into the wanted format; `raw` is
    a body of another content type that goes out as it is; `outcome` an OperationOutcome in place of the content.
    `written` is when the version was written, more exact than Last-Modified.
    """

    status: int
    content: bytes | None = None
    headers: Headers = msgspec.field(default_factory=list)
    raw: tuple[str, bytes] | None = None
    outcome: bytes | None = None
    written: datetime | None = None
    shaped: bool = False  # _summary and _elements were applied already


def version_headers(version: int, written: datetime) -> Headers:
    """ETag and Last-Modified of a version."""
    return [("etag", etag(version)), ("last-modified", http_date(written))]
