"""Values to search for, gathered from the server itself, so that a shape asks for what is there.

https://hl7.org/fhir/R4/http.html#paging
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bench.client import Answer, Connection, Target, request_bytes

MOST = 500
PAGE = 100
TYPES = (
    "Patient",
    "Organization",
    "Practitioner",
    "Location",
    "Encounter",
    "Observation",
    "Condition",
    "Procedure",
    "MedicationRequest",
    "Appointment",
    "Slot",
)


class NotHarvested(Exception):
    """The server does not list what it holds."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Up to MOST resources of each type, as they were found; a type of which there is none has an empty list."""

    resources: Mapping[str, list[dict[str, Any]]]

    def ids(self, kind: str) -> list[str]:
        return [one["id"] for one in self.resources.get(kind, [])]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.resources.get(kind, [])

    def families(self) -> list[str]:
        return _unique(str(name["family"]) for name in self._names() if name.get("family"))

    def givens(self) -> list[str]:
        return _unique(str(given) for name in self._names() for given in name.get("given", ()))

    def cities(self) -> list[str]:
        patients = self.of("Patient")
        return _unique(str(at["city"]) for one in patients for at in one.get("address", ()) if at.get("city"))

    def organizations(self) -> list[str]:
        return _unique(str(one["name"]) for one in self.of("Organization") if one.get("name"))

    def birth_dates(self) -> list[str]:
        return _unique(str(one["birthDate"]) for one in self.of("Patient") if one.get("birthDate"))

    def days(self, kind: str) -> list[str]:
        """The days of Observations and Encounters."""
        found = (str(one.get("effectiveDateTime") or one.get("period", {}).get("start", "")) for one in self.of(kind))
        return _unique(moment[:10] for moment in found if len(moment) >= 10)

    def codes(self, kind: str) -> list[tuple[str, str]]:
        """(system, code) of what the resources are about."""
        codings = (coding for one in self.of(kind) for coding in one.get("code", {}).get("coding", ()))
        return _unique((coding["system"], coding["code"]) for coding in codings if coding.keys() >= {"system", "code"})

    def referenced(self, kind: str, member: str, target: str) -> list[str]:
        """References to resources of the target type that stand anywhere in a member of the resources."""
        found = (text for one in self.of(kind) for text in _references(one.get(member)))
        return _unique(text for text in found if text.startswith(f"{target}/"))

    def _names(self) -> Iterator[dict[str, Any]]:
        return (name for one in self.of("Patient") for name in one.get("name", ()))


async def harvest(target: Target) -> Pools:
    """Gathers the pools by paging through each type; raises NotHarvested where a page is refused."""
    connection = Connection(target)
    try:
        return Pools({kind: await _listed(connection, target, kind) for kind in TYPES})
    finally:
        connection.close()


async def _listed(connection: Connection, target: Target, kind: str) -> list[dict[str, Any]]:
    """The first resources of a type and the last, for what was loaded together is alike."""
    found: dict[str, dict[str, Any]] = {}
    for order in ("_lastUpdated", "-_lastUpdated"):
        path, count = f"{kind}?_count={PAGE}&_sort={order}", 0
        while path and count < MOST // 2:
            answer = await connection.ask(request_bytes(target, target.lines, "GET", path))
            if answer.status != 200:
                raise NotHarvested(f"GET {path} was answered with {answer.status}: {answer.content[:300]!r}")
            bundle = answer.json()
            page = [entry.get("resource", {}) for entry in bundle.get("entry", ())]
            those = {one["id"]: one for one in page if one.get("resourceType") == kind}
            found |= those
            count += len(those)
            path = _next(bundle, target)
    return list(found.values())


def _next(bundle: dict[str, Any], target: Target) -> str:
    """The path of the next page below the base, "" where there is none; the link may be absolute or relative."""
    link = next((one["url"] for one in bundle.get("link", ()) if one.get("relation") == "next"), "")
    parts = urlsplit(link)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return path.removeprefix(target.path).lstrip("/")


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"reference": str(text)}:
            yield text
        case dict():
            for inner in value.values():
                yield from _references(inner)
        case list():
            for inner in value:
                yield from _references(inner)


def _unique(values: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def hits(answer: Answer) -> int:
    """How many resources a searchset says or shows it has."""
    bundle = answer.json()
    return int(bundle.get("total", len(bundle.get("entry", ()))))
