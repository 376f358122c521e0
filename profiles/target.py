"""What a reference leads to without asking anybody: a contained resource, or a resource in the Bundle around it.

https://hl7.org/fhir/R4/references.html#contained and https://hl7.org/fhir/R4/bundle.html#references
"""

import re
from collections.abc import Iterator
from typing import Any

from profiles.fhirpath.element import Element, members
from profiles.fhirpath.model import shape

_VERSION = re.compile(r"/_history/[A-Za-z0-9.\-]{1,64}$")
_RESOURCE = re.compile(r"(https?://.*/)[A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64}").fullmatch
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:").match


def target(reference: Any, element: Element) -> Element | None:
    """The resource that a reference, which stands in or below an element, leads to; None where it is not at hand."""
    if not isinstance(reference, str):
        return None
    if reference.startswith("#"):
        return _contained(reference[1:], _container(element))
    bundle, entry = _bundle(element)
    return None if bundle is None else _entry(_VERSION.sub("", reference), bundle, entry)


def nested(element: Element) -> Iterator[Element]:
    """The resources inside one, at any depth: contained ones, those of a Bundle's entries and of Parameters."""
    for name in ("contained", "resource"):
        for one in members(element, name):
            if one.shape.kind == "resource" and type(one.value) is dict:
                yield one
                yield from nested(one)
    for name in ("entry", "parameter", "part"):
        for one in members(element, name):
            if one.shape.name in ("Bundle.entry", "Parameters.parameter"):
                yield from nested(one)


def _container(element: Element) -> Element:
    """The outermost resource around an element inside which #id has its meaning."""
    while element.parent is not None and (element.shape.kind != "resource" or element.name == "contained"):
        element = element.parent
    return element


def _contained(identity: str, container: Element) -> Element | None:
    if not identity or type(container.value) is not dict:
        return container if not identity else None
    return next((one for one in members(container, "contained") if one.value.get("id") == identity), None)


def _bundle(element: Element) -> tuple[Element | None, Element | None]:
    """The innermost Bundle around an element, and the entry the element is in."""
    inside: Element | None = None
    around: Element | None = element
    while around is not None and around.shape.name != "Bundle":
        inside, around = around, around.parent
    return around, inside


def _entry(reference: str, bundle: Element, entry: Element | None) -> Element | None:
    entries = bundle.value.get("entry", ())
    for matches in _ways(reference, entry):
        for index, one in enumerate(entries):
            if isinstance(one.get("resource"), dict) and matches(str(one.get("fullUrl", ""))):
                place = Element(one, shape("Bundle.entry"), None, bundle, "entry", index)
                resource = one["resource"]
                return Element(resource, shape(str(resource.get("resourceType"))), None, place, "resource")
    return None


def _ways(reference: str, entry: Element | None) -> Iterator[Any]:
    """How a fullUrl may be what is meant: a relative reference on the server of its own entry first, then on any."""
    if _ABSOLUTE(reference):
        yield reference.__eq__
        return
    own = entry.value.get("fullUrl") if entry is not None and type(entry.value) is dict else None
    if isinstance(own, str) and (found := _RESOURCE(own)):
        yield f"{found[1]}{reference}".__eq__
    yield lambda url: url == reference or url.endswith(f"/{reference}")
