"""The noun of search: a query as it was understood, for the compiler and the matcher alike.

https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fhir_server.search.parameter import Parameter

Total = Literal["none", "estimate", "accurate"]
Summary = Literal["true", "text", "data", "count", "false"]


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter with its alternatives: any value may hold. `negated` for :not and :not-in."""

    parameter: Parameter
    modifier: str | None
    values: tuple[Any, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """`:missing`: whether the resource has any value for the parameter."""

    parameter: Parameter
    missing: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """A chained parameter: the reference leads to a resource of one of the types, which fulfils the terms given for it."""

    parameter: Parameter
    targets: tuple[tuple[str, "Term"], ...]


@dataclass(frozen=True, slots=True)
class Has:
    """`_has`: some resource of `type` refers here through `parameter` and fulfils the term."""

    type: str
    parameter: Parameter
    term: "Term"


@dataclass(frozen=True, slots=True)
class Either:
    """Alternatives of which one must hold: a compartment, a scope, a policy. No alternative: nothing matches."""

    terms: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The resource refers to `target` (`Patient/1`) through one of the parameters, or is it: a compartment."""

    target: str
    parameters: tuple[Parameter, ...]


Term = Clause | Missing | Chain | Has | Either | Within


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key."""

    parameter: Parameter
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """`_include`, or with `reverse` `_revinclude`: from `type` through `parameter` (None: all) to `target` (None: any)."""

    type: str
    parameter: Parameter | None
    target: str | None
    iterate: bool
    reverse: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page starts: behind the resource with these sort values and this key."""

    values: tuple[Any, ...]
    pk: int
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A search over resources of the types, all of whose terms must hold. No types: all types."""

    types: tuple[str, ...]
    terms: tuple[Term, ...] = ()
    sort: tuple[Sort, ...] = ()
    includes: tuple[Include, ...] = ()
    count: int = 20
    total: Total = "none"
    summary: Summary = "false"
    elements: tuple[str, ...] = ()
    page: Page | None = None
    applied: tuple[tuple[str, str], ...] = ()  # for the self link: what was understood, in the order given
    ignored: tuple[str, ...] = ()  # what was not, under handling=lenient: a sentence each
    options: Mapping[str, str] = field(default_factory=dict)
