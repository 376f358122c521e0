"""The children of an element that a profile says something about: only those an instance has, or has to have, are looked at.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from profiles.fhirpath.element import Element
from profiles.issue import Findings
from profiles.rule import Check


@dataclass(frozen=True, slots=True)
class Child:
    """What is looked at in the children of one name. `keys` are its JSON properties, None where they are not known.

    `needed`: there is something to find where an instance has none of them, too.
    """

    keys: frozenset[str] | None
    needed: bool
    check: Check


def checks_of(children: Sequence[Child]) -> tuple[Check, ...]:
    """What is looked at in all children together: a profile names dozens, of which an instance has a few."""
    always = tuple(one.check for one in children if one.needed or one.keys is None)
    at_hand = {key: one.check for one in children if not one.needed for key in one.keys or ()}
    if not at_hand:
        return always

    def check(element: Element, findings: Findings) -> None:
        holder = element.value if type(element.value) is dict else element.extra
        if type(holder) is dict:
            for one in dict.fromkeys([at_hand[key] for key in holder if key in at_hand]):
                one(element, findings)

    return (*always, check)
