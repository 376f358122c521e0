"""The search type reference: `id`, `Type/id`, URLs, `:Type=id`, :identifier, and :below for versions of a canonical.

https://hl7.org/fhir/R4/search.html#reference

A URL under the server's own base and the relative reference are one target. A versioned reference is found with and
without its version, and so is a canonical. References into the resource itself (`#…`) are not indexed.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

from fhir_server.outcome import did_you_mean, refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import Node, Path
from fhir_server.search.types import token
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import unescape
from fhir_server.search.types.extractor import Extractor
from fhir_server.search.types.selection import NOTHING, check_modifier, keys
from fhir_server.store.rows import Rows
from profiles.definitions import r4

MODIFIERS = frozenset(("identifier", "below"))
SELECT: LiteralString = "SELECT pk FROM index_reference WHERE "

_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}", re.ASCII)
_LITERAL = re.compile(
    r"(?P<target>(?P<base>.+/)?(?P<type>[A-Z][A-Za-z]+)/[A-Za-z0-9.\-]{1,64})(?P<version>/_history/[A-Za-z0-9.\-]{1,64})?",
    re.ASCII,
)
_VERSION = "/_history/"
_LONGEST_KNOWN = 256
_CANONICALS = frozenset(("canonical", "uri", "url"))


@dataclass(frozen=True, slots=True)
class Value:
    """The targets any of which may be referred to; with :identifier the token to look for instead."""

    targets: tuple[str, ...]
    identifier: token.Value | None = None


# --- the value of a query ---------------------------------------------------------------------------------------------


def parse(parameter: Parameter, modifier: str | None, text: str, context: Context) -> Value:
    """The targets of one alternative; a type as modifier, or the parameter's own targets, complete a bare id."""
    if modifier == "identifier":
        return Value((), token.parse(parameter, None, text, context))
    plain = unescape(text)
    if modifier == "below":
        if not any(_CANONICALS & set(path.types) for path in parameter.paths):
            raise refuse(
                "not-supported", f"'{parameter.code}:below' is for references by canonical URL", parameter.code
            )
        return Value((plain,))
    types = parameter.targets
    if modifier is not None and r4().is_resource(modifier):
        if types and modifier not in types and "Resource" not in types:
            raise refuse(
                "invalid", f"'{parameter.code}' never refers to {modifier}, only to {', '.join(types)}", parameter.code
            )
        types = (modifier,)
    else:
        check_modifier(parameter, modifier, MODIFIERS)
    return Value(tuple(_targets(parameter, types, plain, context.base)))


def _targets(parameter: Parameter, types: tuple[str, ...], text: str, base: str) -> Iterator[str]:
    if _ID.fullmatch(text):
        any_type = not types or "Resource" in types
        for name in r4().resource_types if any_type else types:
            yield from _spellings(name + "/" + text, base)
        return
    target = localised(text, base)
    literal = _LITERAL.fullmatch(target)
    if literal is None and ":" not in target:
        raise refuse("value", f"{parameter.code}={text}: write an id, Type/id or a URL", parameter.code)
    if literal and literal["base"] is None and not r4().is_resource(literal["type"]):
        close = did_you_mean(literal["type"], r4().resource_types)
        raise refuse(
            "value", f"{parameter.code}={text}: '{literal['type']}' is not a resource type{close}", parameter.code
        )
    if _may_lead_to(types, literal):
        yield from _spellings(target, base)


def _may_lead_to(types: tuple[str, ...], literal: re.Match[str] | None) -> bool:
    """Whether a parameter with these targets is about the reference, as far as the reference tells its type."""
    if not types or literal is None or "Resource" in types or not r4().is_resource(literal["type"]):
        return True
    return literal["type"] in types


def _spellings(target: str, base: str) -> Iterator[str]:
    yield target
    if base and ":" not in target:
        yield base + "/" + target


def localised(reference: str, base: str) -> str:
    """The reference, relative where it is a URL under the server's own base."""
    return reference[len(base) + 1 :] if base and reference.startswith(base + "/") else reference


# --- extraction -------------------------------------------------------------------------------------------------------


def extractor(path: Path, tenant: int, base: str = "", *, identifiers: bool = True) -> Extractor:
    """Adds (path, target) to index_reference, and Reference.identifier, unless it is left out, to index_token.

    Only where `base` is given are absolute URLs under it stored as relative ones, so that chains follow them; a search
    finds them either way.
    """
    found = key(tenant, path.resource_type, path.text, "reference")
    below = key(tenant, path.resource_type, path.text, "below")
    extract_identifiers = token.extractor(_identifier_path(path), tenant, shown=False) if identifiers else None

    def extract(nodes: list[Node], rows: Rows) -> None:
        for kind, value in nodes:
            for target in _target_keys(kind, value, tenant, base):
                rows.references.add((found, target))
            if isinstance(value, dict):
                if extract_identifiers is not None and isinstance(value.get("identifier"), dict):
                    extract_identifiers([("Identifier", value["identifier"])], rows)
            elif kind == "canonical":
                rows.references.update((below, reference_key(tenant, target)) for target in _versions_above(value))

    return extract


def _target_keys(kind: str, value: Any, tenant: int, base: str) -> Iterable[int]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference and len(reference) <= _LONGEST_KNOWN:
            return _known_keys(tenant, base, reference)
    return [reference_key(tenant, target) for target in targets(kind, value, base)]


def targets_on(tenant: int) -> Callable[[Iterable[Node]], set[int]]:
    """What gives the keys of all that nodes refer to, whatever their path is."""
    return lambda nodes: {target for kind, value in nodes for target in _target_keys(kind, value, tenant, "")}


@functools.lru_cache(maxsize=8192)  # the resources of a patient refer to the same ones over and over
def _known_keys(tenant: int, base: str, reference: str) -> tuple[int, ...]:
    return tuple(reference_key(tenant, target) for target in targets("Reference", {"reference": reference}, base))


def targets(kind: str, value: Any, base: str = "") -> Iterator[str]:
    """What a node refers to, and the same without a version."""
    match value:
        case {"reference": str(reference)} if reference and not reference.startswith("#"):
            target = localised(reference, base)
            yield target
            literal = _LITERAL.fullmatch(target) if _VERSION in target else None
            if literal and literal["version"]:
                yield literal["target"]
        case {"resourceType": str(name), "id": str(id_)}:
            yield name + "/" + id_
        case str() if value and not value.startswith("#"):
            yield localised(value, base)
            if kind == "canonical" and "|" in value:
                yield localised(value.partition("|")[0], base)


def _versions_above(canonical: Any) -> Iterator[str]:
    """`url|1` and `url|1.0` for `url|1.0.2`, each of which :below leads from."""
    url, bar, version = canonical.partition("|") if isinstance(canonical, str) else ("", "", "")
    parts = version.split(".") if bar else []
    for count in range(1, min(len(parts), 8)):
        yield url + "|" + ".".join(parts[:count])


def _identifiers(nodes: Iterable[Node]) -> Iterator[Node]:
    for _, value in nodes:
        match value:
            case {"identifier": dict(identifier)}:
                yield "Identifier", identifier


def _identifier_path(path: Path) -> Path:
    """The path of Reference.identifier below a reference; it has keys of its own in index_token."""
    return Path(path.resource_type, path.text + ".identifier", ("Identifier",), _nowhere)


def _nowhere(resource: dict[str, Any]) -> list[Node]:
    """No nodes: the path is made for its keys only."""
    return []


# --- search -----------------------------------------------------------------------------------------------------------


def condition(parameter: Parameter, modifier: str | None, value: Value, tenant: int) -> Fragment:
    """`SELECT pk FROM index_reference` of who refers to a target by one of the paths."""
    if value.identifier is not None:
        return token.of_keys(sorted(_identifier_keys(parameter, value.identifier, tenant)))
    found = _keys(parameter, modifier, tenant)
    match [reference_key(tenant, target) for target in value.targets], found:
        case ([], _) | (_, []):
            return NOTHING
        case [target], [one]:
            return sql(SELECT + "target = %s AND key = %s", target, one)
        case [target], _:
            return sql(SELECT + "target = %s AND key = ANY(%s::int8[])", target, found)
        case several, _:
            return sql(SELECT + "target = ANY(%s::int8[]) AND key = ANY(%s::int8[])", several, found)


def _keys(parameter: Parameter, modifier: str | None, tenant: int) -> list[int]:
    return keys(parameter, tenant, "reference") + (keys(parameter, tenant, "below") if modifier == "below" else [])


def _identifier_keys(parameter: Parameter, identifier: token.Value, tenant: int) -> set[int]:
    below = Parameter("", parameter.code, "token", "", tuple(_identifier_path(path) for path in parameter.paths))
    return token.wanted(below, None, identifier, tenant)


def matches(parameter: Parameter, modifier: str | None, value: Value, resource: dict[str, Any], tenant: int) -> bool:
    """Whether the resource would be found by the condition."""
    if value.identifier is not None:
        wanted = _identifier_keys(parameter, value.identifier, tenant)
        paths = ((_identifier_path(path), _identifiers(path.nodes(resource))) for path in parameter.paths)
        return any(one in wanted for path, nodes in paths for one in token.tokens(path, nodes, tenant))
    found = _keys(parameter, modifier, tenant)
    sought = {(one, reference_key(tenant, target)) for one in found for target in value.targets}
    rows = Rows()
    for path in parameter.paths:
        extractor(path, tenant, identifiers=False)(path.nodes(resource), rows)
    return not sought.isdisjoint(rows.references)
