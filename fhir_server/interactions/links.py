"""Links inside a transaction: temporary identities and conditional references become those that are stored.

https://hl7.org/fhir/R4/http.html#trules: references, elements of type uri, url and canonical, and the links of
narratives are rewritten; a string such as Identifier.value is an identity of its own and stays.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from fhir_server.json import dump_json
from profiles.definitions import r4

CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)")
_CONDITIONAL_IN_TEXT = re.compile(rb'"reference":("[A-Z][A-Za-z]+\?[^"\\]*(?:\\.[^"\\]*)*")')
NARRATIVE_LINK = re.compile(r"""(<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*)(["'])(.*?)\2""", re.DOTALL | re.IGNORECASE)
TAIL = re.compile(r"[#|].*", re.DOTALL)
# Not oid and uuid, which http.html lists too: their values begin with urn:oid: or urn:uuid:, so no link of ours is one.
LINK_TYPES = frozenset(("uri", "url", "canonical"))

_decoded = msgspec.json.Decoder(str).decode
LINK, REFERENCE, NARRATIVE = "link", "reference", "narrative"
_OF_TEXTS = frozenset((LINK, REFERENCE, NARRATIVE))


@lru_cache(maxsize=4096)
def actions(name: str) -> dict[str, str]:
    """For each property of a structure that can hold a link: what to do with it, or the structure inside it."""
    found: dict[str, str] = {}
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


class Identities:
    """What the identities in a Bundle become: `urn:uuid:…`, `Patient/1`, `http://…/Patient/1` to `Patient/<id stored>`.

    A key of `stored` that ends in `/_history/` has the reference to the version that is stored.
    """

    __slots__ = ("_known", "_stored")

    def __init__(self, stored: Mapping[str, str]) -> None:
        self._stored = stored
        # By root and text: the systems of codes, and the patient, come again in each entry.
        self._known: dict[tuple[str, str], str | None] = {}

    def resolved(self, text: str, root: str) -> str:
        """The link as it is to be stored; relative ones are looked for below `root` first, the base of the entry's fullUrl.

        A fragment, a canonical's version and `_history` stay behind what stands before them.
        """
        known = self._known
        if (root, text) not in known:
            known[root, text] = self._becomes(text, root)
        return known[root, text] or text

    def _becomes(self, text: str, root: str) -> str | None:
        """None of what stays as it is."""
        found = self._found(text, root)
        if found is not None:
            return found
        head, history, version = text.partition("/_history/")
        if history and (found := self._found(head, root)) is not None:
            return self._found(head + history, root) or found + history + version
        if cut := TAIL.search(text):
            found = self._found(text[: cut.start()], root)
            return None if found is None else found + cut[0]
        return None

    def _found(self, text: str, root: str) -> str | None:
        found = self._stored.get(root + text) if root else None
        return self._stored.get(text) if found is None else found


def rewritten(
    value: dict[str, Any], identities: Identities, root: str = "", structure: str | None = None
) -> dict[str, Any]:
    """The resource (or element of `structure`) with its links rewritten; the same object where there were none.

    What is no resource stays as it is: whether it may stand there is for validation to say.
    """
    name = structure if structure not in (None, "Resource") else value.get("resourceType")
    if not isinstance(name, str) or (name is not structure and name not in _resource_types()):
        return value
    changed: dict[str, Any] | None = None
    known = actions(name)
    for key, item in value.items():
        action = known.get(key)
        if action is None:
            continue
        new = _rewritten(item, identities, root, action)
        if new is not item:
            changed = changed or value.copy()
            changed[key] = new
    return changed or value


def _rewritten(item: Any, identities: Identities, root: str, action: str) -> Any:
    kind = type(item)
    if kind is dict:
        return item if action in _OF_TEXTS else rewritten(item, identities, root, action)
    if kind is str:
        return _of_text(item, identities, root, action)
    if kind is not list:
        return item
    changed: list[Any] | None = None
    for n, one in enumerate(item):
        new = _rewritten(one, identities, root, action)
        if new is not one:
            changed = changed or item.copy()
            changed[n] = new
    return changed or item


def _of_text(item: str, identities: Identities, root: str, action: str) -> str:
    if action is LINK or action is REFERENCE:
        return identities.resolved(item, root)
    return _narrative(item, identities, root) if action is NARRATIVE else item


def _narrative(item: str, identities: Identities, root: str) -> str:
    if "<" not in item:
        return item
    return NARRATIVE_LINK.sub(lambda m: m[1] + m[2] + identities.resolved(m[3], root) + m[2], item)


def conditional_references(resource: dict[str, Any]) -> set[str]:
    """All references of the form `Type?criteria` in a resource: looked for in its text, which few resources have any in."""
    found = _CONDITIONAL_IN_TEXT.findall(dump_json(resource))
    return {text for text in map(_decoded, found) if CONDITIONAL.fullmatch(text)}
