"""Regular expressions in expressions, without those that a text can make run for ever.

https://hl7.org/fhirpath/N1/#matchesregex--string--boolean
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]  # no public way to see a pattern's parts
from typing import Any

from profiles.fhirpath.ambiguity import Ambiguity, Unbounded, ambiguity, parsed
from profiles.fhirpath.error import FhirPathError, TooCostly

MOST_STEPS = 10_000_000
"""What matching one text may cost: characters looked at, half a second at most."""
_MAX_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression; looking at a text raises TooCostly where it is too long for what the pattern may do with it."""

    pattern: str
    _code: re.Pattern[str]
    _whole: Ambiguity
    _needed: Ambiguity
    """Without an end that may match nothing, so that no way fails there."""
    _from_start: bool
    """Found at the beginning of a text, or nowhere."""

    def found(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        if self._from_start:
            _refuse(self._needed.steps(len(text)), text)
            return self._code.match(text) is not None
        _refuse((len(text) + 1) * self._needed.steps(len(text)), text)
        return self._code.search(text) is not None

    def is_all_of(self, text: str) -> bool:
        """Whether it matches a whole text."""
        _refuse(self._whole.steps(len(text)), text)
        return self._code.fullmatch(text) is not None

    def replaced(self, text: str, replacement: Callable[[re.Match[str]], str]) -> str:
        """The text with every match replaced."""
        _refuse((len(text) + 1) * self._whole.steps(len(text)), text)
        return self._code.sub(replacement, text)


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    r"""A pattern ready to use, in which a point stands for line ends too.

    Raises FhirPathError for what is no pattern, and for one that may take exponential time: `([0-9]+)*` may,
    `[0-9]+(\.[0-9]+)*` may not, because each round begins with what it cannot go on with.
    """
    if len(pattern) > _MAX_LENGTH:
        raise FhirPathError(f"a regular expression longer than {_MAX_LENGTH} characters")
    try:
        code = re.compile(pattern, re.DOTALL)
        tree = parsed(pattern, re.DOTALL)
        whole = ambiguity(tree)
        from_start = _is_bound(tree)
        while len(tree) and _may_be_nothing(*tree[len(tree) - 1]):
            del tree[len(tree) - 1]
            tree.width = None  # it is kept, and was that of the whole
        return Pattern(pattern, code, whole, ambiguity(tree), from_start or not len(tree))
    except (re.error, RecursionError, OverflowError) as error:
        raise FhirPathError(f"{pattern!r} is no regular expression: {error}") from None
    except Unbounded as reason:
        raise FhirPathError(f"the regular expression {pattern!r} {reason}") from None


def _refuse(steps: int, text: str) -> None:
    if steps > MOST_STEPS:
        raise TooCostly(f"a text of {len(text)} characters is too long for this regular expression")


def _is_bound(tree: Any) -> bool:
    """Whether a pattern is found at the beginning of a text or nowhere: it says so, or begins with what matches anything."""
    if not len(tree):
        return True
    operator, argument = tree[0]
    if operator is op.AT:
        return argument is op.AT_BEGINNING_STRING or (
            argument is op.AT_BEGINNING and not tree.state.flags & re.MULTILINE
        )
    return _may_be_nothing(operator, argument) and argument[2][0][0] is op.ANY and bool(tree.state.flags & re.DOTALL)


def _may_be_nothing(operator: Any, argument: Any) -> bool:
    """Whether a part is a repetition, without least number or end, of one character."""
    if operator not in (op.MAX_REPEAT, op.MIN_REPEAT) or argument[0] > 0 or argument[1] is not op.MAXREPEAT:
        return False
    return len(argument[2]) == 1 and argument[2][0][0] in (op.ANY, op.IN, op.LITERAL, op.NOT_LITERAL)
