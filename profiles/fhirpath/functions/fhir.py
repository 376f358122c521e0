"""The functions that FHIR adds.

https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from collections.abc import Callable
from typing import Any

from profiles.fhirpath.element import Element, is_of, members, root, type_name
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, FALSE, TRUE, Code, Items, Scope, boolean, one, text_of
from profiles.fhirpath.functions.function import eagerly, lazily
from profiles.fhirpath.model import is_type

_DEFINITIONS = "http://hl7.org/fhir/StructureDefinition/"


@eagerly("extension", 1)
def extension(items: Items, url: Items) -> Items:
    """The extensions of the items with this url."""
    wanted = one(url)
    if wanted is None:
        return EMPTY
    canonical = text_of(wanted, "extension()")
    return [
        found
        for item in items
        if type(item) is Element
        for found in members(item, "extension")
        if type(found.value) is dict and found.value.get("url") == canonical
    ]


@eagerly("hasExtension", 1)
def has_extension(items: Items, url: Items) -> Items:
    """Whether any of the items has an extension with this url; R4's search parameter item-subject asks so."""
    return boolean(bool(extension(items, url)))


@eagerly("hasValue")
def has_value(items: Items) -> Items:
    """Whether there is one primitive that has a value, not extensions alone."""
    if len(items) != 1:
        return FALSE
    item = items[0]
    return boolean((item.shape.primitive and item.value is not None) if type(item) is Element else True)


@eagerly("getValue")
def get_value(items: Items) -> Items:
    return items if has_value(items) is TRUE else EMPTY


@eagerly("type")
def type_of(items: Items) -> Items:
    return [type_name(item) for item in items]


@lazily("resolve", 0, 0)
def resolve(source: Code, _arguments: tuple[Code, ...]) -> Code:
    """The resources that references and canonicals lead to; one that leads nowhere is left out."""

    def call(scope: Scope) -> Items:
        found = (_resolved(item, scope) for item in source(scope))
        return [resource for resource in found if resource is not None]

    return call


def _resolved(item: Any, scope: Scope) -> Element | None:
    holder = item if type(item) is Element else next(iter(scope.environment.context), None)
    if type(holder) is not Element:
        return None
    value = item.value if type(item) is Element else item
    value = value.get("reference") if type(value) is dict else value
    if type(value) is not str:
        return None
    if value.startswith("#"):
        return _contained(value[1:], holder)
    scope.environment.spend(10)
    host = _asked(scope.environment.host.resolve, "resolve")
    resource = host(value, holder)
    return None if resource is None else root(resource)


def _contained(identifier: str, holder: Element) -> Element | None:
    """The resource inside the outermost one with this id; that one itself for an empty id."""
    container = holder.resource()
    while container.parent is not None and container.name == "contained":
        container = container.parent
    if not identifier:
        return container
    found = (e for e in members(container, "contained") if type(e.value) is dict and e.value.get("id") == identifier)
    return next(found, None)


def _asked(function: Callable[..., Any] | None, name: str) -> Callable[..., Any]:
    if function is None:
        raise FhirPathError(f"{name}() is not available here")
    return function


@lazily("memberOf", 1, 1)
def member_of(source: Code, arguments: tuple[Code, ...]) -> Code:
    def call(scope: Scope) -> Items:
        item, value_set = one(source(scope)), one(arguments[0](scope))
        if item is None or value_set is None:
            return EMPTY
        host = _asked(scope.environment.host.member_of, "memberOf")
        return boolean(host(item.value if type(item) is Element else item, text_of(value_set, "memberOf()")))

    return call


@lazily("conformsTo", 1, 1)
def conforms_to(source: Code, arguments: tuple[Code, ...]) -> Code:
    """Whether an item meets a profile; of a type's own definition, whether it is of that type."""

    def call(scope: Scope) -> Items:
        item, profile = one(source(scope)), one(arguments[0](scope))
        if item is None or profile is None:
            return EMPTY
        canonical = text_of(profile, "conformsTo()")
        name = canonical.removeprefix(_DEFINITIONS)
        if name != canonical and is_type(name):
            return boolean(is_of(item, "FHIR", name))
        host = scope.environment.host.conforms_to
        answer = host(item.value, item.shape.name, canonical) if host and type(item) is Element else None
        if answer is None:
            raise FhirPathError(f"the profile {canonical} is not known")
        return boolean(answer)

    return call


@lazily("htmlChecks", 0, 0)
def html_checks(source: Code, _arguments: tuple[Code, ...]) -> Code:
    def call(scope: Scope) -> Items:
        item = one(source(scope))
        if item is None:
            return EMPTY
        return boolean(_asked(scope.environment.host.html_checks, "htmlChecks")(text_of(item, "htmlChecks()")))

    return call
