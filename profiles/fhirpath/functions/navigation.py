"""Up and down the tree, and the clock.

https://hl7.org/fhirpath/N1/#tree-navigation and https://hl7.org/fhirpath/N1/#utility-functions
"""

from profiles.fhirpath.element import Element, children
from profiles.fhirpath.evaluation import Code, Items, Scope
from profiles.fhirpath.functions.function import lazily
from profiles.fhirpath.temporal import Temporal


def children_of(items: Items) -> list[Element]:
    """All elements directly below the items."""
    return [child for item in items if type(item) is Element for child in children(item)]


@lazily("children", 0, 0)
def children_function(source: Code, _arguments: tuple[Code, ...]) -> Code:
    def call(scope: Scope) -> Items:
        found = children_of(source(scope))
        scope.environment.spend(len(found))
        return list(found)

    return call


@lazily("descendants", 0, 0)
def descendants(source: Code, _arguments: tuple[Code, ...]) -> Code:
    """All elements below, level by level."""

    def call(scope: Scope) -> Items:
        found: Items = []
        level = children_of(source(scope))
        while level:
            scope.environment.spend(len(level))
            found.extend(level)
            level = children_of(list(level))
        return found

    return call


def _clock(name: str, kind: str) -> None:
    @lazily(name, 0, 0)
    def build(_source: Code, _arguments: tuple[Code, ...]) -> Code:
        return lambda scope: [Temporal.of(scope.environment.now, kind)]


_clock("now", "DateTime")
_clock("today", "Date")
_clock("timeOfDay", "Time")
