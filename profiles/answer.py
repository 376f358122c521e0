"""Parts of an expression as tests of the bare JSON of an element: which keys are there, what a text is, and what follows from both.

https://hl7.org/fhirpath/N1/#expressions
"""

from collections.abc import Callable
from typing import Any, NoReturn

from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.pattern import compiled

Answer = Callable[[dict[str, Any]], bool | None]
"""The truth of an expression for the JSON object of an element; None where its result is empty."""


class Unsure(Exception):
    """The bare JSON of an element is not enough to evaluate an expression."""


def unsure(_: object) -> NoReturn:
    """The answer where none can be given."""
    raise Unsure


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a pattern is found in a text, by the rules of FHIRPath; its answer may be Unsure."""
    try:
        code = compiled(pattern)
    except FhirPathError:
        return unsure

    def holds(text: str) -> bool:
        try:
            return code.found(text)
        except FhirPathError:
            raise Unsure from None

    return holds


def presence(steps: tuple[frozenset[str], ...]) -> Answer:
    """Whether anything is there at the end of a path of keys."""
    first, rest = steps[0], steps[1:]
    if not rest and len(first) == 1:
        (key,) = first
        return lambda value: key in value
    if not rest:
        return lambda value: not first.isdisjoint(value)

    def answer(value: dict[str, Any]) -> bool:
        items: list[Any] = [value]
        for keys in steps:
            below = [item[key] for item in items if type(item) is dict for key in keys if key in item]
            items = [one for item in below for one in (item if type(item) is list else (item,))]
        return bool(items)

    return lambda value: not first.isdisjoint(value) and answer(value)


def of_value(name: str, holds: Callable[[Any], bool]) -> Answer:
    """Whether the value of an element, where it has one, is one that is meant; of one that has extensions only it is not known."""
    sibling = f"_{name}"

    def answer(value: dict[str, Any]) -> bool | None:
        found = value.get(name)
        if found is not None:
            return holds(found)
        if sibling in value:
            raise Unsure
        return None

    return answer


def in_order(first: str, second: str, evaluated: Answer) -> Answer:
    """Whether one date is not after another: two of one form and one time zone are ordered like their characters."""

    def answer(value: dict[str, Any]) -> bool | None:
        one, other = value.get(first), value.get(second)
        if one is None or other is None:
            return True
        alike = type(one) is str and type(other) is str and len(one) == len(other)
        if alike and (len(one) <= 10 or one[-6:] == other[-6:] or one[-1] == other[-1] == "Z"):
            return bool(one <= other)
        return evaluated(value)

    return answer


def is_true(inner: Answer, *, wanted: bool) -> Answer:
    """Whether an answer is true, and neither false nor empty."""
    return lambda value: (inner(value) is True) is wanted


def negation(inner: Answer) -> Answer:
    """The opposite of an answer; of an empty one it is empty."""

    def answer(value: dict[str, Any]) -> bool | None:
        found = inner(value)
        return None if found is None else not found

    return answer


def logic(operator: str, left: Answer, right: Answer) -> Answer:
    """Three-valued logic; the right side is left alone where the left side decides."""
    match operator:
        case "and":
            return _conjunction(left, right)
        case "or":
            return disjunction(left, right)
        case "implies":
            return disjunction(negation(left), right)

    def exclusive(value: dict[str, Any]) -> bool | None:
        one, other = left(value), right(value)
        return None if one is None or other is None else one is not other

    return exclusive


def _conjunction(left: Answer, right: Answer) -> Answer:
    def answer(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one is False:
            return False
        other = right(value)
        return other if one or other is False else None

    return answer


def disjunction(left: Answer, right: Answer) -> Answer:
    """Whether one of two answers is true; the second is left alone where the first is."""

    def answer(value: dict[str, Any]) -> bool | None:
        one = left(value)
        if one:
            return True
        other = right(value)
        return other if one is False or other else None

    return answer
