"""The words of a resource: of its narrative, and of all strings that are for people to read, as PostgreSQL keeps them.

https://hl7.org/fhir/R4/search.html#content
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_BREAK = "\x01"
_SPACED_BREAK = f" {_BREAK} "
_WORD = re.compile(r"[^\W_]+|\x01")
_TAG = re.compile(r"<[^<>]*>")
# Members whose strings are for machines: a search for words does not look there.
_UNSPOKEN = frozenset(
    (
        "resourceType id div system url reference versionId lastUpdated profile source contentType data hash linkId unit "
        "version status code fhirVersion instantiatesUri"
    ).split()
)
_MACHINE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+|[A-Za-z]+/[A-Za-z0-9.-]+|\d{4}-\d\d[-T:.Z+\d]*")
# What becomes of each byte of an ASCII text: letters and digits are words, a break stays, all else is space.
_ASCII_WORDS = bytes(code if code == ord(_BREAK) or bytes((code,)).isalnum() else 32 for code in range(256)).lower()
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
    return narrative(resource) + _without_narrative(resource)


def spoken(resource: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What the vectors of a resource are made of: the narrative, and every other string that is for people."""
    return narrative(resource), _without_narrative(resource)


def _without_narrative(resource: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    _collect({name: value for name, value in resource.items() if name != "text"}, found)
    return found


def _collect(members: Mapping[str, Any], found: list[str]) -> None:
    """Adds the strings of an object; of members that are for machines only what stands in objects below."""
    for name, value in members.items():
        kind = type(value)
        if kind is str:
            if name not in _UNSPOKEN and not (
                ("-" in value or ":" in value or "/" in value) and _MACHINE.fullmatch(value)
            ):
                found.append(value)
        elif kind is dict:
            _collect(value, found)
        elif kind is list:
            _collect_items(name, value, found)


def _collect_items(name: str, items: list[Any], found: list[str]) -> None:
    for one in items:
        if type(one) is dict:
            _collect(one, found)
        else:
            _collect({name: one}, found)


def placed(texts: Iterable[str]) -> dict[str, list[int]]:
    """The words of the texts with their positions, from 1; of very long resources the first MOST_WORDS."""
    found: dict[str, list[int]] = {}
    for word, at in _places(_split(list(texts))):
        places = found.setdefault(word, [])
        if len(places) < MOST_PLACES:
            places.append(at)
    return found


def _places(split: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each word with its position, the same word as often as it comes."""
    at = 0
    for word in split:
        if word == _BREAK:
            at += _GAP  # no phrase goes from one element into the next
            continue
        at += 1
        if at > MOST_WORDS:
            break
        yield word, at


def _split(texts: list[str]) -> list[str]:
    """The words of the texts, a break between two of them."""
    joined = _SPACED_BREAK.join(texts)
    # Nearly all texts are ASCII without a control character, of which the words are found in a fifth of the time.
    if joined.isascii() and joined.count(_BREAK) == max(len(texts) - 1, 0):
        found = joined.encode().translate(_ASCII_WORDS).decode().split()
    else:
        found = _WORD.findall(_folded(joined))
    return [word[:LONGEST_WORD] for word in found] if max(map(len, found), default=0) > LONGEST_WORD else found


def marked(resource_type: str) -> str:
    """The word that stands for a resource type in every vector of it."""
    return f"type/{resource_type}"


def vectors(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Narrative and content of a resource as the index keeps them; the narrative is empty where there is none."""
    told, rest = spoken(resource)
    first = _split(told)
    located = [f"{word}:{at}" for word, at in _places([*first, *([_BREAK] if told else ()), *_split(rest)])]
    seen, mark = located[: len(first) - first.count(_BREAK)], f"'{marked(str(resource.get('resourceType')))}'"
    return " ".join([*_counted(seen), mark]) if seen else "", " ".join([*_counted(located), mark])


def _counted(located: list[str]) -> list[str]:
    """Of each word the first MOST_PLACES; PostgreSQL puts the places of a word together."""
    if len(located) <= MOST_PLACES:
        return located
    often: Counter[str] = Counter()
    counted = []
    for one in located:
        word = one.partition(":")[0]
        often[word] += 1
        if often[word] <= MOST_PLACES:
            counted.append(one)
    return counted
