"""References into the resource itself (`#…`): what they lead to is contained, and a chain looks there too.

https://hl7.org/fhir/R4/references.html#contained and https://hl7.org/fhir/R4/search.html#contained

The rows of a contained resource are kept under the paths of its type with the path of the reference in front, as rows of
the resource that contains it: `MedicationRequest.medication.ofType(Reference) > Medication.code`. So a chain into contained
resources is a search of the container by a path that is one step longer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.search.parameter import is_set_apart
from fhir_server.search.path import Path
from fhir_server.search.query import Chain, Clause, Spelled, Term

_COLUMNS = frozenset(("_id", "_lastUpdated"))


def contained_by_id(resource: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The contained resources that have a type and an id, by id."""
    inside = resource.get("contained")
    return {
        one["id"]: one
        for one in (inside if isinstance(inside, list) else ())
        if isinstance(one, dict) and isinstance(one.get("resourceType"), str) and isinstance(one.get("id"), str)
    }


def targets(nodes: Iterable[tuple[str, Any]], contained: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The contained resources that the nodes of a reference path lead to, each once."""
    named = (value.get("reference") for _, value in nodes if isinstance(value, dict))
    ids = dict.fromkeys(name[1:] for name in named if isinstance(name, str) and name.startswith("#"))
    return [contained[one] for one in ids if one in contained]


def seen_from(link: Path, path: Path) -> Path:
    """A path of a contained resource as one of the resource that refers to it through `link`."""
    return replace(path, resource_type=link.resource_type, text=f"{link.text} > {path.text}", properties=None)


def is_followed(term: Term) -> bool:
    """Whether a chain looks for the term in contained resources: a plain condition, or the next link.

    What combines several conditions is not, nor what asks for something that is not there: the rows of two contained
    resources behind one reference cannot be told apart. Nor are SearchParameters of one's own, whose jobs look at
    resources of their type only.
    """
    match term:
        case Clause(parameter=parameter, negated=False):
            own_url = parameter.type == "uri" and parameter.code == "url"  # its version stands beside it
            plain = parameter.type != "composite" and parameter.code not in _COLUMNS and not own_url
            return plain and not any(is_set_apart(path) for path in parameter.paths)
        case Chain(parameter=parameter) | Spelled(parameter=parameter):
            return not any(is_set_apart(path) for path in parameter.paths)
        case _:
            return False


def followed(links: Sequence[Path], term: Term) -> Term | None:
    """The term about what the links lead to inside, as one about the resource itself; None where it is not followed."""
    if not is_followed(term):
        return None
    assert isinstance(term, Clause | Chain | Spelled)
    lasting = [link for link in links if not is_set_apart(link)]
    paths = tuple(seen_from(link, path) for link in lasting for path in term.parameter.paths)
    return replace(term, parameter=replace(term.parameter, paths=paths)) if paths else None
