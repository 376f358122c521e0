"""A piece of SQL with its parameters: constant text, values always bound.

https://www.psycopg.org/psycopg3/docs/basic/params.html
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, LiteralString


@dataclass(frozen=True, slots=True)
class Fragment:
    """SQL text with `%s` placeholders and the values for them, in order.

    The text is only ever put together from constants of this source code; a repository test refuses f-strings and
    `%` or `.format` in the modules that build fragments.
    """

    text: LiteralString
    parameters: tuple[Any, ...] = ()

    def __add__(self, other: "Fragment") -> "Fragment":
        return Fragment(self.text + other.text, self.parameters + other.parameters)

    @property
    def statement(self) -> str:
        """The text as PostgreSQL takes it, the placeholders numbered."""
        return _numbered(self.text)


@lru_cache(maxsize=1024)
def _numbered(text: str) -> str:
    first, *rest = text.split("%s")
    return "".join([first, *(f"${n}{part}" for n, part in enumerate(rest, 1))])


def sql(text: LiteralString, *parameters: Any) -> Fragment:
    """The fragment of a constant text and its values."""
    return Fragment(text, parameters)


def join(separator: LiteralString, fragments: Iterable[Fragment]) -> Fragment:
    """The fragments one after another with the separator between them."""
    parts = tuple(fragments)
    return Fragment(
        separator.join([part.text for part in parts]),
        tuple(value for part in parts for value in part.parameters),
    )


def compose(*parts: LiteralString | Fragment) -> Fragment:
    """Texts and fragments one after another, as `+` would put them together, with nothing made in between."""
    texts: list[LiteralString] = []
    values: list[Any] = []
    for part in parts:
        if isinstance(part, Fragment):
            texts.append(part.text)
            values.extend(part.parameters)
        else:
            texts.append(part)
    return Fragment("".join(texts), tuple(values))
