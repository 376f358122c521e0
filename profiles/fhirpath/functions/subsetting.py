"""Parts of a collection, and collections put together.

https://hl7.org/fhirpath/N1/#subsetting and https://hl7.org/fhirpath/N1/#combining
"""

from collections.abc import Hashable
from typing import Any

from profiles.fhirpath.comparison import identity
from profiles.fhirpath.error import TooCostly
from profiles.fhirpath.evaluation import Items, integer_of, one
from profiles.fhirpath.functions.function import eagerly

# Collections that combine() may make: far more than any resource has elements.
_MOST = 1_000_000


@eagerly("single")
def single(items: Items) -> Items:
    one(items)
    return items


@eagerly("first")
def first(items: Items) -> Items:
    return items[:1]


@eagerly("last")
def last(items: Items) -> Items:
    return items[-1:]


@eagerly("tail")
def tail(items: Items) -> Items:
    return items[1:]


@eagerly("skip", 1)
def skip(items: Items, number: Items) -> Items:
    return items[max(0, integer_of(one(number), "skip()")) :]


@eagerly("take", 1)
def take(items: Items, number: Items) -> Items:
    return items[: max(0, integer_of(one(number), "take()"))]


@eagerly("intersect", 1)
def intersect(items: Items, other: Items) -> Items:
    wanted = {identity(item) for item in other}
    return [item for key, item in {identity(item): item for item in items}.items() if key in wanted]


@eagerly("exclude", 1)
def exclude(items: Items, other: Items) -> Items:
    unwanted = {identity(item) for item in other}
    return [item for item in items if identity(item) not in unwanted]


@eagerly("union", 1)
def union(items: Items, other: Items) -> Items:
    """Both without duplicates, in the order of their first occurrence."""
    if len(items) + len(other) < 2:
        return items or other
    found: dict[Hashable, Any] = {}
    for item in (*items, *other):
        found.setdefault(identity(item), item)
    return list(found.values())


@eagerly("combine", 1)
def combine(items: Items, other: Items) -> Items:
    if len(items) + len(other) > _MOST:
        raise TooCostly(f"combines more than {_MOST} items")
    return items + other
