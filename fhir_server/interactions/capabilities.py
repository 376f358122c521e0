"""capabilities: what this server does, computed from its registries.

https://hl7.org/fhir/R4/http.html#capabilities and https://hl7.org/fhir/R4/capabilitystatement.html
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from fhir_server.context import Context
from fhir_server.json import dump_json
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.registration import registry_of, searchable

RELEASED = "2026-11-21"
FORMATS = ("json", "xml", "application/fhir+json", "application/fhir+xml")
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")
TYPE_INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
SYSTEM_INTERACTIONS = ("transaction", "batch", "history-system", "search-system")
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
MODES = ("full", "normative", "terminology")
WITHOUT_PATHS = frozenset(("_id", "_lastUpdated", "_text", "_content", "_filter"))  # answered, though not from a path


Stated = Callable[[str], list[dict[str, str]]]
"""The operations at a type, or, where the type is empty, at the system."""
Profiles = tuple[tuple[str, tuple[str, ...]], ...]  # by type, the canonicals of its profiles; hashable


@lru_cache(maxsize=4)
def _cached(
    context_key: tuple[str, bool, str, int],
    endpoints: tuple[str, str] | None,
    parameters: Parameters,
    types: tuple[str, ...],
    stated: Stated,
    supported: Profiles,
) -> bytes:
    base, create_on_update, conditional_delete, _ = context_key
    profiles = dict(supported)
    _sources.cache_clear()
    rest = {
        "mode": "server",
        "documentation": "All R4 resource types, with every interaction and every search parameter of the specification.",
        "security": _security(endpoints),
        "resource": [
            _resource(name, parameters, create_on_update, conditional_delete, profiles.get(name, ()), stated(name))
            for name in types
        ],
        "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
        "searchParam": _parameters(one for code, one in sorted(parameters.of("Basic").items()) if code.startswith("_")),
        "operation": stated(""),
    }
    return dump_json(_statement(base, {key: value for key, value in rest.items() if value != []}))


def _security(endpoints: tuple[str, str] | None) -> dict[str, Any]:
    """How callers are known; `endpoints` are those where a person authorizes and where tokens come from."""
    if endpoints is None:
        return {
            "cors": True,
            "description": "Open: this server runs without access control and must not hold real patients' data.",
        }
    uris = [{"url": name, "valueUri": url} for name, url in zip(("authorize", "token"), endpoints, strict=True)]
    return {
        "extension": [{"url": OAUTH_URIS, "extension": uris}],
        "cors": True,
        "service": [{"coding": [{"system": SERVICE, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}],
        "description": "SMART App Launch 2.2: see .well-known/smart-configuration. A patient in context is that one Patient"
        " alone: records that Patient.link leads to are not opened by it.",
    }


def _statement(base: str, rest: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "id": "mediconnect",
        "url": f"{base}/metadata",
        "version": version("mediconnect"),
        "name": "MediConnect",
        "title": "MediConnect FHIR server",
        "status": "active",
        "experimental": False,
        "date": RELEASED,
        "publisher": "MediConnect",
        "kind": "instance",
        "software": {"name": "MediConnect", "version": version("mediconnect")},
        "implementation": {"description": "MediConnect FHIR server", "url": base},
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [rest],
    }


def _resource(
    name: str, parameters: Parameters, create_on_update: bool, conditional_delete: str, profiles: tuple[str, ...],
    operations: list[dict[str, str]],
) -> dict[str, Any]:  # fmt: skip
    own = searchable(parameters, name)
    references = sorted(code for code, one in own.items() if one.type == "reference" and one.paths)
    stated: dict[str, Any] = {
        "type": name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{name}",
        "supportedProfile": list(profiles),
        "interaction": [{"code": code} for code in TYPE_INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": create_on_update,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": conditional_delete,
        "referencePolicy": ["literal", "logical", "local"],
        "searchInclude": ["*", *(f"{name}:{code}" for code in references)],
        "searchRevInclude": _referring(name, parameters),
        "searchParam": _parameters(one for _, one in sorted(own.items())),
        "operation": operations,
    }
    return {key: value for key, value in stated.items() if value != []}


def _parameters(parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    return [
        {"name": one.code, "definition": one.url, "type": one.type}
        for one in parameters
        if one.paths or one.roots or one.code in WITHOUT_PATHS
    ]


@lru_cache(maxsize=1)
def _sources(parameters: Parameters, types: tuple[str, ...]) -> dict[str, list[str]]:
    """For each type, the parameters of all types that may refer to it."""
    found: dict[str, list[str]] = {name: [] for name in types}
    for source in types:
        for code, one in parameters.of(source).items():
            if one.type == "reference" and one.paths:
                for target in one.targets:
                    found.get(target, []).append(f"{source}:{code}")
    return found


def _referring(name: str, parameters: Parameters) -> list[str]:
    return sorted(_sources(parameters, parameters.resource_types).get(name, []))


def capabilities(context: Context, stated: Stated) -> bytes:
    """The CapabilityStatement's text; made once for a set of registries and settings."""
    generation = registry_of(context.parameters).generation
    key = (context.base, context.settings.create_on_update, context.settings.conditional_delete, generation)
    smart = context.smart
    endpoints = None if smart is None else (smart["authorization_endpoint"], smart["token_endpoint"])
    supported = tuple(context.packages.supported.items())
    return _cached(key, endpoints, context.parameters, context.parameters.resource_types, stated, supported)
