"""What a function is to the compiler, and the table that the chapters write theirs into.

https://hl7.org/fhirpath/N1/#functions
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from profiles.fhirpath.element import plain
from profiles.fhirpath.evaluation import EMPTY, Code, Items, Scope, one, text_of

Register = Callable[[Callable[..., Items]], Callable[..., Items]]
Build = Callable[[Code, tuple[Code, ...]], Code]
"""Compiled source and arguments -> compiled call."""


@dataclass(frozen=True, slots=True)
class Function:
    """How many arguments it takes, and how a call is compiled."""

    least: int
    most: int
    build: Build


FUNCTIONS: dict[str, Function] = {}


def lazily(name: str, least: int, most: int) -> Callable[[Build], Build]:
    """Registers a function that is given its arguments unevaluated, to evaluate them for each item."""

    def register(build: Build) -> Build:
        FUNCTIONS[name] = Function(least, most, build)
        return build

    return register


def eagerly(name: str, least: int = 0, most: int | None = None) -> Register:
    """Registers a function of the input collection and of the collections its arguments evaluate to."""

    def register(function: Callable[..., Items]) -> Callable[..., Items]:
        def build(source: Code, arguments: tuple[Code, ...]) -> Code:
            match arguments:
                case ():
                    return lambda scope: function(source(scope))
                case (first,):
                    return lambda scope: function(source(scope), first(scope))
                case _:
                    return lambda scope: function(source(scope), *[argument(scope) for argument in arguments])

        FUNCTIONS[name] = Function(least, least if most is None else most, build)
        return function

    return register


def of_text(name: str, least: int = 0, most: int | None = None) -> Register:
    """Registers a function of one text and of System values; empty where the text or an argument is."""

    def register(function: Callable[..., Items]) -> Callable[..., Items]:
        def build(source: Code, arguments: tuple[Code, ...]) -> Code:
            def call(scope: Scope) -> Items:
                item = one(source(scope))
                values: list[Any] = [plain(one(argument(scope))) for argument in arguments]
                if item is None or any(value is None for value in values):
                    return EMPTY
                return function(text_of(item, f"{name}()"), *values)

            return call

        FUNCTIONS[name] = Function(least, least if most is None else most, build)
        return function

    return register


def of_value(name: str, least: int = 0, most: int | None = None) -> Register:
    """Registers a function of one System value and of System values; empty where the input is. A missing one is None."""

    def register(function: Callable[..., Items]) -> Callable[..., Items]:
        def build(source: Code, arguments: tuple[Code, ...]) -> Code:
            def call(scope: Scope) -> Items:
                value = plain(one(source(scope)))
                if value is None:
                    return EMPTY
                return function(value, *[plain(one(argument(scope))) for argument in arguments])

            return call

        FUNCTIONS[name] = Function(least, least if most is None else most, build)
        return function

    return register
