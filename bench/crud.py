"""The CRUD chain: nine resources of a visit are created, read, updated and deleted again, 36 requests one after another.

https://github.com/HealthSamurai/fhir-server-performance-benchmark describes the chain (`k6/crud.js`); the bodies are our own.
"""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from bench.expectation import resource, status
from bench.load import Client

BODIES = Path(__file__).resolve().parent / "bodies"
PLACE = b"PLACE"
TYPES = (
    "Patient",
    "Location",
    "Organization",
    "Practitioner",
    "Encounter",
    "Observation",
    "MedicationRequest",
    "Claim",
    "ExplanationOfBenefit",
)
# What the update changes: the member of each type, and its new value.
CHANGES = {
    "Patient": ("gender", "other"),
    "Location": ("name", "Copperfold ward eight"),
    "Organization": ("name", "Copperfold renamed hospital"),
    "Practitioner": ("gender", "other"),
    "Encounter": ("status", "finished"),
    "Observation": ("issued", "2024-03-11T10:20:00.000+03:00"),
    "MedicationRequest": ("status", "completed"),
    "Claim": ("created", "2024-03-12T09:30:00+03:00"),
    "ExplanationOfBenefit": ("created", "2024-03-12T09:30:00+03:00"),
}

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_DELETED = status(200, 204)


@cache
def template(kind: str) -> bytes:
    """The resource as it is sent, without white space; `[Type]/PLACE` stands where a reference belongs."""
    return msgspec.json.format((BODIES / f"{kind.lower()}.json").read_bytes(), indent=-1)


def body(kind: str, ids: dict[str, str]) -> bytes:
    """The resource with references to what was created before it."""
    text = template(kind)
    for target, resource_id in ids.items():
        text = text.replace(b'"%s/%s"' % (target.encode(), PLACE), f'"{target}/{resource_id}"'.encode())
    return text


def changed(kind: str, content: bytes) -> bytes:
    """What the create was answered with, with one member changed; numbers keep their digits."""
    member, value = CHANGES[kind]
    found: dict[str, Any] = _decoder.decode(content)
    return _encoder.encode({**found, member: value})


async def chain(client: Client) -> None:
    """One visit, from its first POST to its last DELETE; a chain whose create fails ends there."""
    ids: dict[str, str] = {}
    created: dict[str, bytes] = {}
    for kind in TYPES:
        answer = await client.ask(f"create {kind}", "POST", kind, resource(kind, 201, has=b'"id"'), body(kind, ids))
        if answer is None:
            break
        created[kind] = answer.content
        ids[kind] = _decoder.decode(answer.content)["id"]
    for kind, resource_id in ids.items():
        right = resource(kind, 200, has=resource_id.encode())
        await client.ask(f"read {kind}", "GET", f"{kind}/{resource_id}", right)
    for kind, resource_id in ids.items():
        right = resource(kind, 200, has=CHANGES[kind][1].encode())
        content = changed(kind, created[kind])
        await client.ask(f"update {kind}", "PUT", f"{kind}/{resource_id}", right, content)
    for kind, resource_id in reversed(ids.items()):
        await client.ask(f"delete {kind}", "DELETE", f"{kind}/{resource_id}", _DELETED)
