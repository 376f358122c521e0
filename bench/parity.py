"""Five checks that a server does the work that is measured: a fast answer that is wrong is worth nothing.

https://github.com/HealthSamurai/fhir-server-performance-benchmark asks the same of its servers (`scripts/parity-check.sh`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from bench.client import Connection, Target, request_bytes
from bench.data import Load
from bench.pools import Pools, hits

COUNTED = ("Patient", "Encounter", "Observation", "Condition", "Procedure", "MedicationRequest", "Immunization")
FILTERS = ("value-quantity=gt100", "code-value-quantity=8867-4$gt100", "combo-value-quantity=gt100")


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and seen; `right` is None where either answer is permitted."""

    name: str
    right: bool | None
    seen: str


async def checks(target: Target, pools: Pools, loads: Iterable[Load]) -> list[Check]:
    """The five checks, right after the loads were stored and nothing else."""
    connection = Connection(target)

    async def count(path: str) -> int:
        answer = await connection.ask(request_bytes(target, target.lines, "GET", path))
        return hits(answer) if answer.status == 200 else -1

    stored = {kind: await count(f"{kind}?_summary=count") for kind in COUNTED}
    filtered = {term: await count(f"Observation?{term}&_summary=count") for term in FILTERS}
    first = await connection.ask(request_bytes(target, target.lines, "GET", "Patient?_count=20"))
    lacking = request_bytes(target, target.lines, "POST", "Observation", b'{"resourceType":"Observation"}')
    refused = await connection.ask(lacking)
    connection.close()
    total = b'"total"' in first.content
    return [
        _counts(stored, sent(loads)),
        _references(pools),
        Check("Patient?_count=20 has a total", None, "yes" if total else "no"),
        _filters(filtered, stored["Observation"]),
        Check("an Observation without status and code is refused", 400 <= refused.status < 500, str(refused.status)),
    ]


def sent(loads: Iterable[Load]) -> Counter[str]:
    """How many resources of the counted types the Bundles hold; they are created or updated without criteria."""
    found: Counter[str] = Counter()
    for load in loads:
        for entry in msgspec.json.decode(load.body)["entry"]:
            found[entry["resource"]["resourceType"]] += 1
    return Counter({kind: found[kind] for kind in COUNTED})


def _counts(stored: dict[str, int], expected: Counter[str]) -> Check:
    wrong = {kind: (stored[kind], expected[kind]) for kind in COUNTED if stored[kind] != expected[kind]}
    seen = ", ".join(f"{kind} {have} of {want}" for kind, (have, want) in wrong.items())
    return Check("all that was sent is there", not wrong, seen or f"{sum(stored.values())} resources")


def _references(pools: Pools) -> Check:
    texts = [one.get("subject", {}).get("reference", "") for one in pools.of("Observation")]
    dangling = [text for text in texts if not text.startswith("Patient/")]
    return Check("Observation.subject is resolved", not dangling, f"{len(dangling)} of {len(texts)} are not")


def _filters(found: dict[str, int], every: int) -> Check:
    right = all(0 < count < every for count in found.values())
    return Check("quantities filter", right, ", ".join(f"{term}: {count}" for term, count in found.items()))
