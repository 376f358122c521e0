"""The 64-bit key under which a value is found: BLAKE2b over tenant, type, path, form and value.

https://hl7.org/fhir/R4/search.html; worked rows are in docs/implementation/index.md.
"""

from functools import lru_cache
from hashlib import blake2b

SEPARATOR = "\x1f"


@lru_cache(maxsize=65_536)
def key(tenant: int, resource_type: str, path: str, *parts: str) -> int:
    """A signed 64-bit key; `parts` are the form (`code`, `system-code`, …) and the value's components.

    Eight bytes of BLAKE2b: equal input gives equal keys in every process, and nobody can choose a value that collides
    with a given one with less than 2**64 work, so a key may stand in an authorisation clause.
    """
    text = SEPARATOR.join((str(tenant), resource_type, path, *parts))
    if text.count(SEPARATOR) != len(parts) + 2:  # a value that holds the separator must not pass for two
        text = "\0" + "".join(f"{len(part)}:{part}" for part in (str(tenant), resource_type, path, *parts))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def reference_key(tenant: int, target: str) -> int:
    """The key of a reference's target: `Patient/123`, or an absolute URL as it stands."""
    return key(tenant, "", "", "reference", target)
