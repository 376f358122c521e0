"""A Query against one resource in memory: the same answer as the database gives, for policies, criteria and notifications.

https://hl7.org/fhir/R4/search.html#Introduction
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fhir_server.search import local_reference, text, words
from fhir_server.search.index import COLUMNS, present
from fhir_server.search.parameter import Parameter, is_set_apart
from fhir_server.search.query import (
    Chain,
    Clause,
    Either,
    Every,
    Except,
    Has,
    Listed,
    Missing,
    OfTypes,
    Query,
    Spelled,
    Term,
    Within,
    Words,
)
from fhir_server.search.types import BY_TYPE, date, reference, string, uri
from fhir_server.search.types.prefix import Span

Resource = dict[str, Any]


class Related(Protocol):
    """Other resources, for chains, `_has` and `_list`."""

    def target(self, reference: str) -> Resource | None:
        """The current resource at a relative reference, such as `Patient/1`; None where there is none."""

    def referring(self, kind: str, parameter: Parameter, target: str) -> Iterable[Resource]:
        """The resources of a type that refer to the target by the parameter."""


class Alone:
    """No other resources: no chain leads anywhere."""

    def target(self, reference: str) -> None:
        """Nothing."""

    def referring(self, kind: str, parameter: Parameter, target: str) -> Iterable[Resource]:  # noqa: ARG002 - Related names them
        """Nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Matcher:
    """Matches for one tenant, with a look at other resources where a term asks for them."""

    tenant: int
    related: Related = Alone()  # noqa: RUF009 - it has no state
    base: str = ""  # the FHIR base of the server: references below it are its own

    def matches(self, query: Query, resource: Resource) -> bool:
        """Whether the query finds the resource: it is of one of its types and all terms hold."""
        of_type = not query.types or resource.get("resourceType") in query.types
        return of_type and self.holds_all(query.terms, resource)

    def holds_all(self, terms: Sequence[Term], resource: Resource) -> bool:
        """Whether all terms hold."""
        return all(self.holds(term, resource) for term in terms)

    def holds(self, term: Term, resource: Resource) -> bool:
        """Whether one term holds."""
        match term:
            case Clause():
                return self._any_value(term, resource) != term.negated
            case Missing():
                return self._present(term.parameter, resource) != term.missing
            case Chain():
                return self._chain(term, resource)
            case Has():
                found = self.related.referring(term.type, term.parameter, _name(resource))
                return any(self.holds(term.term, one) for one in found)
            case Either():
                return any(self.holds(one, resource) for one in term.terms)
            case Every():
                return self.holds_all(term.terms, resource)
            case Except():
                return not self.holds(term.term, resource)
            case Within():
                return _within(term, resource, self.base)
            case OfTypes():
                return resource.get("resourceType") in term.types
            case Listed():
                return any(_name(resource) in self._entries(one, term.seen) for one in term.lists)
            case Words() | Spelled():
                return self._worded(term, resource)

    def _any_value(self, term: Clause, resource: Resource) -> bool:
        match term.parameter:
            case Parameter(code="_id"):
                return any(one.code == resource.get("id") for one in term.values)
            case Parameter(code="_lastUpdated"):
                return any(_at(one, resource) for one in term.values)
        parameter = own(term.parameter, resource)
        kind = BY_TYPE[parameter.type]
        return any(kind.matches(parameter, term.modifier, one, resource, self.tenant) for one in term.values)

    def _worded(self, term: Words | Spelled, resource: Resource) -> bool:
        if isinstance(term, Words):
            return _has_words(term, resource)
        return any(_is_spelled(term, one) for one in _spellings(term.parameter, resource, self.tenant))

    def _present(self, parameter: Parameter, resource: Resource) -> bool:
        return parameter.code in COLUMNS or present(own(parameter, resource), resource)

    def _chain(self, term: Chain, resource: Resource) -> bool:
        behind = dict(term.behind())
        for name in targets(term.parameter, resource, self.base):
            kind = name.rpartition("/")[0]
            found = self.related.target(name) if kind in behind else None
            if found is not None and self.holds(behind[kind], found):
                return True
        inner = dict(term.targets)
        return any(self.holds(inner[one["resourceType"]], one) for one in inside(term, resource))

    def _entries(self, name: str, seen: Term | None) -> set[str]:
        found = self.related.target(name)
        shown = found is not None and (seen is None or self.holds(seen, found))
        entries = found.get("entry", ()) if found is not None and shown else ()
        items = [one.get("item") for one in entries if isinstance(one, dict)]
        return {target for item in items for target in reference.targets("Reference", item, self.base)}


def inside(term: Chain, resource: Resource) -> list[Resource]:
    """The contained resources that a chain leads to, and in which it looks for its term."""
    contained = local_reference.contained_by_id(resource)
    links = [path for path in own(term.parameter, resource).paths if contained and not is_set_apart(path)]
    nodes = [node for path in links for node in path.nodes(resource)]
    inner = dict(term.targets)
    return [
        one
        for one in local_reference.targets(nodes, contained)
        if one["resourceType"] in inner and local_reference.is_followed(inner[one["resourceType"]])
    ]


def own(parameter: Parameter, resource: Resource) -> Parameter:
    """The parameter with the paths of the resource's type only: one of several types has those of all."""
    kind = resource.get("resourceType")
    if all(path.resource_type == kind for path in (*parameter.paths, *parameter.roots)):
        return parameter
    paths = tuple(path for path in parameter.paths if path.resource_type == kind)
    return replace(parameter, paths=paths, roots=tuple(one for one in parameter.roots if one.resource_type == kind))


def targets(parameter: Parameter, resource: Resource, base: str = "") -> set[str]:
    """What the resource refers to by the parameter; what is below `base` as a relative reference."""
    paths = own(parameter, resource).paths
    nodes = (node for path in paths for node in path.nodes(resource))
    return {target for kind, value in nodes for target in reference.targets(kind, value, base)}


def _within(term: Within, resource: Resource, base: str) -> bool:
    itself = term.itself and _name(resource) == term.target
    return itself or any(term.target in targets(one, resource, base) for one in term.parameters)


def _name(resource: Resource) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def _at(span: Span, resource: Resource) -> bool:
    """Whether meta.lastUpdated is where the search wants it: the answer of prefix.instant_condition."""
    meta = resource.get("meta")
    limits = date.span(str(meta.get("lastUpdated"))) if isinstance(meta, dict) else None
    if limits is None:
        return False
    instant = limits[0]
    match span.prefix:
        case "eq" | "ap":
            return span.low <= instant < span.high
        case "ne":
            return not span.low <= instant < span.high
        case "gt" | "sa":
            return instant >= span.high
        case "ge":
            return instant >= span.low
        case "le":
            return instant < span.high
        case _:
            return instant < span.low


def _has_words(term: Words, resource: Resource) -> bool:
    texts = words.narrative(resource) if term.narrative else words.content(resource)
    found = words.placed(texts)
    if term.narrative and not found:
        return False
    return any(text.holds(one, found) for one in term.texts)


def _spellings(parameter: Parameter, resource: Resource, tenant: int) -> Iterable[str]:
    """The texts of a string parameter, normalised, or the URIs of a uri parameter."""
    for path in own(parameter, resource).paths:
        nodes = path.nodes(resource)
        if parameter.type == "uri":
            yield from uri.uris(nodes)
        else:
            rows = (string.row(tenant, one) for one in string.texts(nodes))
            yield from (full or short for row in rows if row is not None for _, short, full, _ in (row,))


def _is_spelled(term: Spelled, found: str) -> bool:
    match term.how:
        case "eq":
            return found == term.text
        case "ew":
            return found.endswith(term.text)
        case _:
            return term.text in found
