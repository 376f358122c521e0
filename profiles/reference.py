"""References: the resource type that a literal reference names, compared with the types that may stand there.

https://hl7.org/fhir/R4/references.html#literal
"""

import re
from collections.abc import Callable
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


def right_reference(targets: tuple[str, ...], right: Right, definitions: Definitions) -> Right:
    """The test of a Reference that may lead to some types only; `#id` is left to the closer look, which knows the resource."""
    allowed = frozenset(targets)

    def accept(value: dict[str, Any]) -> object:
        if not right(value) or ("type" in value and value["type"] not in allowed):
            return False
        reference = value.get("reference")
        if reference is None or reference.partition("/")[0] in allowed:
            return True
        return reference[:1] != "#" and named_type(reference, definitions) in (None, *targets)

    return accept


def fault(value: dict[str, Any], contained: dict[str, Any], targets: tuple[str, ...], definitions: Definitions) -> str | None:
    """What is wrong with where a Reference leads, as a sentence; `contained` has the contained resources by their ids."""
    reference, stated = value.get("reference"), value.get("type")
    if isinstance(stated, str) and definitions.is_resource(stated) and stated not in targets:
        return f"a reference to {_article(stated)} may not stand here; allowed: {', '.join(targets)}"
    if not isinstance(reference, str):
        return None
    if reference.startswith("#"):
        found = contained.get(reference[1:])
        named = found.get("resourceType") if isinstance(found, dict) else None
    else:
        named = named_type(reference, definitions)
    if named is None or named in targets:
        return None
    return f"'{reference[:80]}' leads to {_article(named)}, which may not stand here; allowed: {', '.join(targets)}"


def _article(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIO" else f"a {name}"
