"""The search type string: starts with, :exact, :contains and :text, blind to case, accents and punctuation.

https://hl7.org/fhir/R4/search.html#string
"""

import functools
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, join, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.selection import LONGEST_VALUE, Over, check_modifier, keys, storable, union
from fhir_server.store.rows import Rows, String

MODIFIERS = frozenset(("exact", "contains", "text"))
SELECT: LiteralString = "SELECT pk FROM index_string WHERE key = %s"
SELECT_ROWS: LiteralString = "SELECT pk, value, full_value, exact FROM index_string WHERE key = (SELECT %s::int8)"

_NAME = ("text", "family", "given", "prefix", "suffix")
_ADDRESS = ("text", "line", "city", "district", "state", "postalCode", "country")
_PARTS: dict[str, tuple[str, ...]] = {
    "HumanName": _NAME,
    "Address": _ADDRESS,
    "CodeableConcept": ("text",),
    "Coding": ("display",),
    "Reference": ("display",),
    "Identifier": ("value",),
    "ContactPoint": ("value",),
    "Annotation": ("text",),
}
_MOST_WORDS = 8
# Each text of a key once: every step reads the next 64 texts behind the last, in order, so that a text which many resources
# have costs one step, and texts which few have share one. The last step finds fewer than 64. The key is hidden from the
# planner, whose plan is then the same for all.
_WALK: LiteralString = (
    "SELECT s.pk FROM (WITH RECURSIVE walk (texts) AS ("
    "SELECT array_agg(value) FROM (SELECT value FROM index_string WHERE key = (SELECT %s::int8) ORDER BY value LIMIT 64) c"
    " UNION ALL SELECT n.texts FROM walk w CROSS JOIN LATERAL (SELECT array_agg(value) AS texts FROM (SELECT value"
    " FROM index_string WHERE key = (SELECT %s::int8) AND value > w.texts[64] ORDER BY value LIMIT 64) c) n WHERE w.texts[64] IS NOT NULL"
    ") SELECT DISTINCT t FROM walk, unnest(texts) AS t WHERE length(t) = %s OR "
)
# Fenced, for the planner would rather read all rows of the key in the order of pk.
_OF_WALKED: LiteralString = (
    ") d CROSS JOIN LATERAL (SELECT i.pk FROM index_string i WHERE i.key = (SELECT %s::int8) AND i.value = d.t AND "
)


@dataclass(frozen=True, slots=True)
class Value:
    """A search text as it was given, and normalised."""

    text: str
    normal: str


class _Folding(dict[int, str | None]):
    """What becomes of a character: combining marks and punctuation go, dashes and the like separate words."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        kind = unicodedata.category(character)
        made: str | None = character
        if kind in ("Pd", "Pc") or character in "/\\" or character.isspace():
            made = " "
        elif kind[0] in "PC" or unicodedata.combining(character):
            made = None
        self[code] = made
        return made


_FOLDING = _Folding()
_ASCII_FOLDED = bytes(ord(_FOLDING[code] or " ") if code < 128 else 32 for code in range(256)).lower()
_ASCII_GONE = bytes(code for code in range(128) if _FOLDING[code] is None)


def normalised(text: str) -> str:
    """Lower case without accents and punctuation, one space between words: `Peña-Ortiz, J.` is `pena ortiz j`."""
    return _known_normal(text) if len(text) <= LONGEST_VALUE else _normal(text)


def _normal(text: str) -> str:
    if text.isascii():
        return " ".join(text.encode().translate(_ASCII_FOLDED, _ASCII_GONE).decode().split())
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(decomposed.translate(_FOLDING).split())


# A name is looked at by several parameters, and the text of a code comes again with each resource that has it.
_known_normal = functools.lru_cache(maxsize=8192)(_normal)


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The text to look for; raises a `value` refusal where nothing is left of it that is looked at."""
    check_modifier(parameter, modifier, MODIFIERS)
    plain = unescape(text)
    normal = normalised(plain)
    if not normal and modifier != "exact":
        raise refuse(
            "value", f"{parameter.code}={text}: punctuation is ignored, so a letter or digit is needed", parameter.code
        )
    return Value(plain, normal)


def texts(nodes: Iterable[Node]) -> list[str]:
    """The texts of each node: a string itself, every part of a name or an address."""
    out: list[str] = []
    for kind, value in nodes:
        if isinstance(value, str):
            out.append(value)
        elif isinstance(value, dict):
            for name in _PARTS.get(kind, ()):
                found = value.get(name)
                if isinstance(found, str):
                    out.append(found)
                elif isinstance(found, list):
                    out += [one for one in found if isinstance(one, str)]
    return out


def row(found: int, text: str) -> String | None:
    """The row of index_string of a text under a key; None where there is nothing to find it by."""
    if not text or not storable(text):
        return None
    normal = normalised(text)
    if len(normal) > LONGEST_VALUE:
        value = normal[:LONGEST_VALUE]
        return found, value, normal, None if text == value else text
    return found, normal, None, None if text == normal else text


def add(found: int, some: Iterable[str], strings: set[String]) -> None:
    """Adds the rows of texts under a key."""
    for text in some:
        made = row(found, text)
        if made is not None:
            strings.add(made)


def rows_of(path: Path, nodes: list[Node], tenant: int) -> set[String]:
    """The rows of the nodes of a path: each text, and each further word of a family name."""
    rows = Rows()
    extractor(path, tenant)(nodes, rows)
    return rows.strings


def has_families(path: Path) -> bool:
    """Whether the path yields family names, whose words are to be found each by itself."""
    return "HumanName" in path.types or path.text.endswith(".family")


def _families(nodes: Iterable[Node]) -> Iterator[str]:
    """`Carreno Quinones` gives `quinones`: the text from every word on but the first."""
    for kind, value in nodes:
        family = value.get("family") if kind == "HumanName" and isinstance(value, dict) else value
        words = normalised(family).split(" ") if isinstance(family, str) else ()
        for start in range(1, min(len(words), _MOST_WORDS)):
            yield " ".join(words[start:])


def extractor(path: Path, tenant: int) -> Extractor:
    """Adds the rows of index_string of the nodes."""
    found = key(tenant, path.resource_type, path.text, "string")
    word = key(tenant, path.resource_type, path.text, "word")
    families = has_families(path)

    def extract(nodes: list[Node], rows: Rows) -> None:
        add(found, texts(nodes), rows.strings)
        if families:
            add(word, _families(nodes), rows.strings)

    return extract


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_string`; a start and an exact text are one range of the b-tree, :contains reads a key's rows.

    That is right for one resource after another; `walked` finds all that contain a text.
    """
    found = _keys(parameter, modifier, tenant)
    test = _test(modifier, value)
    return union(sql(SELECT, one) + test for one in found)


def over(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Over:
    """What `condition` finds, as rows of each path and the test for them."""
    rows = tuple(sql(SELECT_ROWS, one) for one in _keys(parameter, modifier, tenant))
    return Over(rows, sql("true") + _test(modifier, value))


def walked(parameter: Parameter, modifier: str, value: Value, tenant: int) -> Fragment:
    """What `condition` finds for :contains and :text, in time proportional to the different texts of each path."""
    parts = _parts(modifier, value)
    return union(_walk(one, parts) for one in _keys(parameter, modifier, tenant))


def _walk(found: int, parts: Sequence[str]) -> Fragment:
    short = sql(_WALK, found, found, LONGEST_VALUE) + _contain("t", parts)
    return short + sql(_OF_WALKED, found) + _contain("coalesce(i.full_value, i.value)", parts) + sql(" OFFSET 0) s")


def _keys(parameter: Parameter, modifier: str | None, tenant: int) -> list[int]:
    words = [key(tenant, p.resource_type, p.text, "word") for p in parameter.paths if has_families(p)]
    return keys(parameter, tenant, "string") + ([] if modifier else words)


def _test(modifier: str | None, value: Value) -> Fragment:
    match modifier:
        case "exact":
            return _exact(value)
        case "contains" | "text":
            return sql(" AND ") + _contain("coalesce(full_value, value)", _parts(modifier, value))
        case _:
            return starts(value.normal)


def _parts(modifier: str, value: Value) -> list[str]:
    """What a text has to contain, seen with a space before it."""
    return [value.normal] if modifier == "contains" else [" " + word for word in value.normal.split(" ")]


def _contain(column: LiteralString, parts: Sequence[str]) -> Fragment:
    text: LiteralString = "strpos(' ' || C, %s) > 0"
    return join(" AND ", [sql(text.replace("C", column), part) for part in parts])


def _exact(value: Value) -> Fragment:
    short = value.normal[:LONGEST_VALUE]
    if short == value.text:
        return sql(" AND value = %s AND exact IS NULL", short)
    return sql(" AND value = %s AND exact = %s", short, value.text)


def starts(normal: str) -> Fragment:
    """The condition that value, or the whole of it where it is longer, starts with a normalised text."""
    if len(normal) > LONGEST_VALUE:
        return sql(" AND value = %s AND starts_with(full_value, %s)", normal[:LONGEST_VALUE], normal)
    end = after(normal)
    return sql(" AND value >= %s", normal) + (sql(" AND value < %s", end) if end else sql(""))


def after(start: str) -> str:
    """The least text above all that begin so, in the order of code points; empty where there is none."""
    while start:
        last = ord(start[-1])
        if last < sys.maxunicode:
            # PostgreSQL has no surrogates to compare with.
            return start[:-1] + ("\ue000" if last == 0xD7FF else chr(last + 1))
        start = start[:-1]
    return ""


def holds(modifier: str | None, value: Value, full: str, exact: str) -> bool:
    """Whether a text, normalised and as it stands, is one that the search looks for."""
    match modifier:
        case "exact":
            return exact == value.text
        case "contains":
            return value.normal in full
        case "text":
            return all(" " + word in " " + full for word in value.normal.split(" "))
        case _:
            return full.startswith(value.normal)


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    found = set(_keys(parameter, modifier, tenant))
    rows = (one for path in parameter.paths for one in rows_of(path, path.nodes(resource), tenant))
    return any(
        holds(modifier, value, full or short, short if exact is None else exact)
        for one, short, full, exact in rows
        if one in found
    )
