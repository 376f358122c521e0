"""A part of a resource, marked as such: what _summary and _elements leave of it.

https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from profiles.definitions import Field, r4

SUBSETTED: Mapping[str, str] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}

_ALWAYS = frozenset({"resourceType", "id", "meta"})


def summarize(resource: dict[str, Any], mode: Literal["true", "text", "data", "false"]) -> dict[str, Any]:
    """What `_summary` leaves of a resource, members in their order; the resource itself is not changed.

    true: the elements that their definitions count to the summary, at every depth, and those that are mandatory or
    modify the meaning; text: id, meta, narrative and mandatory elements; data: all but the narrative; false: all.
    """
    match mode:
        case "true":
            return _tagged(_summary_of(resource, resource["resourceType"]))
        case "text":
            fields = r4().structure(resource["resourceType"]).fields
            kept = {name for name, field in fields.items() if field.min} | {"text"}
            return _tagged(_only(resource, kept))
        case "data":
            return _tagged({name: value for name, value in resource.items() if name != "text"})
        case "false":
            return resource


def select_elements(resource: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What `_elements` leaves of a resource, members in their order; the resource itself is not changed.

    `names` are top-level elements (`name`, `value` or `value[x]` for a choice), perhaps for one type only
    (`Patient.name`); of a deeper path the top-level element stays whole. Mandatory elements and those that modify the
    meaning stay, and id and meta.
    """
    wanted = {name for name in (_top_level(name, resource["resourceType"]) for name in names) if name}
    fields = r4().structure(resource["resourceType"]).fields.values()
    kept = {f.name for f in fields if f.min or f.modifier or f.name in wanted or f.element in wanted}
    return _tagged(_only(resource, kept))


def _only(resource: dict[str, Any], kept: set[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in resource.items()
        if name in _ALWAYS or name in kept or name.removeprefix("_") in kept
    }


def _top_level(name: str, resource_type: str) -> str | None:
    """The element at the top of a path; None where the path is of another type."""
    path = name.strip().split(".")
    if path[0][:1].isupper():
        if path[0] != resource_type:
            return None
        path = path[1:]
    return path[0].removesuffix("[x]") if path else None


def _tagged(resource: dict[str, Any]) -> dict[str, Any]:
    """With the tag that says that this is only a part, so that nobody takes it for the whole and writes it back."""
    meta = resource.get("meta", {})
    tags = meta.get("tag", [])
    if any(tag.get("code") == SUBSETTED["code"] and tag.get("system") == SUBSETTED["system"] for tag in tags):
        return resource
    marked = {**meta, "tag": [*tags, dict(SUBSETTED)]}
    if "meta" in resource:
        return {**resource, "meta": marked}
    head: dict[str, Any] = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    return {**head, "meta": marked, **resource}


@functools.cache
def _summary_members(structure: str) -> dict[str, str | None]:
    """The JSON members of a structure that a summary has, each with the structure to look into, None for the whole value."""
    members: dict[str, str | None] = {}
    for field in r4().structure(structure).fields.values():
        if field.summary or field.modifier or field.min:
            members[field.name] = _looked_into(field)
            if field.primitive and not field.attribute:
                members["_" + field.name] = None
    return members


def _looked_into(field: Field) -> str | None:
    """Extensions stay whole: their values are in no summary, and without them they would say something else."""
    return None if field.primitive or field.type == "Extension" else field.type


def _summary_of(content: dict[str, Any], structure: str) -> dict[str, Any]:
    members = _summary_members(structure)
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name == "resourceType":
            found[name] = value
        elif name in members:
            below = members[name]
            found[name] = value if below is None else _summary_value(value, below)
    return found


def _summary_value(value: Any, structure: str) -> Any:
    """The same for a member's value; an object of which nothing would be left stays whole rather than empty."""
    match value:
        case list():
            return [_summary_value(item, structure) for item in value]
        case dict():
            inner = value.get("resourceType", "Basic") if structure == "Resource" else structure
            return _summary_of(value, inner) or value
        case _:
            return value
