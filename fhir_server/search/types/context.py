"""What parsing a search value needs to know besides the value: the server's base, the time, the terminology.

https://hl7.org/fhir/R4/search.html#Introduction
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

Direction = Literal["above", "below"]


class CodesOf(Protocol):
    """Terminology: what a value set contains."""

    def __call__(self, value_set: str) -> AbstractSet[tuple[str, str]] | None:
        """(system, code) of each concept of the value set at this URL; None where it is not known."""


class Subsumed(Protocol):
    """Terminology: the hierarchy of a code system."""

    def __call__(self, system: str | None, code: str, direction: Direction) -> AbstractSet[str] | None:
        """The code and all codes above or below it; None where system or code is not known."""


def no_codes_of(value_set: str) -> None:
    """No value set is known."""


def nothing_subsumed(system: str | None, code: str, direction: Direction) -> None:
    """No hierarchy is known."""


@dataclass(frozen=True, slots=True)
class Context:
    """One request's context; `now` is bound once, so that SQL and memory agree on what `ap` means.

    base: the FHIR base without a slash at the end, such as `https://hospital.example/fhir`.
    """

    base: str = ""
    tenant: int = 1
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    codes_of: CodesOf = no_codes_of
    subsumed: Subsumed = nothing_subsumed
