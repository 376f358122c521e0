"""The search type token: `code`, `system|code`, `|code`, `system|`, and :text, :in, :above, :below and :of-type.

https://hl7.org/fhir/R4/search.html#token

Identifiers and codes of case-sensitive systems are compared to the letter. Other codes are not, nor is a code given
without its system, for the specification would rather find too much than too little. A `code` element has its system
from its binding, so only its code is indexed.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import KeyOf, key, keys_of
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types import string
from fhir_server.search.types.context import Context, Direction, NotAtHand
from fhir_server.search.types.escape import split, unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.selection import NOTHING, Over, check_modifier, keys, union
from fhir_server.store.rows import Rows, String
from profiles.definitions import r4

MODIFIERS = frozenset(("not", "text", "in", "not-in", "above", "below", "of-type"))

_WITH_SYSTEM = frozenset(("Coding", "CodeableConcept", "Identifier", "ContactPoint"))
_WITH_TEXT = frozenset(("Coding", "CodeableConcept", "Identifier"))
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
_READABLE = dict.fromkeys(map(ord, "-()./ \t\n\r\f\v"))
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
    return text.translate(_READABLE) if _TELEPHONE.fullmatch(text) else text.casefold()


def _code(kind: str, system: str, code: str, path: Path) -> str:
    """The text of a value as it is compared together with its system."""
    if kind in ("Coding", "CodeableConcept") and case_sensitive(system):
        return code
    return _spelling(kind, code, path)


# --- extraction -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Keys:
    """How the keys of one path are made, one member a form; compared by identity, which is fast to look up by.

    `pairs`: a node is also found by its code and its system together; `systems`: by its system alone as well, and by its type.
    """

    path: Path
    pairs: bool
    systems: bool
    code: KeyOf
    system_code: KeyOf
    no_system: KeyOf
    system: KeyOf
    of_type: KeyOf
    below: KeyOf


def _keys_on(path: Path, tenant: int, *, pairs: bool = True, systems: bool = True) -> _Keys:
    forms = ("code", "system-code", "no-system", "system", "of-type", "below")
    return _Keys(path, pairs, systems, *(keys_of(tenant, path.resource_type, path.text, form) for form in forms))


def extractor(path: Path, tenant: int, *, shown: bool = True) -> Extractor:
    """Adds the keys of each node to index_token, and what :text looks at, where it is `shown`, to index_string."""
    keys = _keys_on(path, tenant)
    found = key(tenant, path.resource_type, path.text, "text")
    shown = shown and (not path.types or not _WITH_TEXT.isdisjoint(path.types))

    def extract(nodes: list[Node], rows: Rows) -> None:
        _add(keys, nodes, rows.tokens)
        if shown:
            string.add(found, _shown(nodes), rows.strings)

    return extract


def tokens(path: Path, nodes: Iterable[Node], tenant: int) -> set[int]:
    """The keys of each node in all its forms."""
    out: set[int] = set()
    _add(_known_keys(path, tenant), nodes, out)
    return out


def codes(path: Path, tenant: int, *, pairs: bool) -> Callable[[Iterable[Node]], set[int]]:
    """What gives the keys that find a node by its code, of many nodes of one path; `pairs`: also by its code and system."""
    keys = _keys_on(path, tenant, pairs=pairs, systems=False)

    def of(nodes: Iterable[Node]) -> set[int]:
        out: set[int] = set()
        _add(keys, nodes, out)
        return out

    return of


def _add(keys: _Keys, nodes: Iterable[Node], out: set[int]) -> None:
    for kind, value in nodes:
        if isinstance(value, dict):
            _add_structured(keys, kind, value, out)
        elif isinstance(value, str):
            if value:
                out.update(
                    _known_code(keys, value) if kind == "code" else (keys.code(_spelling(kind, value, keys.path)),)
                )
        elif isinstance(value, bool):
            out.add(keys.code("true" if value else "false"))
        elif value is not None and not isinstance(value, list):
            out.add(keys.code(str(value)))


def _code_keys(keys: _Keys, code: str) -> tuple[int, ...]:
    """The keys of a `code`; `text/xml; charset=UTF-8` is also found by :below=text/xml."""
    found = keys.code(_spelling("code", code, keys.path))
    return (found, keys.below(code.partition(";")[0].strip().casefold())) if "/" in code else (found,)


def _add_structured(keys: _Keys, kind: str, value: dict[str, Any], out: set[int]) -> None:
    match kind:
        case "CodeableConcept":
            codings = value.get("coding")
            for coding in codings if isinstance(codings, list) else ():
                if isinstance(coding, dict):
                    out.update(_pair(keys, kind, coding.get("system"), coding.get("code")))
        case "Coding":
            out.update(_pair(keys, kind, value.get("system"), value.get("code")))
        case "Identifier":
            _add_identifier(keys, value, out)
        case "ContactPoint":
            _add_contact(keys, value, out)


def _pair(keys: _Keys, kind: str, system: Any, code: Any) -> tuple[int, ...]:
    system, code = _text(system), _text(code)
    known = len(system) + len(code) <= _LONGEST_KNOWN
    return (_known_pair if known else _pair_keys)(keys, kind, system, code)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _pair_keys(keys: _Keys, kind: str, system: str, code: str) -> tuple[int, ...]:
    """The keys of a code and its system, either of which may be missing."""
    found: list[int] = []
    if code:
        spelled = _spelling(kind, code, keys.path)
        found.append(keys.code(spelled))
        if keys.pairs:
            found.append(
                keys.system_code(system, _code(kind, system, code, keys.path)) if system else keys.no_system(spelled)
            )
    if system and keys.systems:
        found.append(_known_system(keys, system))
    return tuple(found)


def _add_identifier(keys: _Keys, identifier: dict[str, Any], out: set[int]) -> None:
    value, concept = identifier.get("value"), identifier.get("type")
    out.update(_pair_keys(keys, "Identifier", _text(identifier.get("system")), _text(value)))
    codings = concept.get("coding") if isinstance(concept, dict) and keys.systems else None
    for coding in codings if isinstance(codings, list) and isinstance(value, str) else ():
        system, code = (coding.get("system"), coding.get("code")) if isinstance(coding, dict) else (None, None)
        if isinstance(system, str) and isinstance(code, str):
            out.add(keys.of_type(system, code, value))


def _add_contact(keys: _Keys, contact: dict[str, Any], out: set[int]) -> None:
    """The keys of a number or address, by its use and by its kind as systems."""
    spelled = _contact(_text(contact.get("value")))
    for system in (_text(contact.get("use")), _text(contact.get("system"))):
        if system and keys.systems:
            out.add(_known_system(keys, system))
        if spelled and keys.pairs:
            out.add(keys.system_code(system, spelled) if system else keys.no_system(spelled))
    if spelled:
        out.add(keys.code(spelled))


def _system_key(keys: _Keys, system: str) -> int:
    return keys.system(system)


# The same codes and systems come again and again. The values of identifiers do not.
_LONGEST_KNOWN = 256
_known_keys = functools.lru_cache(maxsize=2048)(_keys_on)
_known_code = functools.lru_cache(maxsize=4096)(_code_keys)
_known_pair = functools.lru_cache(maxsize=16_384)(_pair_keys)
_known_system = functools.lru_cache(maxsize=4096)(_system_key)


def _texts(path: Path, nodes: Iterable[Node], tenant: int) -> set[String]:
    out: set[String] = set()
    string.add(key(tenant, path.resource_type, path.text, "text"), _shown(nodes), out)
    return out


def _shown(nodes: Iterable[Node]) -> list[str]:
    """CodeableConcept.text, Coding.display and Identifier.type.text."""
    out: list[str] = []
    for kind, value in nodes:
        if isinstance(value, dict):
            concept = value.get("type") if kind == "Identifier" else value
            if kind == "Coding":
                _add_text(value.get("display"), out)
            elif kind in _WITH_TEXT and isinstance(concept, dict):
                _add_concept_texts(concept, out)
    return out


def _add_concept_texts(concept: dict[str, Any], out: list[str]) -> None:
    _add_text(concept.get("text"), out)
    codings = concept.get("coding")
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict):
            _add_text(coding.get("display"), out)


def _add_text(text: Any, out: list[str]) -> None:
    if isinstance(text, str):
        out.append(text)


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
