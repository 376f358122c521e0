"""Choosing and projecting, item by item: where, select, repeat, aggregate, sort.

https://hl7.org/fhirpath/N1/#filtering-and-projection and https://hl7.org/fhirpath/N1/#aggregates
"""

import functools
from typing import Any

from profiles.fhirpath.comparison import compare, identity
from profiles.fhirpath.evaluation import EMPTY, Code, Items, Scope, one, truth
from profiles.fhirpath.functions.function import lazily


@lazily("where", 1, 1)
def where(source: Code, arguments: tuple[Code, ...]) -> Code:
    (criteria,) = arguments

    def call(scope: Scope) -> Items:
        spend, inner = scope.environment.spend, scope.inner()
        found = []
        for index, item in enumerate(source(scope)):
            spend(1)
            inner.this, inner.index = [item], index
            if truth(criteria(inner)):
                found.append(item)
        return found

    return call


@lazily("select", 1, 1)
def select(source: Code, arguments: tuple[Code, ...]) -> Code:
    (projection,) = arguments

    def call(scope: Scope) -> Items:
        inner = scope.inner()
        found: Items = []
        before = 0
        for index, item in enumerate(source(scope)):
            inner.this, inner.index = [item], index
            found.extend(projection(inner))
            scope.environment.spend(len(found) - before + 1)
            before = len(found)
        return found

    return call


@lazily("repeat", 1, 1)
def repeat(source: Code, arguments: tuple[Code, ...]) -> Code:
    (projection,) = arguments

    def call(scope: Scope) -> Items:
        inner = scope.inner()
        found: dict[Any, Any] = {}
        pending = list(source(scope))
        for item in pending:  # grows while it is walked
            inner.this = [item]
            for reached in projection(inner):
                scope.environment.spend(1)
                if (key := identity(reached)) not in found:
                    found[key] = reached
                    pending.append(reached)
        return list(found.values())

    return call


@lazily("aggregate", 1, 2)
def aggregate(source: Code, arguments: tuple[Code, ...]) -> Code:
    step, *start = arguments

    def call(scope: Scope) -> Items:
        inner = scope.inner()
        inner.total = start[0](scope) if start else EMPTY
        for index, item in enumerate(source(scope)):
            inner.this, inner.index = [item], index
            inner.total = step(inner)
            scope.environment.spend(len(inner.total) + 1)
        return inner.total

    return call


@lazily("trace", 1, 2)
def trace(source: Code, arguments: tuple[Code, ...]) -> Code:
    name, *projection = arguments

    def call(scope: Scope) -> Items:
        items = source(scope)
        tell = scope.environment.host.trace
        if tell is not None:
            shown = select(lambda _: items, (projection[0],))(scope) if projection else items
            tell(str(one(name(scope))), shown)
        return items

    return call


def sort(source: Code, keys: list[tuple[Code, bool]]) -> Code:
    """The items by each key in turn, True for descending, without keys by themselves; items without a key come first either way."""

    def call(scope: Scope) -> Items:
        inner = scope.inner()
        rows: list[tuple[Any, list[Any]]] = []
        for index, item in enumerate(source(scope)):
            inner.this, inner.index = [item], index
            rows.append((item, [one(key(inner)) for key, _ in keys] or [item]))
        scope.environment.spend(len(rows))
        order = functools.cmp_to_key(functools.partial(_order, [descending for _, descending in keys] or [False]))
        return [item for item, _ in sorted(rows, key=lambda row: order(row[1]))]

    return call


def _order(descending: list[bool], left: list[Any], right: list[Any]) -> int:
    for one_key, two_key, down in zip(left, right, descending, strict=True):
        if one_key is None or two_key is None:
            if one_key is not two_key:
                return -1 if one_key is None else 1
        elif order := compare(one_key, two_key):
            return -order if down else order
    return 0
