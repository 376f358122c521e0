"""The words of a resource: of its narrative, and of all strings that are for people to read, as PostgreSQL keeps them.

https://hl7.org/fhir/R4/search.html#content
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_BREAK = "\x01"
_WORD = re.compile(r"[^\W_]+|\x01")
_TAG = re.compile(r"<[^<>]*>")
# Members whose strings are for machines: a search for words does not look there.
_UNSPOKEN = frozenset(
    (
        "resourceType id div system url reference versionId lastUpdated profile source contentType data hash linkId unit "
        "version status code fhirVersion instantiatesUri"
    ).split()
)
_SIGNS = re.compile(r"[:/-]")
_MACHINE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+|[A-Za-z]+/[A-Za-z0-9.-]+|\d{4}-\d\d[-T:.Z+\d]*")
LONGEST_WORD = 64
MOST_WORDS = 2000
MOST_PLACES = 200
_GAP = 3  # positions between two elements


def words(text: str) -> list[str]:
    """The words of a text, lower case and without accents; each at most LONGEST_WORD characters."""
    return [word[:LONGEST_WORD] for word in _WORD.findall(_folded(text)) if word != _BREAK]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def narrative(resource: Mapping[str, Any]) -> list[str]:
    """What a person reads in the narrative: `text.div` without its tags."""
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return [html.unescape(_TAG.sub(" ", _without_comments(div)))] if isinstance(div, str) else []


def _without_comments(div: str) -> str:
    """The text without XML comments, in linear time whatever it holds."""
    parts, at = [], 0
    while (start := div.find("<!--", at)) >= 0 and (end := div.find("-->", start + 4)) >= 0:
        parts.append(div[at:start])
        at = end + 3
    return " ".join([*parts, div[at:]])


def content(resource: Mapping[str, Any]) -> list[str]:
    """Every string of the resource that is for people: names, displays, notes, values; the narrative included."""
    found = narrative(resource)
    for name, value in resource.items():
        if name != "text":
            _collect(name, value, found)
    return found


def _collect(name: str, value: Any, found: list[str]) -> None:
    """Adds the strings of a member's value; of members that are for machines only what stands in objects below."""
    if type(value) is str:
        if name not in _UNSPOKEN and not (_SIGNS.search(value) and _MACHINE.fullmatch(value)):
            found.append(value)
    elif type(value) is dict:
        for inner, one in value.items():
            _collect(inner, one, found)
    elif type(value) is list:
        for one in value:
            _collect(name, one, found)


def placed(texts: Iterable[str]) -> dict[str, list[int]]:
    """The words of the texts with their positions, from 1; of very long resources the first MOST_WORDS."""
    found: dict[str, list[int]] = {}
    at = 0
    for word in _WORD.findall(_folded(_BREAK.join(texts))):
        if word == _BREAK:
            at += _GAP  # no phrase goes from one element into the next
            continue
        at += 1
        if at > MOST_WORDS:
            break
        places = found.setdefault(word[:LONGEST_WORD], [])
        if len(places) < MOST_PLACES:
            places.append(at)
    return found


def vector(found: Mapping[str, Sequence[int]], mark: str = "") -> str:
    """The text form of a tsvector; `mark` is one word more, which no text contains: the resource type."""
    parts = [f"'{word}':{','.join(map(str, places))}" for word, places in found.items()]
    return " ".join([*parts, f"'{mark}'"] if mark else parts)


def marked(resource_type: str) -> str:
    """The word that stands for a resource type in every vector of it."""
    return f"type/{resource_type}"


def vectors(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Narrative and content of a resource as the index keeps them; the narrative is empty where there is none."""
    kind = marked(str(resource.get("resourceType")))
    told = placed(narrative(resource))
    return vector(told, kind) if told else "", vector(placed(content(resource)), kind)
