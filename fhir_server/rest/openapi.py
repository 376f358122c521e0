"""The FHIR API as an OpenAPI document, computed from the route table.

https://spec.openapis.org/oas/v3.1.0 and https://hl7.org/fhir/R4/http.html#summary
"""

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from fhir_server.rest.html import OPEN
from fhir_server.rest.routes import ROUTES, Route
from fhir_server.settings import Settings
from profiles.definitions import r4

FHIR = "application/fhir+json"
NAMES = {"[type]": "type", "[id]": "id", "[vid]": "vid", "[member]": "member"}


def openapi(settings: Settings) -> dict[str, Any]:
    """The document behind /docs."""
    return _document(settings.fhir_base, settings.security == "open")


@lru_cache(maxsize=4)
def _document(base: str, is_open: bool) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route)
    for name, summary in (("live", "The process answers"), ("ready", "The database answers too")):
        answer = {"200": {"description": "Yes"}}
        paths[f"/health/{name}"] = {"get": {"summary": summary, "tags": ["health"], "responses": answer}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MediConnect FHIR R4",
            "version": version("mediconnect"),
            "description": (f"**{OPEN}**\n\n" if is_open else "")
            + f"FHIR base: {base}. The CapabilityStatement at {base}/metadata says all of it.",
        },
        "paths": paths,
    }


def _path(route: Route) -> str:
    parts = ["/fhir", *(f"{{{NAMES[part]}}}" if part in NAMES else part for part in route.path.split("/") if part)]
    return "/".join(parts) or "/"


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": f"{route.code}: {(route.interaction.__doc__ or '').strip().splitlines()[0]}",
        "operationId": f"{route.method.lower()} {route.path}",
        "tags": [_level(route)],
        "parameters": [_parameter(NAMES[part]) for part in route.path.split("/") if part in NAMES],
        "responses": {"default": {"description": "A resource, or an OperationOutcome", "content": {FHIR: {}}}},
    }
    if route.method in ("POST", "PUT", "PATCH"):
        kind = "application/x-www-form-urlencoded" if route.path.endswith("_search") else FHIR
        operation["requestBody"] = {"content": {kind: {"schema": {"type": "object"}}}}
    return operation


def _level(route: Route) -> str:
    """An operation of one type stands below its name: Patient/[id]/$everything."""
    below = "[type]" in route.path or (route.code == "operation" and "/" in route.path)
    return "instance" if "[id]" in route.path else "type" if below else "system"


def _parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "type":
        schema["enum"] = list(r4().resource_types)
    return {"name": name, "in": "path", "required": True, "schema": schema}
