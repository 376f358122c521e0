"""What tokens are sorted by: codes of a closed list by the code, others by their text, identifiers by their value.

https://hl7.org/fhir/R4/search.html#sort
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from fhir_server.search.key import key
from fhir_server.search.path import Node, Path
from fhir_server.search.types import string
from fhir_server.search.types.extractor import Extractor
from profiles.definitions import r4

_BOOLEANS = ("false", "true")
_BY_VALUE = frozenset(("Identifier", "ContactPoint"))
_WITH_TEXT = frozenset(("Coding", "CodeableConcept"))


def closed_codes(path: Path) -> tuple[str, ...] | None:
    """All values the path can have, in order, where its definition lists them: their keys need no row to sort by."""
    if path.types == ("boolean",):
        return _BOOLEANS
    if path.types == ("code",) and path.code_system is not None:
        return _codes(path.code_system)
    return None


@functools.cache
def _codes(system: str) -> tuple[str, ...]:
    def below(concepts: Iterable[dict[str, Any]]) -> Iterator[str]:
        for concept in concepts:
            yield concept["code"]
            yield from below(concept.get("concept", ()))

    return tuple(sorted(below((r4().code_system(system) or {}).get("concept", ()))))


def extractor(path: Path, tenant: int) -> Extractor | None:
    """Adds a row of index_string for each token that has no text to be sorted by; None where a closed list is enough."""
    if closed_codes(path) is not None:
        return None
    found = key(tenant, path.resource_type, path.text, "order")
    return lambda nodes, rows: string.add(found, [one for one in map(_sorted_by, nodes) if one], rows.strings)


def _sorted_by(node: Node) -> str:
    kind, value = node
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if kind in _WITH_TEXT:
            return _code_without_text(value)
        found = value.get("value") if kind in _BY_VALUE else None
        return found if isinstance(found, str) else ""
    return ""


def _code_without_text(value: dict[str, Any]) -> str:
    """The first code of a concept that has nothing to read."""
    if value.get("text"):
        return ""
    codings = value["coding"] if isinstance(value.get("coding"), list) else [value]
    known = [one for one in codings if isinstance(one, dict)]
    for one in known:
        if one.get("display"):
            return ""
    return next((one["code"] for one in known if isinstance(one.get("code"), str)), "")
