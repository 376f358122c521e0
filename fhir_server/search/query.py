"""The noun of search: a query as it was understood, for the compiler and the matcher alike.

https://hl7.org/fhir/R4/search.html
"""

from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.search.parameter import Parameter
from fhir_server.search.text import Text

Total = Literal["none", "estimate", "accurate"]
Summary = Literal["true", "text", "data", "count", "false"]
Contained = Literal["false", "true", "both"]


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
    """A chained parameter: the reference leads to a resource of one of the types, which fulfils the terms given for it.

    `seen`, by type, must hold beside it for a resource that stands by itself; of what is contained it is not asked.
    """

    parameter: Parameter
    targets: tuple[tuple[str, "Term"], ...]
    seen: tuple[tuple[str, "Term"], ...] = ()

    def behind(self) -> tuple[tuple[str, "Term"], ...]:
        """The types, each with all that must hold for a resource that stands by itself."""
        seen = dict(self.seen)
        return tuple((kind, Every((term, seen[kind])) if kind in seen else term) for kind, term in self.targets)


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
    """The resource refers to `target` (`Patient/1`) through one of the parameters, or with `itself` is it: a compartment."""

    target: str
    parameters: tuple[Parameter, ...]
    itself: bool = True


@dataclass(frozen=True, slots=True)
class OfTypes:
    """The resource is of one of the types: what a term means for some types only is said with this beside it."""

    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """Terms that must all hold, where one is expected: `a and b` of a _filter."""

    terms: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Except:
    """What the term does not hold for: `not (…)` of a _filter."""

    term: "Term"


@dataclass(frozen=True, slots=True)
class Listed:
    """`_list`: the resource is an entry of one of the lists (`List/42`), for which `seen` holds where it is given."""

    lists: tuple[str, ...]
    seen: "Term | None" = None


@dataclass(frozen=True, slots=True)
class Words:
    """`_content`, or with `narrative` `_text`: the words of the resource fulfil any of the texts."""

    texts: tuple[Text, ...]
    narrative: bool


@dataclass(frozen=True, slots=True)
class Spelled:
    """A comparison of a _filter that no modifier stands for: a string or URI of the parameter is, or ends with, the text.

    The text is normalised where the parameter is a string.
    """

    parameter: Parameter
    how: Literal["eq", "ew", "co"]
    text: str


Term = Clause | Missing | Chain | Has | Either | Within | OfTypes | Every | Except | Listed | Words | Spelled


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key; `links` are the references that lead to the resource whose parameter it is: `patient.family`.

    `seen`: what must hold for the resource behind each link, and behind a key that is a reference; () or None: nothing.
    """

    parameter: Parameter
    descending: bool
    links: tuple[Parameter, ...] = ()
    seen: "tuple[Term | None, ...]" = ()


SCORE = Parameter("Resource", "_score", "special", "", ())
"""How well a resource answers the _text and _content of a query: a sort key like a parameter."""


@dataclass(frozen=True, slots=True)
class Include:
    """`_include`, or with `reverse` `_revinclude`: from `type` through `parameter` (None: all) to `target` (None: any).

    `seen` must hold for what it adds. `without` are parameters, by type and code, that are not followed.
    """

    type: str
    parameter: Parameter | None
    target: str | None
    iterate: bool
    reverse: bool
    seen: "Term | None" = None
    without: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page starts: behind the resource with these sort values and this key."""

    values: tuple[Any, ...]
    pk: int
    backwards: bool = False


# Behind every resource of a search that sorts by nothing.
LAST = Page((), 2**63 - 1, backwards=True)


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
    score: bool = True  # told for each match, where the query has words to score by
    contained: Contained = "false"
    contained_type: Literal["container", "contained"] = "container"
    alone: tuple[Term, ...] = ()  # with `contained`: what must hold beside the terms for what stands by itself
    containers: tuple[Term, ...] = ()  # and what for the resource around what is contained
    page: Page | None = None
    applied: tuple[tuple[str, str], ...] = ()  # for the self link: what was understood, in the order given
    ignored: tuple[str, ...] = ()  # what was not, under handling=lenient: a sentence each
