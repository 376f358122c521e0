"""References: the resource type that a literal reference names, compared with the types that may stand there.

https://hl7.org/fhir/R4/references.html#literal and #contained
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from profiles.definitions import Definitions

Right = Callable[[Any], object]
# Relative ([type]/[id]), conditional ([type]?…) or on some server; behind the id a version, and a place inside the resource.
# What is behind the question mark is anything, line breaks too: it cannot fail, so nothing is tried a second time.
_literal = re.compile(
    r"(?:https?://.*/)?([A-Z][A-Za-z]+)"
    r"(?:/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?(?:#[A-Za-z0-9.\-]{1,64})?|\?(?s:.*))"
).fullmatch


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
    types = {
        one["id"]: one.get("resourceType") for one in contained if type(one) is dict and type(one.get("id")) is str
    }
    return {"": resource.get("resourceType"), **types}


def resolves(container: Container) -> Right:
    """The test that a Reference is none, is #id of a contained resource (ref-1), an address, or names a type and an id."""

    def accept(value: dict[str, Any]) -> bool:
        reference = value.get("reference")
        if reference is None:
            return True
        return reference[1:] in container.types if reference[:1] == "#" else is_literal(reference)

    return accept


def is_literal(reference: str) -> bool:
    """Whether a reference is absolute or of the form Type/id, Type/id/_history/version or Type?search."""
    return ":" in reference or _literal(reference) is not None


_resource = re.compile(r"https?://.*/([A-Z][A-Za-z]+)/([A-Za-z0-9.\-]{1,64})").fullmatch


def agrees(entry: Mapping[str, Any]) -> bool:
    """Whether the fullUrl of a Bundle's entry, where it is a resource's on a server, has the type and id of its resource.

    The resource of a POST gets another id yet, and one without id has none to disagree with.
    """
    url, resource, request = entry.get("fullUrl"), entry.get("resource"), entry.get("request")
    found = _resource(url) if type(url) is str else None
    if found is None or type(resource) is not dict or (type(request) is dict and request.get("method") == "POST"):
        return True
    kind, identity = resource.get("resourceType"), resource.get("id", found[2])
    return (found[1], found[2]) == (kind, identity)


def all_referred(resource: dict[str, Any]) -> bool:
    """Whether each contained resource of a resource is surely referred to (dom-3), by an id of its own."""
    return "contained" not in resource or not (unreferred(resource) or repeated(resource))


def repeated(resource: dict[str, Any]) -> list[int]:
    """The positions of the contained resources that have the id of one before them."""
    seen: set[Any] = set()
    found = []
    for place, one in enumerate(resource["contained"]):
        identity = one.get("id")
        if identity in seen:
            found.append(place)
        seen.add(identity)
    return found


def unreferred(resource: dict[str, Any]) -> list[int]:
    """The positions of the contained resources that nothing refers to, and that do not refer to the resource around them."""
    contained = resource["contained"]
    referred = set(_local(resource))
    lost = [place for place, one in enumerate(contained) if f"#{one.get('id')}" not in referred]
    return [place for place in lost if "#" not in _local(contained[place])]


def _local(value: Any) -> Iterator[str]:
    """Every text in a JSON value that begins like a reference inside a resource; canonicals and uris may be such, too."""
    todo = [value]
    for one in todo:
        if type(one) is dict:
            todo += one.values()
        elif type(one) is list:
            todo += one
        elif type(one) is str and one[:1] == "#":
            yield one


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


def fault(
    value: dict[str, Any], types: Mapping[str, Any], targets: tuple[str, ...], definitions: Definitions
) -> str | None:
    """What is wrong with where a Reference leads, as a sentence; `types` is the Container's."""
    reference, stated = value.get("reference"), value.get("type")
    if isinstance(stated, str) and definitions.is_resource(stated) and stated not in targets:
        return f"a reference to {_article(stated)} may not stand here; allowed: {', '.join(targets)}"
    if not isinstance(reference, str):
        return None
    local = reference.startswith("#")
    named = types.get(reference[1:]) if local else named_type(reference, definitions)
    if not isinstance(named, str) or named in targets:
        return None
    return f"'{reference[:80]}' leads to {_article(named)}, which may not stand here; allowed: {', '.join(targets)}"


def _article(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIO" else f"a {name}"
