"""`_filter`: comparisons with and, or, not and parentheses, read into the terms that parameters are read into.

https://hl7.org/fhir/R4/search_filter.html

A path may lead over references, as in `subject.name co "pet"`, and be narrowed on the way: `subject[active eq true].name`.
`and` binds closer than `or`. `ne` asks for a value that is another one: of codes, strings and references, that there is a
value and none is this one.
"""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from fhir_server.outcome import Refusal, did_you_mean, refuse
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Chain, Clause, Either, Every, Except, Missing, Spelled, Term
from fhir_server.search.types import date
from fhir_server.search.types.context import NotAtHand
from fhir_server.search.types.prefix import Span
from fhir_server.search.types.selection import storable
from fhir_server.search.types.string import normalised

if TYPE_CHECKING:  # term.py reads `_filter` with this module
    from fhir_server.search.term import Terms

OPERATORS = frozenset(("eq ne co sw ew gt lt ge le ap sa eb pr po ss sb in ni re").split())
_ORDERED = frozenset(("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"))
_BY_TYPE: dict[str, frozenset[str]] = {
    "string": frozenset(("eq", "ne", "co", "sw", "ew")),
    "uri": frozenset(("eq", "ne", "co", "sw", "ew")),
    "token": frozenset(("eq", "ne", "in", "ni", "ss", "sb")),
    "reference": frozenset(("eq", "ne", "re")),
    "date": _ORDERED | {"po"},
    "number": _ORDERED,
    "quantity": _ORDERED,
    "composite": frozenset(("eq",)),
    "special": frozenset(("eq",)),
}
_MODIFIERS = {"in": "in", "ni": "not-in", "ss": "below", "sb": "above"}
_NAME = re.compile(r"_has(?::[A-Za-z0-9_-]+)+|[A-Za-z_][A-Za-z0-9_-]*(?::[A-Za-z]+)?")
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[a-z]+(?![A-Za-z0-9_:.\[-])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN = re.compile(r"[^\s)\]]+")
MOST_DEPTH = 16
MOST_LENGTH = 8000
MOST_COMPARISONS = 100


def parse_filter(terms: "Terms", types: tuple[str, ...], value: str) -> Term:
    """The term of a `_filter`. Raises a 400 refusal that quotes the place where it is not understood."""
    if len(value) > MOST_LENGTH:
        raise refuse("too-long", f"_filter: at most {MOST_LENGTH} characters", "_filter", status=400)
    reader = _Reader(terms, value)
    found = reader.alternatives(types, 0)
    if reader.at < len(value):
        raise reader.refusal("'and', 'or' or the end is expected")
    return found


def is_final(refusal: Refusal) -> bool:
    """Whether a query was refused for its size, or for codes that cannot be told: then no other alternative is tried."""
    return isinstance(refusal, NotAtHand) or refusal.issues[0].code == "too-costly"


class _Reader:
    """A recursive descent over the text of one filter."""

    def __init__(self, terms: "Terms", text: str) -> None:
        self.terms, self.text, self.at = terms, text, 0
        self.compared_at: set[int] = set()  # where comparisons begin; a chain reads one again for each type
        self._skip()

    def refusal(self, wanted: str) -> Refusal:
        here = self.text[self.at : self.at + 30] or "the end"
        return refuse("value", f"_filter: {wanted} at character {self.at + 1}, before '{here}'", "_filter")

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """The text that fits here, and over it and the space behind it."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        self._skip()
        return found[0]

    def take_word(self, word: str) -> bool:
        found = _WORD.match(self.text, self.at)
        if found is None or found[0] != word:
            return False
        self.take(_WORD)
        return True

    def take_sign(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.at += 1
        self._skip()
        return True

    # --- logic --------------------------------------------------------------------------------------------------------

    def alternatives(self, types: tuple[str, ...], depth: int) -> Term:
        found = [self.conjunction(types, depth)]
        while self.take_word("or"):
            found.append(self.conjunction(types, depth))
        return found[0] if len(found) == 1 else Either(tuple(found))

    def conjunction(self, types: tuple[str, ...], depth: int) -> Term:
        found = [self.single(types, depth)]
        while self.take_word("and"):
            found.append(self.single(types, depth))
        return found[0] if len(found) == 1 else Every(tuple(found))

    def single(self, types: tuple[str, ...], depth: int) -> Term:
        if depth > MOST_DEPTH:
            raise refuse(
                "too-costly", f"_filter: at most {MOST_DEPTH} parentheses inside each other", "_filter", status=400
            )
        if self.take_word("not"):
            return Except(self.single(types, depth + 1))
        if self.take_sign("("):
            inner = self.alternatives(types, depth + 1)
            if not self.take_sign(")"):
                raise self.refusal("')' is expected")
            return inner
        return self.comparison(types, depth)

    # --- comparisons --------------------------------------------------------------------------------------------------

    def comparison(self, types: tuple[str, ...], depth: int) -> Term:
        """`path op value`; of a path over references, once for every type it may lead to."""
        self.compared_at.add(self.at)
        if len(self.compared_at) > MOST_COMPARISONS:
            raise refuse("too-costly", f"_filter: at most {MOST_COMPARISONS} comparisons", "_filter", status=400)
        name = self.take(_NAME)
        if name is None:
            raise self.refusal("the name of a search parameter is expected")
        if self.text.startswith(("[", "."), self.at):
            return self.chained(types, name, depth)
        operator = self.take(_WORD) or ""
        if operator not in OPERATORS:
            known = ", ".join(sorted(OPERATORS))
            raise self.refusal(f"after '{name}' one of {known} is expected{did_you_mean(operator, OPERATORS)}")
        return self.compared(types, name, operator, self.value())

    def value(self) -> str:
        if self.text.startswith('"', self.at):
            try:
                text = str(json.loads(self.take(_STRING) or "", strict=False))
            except ValueError:
                raise self.refusal("a JSON string is expected") from None
            if not storable(text):  # nothing that is stored holds a NUL, or half of a character
                raise self.refusal("a string without NUL and single surrogates is expected")
            return text
        plain = self.take(_TOKEN)
        if plain is None:
            raise self.refusal("a value is expected")
        return plain

    def chained(self, types: tuple[str, ...], name: str, depth: int) -> Term:
        if depth > MOST_DEPTH:
            raise refuse("too-costly", f"_filter: at most {MOST_DEPTH} links of a path", "_filter", status=400)
        code, _, kind = name.partition(":")
        parameter = self.terms.reference(types, code)
        start = end = self.at
        found: list[tuple[str, Term]] = []
        problems: list[Refusal] = []
        for target in self.terms.targets(parameter, kind, name):
            self.at = start
            try:
                self.terms.spend("_filter")
                found.append((target, self.below((target,), depth + 1)))
            except Refusal as refusal:
                if is_final(refusal):
                    raise
                problems.append(refusal)
            else:
                end = self.at
        if not found:
            raise problems[0]
        self.at = end
        return Chain(parameter, tuple(found))

    def below(self, types: tuple[str, ...], depth: int) -> Term:
        """What follows a reference: `[filter].path op value` or `.path op value`."""
        narrowed: Term | None = None
        if self.take_sign("["):
            narrowed = self.alternatives(types, depth + 1)
            if not self.take_sign("]"):
                raise self.refusal("']' is expected")
        if not self.take_sign("."):
            raise self.refusal("'.' is expected")
        rest = self.comparison(types, depth)
        return rest if narrowed is None else Every((narrowed, rest))

    def compared(self, types: tuple[str, ...], name: str, operator: str, value: str) -> Term:
        if name.startswith("_has:"):
            return self.terms.term(types, name, escaped(value))
        if name in ("_text", "_content", "_list"):
            return self.terms.term(types, name, value)
        parameter = self.terms.parameter(types, name)
        if operator == "pr":
            return Missing(parameter, self._presence(name, value) == "false")
        known = _BY_TYPE[parameter.type]
        if operator not in known:
            names = ", ".join(sorted(known | {"pr"}))
            raise refuse(
                "not-supported", f"_filter: '{name}' is a {parameter.type}; it takes {names}, not {operator}", "_filter"
            )
        return _COMPARISONS.get(operator, _clause)(self, types, parameter, operator, value)

    def _presence(self, name: str, value: str) -> str:
        if value not in ("true", "false"):
            raise refuse("value", f"_filter: {name} pr {value}: write true or false", "_filter")
        return value


def escaped(value: str) -> str:
    """The value as one alternative of a query string: its commas are not separators; a bar and a dollar sign still are."""
    return value.replace(",", "\\,")


Compare = Callable[[_Reader, tuple[str, ...], Parameter, str, str], Term]


def _clause(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:
    """An operator that is a prefix, a modifier, or plain equality of the parameter."""
    modifier = _MODIFIERS.get(operator)
    name = parameter.code if modifier is None else f"{parameter.code}:{modifier}"
    prefix = operator if parameter.type in ("date", "number", "quantity") else ""
    return reader.terms.term(types, name, prefix + escaped(value))


def _equal(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:
    if parameter.type == "string":
        return _spelled(reader, types, parameter, "eq", value)
    return _clause(reader, types, parameter, operator, value)


def _unequal(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:
    if parameter.type in ("date", "number", "quantity"):
        return _clause(reader, types, parameter, operator, value)
    return Every((Missing(parameter, missing=False), Except(_equal(reader, types, parameter, "eq", value))))


def _spelled(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:  # noqa: ARG001 - as every Compare
    how: Literal["eq", "ew", "co"] = "eq" if operator == "eq" else "ew" if operator == "ew" else "co"
    text = normalised(value) if parameter.type == "string" else value
    if not text:
        raise refuse("value", f"_filter: {parameter.code} {operator}: a letter or digit is needed", "_filter")
    return Spelled(parameter, how, text)


def _starting(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:  # noqa: ARG001 - as every Compare
    name = parameter.code if parameter.type == "string" else f"{parameter.code}:below"
    return reader.terms.term(types, name, escaped(value))


def _overlapping(reader: _Reader, types: tuple[str, ...], parameter: Parameter, operator: str, value: str) -> Term:  # noqa: ARG001 - as every Compare
    limits = date.span(value)
    if limits is None:
        raise refuse("value", f"_filter: {parameter.code} po {value}: a date is needed", "_filter")
    return Clause(parameter, None, (Span("ap", *limits),))


_COMPARISONS: dict[str, Compare] = {
    "eq": _equal, "ne": _unequal, "co": _spelled, "ew": _spelled, "sw": _starting, "po": _overlapping,
}  # fmt: skip
