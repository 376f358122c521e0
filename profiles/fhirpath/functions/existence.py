"""Is there something, and is it so: exists, all, count, distinct and their kin.

https://hl7.org/fhirpath/N1/#existence
"""

from profiles.fhirpath.comparison import identity
from profiles.fhirpath.element import plain
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import FALSE, TRUE, Code, Items, Scope, boolean, truth
from profiles.fhirpath.functions.function import eagerly, lazily


@eagerly("empty")
def empty(items: Items) -> Items:
    return FALSE if items else TRUE


@lazily("exists", 0, 1)
def exists(source: Code, arguments: tuple[Code, ...]) -> Code:
    if not arguments:
        return lambda scope: TRUE if source(scope) else FALSE
    return _any(source, arguments[0], wanted=True, otherwise=FALSE)


@lazily("all", 1, 1)
def all_of(source: Code, arguments: tuple[Code, ...]) -> Code:
    return _any(source, arguments[0], wanted=False, otherwise=TRUE)


def _any(source: Code, criteria: Code, *, wanted: bool, otherwise: Items) -> Code:
    """Whether criteria hold (wanted) or do not hold (not wanted) for any item: then the opposite of `otherwise`."""
    found = FALSE if otherwise is TRUE else TRUE

    def call(scope: Scope) -> Items:
        items = source(scope)
        spend, inner = scope.environment.spend, scope.inner()
        for index, item in enumerate(items):
            spend(1)
            inner.this, inner.index = [item], index
            if (truth(criteria(inner)) is True) is wanted:
                return found
        return otherwise

    return call


def _booleans(items: Items) -> list[bool]:
    values = [plain(item) for item in items]
    if any(type(value) is not bool for value in values):
        raise FhirPathError("allTrue() and its kin need booleans")
    return values


@eagerly("allTrue")
def all_true(items: Items) -> Items:
    return boolean(all(_booleans(items)))


@eagerly("anyTrue")
def any_true(items: Items) -> Items:
    return boolean(any(_booleans(items)))


@eagerly("allFalse")
def all_false(items: Items) -> Items:
    return boolean(not any(_booleans(items)))


@eagerly("anyFalse")
def any_false(items: Items) -> Items:
    return boolean(not all(_booleans(items)))


@eagerly("not")
def negation(items: Items) -> Items:
    value = truth(items)
    return boolean(None if value is None else not value)


@eagerly("count")
def count(items: Items) -> Items:
    return [len(items)]


@eagerly("subsetOf", 1)
def subset_of(items: Items, other: Items) -> Items:
    return boolean({identity(item) for item in items} <= {identity(item) for item in other})


@eagerly("supersetOf", 1)
def superset_of(items: Items, other: Items) -> Items:
    return subset_of(other, items)


@eagerly("distinct")
def distinct(items: Items) -> Items:
    return list({identity(item): item for item in reversed(items)}.values())[::-1] if len(items) > 1 else items


@eagerly("isDistinct")
def is_distinct(items: Items) -> Items:
    return boolean(len({identity(item) for item in items}) == len(items))
