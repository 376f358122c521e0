"""Full text: `_text` and `_content`, and what is asked of the words of resources; PostgreSQL's text search answers.

https://hl7.org/fhir/R4/search.html#content

Words are made by words.py, the same way from resources and queries, and PostgreSQL's own parser is not used, so that memory
and database agree. Another engine plugs in here: it keeps what words.vectors is given, and answers `condition` and `scores`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from fhir_server.outcome import refuse
from fhir_server.search.fragment import Fragment, sql
from fhir_server.search.words import marked, words

_TOKEN = re.compile(r'\s*(\(|\)|"[^"]*"\*?|[^\s()"]+)')
_OPERATORS = frozenset(("AND", "OR", "NOT"))
MOST_NEEDED = 40


# --- what is asked ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand one after another; with `prefix` the last may go on."""

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """Every text must hold."""

    texts: tuple["Text", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of the texts must hold."""

    texts: tuple["Text", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The text must not hold."""

    text: "Text"


Text = Phrase | All | Some | Not


def parse(name: str, text: str) -> Text:
    """`(bone OR liver) AND "brain tumor" NOT benign*`; words beside each other must all be there.

    Raises a `value` refusal where the text has no words, or parentheses that do not match.
    """
    tokens = _TOKEN.findall(text)
    if len(tokens) > MOST_NEEDED:  # before anything is read: the descent is as deep as there are parentheses
        raise refuse("too-costly", f"{name}: at most {MOST_NEEDED} words", name, status=400)
    reader = _Reader(name, text, tokens)
    found = reader.alternatives()
    if reader.at != len(tokens) or found is None:
        raise refuse("value", f'{name}={text}: write words, "phrases", AND, OR, NOT and parentheses', name)
    return found


class _Reader:
    """A recursive descent over the tokens of one text."""

    def __init__(self, name: str, text: str, tokens: Sequence[str]) -> None:
        self.name, self.text, self.tokens, self.at = name, text, tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def alternatives(self) -> Text | None:
        found = [self.conjunction()]
        while self.peek().upper() == "OR":
            self.at += 1
            found.append(self.conjunction())
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return known[0] if len(known) == 1 else Some(tuple(known))

    def conjunction(self) -> Text | None:
        found: list[Text] = []
        while (token := self.peek()) and token != ")" and token.upper() != "OR":
            if token.upper() == "AND":
                if not found:
                    return None
                self.at += 1
            one = self.single()
            if one is None:
                return None
            found.append(one)
        return found[0] if len(found) == 1 else All(tuple(found)) if found else None

    def single(self) -> Text | None:
        token = self.peek()
        self.at += 1
        if token == "(":
            inner = self.alternatives()
            closed = self.peek() == ")"
            self.at += 1
            return inner if closed else None
        if token.upper() == "NOT":
            negated = self.single()
            return None if negated is None else Not(negated)
        if token in ("", ")") or token.upper() in _OPERATORS:
            return None
        found = tuple(words(token))
        return Phrase(found, prefix=token.endswith("*")) if found else None


# --- asking -------------------------------------------------------------------------------------------------------------


_FOUND: dict[bool, LiteralString] = {
    True: "SELECT pk FROM index_text WHERE tenant = %s AND narrative @@ %s::tsquery",
    False: "SELECT pk FROM index_text WHERE tenant = %s AND content @@ %s::tsquery",
}
_SCORED: dict[bool, LiteralString] = {
    True: "SELECT pk, ts_rank(narrative, %s::tsquery, 33) AS v FROM index_text WHERE tenant = %s",
    False: "SELECT pk, ts_rank(content, %s::tsquery, 33) AS v FROM index_text WHERE tenant = %s",
}


def condition(text: Text, types: Sequence[str], tenant: int, *, narrative: bool) -> Fragment:
    """`SELECT pk FROM index_text` by PostgreSQL's text search; no types: of all."""
    kinds = " | ".join(f"'{marked(name)}'" for name in types)
    asked = f"({kinds}) & {query(text)}" if kinds else query(text)
    return sql(_FOUND[narrative], tenant, asked)


def scores(text: Text, tenant: int, *, narrative: bool) -> Fragment:
    """`SELECT pk, v` with PostgreSQL's rank: how often and how closely together the words stand, for the length."""
    return sql(_SCORED[narrative], query(text), tenant)


def query(text: Text) -> str:
    """The text form of a tsquery. Words hold letters, digits and nothing to quote."""
    match text:
        case Phrase(found, prefix):
            quoted = [f"'{word}'" for word in found]
            return f"({' <-> '.join(quoted)}{':*' if prefix else ''})"
        case All(texts):
            return f"({' & '.join(map(query, texts))})"
        case Some(texts):
            return f"({' | '.join(map(query, texts))})"
        case Not(one):
            return f"!{query(one)}"


def holds(text: Text, found: Mapping[str, Sequence[int]]) -> bool:
    """The same answer in memory, given the words of the resource with their positions."""
    match text:
        case Phrase(wanted, prefix):
            return any(_starts_at(wanted, place, found, prefix=prefix) for place in _places(wanted, found, prefix))
        case All(texts):
            return all(holds(one, found) for one in texts)
        case Some(texts):
            return any(holds(one, found) for one in texts)
        case Not(one):
            return not holds(one, found)


def _places(wanted: tuple[str, ...], found: Mapping[str, Sequence[int]], prefix: bool) -> Iterable[int]:
    if len(wanted) == 1 and prefix:
        return [place for word, places in found.items() if word.startswith(wanted[0]) for place in places]
    return found.get(wanted[0], ())


def _starts_at(wanted: tuple[str, ...], place: int, found: Mapping[str, Sequence[int]], *, prefix: bool) -> bool:
    *most, last = wanted
    if any(place + n not in found.get(word, ()) for n, word in enumerate(most)):
        return False
    end = place + len(most)
    if prefix:
        return any(end in places for word, places in found.items() if word.startswith(last))
    return end in found.get(last, ())
