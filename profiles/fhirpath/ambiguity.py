"""How often a regular expression may go over a text before it gives up: the power of the text's length, or for ever.

https://hl7.org/fhirpath/N1/#matchesregex--string--boolean

A matcher that backtracks tries every way through a pattern, so its time is the number of ways. They are those of the automaton
whose states are the characters of the pattern. Two cycles through one state that read the same text double the ways with every
round; cycles that follow each other and share characters multiply the length of the text with itself.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from re import _constants as op  # type: ignore[attr-defined]  # no public way to see a pattern's parts
from re import _parser as parser  # type: ignore[attr-defined]  # likewise
from typing import Any

_MOST_STATES = 400
# States that lie on cycles with each other are compared in pairs.
_MOST_TOGETHER = 40
_MOST_WAYS = 10**9
# A repetition of one character exactly so often is written out.
_WRITTEN_OUT = 64
# The characters that sets are made of: all of these, the white space above, and those that a pattern names. Three stand for
# all others: digits, other characters of words, and the rest.
_PLAIN = 0x180
_SPACES = tuple(code for code in range(_PLAIN, 0x3001) if chr(code).isspace())
_OTHERS = (0x660, 0x391, 0x20AC)
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
Part = tuple[Any, Any]


class Unbounded(Exception):
    """A pattern that may take exponential time, or whose time cannot be told; the message ends a sentence about it."""


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """The ways through a pattern from one place of a text: `factor` times the power of what it can match to `degree`."""

    factor: int
    degree: int
    longest: int
    """The greatest number of characters it can match."""
    inner: "tuple[Ambiguity, ...]" = ()
    """Of what it looks ahead at, at any place on its way."""

    def steps(self, length: int) -> int:
        """About how many characters are looked at from one place of a text of this length, at most."""
        span = min(length, self.longest) + 1
        around: int = self.factor * span ** (self.degree + 1)
        return around * (1 + sum(one.steps(length) for one in self.inner))


def ambiguity(pattern: Any) -> Ambiguity:
    """That of a pattern, or a part of it, as `re` parses it; raises Unbounded."""
    if pattern.state.flags & (re.ASCII | re.LOCALE):
        raise Unbounded("has a flag that is not supported")
    automaton = _Automaton(_Alphabet(pattern, folded=bool(pattern.state.flags & re.IGNORECASE)))
    whole = automaton.sequence(list(pattern))
    cycles = automaton.cycles()
    return Ambiguity(
        automaton.factor(whole.first, cycles),
        automaton.degree(cycles),
        int(pattern.getwidth()[1]),
        tuple(ambiguity(one) for one in automaton.inner),
    )


class _Alphabet:
    """Sets of characters as bits of a number, none smaller than what the part of a pattern matches."""

    def __init__(self, pattern: Any, *, folded: bool) -> None:
        own = (*range(_PLAIN), *sorted({*_SPACES, *(code for code in _named(pattern) if code >= _PLAIN)}))
        self._bits = {code: 1 << place for place, code in enumerate(own)}
        self._others = {code: 1 << place for place, code in enumerate(_OTHERS, len(own))}
        self._rest = sum(self._others.values())
        self.all = (1 << len(own) + len(_OTHERS)) - 1
        self._above = self.all & ~((1 << _PLAIN) - 1)
        self._folded = folded

    def of(self, operator: Any, argument: Any) -> int:
        found = self._exactly(operator, argument)
        return self._either_case(found) if self._folded else found

    def _exactly(self, operator: Any, argument: Any) -> int:
        match operator:
            case op.LITERAL:
                return self._bits[argument]
            case op.NOT_LITERAL:
                return self.all & ~self._bits[argument]
            case op.IN if argument[0][0] is op.NEGATE:
                return self.all & ~self._union(argument[1:], surely=True)
            case op.IN:
                return self._union(argument, surely=False)
            case _:
                return self.all

    def _union(self, parts: Sequence[Part], *, surely: bool) -> int:
        found = 0
        for operator, argument in parts:
            match operator:
                case op.LITERAL:
                    found |= self._bits[argument]
                case op.RANGE:
                    low, high = argument
                    found |= sum(bit for code, bit in self._bits.items() if low <= code <= high)
                    found |= self._rest if high >= _PLAIN and not surely else 0
                case op.CATEGORY:
                    found |= self._category(argument)
                case _:
                    return 0 if surely else self.all
        return found

    def _category(self, name: Any) -> int:
        matched = re.compile(_CATEGORIES[name]).match
        codes = itertools.chain(self._bits.items(), self._others.items())
        return sum(bit for code, bit in codes if matched(chr(code)))

    def _either_case(self, found: int) -> int:
        letters = [chr(code) for code in range(_PLAIN) if found >> code & 1 and chr(code).isalpha()]
        codes = {ord(one) for letter in letters for one in (*letter.lower(), *letter.upper())}
        folded = sum(1 << code for code in codes if code < _PLAIN)
        # A character above may be another case of one of these letters, or of another one above.
        return found | folded | (self._above if letters or found & self._above else 0)


def _named(pattern: Any) -> Iterator[int]:
    """Every character that a pattern names, and the ends of its ranges."""
    for operator, argument in pattern:
        match operator:
            case op.LITERAL | op.NOT_LITERAL:
                yield argument
            case op.RANGE:
                yield from argument
            case op.IN:
                yield from _named(argument)
            case _:
                for body in _bodies(operator, argument):
                    yield from _named(body)


def _bodies(operator: Any, argument: Any) -> list[Any]:
    """The patterns inside a part of one."""
    match operator:
        case op.MAX_REPEAT | op.MIN_REPEAT | op.POSSESSIVE_REPEAT:
            return [argument[2]]
        case op.SUBPATTERN:
            return [argument[-1]]
        case op.BRANCH:
            return list(argument[1])
        case op.ATOMIC_GROUP:
            return [argument]
        case op.ASSERT | op.ASSERT_NOT:
            return [argument[1]]
        case op.GROUPREF | op.GROUPREF_EXISTS | op.GROUPREF_IGNORE:
            raise Unbounded("refers to what a group of it found")
        case _:
            return []


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a pattern as states: whether it may match nothing, and where it begins and ends."""

    nullable: bool
    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()


_NOTHING = _Piece(nullable=True)


@dataclass(slots=True)
class _Automaton:
    """One state per character of a pattern; `follow` is where each leads, and by how many ways."""

    alphabet: _Alphabet
    classes: list[int] = field(default_factory=list)
    follow: list[dict[int, int]] = field(default_factory=list)
    inner: list[Any] = field(default_factory=list)

    def sequence(self, parts: Sequence[Part]) -> _Piece:
        whole = _NOTHING
        for operator, argument in parts:
            whole = self._then(whole, self._piece(operator, argument))
        return whole

    def _piece(self, operator: Any, argument: Any) -> _Piece:
        bodies = _bodies(operator, argument)
        match operator:
            case op.AT:
                return _NOTHING
            case op.ASSERT | op.ASSERT_NOT:
                self.inner += bodies
                return _NOTHING
            case op.BRANCH:
                return _either([self.sequence(list(body)) for body in bodies])
            case _ if operator in _REPEATS:
                return self._repeated(list(bodies[0]), int(argument[0]), int(argument[1]))
            case _ if bodies:
                _refuse_flags(operator, argument)
                return self.sequence(list(bodies[0]))
            case _:
                return self._state(operator, argument)

    def _state(self, operator: Any, argument: Any) -> _Piece:
        if len(self.classes) == _MOST_STATES:
            raise Unbounded(f"stands for more than {_MOST_STATES} characters")
        self.classes.append(self.alphabet.of(operator, argument))
        self.follow.append({})
        here = frozenset({len(self.classes) - 1})
        return _Piece(nullable=False, first=here, last=here)

    def _repeated(self, body: list[Part], least: int, most: int) -> _Piece:
        if most == 0:
            return _NOTHING
        if least == most <= _WRITTEN_OUT and len(body) == 1 and not _bodies(*body[0]):
            return self.sequence(body * most)
        piece = self.sequence(body)
        if piece.nullable and (most > 1 or least == 0):
            raise Unbounded("may take exponential time: it repeats what may be nothing")
        if most > 1:
            self._join(piece.last, piece.first)
        return _Piece(piece.nullable or least == 0, piece.first, piece.last)

    def _then(self, one: _Piece, other: _Piece) -> _Piece:
        self._join(one.last, other.first)
        return _Piece(
            one.nullable and other.nullable,
            one.first | other.first if one.nullable else one.first,
            one.last | other.last if other.nullable else other.last,
        )

    def _join(self, ends: frozenset[int], starts: frozenset[int]) -> None:
        for end in ends:
            for start in starts:
                self.follow[end][start] = self.follow[end].get(start, 0) + 1

    def cycles(self) -> "_Cycles":
        """The cycles; raises Unbounded where two of them read the same text."""
        cycles = _Cycles(_reach([sum(1 << state for state in after) for after in self.follow]))
        for members in cycles.groups:
            self._refuse_two_ways(members)
        return cycles

    def _refuse_two_ways(self, members: list[int]) -> None:
        if len(members) > _MOST_TOGETHER:
            raise Unbounded(f"repeats more than {_MOST_TOGETHER} characters together")
        inside = set(members)
        after = {state: [one for one in self.follow[state] if one in inside] for state in members}
        twice = any(self.follow[state][one] > 1 for state in members for one in after[state])
        pairs = [(state, state) for state in members]
        known = set(pairs)
        for one, other in pairs:  # grows while it is walked
            both = [(a, b) for a in after[one] for b in after[other] if self.classes[a] & self.classes[b]]
            twice = twice or (one != other and any(a == b for a, b in both))
            pairs += (new := set(both) - known)
            known |= new
        if twice:
            raise Unbounded("may take exponential time: it repeats what can be read in two ways")

    def factor(self, first: frozenset[int], cycles: "_Cycles") -> int:
        """The ways that do not come from cycles: at each state, how many of those that may follow share a character."""
        found = self._shared(first)
        for state, after in enumerate(self.follow):
            found *= self._shared(one for one in after if not cycles.together(state, one))
            if found > _MOST_WAYS:
                raise Unbounded("can be read in too many ways")
        return found

    def _shared(self, states: "Iterator[int] | frozenset[int]") -> int:
        count, union = 1, 0
        for state in states:
            count += bool(union & self.classes[state])
            union |= self.classes[state]
        return count

    def degree(self, cycles: "_Cycles") -> int:
        """How many times the length of a text multiplies the ways: by each cycle that can hand over to a later one anywhere."""
        alphabets = [functools.reduce(int.__or__, (self.classes[one] for one in group)) for group in cycles.groups]
        degrees: list[int] = []
        for later, group in enumerate(cycles.groups):
            found = 0
            for earlier in range(later):
                if cycles.reach[cycles.groups[earlier][0]] >> group[0] & 1:
                    shared = alphabets[earlier] & alphabets[later] and self._leads(
                        cycles.groups[earlier], group, alphabets[earlier]
                    )
                    found = max(found, degrees[earlier] + bool(shared))
            degrees.append(found)
        return max(degrees, default=0)

    def _leads(self, start: list[int], end: list[int], alphabet: int) -> bool:
        """Whether some text of an alphabet leads from some states to others."""
        todo, known = list(start), set(start)
        for state in todo:  # grows while it is walked
            new = {one for one in self.follow[state] if self.classes[one] & alphabet} - known
            known |= new
            todo += new
        return not known.isdisjoint(end)


class _Cycles:
    """Which states lie on cycles: groups of those that reach each other, each group after those that lead to it."""

    def __init__(self, reach: list[int]) -> None:
        self.reach = reach
        groups: dict[int, list[int]] = {}
        for state, after in enumerate(reach):
            if after >> state & 1:
                groups.setdefault(after, []).append(state)  # states that reach each other reach the same
        self.groups = sorted(groups.values(), key=lambda group: -reach[group[0]].bit_count())

    def together(self, one: int, other: int) -> bool:
        return bool(self.reach[one] >> other & 1 and self.reach[other] >> one & 1)


def _reach(follow: list[int]) -> list[int]:
    """Of each state, those that it leads to in any number of steps, as bits."""
    reach = list(follow)
    for through in range(len(reach)):
        bit, beyond = 1 << through, reach[through]
        for state, after in enumerate(reach):
            if after & bit:
                reach[state] = after | beyond
    return reach


def _either(pieces: list[_Piece]) -> _Piece:
    if sum(piece.nullable for piece in pieces) > 1:
        raise Unbounded("may take exponential time: several of its alternatives may be nothing")
    return _Piece(
        any(piece.nullable for piece in pieces),
        frozenset().union(*(piece.first for piece in pieces)),
        frozenset().union(*(piece.last for piece in pieces)),
    )


def _refuse_flags(operator: Any, argument: Any) -> None:
    """Flags for a part of a pattern change what its characters mean."""
    if operator is op.SUBPATTERN and (argument[1] or argument[2]):
        raise Unbounded("has flags for a part of it")


def parsed(pattern: str, flags: int) -> Any:
    """A pattern in parts; raises what `re.compile` does."""
    return parser.parse(pattern, flags)
