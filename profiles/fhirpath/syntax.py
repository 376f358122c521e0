"""The syntax tree of an expression.

https://hl7.org/fhirpath/N1/grammar.html
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the expression; `values` is empty for {}."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """%name."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """$this, $index or $total, without the sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """name, or source.name."""

    source: "Tree | None"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """name(arguments), or source.name(arguments)."""

    source: "Tree | None"
    name: str
    arguments: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Index:
    """source[index]."""

    source: "Tree"
    index: "Tree"


@dataclass(frozen=True, slots=True)
class Polarity:
    """+operand or -operand."""

    sign: str
    operand: "Tree"


@dataclass(frozen=True, slots=True)
class Binary:
    """left operator right."""

    operator: str
    left: "Tree"
    right: "Tree"


@dataclass(frozen=True, slots=True)
class TypeTest:
    """operand is type, operand as type; the namespace is empty where none is written."""

    operator: str
    operand: "Tree"
    namespace: str
    name: str


Tree = Literal | Variable | Special | Member | Call | Index | Polarity | Binary | TypeTest
