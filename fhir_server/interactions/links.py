"""Links inside a transaction: temporary identities and conditional references become those that are stored.

https://hl7.org/fhir/R4/http.html#trules: references, elements of type uri, url, canonical, oid and uuid, and the links
of narratives are rewritten; a string such as Identifier.value is an identity of its own and stays.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from profiles.definitions import Structure, r4

CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)")
NARRATIVE_LINK = re.compile(r"""(<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*)(["'])(.*?)\2""", re.DOTALL | re.IGNORECASE)
LINK_TYPES = frozenset(("uri", "url", "canonical", "oid", "uuid"))

LINK, REFERENCE, NARRATIVE = "link", "reference", "narrative"
Action = str | Structure


@lru_cache(maxsize=4096)
def actions(name: str) -> dict[str, Action]:
    """For each property of a structure that can hold a link: what to do with it, or the structure inside it."""
    found: dict[str, Action] = {}
    for field in r4().structure(name).fields.values():
        if name == "Reference" and field.name == "reference":
            found[field.name] = REFERENCE
        elif field.type in LINK_TYPES:
            found[field.name] = LINK
        elif field.type == "xhtml":
            found[field.name] = NARRATIVE
        elif not field.primitive:
            found[field.name] = field.type
        if field.primitive:
            found["_" + field.name] = "Element"
    return found


def rewritten(value: dict[str, Any], mapping: Mapping[str, str], structure: str | None = None) -> dict[str, Any]:
    """The resource (or element of `structure`) with its links rewritten; the same object where there were none."""
    name = structure if structure is not None and structure != "Resource" else value.get("resourceType", "Element")
    changed: dict[str, Any] = {}
    known = actions(name)
    for key, item in value.items():
        action = known.get(key)
        if action is None:
            continue
        new = _rewritten(item, mapping, action)
        if new is not item:
            changed[key] = new
    return {**value, **changed} if changed else value


def _rewritten(item: Any, mapping: Mapping[str, str], action: Any) -> Any:
    if type(item) is list:
        new = [_rewritten(one, mapping, action) for one in item]
        return new if any(a is not b for a, b in zip(new, item, strict=True)) else item
    if type(item) is dict:
        return rewritten(item, mapping, action) if action not in (LINK, REFERENCE, NARRATIVE) else item
    if type(item) is not str:
        return item
    if action == NARRATIVE:
        return NARRATIVE_LINK.sub(lambda m: m[1] + m[2] + mapping.get(m[3], m[3]) + m[2], item) if "<" in item else item
    return mapping.get(item, item) if action in (LINK, REFERENCE) else item


def conditional_references(value: Any) -> set[str]:
    """All references of the form `Type?criteria` in a resource."""
    found: set[str] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            text = item.get("reference")
            if type(text) is str and CONDITIONAL.fullmatch(text):
                found.add(text)
            stack.extend(one for one in item.values() if type(one) in (dict, list))
        elif type(item) is list:
            stack.extend(item)
    return found
