"""The 64-bit key under which a value is found: BLAKE2b over tenant, type, path, form and value.

https://hl7.org/fhir/R4/search.html; worked rows are in docs/implementation/index.md.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

SEPARATOR = "\x1f"
_unpack = Struct(">q").unpack
_hasher = blake2b(digest_size=8).copy  # a new one in half of the time

KeyOf = Callable[..., int]
"""The key of a value by its components, all of one form on one path."""


@lru_cache(maxsize=65_536)
def key(tenant: int, resource_type: str, path: str, *parts: str) -> int:
    """A signed 64-bit key; `parts` are the form (`code`, `system-code`, …) and the value's components.

    Eight bytes of BLAKE2b: equal input gives equal keys in every process, and nobody can choose a value that collides
    with a given one with less than 2**64 work, so a key may stand in an authorisation clause.
    """
    first = (str(tenant), resource_type, path)
    return _digest(SEPARATOR.join((*first, *parts)), first, parts)


def keys_of(tenant: int, resource_type: str, path: str, form: str) -> KeyOf:
    """How `key` makes the keys of many values that share what comes before them; none is remembered."""
    first = (str(tenant), resource_type, path, form)
    start = SEPARATOR.join((*first, ""))
    return lambda *parts: _digest(start + SEPARATOR.join(parts), first, parts)


def _digest(text: str, first: tuple[str, ...], parts: tuple[str, ...]) -> int:
    """The key of the text; of one written otherwise where a value holds the separator, for it must not pass for two."""
    if text.count(SEPARATOR) != len(first) + len(parts) - 1:
        text = "\0" + "".join([f"{len(part)}:{part}" for part in (*first, *parts)])
    hasher = _hasher()
    hasher.update(text.encode("utf-8", "surrogatepass"))
    number: int = _unpack(hasher.digest())[0]
    return number


def reference_key(tenant: int, target: str) -> int:
    """The key of a reference's target: `Patient/123`, or an absolute URL as it stands."""
    return key(tenant, "", "", "reference", target)
