"""The search type token: `code`, `system|code`, `|code`, `system|`, and :text, :in, :above, :below and :of-type.

https://hl7.org/fhir/R4/search.html#token

Identifiers and codes of case-sensitive systems are compared to the letter. Other codes are not, nor is a code given
without its system, for the specification would rather find too much than too little. A `code` element has its system
from its binding, so only its code is indexed.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types import string
from fhir_server.search.types.context import Context, Direction, NotAtHand
from fhir_server.search.types.escape import split, unescape
from fhir_server.search.types.selection import NOTHING, Over, check_modifier, keys, union
from fhir_server.store.rows import Rows, String
from profiles.definitions import r4

MODIFIERS = frozenset(("not", "text", "in", "not-in", "above", "below", "of-type"))

_WITH_SYSTEM = frozenset(("Coding", "CodeableConcept", "Identifier", "ContactPoint"))
_ANY_KIND = (
    "Coding",
    "Identifier",
    "ContactPoint",
    "code",
    "string",
    "id",
)  # of an expression whose types are not known
_NO_CASE = frozenset(("Coding", "CodeableConcept", "string", "markdown"))
UCUM = "http://unitsofmeasure.org"  # not among the code systems of the R4 package
_BOOLEANS = ("true", "false")
_SPECIAL_VALUES = frozenset(
    ("http://hl7.org/fhir/special-values", "http://terminology.hl7.org/CodeSystem/special-values")
)
_TELEPHONE = re.compile(r"[-+()./\s]*\d[-+()./\d\s]*", re.ASCII)  # one way to read it, so linear time


@dataclass(frozen=True, slots=True)
class Value:
    """A token to look for. `system`: None is any, "" none; `code`: "" is any.

    `expansion` are the tokens that stand for it with :in, :above and :below; `value` is the third part of :of-type.
    """

    system: str | None
    code: str
    expansion: tuple[tuple[str | None, str], ...] | None = None
    value: str = ""


# --- the value of a query ---------------------------------------------------------------------------------------------


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The token of one alternative; :not and :not-in are read as their positive, which the compiler negates."""
    check_modifier(parameter, modifier, MODIFIERS)
    match modifier:
        case "text":
            return Value(None, string.parse(parameter, "text", text, context).normal)
        case "in" | "not-in":
            return _of_value_set(parameter, text, context)
        case "of-type":
            return _of_type(parameter, text)
        case "above" | "below":
            return _hierarchy(parameter, modifier, _token(parameter, text), context)
        case _:
            return _token(parameter, text)


def _token(parameter: Parameter, text: str) -> Value:
    parts = [unescape(part) for part in split(text, "|")]
    match parts:
        case [code] if code:
            _check_boolean(parameter, code)
            return Value(None, code)
        case [system, code] if system or code:
            return Value(system, code)
        case _:
            wanted = "write code, system|code, |code or system|, with \\| for a vertical bar in a code"
            raise refuse("value", f"{parameter.code}={text}: {wanted}", parameter.code)


def _check_boolean(parameter: Parameter, code: str) -> None:
    if code not in _BOOLEANS and parameter.paths and all(path.types == ("boolean",) for path in parameter.paths):
        raise refuse("value", f"{parameter.code}={code}: write true or false", parameter.code)


def _of_type(parameter: Parameter, text: str) -> Value:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise refuse(
            "value", f"{parameter.code}:of-type={text}: write system|code|value of the identifier", parameter.code
        )
    return Value(parts[0], parts[1], value=parts[2])


def _of_value_set(parameter: Parameter, text: str, context: Context) -> Value:
    url = unescape(text)
    try:
        codes = context.codes_of(url)
    except NotAtHand as missing:
        raise NotAtHand(f"{parameter.code}:in={text}: {missing}", parameter.code) from None
    return Value(None, url, tuple(sorted(codes)))


def _hierarchy(parameter: Parameter, direction: Direction, token: Value, context: Context) -> Value:
    if not token.code:
        raise refuse("value", f"{parameter.code}:{direction}: a code is needed", parameter.code)
    if direction == "below" and "/" in token.code and all(_is_open_code(path) for path in parameter.paths):
        return token
    systems = {path.code_system for path in parameter.paths}
    system = token.system or (systems.pop() if len(systems) == 1 else None)
    asked = f"{parameter.code}:{direction}={token.code}"
    if system is None:
        raise NotAtHand(f"{asked}: codes of more than one system are meant; write system|code", parameter.code)
    try:
        codes = context.subsumed(system, token.code, direction)
    except NotAtHand as missing:
        raise NotAtHand(f"{asked}: {missing}", parameter.code) from None
    return Value(system, token.code, tuple((system, code) for code in sorted({*codes, token.code})))


def _is_open_code(path: Path) -> bool:
    """Whether the path yields codes of no one system: media types, languages."""
    return path.types == ("code",) and path.code_system is None


# --- how values are written into keys ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def case_sensitive(system: str) -> bool:
    """Whether the codes of a system are known to be case-sensitive."""
    if system == UCUM:
        return True
    found = r4().code_system(system)
    return bool(found and found.get("caseSensitive"))


def _spelling(kind: str, text: str, path: Path) -> str:
    """The text of a value as it is compared where its system is not: the same for index and query."""
    if kind in _NO_CASE or (kind == "code" and path.code_system is None):
        return text.casefold()
    return _contact(text) if kind == "ContactPoint" else text


def _contact(text: str) -> str:
    """A telephone number without what only makes it readable; anything else without case."""
    if _TELEPHONE.fullmatch(text):
        return "".join(character for character in text if character in "+0123456789")
    return text.casefold()


def _code(kind: str, system: str, code: str, path: Path) -> str:
    """The text of a value as it is compared together with its system."""
    if kind in ("Coding", "CodeableConcept") and case_sensitive(system):
        return code
    return _spelling(kind, code, path)


# --- extraction -------------------------------------------------------------------------------------------------------


def extract(path: Path, nodes: list[Node], rows: Rows, tenant: int) -> None:
    """Adds the keys of each node to index_token, and what :text looks at to index_string."""
    rows.tokens.update(tokens(path, nodes, tenant))
    rows.strings.update(_texts(path, nodes, tenant))


def tokens(path: Path, nodes: Iterable[Node], tenant: int, *, systems: bool = True) -> Iterator[int]:
    """The keys of each node in all its forms; without `systems`, those that find it by its code alone."""
    where = (tenant, path.resource_type, path.text)
    for kind, value in nodes:
        match value:
            case dict():
                yield from _structured(where, kind, value, path, systems=systems)
            case str() if value:
                yield key(*where, "code", _spelling(kind, value, path))
                yield from _media_type(where, kind, value)
            case bool():
                yield key(*where, "code", "true" if value else "false")
            case _ if value is not None and not isinstance(value, list | str):
                yield key(*where, "code", str(value))


def _media_type(where: tuple[int, str, str], kind: str, value: str) -> Iterator[int]:
    """`text/xml; charset=UTF-8` is also found by :below=text/xml."""
    if kind == "code" and "/" in value:
        yield key(*where, "below", value.partition(";")[0].strip().casefold())


def _structured(
    where: tuple[int, str, str], kind: str, value: dict[str, Any], path: Path, *, systems: bool
) -> Iterator[int]:
    match kind:
        case "CodeableConcept":
            codings = value.get("coding")
            for coding in codings if isinstance(codings, list) else ():
                if isinstance(coding, dict):
                    yield from _pair(where, kind, coding.get("system"), coding.get("code"), path, systems=systems)
        case "Coding":
            yield from _pair(where, kind, value.get("system"), value.get("code"), path, systems=systems)
        case "Identifier":
            yield from _pair(where, kind, value.get("system"), value.get("value"), path, systems=systems)
            yield from _typed(where, value) if systems else ()
        case "ContactPoint":
            yield from _pair(where, kind, value.get("use"), value.get("value"), path, systems=systems)
            yield from _pair(where, kind, value.get("system"), value.get("value"), path, systems=systems)


def _pair(
    where: tuple[int, str, str], kind: str, system: Any, code: Any, path: Path, *, systems: bool
) -> Iterator[int]:
    known = isinstance(system, str) and system != ""
    if isinstance(code, str) and code:
        yield key(*where, "code", _spelling(kind, code, path))
        if known:
            yield key(*where, "system-code", system, _code(kind, system, code, path))
        else:
            yield key(*where, "no-system", _spelling(kind, code, path))
    if known and systems:
        yield key(*where, "system", system)


def _typed(where: tuple[int, str, str], identifier: dict[str, Any]) -> Iterator[int]:
    value, concept = identifier.get("value"), identifier.get("type")
    codings = concept.get("coding") if isinstance(concept, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        match coding, value:
            case {"system": str(system), "code": str(code)}, str():
                yield key(*where, "of-type", system, code, value)


def _texts(path: Path, nodes: Iterable[Node], tenant: int) -> set[String]:
    found = key(tenant, path.resource_type, path.text, "text")
    return {row for text in _shown(nodes) if (row := string.row(found, text)) is not None}


def _shown(nodes: Iterable[Node]) -> Iterator[str]:
    """CodeableConcept.text, Coding.display and Identifier.type.text."""
    for kind, value in nodes:
        match kind, value:
            case "CodeableConcept", dict():
                yield from _concept_texts(value)
            case "Coding", {"display": str(display)}:
                yield display
            case "Identifier", {"type": dict(concept)}:
                yield from _concept_texts(concept)


def _concept_texts(concept: dict[str, Any]) -> Iterator[str]:
    text, codings = concept.get("text"), concept.get("coding")
    if isinstance(text, str):
        yield text
    for coding in codings if isinstance(codings, list) else ():
        match coding:
            case {"display": str(display)}:
                yield display


# --- search -----------------------------------------------------------------------------------------------------------


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_token` of the keys the value may have; of one key, each pk once."""
    if modifier == "text":
        test = string.starts(value.code)
        return union(sql(string.SELECT, one) + test for one in keys(parameter, tenant, "text"))
    return of_keys(sorted(wanted(parameter, modifier, value, tenant)))


def over_texts(parameter: Parameter, value: Value, tenant: int) -> Over:
    """What `condition` finds for :text, as rows of each path and the test for them."""
    rows = tuple(sql(string.SELECT_ROWS, one) for one in keys(parameter, tenant, "text"))
    return Over(rows, sql("true") + string.starts(value.code))


def of_keys(found: list[int]) -> Fragment:
    """`SELECT pk FROM index_token` of all rows under the keys."""
    match found:
        case []:
            return NOTHING
        case [one]:
            return sql("SELECT pk FROM index_token WHERE key = %s", one)
        case _:
            return sql("SELECT pk FROM index_token WHERE key = ANY(%s::int8[])", found)


def wanted(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> set[int]:
    """The keys that a resource has one of if it fulfils the search."""
    if value.expansion is not None:
        return set(_expanded(parameter.paths, value.expansion, tenant))
    out: set[int] = set()
    for path in parameter.paths:
        where = (tenant, path.resource_type, path.text)
        if modifier == "of-type":
            out.add(key(*where, "of-type", value.system or "", value.code, value.value))
        elif modifier == "below":
            out.add(key(*where, "below", value.code.casefold()))
        else:
            out.update(_forms(where, path, value.system, value.code))
    return out


@functools.lru_cache(maxsize=16)  # thousands of keys, which the compiler and each match() ask for again
def _expanded(paths: tuple[Path, ...], tokens: tuple[tuple[str | None, str], ...], tenant: int) -> frozenset[int]:
    """The keys of many tokens on each path."""
    return frozenset(
        one
        for path in paths
        for system, code in tokens
        for one in _forms((tenant, path.resource_type, path.text), path, system, code)
    )


def _forms(where: tuple[int, str, str], path: Path, system: str | None, code: str) -> Iterator[int]:
    """The keys of one token on one path, for each type of value the path may have."""
    for kind in path.types or _ANY_KIND:
        if system is None:
            yield key(*where, "code", _spelling(kind, code, path))
        elif kind not in _WITH_SYSTEM:
            yield from (key(*where, "code", one) for one in _implied(kind, path, system, code))
        elif not system:
            yield key(*where, "no-system", _spelling(kind, code, path))
        elif code:
            yield key(*where, "system-code", system, _code(kind, system, code, path))
        else:
            yield key(*where, "system", system)


def _implied(kind: str, path: Path, system: str, code: str) -> Iterable[str]:
    """The codes to look for on an element without a system of its own, when one is asked for."""
    if kind == "boolean" and system in _SPECIAL_VALUES:
        return (code,) if code else _BOOLEANS
    if kind != "code" or path.code_system is None:
        # No system to compare with: a code of several or of open systems is found by itself, other values need `|value`.
        return (_spelling(kind, code, path),) if code and (kind == "code" or not system) else ()
    if system != path.code_system:
        return ()
    return (code,) if code else _all_codes(system)


@functools.cache
def _all_codes(system: str) -> tuple[str, ...]:
    """Every code of a code system of FHIR."""

    def below(concepts: Iterable[dict[str, Any]]) -> Iterator[str]:
        for concept in concepts:
            yield concept["code"]
            yield from below(concept.get("concept", ()))

    return tuple(below((r4().code_system(system) or {}).get("concept", ())))


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    if modifier == "text":
        sought = string.Value(value.code, value.code)
        rows = (row for path in parameter.paths for row in _texts(path, path.nodes(resource), tenant))
        return any(string.holds(None, sought, full or short, "") for _, short, full, _ in rows)
    sought_keys = wanted(parameter, modifier, value, tenant)
    return any(one in sought_keys for path in parameter.paths for one in tokens(path, path.nodes(resource), tenant))
