"""Links inside a transaction: temporary identities and conditional references become those that are stored.

https://hl7.org/fhir/R4/http.html#trules: references, elements of type uri, url and canonical, and the links of
narratives are rewritten; a string such as Identifier.value is an identity of its own and stays.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from profiles.definitions import Structure, r4

CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)")
NARRATIVE_LINK = re.compile(r"""(<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*)(["'])(.*?)\2""", re.DOTALL | re.IGNORECASE)
TAIL = re.compile(r"[#|].*", re.DOTALL)
# Not oid and uuid, which http.html lists too: their values begin with urn:oid: or urn:uuid:, so no link of ours is one.
LINK_TYPES = frozenset(("uri", "url", "canonical"))

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


@lru_cache(maxsize=1)
def _resource_types() -> frozenset[str]:
    return frozenset(r4().resource_types)


@dataclass(frozen=True, slots=True)
class Identities:
    """What the identities in a Bundle become: `urn:uuid:…`, `Patient/1`, `http://…/Patient/1` to `Patient/<id stored>`.

    A key that ends in `/_history/` has the reference to the version that is stored.
    """

    stored: Mapping[str, str]

    def resolved(self, text: str, root: str) -> str:
        """The link as it is to be stored; relative ones are looked for below `root` first, the base of the entry's fullUrl.

        A fragment, a canonical's version and `_history` stay behind what stands before them.
        """
        found = self._found(text, root)
        if found is not None:
            return found
        head, history, version = text.partition("/_history/")
        if history and (found := self._found(head, root)) is not None:
            return self._found(head + history, root) or found + history + version
        if cut := TAIL.search(text):
            found = self._found(text[: cut.start()], root)
        return text if found is None else found + cut[0] if cut else text

    def _found(self, text: str, root: str) -> str | None:
        found = self.stored.get(root + text) if root else None
        return self.stored.get(text) if found is None else found


def rewritten(
    value: dict[str, Any], identities: Identities, root: str = "", structure: str | None = None
) -> dict[str, Any]:
    """The resource (or element of `structure`) with its links rewritten; the same object where there were none.

    What is no resource stays as it is: whether it may stand there is for validation to say.
    """
    name = structure if structure not in (None, "Resource") else value.get("resourceType")
    if not isinstance(name, str) or (name is not structure and name not in _resource_types()):
        return value
    changed: dict[str, Any] = {}
    known = actions(name)
    for key, item in value.items():
        action = known.get(key)
        if action is None:
            continue
        new = _rewritten(item, identities, root, action)
        if new is not item:
            changed[key] = new
    return {**value, **changed} if changed else value


def _rewritten(item: Any, identities: Identities, root: str, action: Any) -> Any:
    if type(item) is list:
        new = [_rewritten(one, identities, root, action) for one in item]
        return new if any(a is not b for a, b in zip(new, item, strict=True)) else item
    if type(item) is dict:
        return item if action in (LINK, REFERENCE, NARRATIVE) else rewritten(item, identities, root, action)
    if type(item) is not str:
        return item
    if action == NARRATIVE:
        return _narrative(item, identities, root)
    return identities.resolved(item, root) if action in (LINK, REFERENCE) else item


def _narrative(item: str, identities: Identities, root: str) -> str:
    if "<" not in item:
        return item
    return NARRATIVE_LINK.sub(lambda m: m[1] + m[2] + identities.resolved(m[3], root) + m[2], item)


def conditional_references(value: Any) -> set[str]:
    """All references of the form `Type?criteria` in a resource."""
    found: set[str] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            text = item.get("reference")
            if type(text) is str and "?" in text and CONDITIONAL.fullmatch(text):
                found.add(text)
            stack.extend(one for one in item.values() if type(one) in (dict, list))
        elif type(item) is list:
            stack.extend(item)
    return found
