"""The items of a sliced element, told apart and counted: which slice each is of, in which order, and how many there are.

https://hl7.org/fhir/R4/profiling.html#slicing
"""

from collections.abc import Callable
from dataclasses import dataclass

from profiles.criterion import Match
from profiles.fhirpath.element import Element
from profiles.issue import Findings
from profiles.profile import ElementRule
from profiles.rule import Check, too_few, too_many
from profiles.slicing import Slicing

Look = Callable[[Element, list[Element], Findings], None]
"""Looks at the items of one name below an element, together."""
OF_NONE = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A slice, compiled: which items are of it, and what is looked at in them."""

    name: str
    match: Match
    looks: tuple[Check, ...]
    inner: Look | None
    """Of a slice that is sliced again."""
    rule: ElementRule


def slice_of(item: Element, parts: tuple[Part, ...]) -> int | None:
    """The number of the slice an item is of; OF_NONE: of none; None: that cannot be told."""
    answer: int | None = OF_NONE
    for number, part in enumerate(parts):
        match part.match(item):
            case True:
                return number
            case None:
                answer = None
    return answer


def check_order(
    slicing: Slicing, parts: tuple[Part, ...], found: list[Element], slices: list[int | None], findings: Findings
) -> None:
    """Find what stands before what it should follow; `slices` says of each item what slice_of does."""
    last, ended = OF_NONE, False
    for item, at in zip(found, slices, strict=True):
        if at is None:
            continue
        if slicing.rules == "openAtEnd" and at >= 0 and ended:
            findings.add("structure", "what is of no slice stands at the end, after this", item.path())
        if slicing.ordered and 0 <= at < last:
            findings.add("structure", f"'{parts[at].name}' stands before '{parts[last].name}'", item.path())
        ended, last = ended or at == OF_NONE, max(last, at)


def check_counts(
    parts: tuple[Part, ...], slices: list[int | None], parent: Element, name: str, findings: Findings
) -> None:
    """Find slices that are there too seldom or too often; what cannot be told may be of any."""
    unknown = slices.count(None)
    for number, part in enumerate(parts):
        count, rule = slices.count(number), part.rule
        if count + unknown < rule.min:
            too_few(findings, f"{parent.path()}.{name}", rule.id, rule.min, count)
        if rule.max is not None and count > rule.max:
            too_many(findings, f"{parent.path()}.{name}", rule.id, rule.max, count)
