"""What parsing a search value needs to know besides the value: the server's base, the time, the terminology.

https://hl7.org/fhir/R4/search.html#Introduction
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from fhir_server.outcome import Issue, Refusal

Direction = Literal["above", "below"]
MOST_CODES = 10_000


class NotAtHand(Refusal):
    """The refusal (400) of a search by codes that cannot be told here; no other alternative is tried in its place."""

    def __init__(self, diagnostics: str, *expression: str) -> None:
        super().__init__(Issue("not-supported", diagnostics, expression))


class CodesOf(Protocol):
    """Terminology: what a value set contains."""

    def __call__(self, value_set: str) -> AbstractSet[tuple[str, str]]:
        """(system, code) of each concept of a value set, by its canonical or as `ValueSet/id`. Raises NotAtHand."""


class Subsumed(Protocol):
    """Terminology: the hierarchy of a code system."""

    def __call__(self, system: str, code: str, direction: Direction) -> AbstractSet[str]:
        """The code and all codes above or below it. Raises NotAtHand."""


def no_codes_of(value_set: str) -> AbstractSet[tuple[str, str]]:
    """No value set is at hand."""
    raise NotAtHand(f"the value set {value_set} is not at hand")


def nothing_subsumed(system: str, code: str, direction: Direction) -> AbstractSet[str]:
    """No code system is at hand."""
    raise NotAtHand(f"the code system {system} is not at hand, so what is {direction} {code} cannot be told")


@dataclass(frozen=True, slots=True)
class Context:
    """One request's context; `now` is bound once, so that SQL and memory agree on what `ap` means.

    base: the FHIR base without a slash at the end, such as `https://hospital.example/fhir`.
    most_codes: how many codes value sets and hierarchies may bring into one search, each for every path it is sought by.
    """

    base: str = ""
    tenant: int = 1
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    codes_of: CodesOf = no_codes_of
    subsumed: Subsumed = nothing_subsumed
    most_codes: int = MOST_CODES
