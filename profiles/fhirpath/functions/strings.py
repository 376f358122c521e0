"""Text: parts of it, patterns, encodings.

https://hl7.org/fhirpath/N1/#string-manipulation and https://hl7.org/fhirpath/2018Sep/#additional-string-functions
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from typing import Any

from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import EMPTY, Items, boolean, bounded, one, text_of
from profiles.fhirpath.functions.function import eagerly, of_text
from profiles.fhirpath.pattern import compiled

_JSON_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_JSON_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _string(value: Any, name: str) -> str:
    if type(value) is not str:
        raise FhirPathError(f"{name}() takes a text")
    return value


@of_text("indexOf", 1)
def index_of(text: str, part: Any) -> Items:
    return [text.find(_string(part, "indexOf"))]


@of_text("lastIndexOf", 1)
def last_index_of(text: str, part: Any) -> Items:
    return [text.rfind(_string(part, "lastIndexOf"))]


@of_text("substring", 1, 2)
def substring(text: str, start: Any, length: Any = None) -> Items:
    if type(start) is not int or (length is not None and type(length) is not int):
        raise FhirPathError("substring() takes integers")
    if not 0 <= start < len(text):
        return EMPTY
    return [text[start:] if length is None else text[start : start + max(0, length)]]


@of_text("startsWith", 1)
def starts_with(text: str, part: Any) -> Items:
    return boolean(text.startswith(_string(part, "startsWith")))


@of_text("endsWith", 1)
def ends_with(text: str, part: Any) -> Items:
    return boolean(text.endswith(_string(part, "endsWith")))


@of_text("contains", 1)
def contains(text: str, part: Any) -> Items:
    return boolean(_string(part, "contains") in text)


@of_text("upper")
def upper(text: str) -> Items:
    return [text.upper()]


@of_text("lower")
def lower(text: str) -> Items:
    return [text.lower()]


@of_text("trim")
def trim(text: str) -> Items:
    return [text.strip()]


@of_text("length")
def length_of(text: str) -> Items:
    return [len(text)]


@of_text("toChars")
def to_chars(text: str) -> Items:
    return list(text)


@of_text("replace", 2)
def replace(text: str, pattern: Any, substitution: Any) -> Items:
    pattern, substitution = _string(pattern, "replace"), _string(substitution, "replace")
    bounded(" " * (len(text) + (text.count(pattern) if pattern else len(text) + 1) * len(substitution)))
    return [text.replace(pattern, substitution)]


@of_text("matches", 1)
def matches(text: str, pattern: Any) -> Items:
    """Whether the pattern is found anywhere in the text; a point stands for line ends too."""
    return boolean(compiled(_string(pattern, "matches")).found(text))


@of_text("matchesFull", 1)
def matches_full(text: str, pattern: Any) -> Items:
    return boolean(compiled(_string(pattern, "matchesFull")).is_all_of(text))


@of_text("replaceMatches", 2)
def replace_matches(text: str, pattern: Any, substitution: Any) -> Items:
    """With $1 and ${name} for what groups found; an empty pattern changes nothing."""
    if not pattern:
        return [text]
    parts = re.split(r"\$(\d|\{\w+\})", _string(substitution, "replaceMatches"))
    groups = [int(part) if part.isdigit() else part[1:-1] for part in parts[1::2]]

    def one_match(match: re.Match[str]) -> str:
        found = [*(match[group] or "" for group in groups), ""]
        return "".join(literal + value for literal, value in zip(parts[::2], found, strict=True))

    try:
        return [bounded(compiled(_string(pattern, "replaceMatches")).replaced(text, one_match))]
    except IndexError:
        raise FhirPathError(f"the pattern has no such group: {substitution}") from None


@of_text("split", 1)
def split(text: str, separator: Any) -> Items:
    return list(text.split(separator)) if _string(separator, "split") else list(text)


@eagerly("join", 0, 1)
def join(items: Items, separator: Items = EMPTY) -> Items:
    if not items:
        return EMPTY
    between = text_of(one(separator), "join()") if separator else ""
    return [bounded(between.join(text_of(item, "join()") for item in items))]


_ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "urlbase64": base64.urlsafe_b64encode,
}
_DECODE: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.unhexlify,
    "base64": lambda data: base64.b64decode(data, validate=True),
    "urlbase64": lambda data: base64.b64decode(data, altchars=b"-_", validate=True),
}


@of_text("encode", 1)
def encode(text: str, form: Any) -> Items:
    return [bounded(_ENCODE[form](text.encode()).decode())] if form in _ENCODE else EMPTY


@of_text("decode", 1)
def decode(text: str, form: Any) -> Items:
    if form not in _DECODE:
        return EMPTY
    try:
        return [_DECODE[form](text.encode()).decode()]
    except ValueError:
        return EMPTY


@of_text("escape", 1)
def escape(text: str, target: Any) -> Items:
    match target:
        case "html":
            return [bounded(html.escape(text))]
        case "json":
            return [bounded(json.dumps(text, ensure_ascii=False)[1:-1])]
        case _:
            return EMPTY


def _json_character(match: re.Match[str]) -> str:
    escape = match[1]
    return chr(int(escape[1:], 16)) if len(escape) == 5 else _JSON_ESCAPES.get(escape, escape)


@of_text("unescape", 1)
def unescape(text: str, target: Any) -> Items:
    match target:
        case "html":
            return [html.unescape(text)]
        case "json":
            halves = _JSON_ESCAPE.sub(_json_character, text)  # JSON writes what is beyond 16 bits as two surrogates
            return [halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")]
        case _:
            return EMPTY
