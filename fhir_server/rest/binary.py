"""Binary: content of any type, served as itself unless a FHIR format is asked for.

https://hl7.org/fhir/R4/binary.html#rest
"""

import base64
import binascii
import re
from typing import Any

from fhir_server.json import parse_json, parse_value
from fhir_server.outcome import refuse
from fhir_server.rest.request import Request
from fhir_server.rest.response import Headers, Response

FHIR_TYPES = ("application/fhir+json", "application/fhir+xml", "application/json+fhir", "application/xml+fhir")
PERHAPS_FHIR = re.compile(rb'\s*(\{.{0,200}"resourceType"\s*:\s*"Binary"|<(\?xml[^>]*>\s*<)?Binary\b)', re.DOTALL)
MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(\s*;[ -~]*)?")
# Types that a browser would run in our origin are handed out as a download only.
SANDBOX = ("content-security-policy", "default-src 'none'; sandbox")
NOSNIFF = ("x-content-type-options", "nosniff")


def is_raw(content_type: str, body: bytes) -> bool:
    """Whether a body sent to Binary is the content itself, not a Binary resource."""
    name = content_type.partition(";")[0].strip().lower()
    return bool(name) and name not in FHIR_TYPES and not PERHAPS_FHIR.match(body[:1000])


def resource(request: Request, content_type: str, resource_id: str | None) -> dict[str, Any]:
    """The Binary resource of a raw body; X-Security-Context becomes securityContext."""
    if not MEDIA_TYPE.fullmatch(content_type):
        raise refuse("value", "Content-Type is not a media type", "Binary.contentType")
    made: dict[str, Any] = {"resourceType": "Binary"}
    if resource_id is not None:
        made["id"] = resource_id
    made["contentType"] = content_type
    if context := request.headers.get("x-security-context"):
        made["securityContext"] = {"reference": context}
    if request.body:
        made["data"] = base64.b64encode(request.body).decode()
    return made


def wanted_raw(request: Request) -> bool:
    """Whether the content itself is wanted: no FHIR format was asked for."""
    if request.only("_format") is not None:
        return False
    accept = request.headers.get("accept", "*/*").lower()
    return not any(
        name in accept for name in (*FHIR_TYPES, "application/json", "text/json", "text/xml", "application/xml")
    )


def response(content: bytes, headers: Headers) -> Response:
    """The content of a stored Binary in its own type."""
    stored = parse_json(content)
    try:
        data = base64.b64decode(stored.get("data", ""), validate=False)
    except (binascii.Error, ValueError):
        raise refuse(
            "value", "Binary.data is not base64; ask for application/fhir+json to see it", "Binary.data"
        ) from None
    kind = str(stored.get("contentType", "application/octet-stream"))
    safe = kind if MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
    return Response(200, headers=[*headers, *_context(stored), SANDBOX, NOSNIFF], raw=(safe, data))


def _context(stored: dict[str, Any]) -> Headers:
    """The securityContext, which whoever serves the content elsewhere must know."""
    context = stored.get("securityContext")
    reference = context.get("reference") if isinstance(context, dict) else None
    fit = isinstance(reference, str) and reference.isascii() and reference.isprintable()
    return [("x-security-context", str(reference))] if fit else []


def json_patch(carrier: dict[str, Any]) -> Any:
    """The JSON Patch that a Binary carries, which is how a bundle entry holds one."""
    try:
        return parse_value(base64.b64decode(carrier.get("data", ""), validate=True))
    except (binascii.Error, TypeError, ValueError):
        raise refuse("value", "a PATCH entry's Binary.data must be a JSON Patch in base64", "Binary.data") from None
