"""Bundles and single resources as the requests that load them.

https://hl7.org/fhir/R4/bundle.html#bundle-type; a collection is stored as a transaction would store it: each resource by
PUT to its id (by POST where it has none), with the links between its entries rewritten.
"""

from collections.abc import Iterator
from typing import Any

from fhir_server.interactions.change import ID
from fhir_server.outcome import refuse
from loaders.unit import EntryDict, Part

STORED_WHOLE = frozenset(("document", "message"))
SETS = frozenset(("collection", "searchset"))


def parts_of(resource: dict[str, Any], ordinal: int = 0, place: str = "") -> list[Part]:
    """The parts of one resource or Bundle, numbered from `ordinal` on; raises Refusal for what cannot be loaded."""
    if resource.get("resourceType") != "Bundle" or resource.get("type") in STORED_WHOLE:
        return [Part(ordinal, place, (request_of(resource),))]
    match resource.get("type"):
        case "transaction":
            return [Part(ordinal, place, tuple(_entries(resource)), linked=True)]
        case "batch":
            numbered = enumerate(_entries(resource))
            return [Part(ordinal + n, f"{place} Bundle.entry[{n}]".strip(), (entry,)) for n, entry in numbered]
        case kind if kind in SETS:
            return [Part(ordinal, place, tuple(map(_put, _resources(resource))), linked=True)]
        case other:
            raise refuse("value", f"a Bundle of type {other!r} holds nothing to load", "Bundle.type")


def request_of(resource: dict[str, Any]) -> EntryDict:
    """The entry that stores a resource: PUT to the id it states, POST where it states none."""
    kind, stated = resource.get("resourceType"), resource.get("id")
    if not isinstance(kind, str) or not kind:
        raise refuse("structure", "this is no FHIR resource: it has no resourceType", "resourceType")
    if isinstance(stated, str) and ID.fullmatch(stated):
        return {"resource": resource, "request": {"method": "PUT", "url": f"{kind}/{stated}"}}
    if stated is not None:
        raise refuse("value", f"{str(stated)[:80]!r} is not an id: 1 to 64 of A-Z a-z 0-9 - and . are allowed", "id")
    return {"resource": resource, "request": {"method": "POST", "url": kind}}


def _entries(bundle: dict[str, Any]) -> list[EntryDict]:
    """The entries, as far as they have the form of one; the rest is for the server's own checks to refuse."""
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise refuse("structure", "Bundle.entry is an array", "Bundle.entry")
    for n, entry in enumerate(entries):
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            raise refuse("required", f"Bundle.entry[{n}] has no request", f"Bundle.entry[{n}].request")
    return entries


def _resources(bundle: dict[str, Any]) -> Iterator[EntryDict]:
    """The entries of a collection or searchset that hold a resource; a search's remarks about itself are left out."""
    entries = bundle.get("entry", [])
    for entry in entries if isinstance(entries, list) else ():
        search = entry.get("search") if isinstance(entry, dict) else None
        remark = isinstance(search, dict) and search.get("mode") == "outcome"
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict) and not remark:
            yield entry


def _put(entry: EntryDict) -> EntryDict:
    request = request_of(entry["resource"])
    return {"fullUrl": entry["fullUrl"], **request} if "fullUrl" in entry else request
