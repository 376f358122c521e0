"""Regular expressions in expressions, without those that a text can make run for ever.

https://hl7.org/fhirpath/N1/#matchesregex--string--boolean
"""

import functools
import re
from re import _constants as op  # type: ignore[attr-defined]  # no public way to see a pattern's parts
from re import _parser as parser  # type: ignore[attr-defined]  # likewise
from typing import Any

from profiles.fhirpath.error import FhirPathError

_MAX_LENGTH = 2_000
# A repetition of up to this many stays quick even inside another.
_FEW = 12
# Enough characters to tell two classes of characters apart.
_SAMPLE = tuple(range(0x180))
_CATEGORIES = {op.CATEGORY_DIGIT: str.isdigit, op.CATEGORY_SPACE: str.isspace, op.CATEGORY_WORD: str.isalnum}
_NEGATED = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    r"""A pattern ready to use, in which a point stands for line ends too.

    Raises FhirPathError for what is no pattern, and for a repetition inside a repetition that may take exponential
    time: `([0-9]+)*` may, `[0-9]+(\.[0-9]+)*` may not, because each round begins with what it cannot go on with.
    """
    if len(pattern) > _MAX_LENGTH:
        raise FhirPathError(f"a regular expression longer than {_MAX_LENGTH} characters")
    try:
        code = re.compile(pattern, re.DOTALL)
        tree = list(parser.parse(pattern, re.DOTALL))
    except (re.error, RecursionError, OverflowError) as error:
        raise FhirPathError(f"{pattern!r} is no regular expression: {error}") from None
    if _explosive(tree):
        raise FhirPathError(f"the regular expression {pattern!r} may take exponential time: it repeats a repetition")
    return code


def _explosive(tree: list[Any]) -> bool:
    for operator, argument in tree:
        for body in _bodies(operator, argument):
            if _repeats(operator, argument) and _ambiguous(body):
                return True
            if _explosive(body):
                return True
    return False


def _repeats(operator: Any, argument: Any) -> bool:
    return operator in (op.MAX_REPEAT, op.MIN_REPEAT) and int(argument[1]) > _FEW


def _bodies(operator: Any, argument: Any) -> list[list[Any]]:
    """The sequences inside one part of a pattern."""
    match operator:
        case op.MAX_REPEAT | op.MIN_REPEAT:
            return [list(argument[2])]
        case op.SUBPATTERN:
            return [list(argument[-1])]
        case op.BRANCH:
            return [list(branch) for branch in argument[1]]
        case op.ASSERT | op.ASSERT_NOT:
            return [list(argument[1])]
        case _:
            return []


def _ambiguous(body: list[Any]) -> bool:
    """Whether a repeated sequence holds repetitions, with no character at either end that keeps its rounds apart."""
    while len(body) == 1 and body[0][0] is op.SUBPATTERN:
        body = list(body[0][1][-1])
    repeated = list(_repetitions(body))
    if not repeated:
        return False
    inside = [_inside(one) for one in repeated]
    for end in (_characters(*body[0]), _characters(*body[-1])):
        if end is not None and all(inner is not None and not inner & end for inner in inside):
            return False
    return True


def _repetitions(body: list[Any]) -> list[list[Any]]:
    found = []
    for operator, argument in body:
        for inner in _bodies(operator, argument):
            if _repeats(operator, argument):
                found.append(inner)
            found.extend(_repetitions(inner))
    return found


def _inside(body: list[Any]) -> set[int] | None:
    """The characters of a repetition of single characters; None for one of something longer."""
    return _characters(*body[0]) if len(body) == 1 else None


def _characters(operator: Any, argument: Any) -> set[int] | None:
    """Which characters of the sample a part that stands for one character matches; None for another part."""
    match operator:
        case op.LITERAL:
            return {argument}
        case op.NOT_LITERAL:
            return set(_SAMPLE) - {argument}
        case op.ANY:
            return set(_SAMPLE)
        case op.IN:
            negated = argument[0][0] is op.NEGATE
            matched = set[int]().union(*(_class(*part) for part in argument))
            return set(_SAMPLE) - matched if negated else matched
        case _:
            return None


def _class(operator: Any, argument: Any) -> set[int]:
    match operator:
        case op.LITERAL:
            return {argument}
        case op.RANGE:
            return set(range(argument[0], min(argument[1], _SAMPLE[-1]) + 1))
        case op.CATEGORY if argument in _NEGATED:
            return set(_SAMPLE) - _class(operator, _NEGATED[argument])
        case op.CATEGORY:
            word = {ord("_")} if argument is op.CATEGORY_WORD else set()
            return word | {code for code in _SAMPLE if _CATEGORIES[argument](chr(code))}
        case _:
            return set()
