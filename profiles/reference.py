"""References: the resource type that a literal reference names, compared with the types that may stand there.

https://hl7.org/fhir/R4/references.html#literal and #contained
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from profiles.definitions import Definitions

Right = Callable[[Any], object]
# Relative ([type]/[id]), conditional ([type]?…) or on some server; what is behind the id is a version.
_literal = re.compile(r"(?:https?://.*/)?([A-Z][A-Za-z]+)(?:/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?|\?.*)").fullmatch


def named_type(reference: str, definitions: Definitions) -> str | None:
    """The type that a literal reference names.

    None where it names none: urn:uuid:…, #id, the address of something else than a FHIR resource.
    """
    found = _literal(reference)
    if found is None or (found.start(1) > 0 and not definitions.is_resource(found[1])):
        return None
    return found[1]


class Container(threading.local):
    """The outermost resource that is being looked at by this thread: what #id may lead to inside it."""

    types: Mapping[str, Any] = {}
    """The types of its contained resources by their ids, and its own by the empty id that # stands for."""


def contained_types(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `Container.types` is for a resource; empty for one without contained resources."""
    contained = resource.get("contained")
    if type(contained) is not list:
        return {}
    types = {one["id"]: one.get("resourceType") for one in contained if type(one) is dict and type(one.get("id")) is str}
    return {"": resource.get("resourceType"), **types}


def resolves(container: Container) -> Right:
    """The test that the reference of a Reference, where it is #id, leads to a contained resource (ref-1)."""

    def accept(value: dict[str, Any]) -> bool:
        reference = value.get("reference")
        return reference is None or reference[:1] != "#" or reference[1:] in container.types

    return accept


def all_referred(value: dict[str, Any]) -> bool:
    """Whether each contained resource of a resource is referred to by a Reference in it (most of dom-3).

    It may be referred to by a canonical or uri as well, or refer to the resource itself; these are for the closer look.
    """
    contained = value.get("contained", ())
    return not contained or {f"#{one.get('id')}" for one in contained} <= set(_references(value))


def _references(value: Any) -> Iterator[str]:
    """The text of every `reference` in a JSON value."""
    todo = [value]
    for one in todo:
        if type(one) is dict:
            if type(reference := one.get("reference")) is str:
                yield reference
            todo += one.values()
        elif type(one) is list:
            todo += one


def right_reference(targets: tuple[str, ...], right: Right, definitions: Definitions, container: Container) -> Right:
    """The test of a Reference that may lead to some types only."""
    allowed = frozenset(targets)

    def accept(value: dict[str, Any]) -> object:
        if not right(value) or ("type" in value and value["type"] not in allowed):
            return False
        reference = value.get("reference")
        if reference is None or reference.partition("/")[0] in allowed:
            return True
        if reference[:1] == "#":
            return container.types.get(reference[1:]) in allowed
        return named_type(reference, definitions) in (None, *targets)

    return accept


def fault(value: dict[str, Any], container: Mapping[str, Any], targets: tuple[str, ...], definitions: Definitions) -> str | None:
    """What is wrong with where a Reference inside a container leads, as a sentence."""
    reference, stated = value.get("reference"), value.get("type")
    if isinstance(stated, str) and definitions.is_resource(stated) and stated not in targets:
        return f"a reference to {_article(stated)} may not stand here; allowed: {', '.join(targets)}"
    if not isinstance(reference, str):
        return None
    local = reference.startswith("#")
    named = contained_types(container).get(reference[1:]) if local else named_type(reference, definitions)
    if not isinstance(named, str) or named in targets:
        return None
    return f"'{reference[:80]}' leads to {_article(named)}, which may not stand here; allowed: {', '.join(targets)}"


def _article(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIO" else f"a {name}"
