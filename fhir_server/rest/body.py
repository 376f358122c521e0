"""The body of a request as what it stands for: a resource, or a patch.

https://hl7.org/fhir/R4/http.html#create and #patch
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions import fhirpath_patch, json_patch
from fhir_server.json import parse_json, parse_value
from fhir_server.outcome import Refusal, refuse
from fhir_server.rest import binary
from fhir_server.rest.negotiation import JSON_PATCH, Format, body_format
from fhir_server.rest.request import Request
from fhir_server.rest.xml import parse_xml

ACCEPT_PATCH = f"{JSON_PATCH}, application/fhir+json, application/fhir+xml"

Patch = Callable[[dict[str, Any]], dict[str, Any]]


def resource_of(
    context: Context, request: Request, kind: str | None = None, resource_id: str | None = None
) -> dict[str, Any]:
    """The resource in the body, JSON or XML; a body of another type sent to Binary becomes one."""
    if request.resource is not None:
        return request.resource
    content_type = request.headers.get("content-type", "")
    if kind == "Binary" and binary.is_raw(content_type, request.body):
        return binary.resource(request, content_type, resource_id)
    if not request.body:
        raise refuse("structure", "the body is empty; a FHIR resource in JSON or XML is expected")
    depth = context.settings.max_depth
    if body_format(content_type) is Format.XML:
        return parse_xml(request.body, max_depth=depth)
    return parse_json(request.body, max_depth=depth)


def patch_of(context: Context, request: Request) -> Patch:
    """The patch in the body: JSON Patch by its content type, else FHIRPath Patch in a Parameters resource."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON_PATCH:
        operations = parse_value(request.body, max_depth=context.settings.max_depth)
        return lambda resource: json_patch.apply(resource, operations)
    try:
        parameters = resource_of(context, request)
    except Refusal as refusal:
        if refusal.status == 415:  # https://www.rfc-editor.org/rfc/rfc5789#section-2.2
            raise Refusal(refusal.issues, status=415, headers=[("accept-patch", ACCEPT_PATCH)]) from None
        raise
    if parameters.get("resourceType") == "Binary":
        return lambda resource: json_patch.apply(resource, binary.json_patch(parameters))
    return partial(_fhirpath, parameters)


def _fhirpath(parameters: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    return fhirpath_patch.apply(resource, parameters)
