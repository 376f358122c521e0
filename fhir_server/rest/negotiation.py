"""Which format a request's body is in and which its answer shall have.

https://hl7.org/fhir/R4/http.html#mime-type and https://www.rfc-editor.org/rfc/rfc9110#name-accept
"""

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from fhir_server.outcome import refuse


class Format(Enum):
    """A form in which a resource travels; HTML goes out only."""

    JSON = "json"
    XML = "xml"
    HTML = "html"


JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"

_MEDIA_TYPES: dict[str, Format] = {
    "application/fhir+json": Format.JSON,
    "application/fhir+xml": Format.XML,
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "application/xml": Format.XML,
    "text/xml": Format.XML,
    "application/json+fhir": Format.JSON,  # the names before STU3, which old clients still send
    "application/xml+fhir": Format.XML,
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
}
_SHORT = {"json": Format.JSON, "xml": Format.XML, "html": Format.HTML}
_RANGES = {"*/*": Format.JSON, "*": Format.JSON, "application/*": Format.JSON, "text/*": Format.HTML}
_CONTENT_TYPES = {
    Format.JSON: "application/fhir+json; charset=utf-8",
    Format.XML: "application/fhir+xml; charset=utf-8",
    Format.HTML: "text/html; charset=utf-8",
}
_GENERIC = frozenset({"application/json", "text/json", "application/xml", "text/xml"})
_FHIR_VERSIONS = frozenset({"4.0", "4.0.0", "4.0.1"})
_CHARSETS = frozenset({"utf-8", "utf8", "*"})
_SUPPORTED = "application/fhir+json, application/fhir+xml, application/json, application/xml, text/html"


class _Wanted(NamedTuple):
    """A media type or range of the Accept header that can be served, and how much it is wanted."""

    name: str
    format: Format
    quality: float
    exact: bool


@lru_cache(maxsize=256)
def wanted_format(accept: str | None, named: str | None) -> Format:
    """The format of the answer from the Accept header and the decoded `_format` parameter, which goes before it.

    JSON where neither asks for anything; among equals what comes first in Accept. Raises Refusal (406, not-supported).
    """
    return _wanted(accept, named).format


@lru_cache(maxsize=256)
def content_type(chosen: Format, accept: str | None = None, named: str | None = None) -> str:
    """The Content-Type of an answer in that format; given what was asked, a generic type is answered in kind."""
    if accept is not None or named is not None:
        wanted = _wanted(accept, named)
        if wanted.format is chosen and wanted.name in _GENERIC:
            return f"{wanted.name}; charset=utf-8"
    return _CONTENT_TYPES[chosen]


@lru_cache(maxsize=256)
def body_format(content_type: str | None) -> Format:
    """The format of a body with a resource, from its Content-Type; raises Refusal (415, not-supported)."""
    supported = "supported are application/fhir+json, application/fhir+xml, application/json and application/xml"
    if not content_type or not content_type.strip():
        raise refuse("not-supported", f"the Content-Type is missing; {supported}", status=415)
    name, parameters = _media_type(content_type)
    found = _MEDIA_TYPES.get(name, Format.HTML)
    if found is Format.HTML:
        raise refuse(
            "not-supported", f"the Content-Type '{_shown(name)}' is not supported here; {supported}", status=415
        )
    if parameters.get("charset", "utf-8") not in _CHARSETS:
        charset = _shown(parameters["charset"])
        raise refuse("not-supported", f"the charset '{charset}' is not supported; send UTF-8", status=415)
    if parameters.get("fhirversion", "4.0") not in _FHIR_VERSIONS:
        version = _shown(parameters["fhirversion"])
        raise refuse("not-supported", f"fhirVersion={version} is not supported; this server speaks 4.0", status=415)
    return found


def _wanted(accept: str | None, named: str | None) -> _Wanted:
    if named:
        found = _named(named)
        if found is None:
            raise refuse("not-supported", f"_format={_shown(named)} is not supported; {_offer()}", status=406)
        return found
    if not accept or accept == "*/*":
        return _Wanted("*/*", Format.JSON, 1.0, exact=False)
    ranges = [found for part in accept.split(",") if (found := _range(part))]
    refused = {found.format for found in ranges if found.exact and found.quality == 0}
    served = [found for found in ranges if found.quality > 0 and (found.exact or found.format not in refused)]
    if not served:
        raise refuse("not-supported", f"nothing of Accept: {_shown(accept)} is supported; {_offer()}", status=406)
    return max(served, key=lambda found: (found.quality, found.exact))


def _named(named: str) -> _Wanted | None:
    """What `_format` names; a plus sign arrives as a space from clients that did not encode it."""
    text = named.strip().lower()
    if text in _SHORT:
        return _Wanted(text, _SHORT[text], 1.0, exact=True)
    head, _, rest = text.partition(";")
    return _range(f"{head.strip().replace(' ', '+')};{rest}")


def _range(part: str) -> _Wanted | None:
    """One member of an Accept header; None for a type, version or charset that there is not."""
    name, parameters = _media_type(part)
    if (
        parameters.get("charset", "utf-8") not in _CHARSETS
        or parameters.get("fhirversion", "4.0") not in _FHIR_VERSIONS
    ):
        return None
    found = _MEDIA_TYPES.get(name) or _SHORT.get(name)
    if found is not None:
        return _Wanted(name, found, _quality(parameters.get("q", "1")), exact=True)
    if name in _RANGES:
        return _Wanted(name, _RANGES[name], _quality(parameters.get("q", "1")), exact=False)
    return None


def _media_type(text: str) -> tuple[str, dict[str, str]]:
    """Name and parameters, in lower case."""
    name, *rest = text.lower().split(";")
    parameters = {}
    for parameter in rest:
        key, _, value = parameter.partition("=")
        parameters[key.strip()] = value.strip().strip('"')
    return name.strip(), parameters


def _quality(text: str) -> float:
    """The weight between 0 and 1; what is no number weighs 0, so that nobody gets what he did not ask for."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def _offer() -> str:
    return f"supported are {_SUPPORTED}, and for _format also json, xml, html"


def _shown(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"
