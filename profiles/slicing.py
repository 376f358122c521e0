"""Slicing as data: what tells the slices of an element apart, resolved to paths and to what has to be found there.

https://hl7.org/fhir/R4/profiling.html#slicing and #discriminator
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from profiles.profile import ElementRule

DiscriminatorType = Literal["value", "pattern", "exists", "type", "profile"]


class UnfitDiscriminator(ValueError):
    """A discriminator whose path is none, or whose type is unknown; the message says which."""


# The steps of a discriminator's path, from the item that is sliced.


@dataclass(frozen=True, slots=True)
class Child:
    """To the children of a name; a choice goes by its common name, `value`."""

    name: str


@dataclass(frozen=True, slots=True)
class Extension:
    """To the extensions of a url."""

    url: str


@dataclass(frozen=True, slots=True)
class OfType:
    """To what is of a type."""

    name: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """To the resource a reference leads to."""


Step = Child | Extension | OfType | Resolve


# What has to be found at the end of a path, for an item to be of a slice.


@dataclass(frozen=True, slots=True)
class Fixed:
    """Exactly this JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Pattern:
    """At least what this JSON value has."""

    value: Any


@dataclass(frozen=True, slots=True)
class Bound:
    """A code of this value set."""

    value_set: str


@dataclass(frozen=True, slots=True)
class Present:
    """Something, or nothing."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class Typed:
    """A value of one of these types."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conforming:
    """A value that meets one of these profiles."""

    profiles: tuple[str, ...]


Demand = Fixed | Pattern | Bound | Present | Typed | Conforming


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition an item meets to be of a slice: following the steps leads to a value that meets the demand."""

    steps: tuple[Step, ...]
    demand: Demand


@dataclass(frozen=True, slots=True)
class Discriminator:
    """What tells slices apart: the type of the difference, and where it is seen; no steps are `$this`."""

    type: DiscriminatorType
    path: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice: an item is of it that meets all criteria, and then the rule holds, with `min` and `max` of such items.

    Without criteria nothing tells what is of it: its discriminator finds nothing in the profile to compare with. The slices of
    a slice are those of its rule.
    """

    name: str
    rule: "ElementRule"
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class Slicing:
    """How the items of an element are told apart, in the order in which the slices are tried.

    `rules` is open, closed or openAtEnd; `ordered`: the items stand in the order of the slices.
    """

    discriminators: tuple[Discriminator, ...]
    ordered: bool
    rules: str
    slices: tuple[Slice, ...]

    def slice(self, name: str) -> Slice | None:
        """The slice of this name."""
        return next((one for one in self.slices if one.name == name), None)


_TYPES: Mapping[str, DiscriminatorType] = {
    "value": "value",
    "pattern": "pattern",
    "exists": "exists",
    "type": "type",
    "profile": "profile",
}


def discriminator(type_name: str, path: str) -> Discriminator:
    """A discriminator of an ElementDefinition, its path parsed; raises UnfitDiscriminator.

    A path is made of names, `extension('url')`, `ofType(X)`, `resolve()` and `$this`.
    """
    if type_name not in _TYPES:
        raise UnfitDiscriminator(f"'{type_name}' is no type of discriminator; there are {', '.join(_TYPES)}")
    return Discriminator(_TYPES[type_name], path, tuple(_step(part, path) for part in _parts(path) if part != "$this"))


def _parts(path: str) -> list[str]:
    """The parts between the dots that stand outside of quotes."""
    parts, quoted = [""], False
    for character in path:
        quoted ^= character == "'"
        if character == "." and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _step(part: str, path: str) -> Step:
    name, opened, rest = part.partition("(")
    argument = rest.removesuffix(")").strip().strip("'\"")
    if not opened and name.isidentifier():
        return Child(name)
    match name, argument, rest.endswith(")"):
        case "extension", url, True if url:
            return Extension(url)
        case "ofType", kind, True if kind:
            return OfType(kind.removeprefix("FHIR."))
        case "resolve", "", True:
            return Resolve()
        case _:
            raise UnfitDiscriminator(f"'{path}' is no path of a discriminator: '{part}' is not understood")
