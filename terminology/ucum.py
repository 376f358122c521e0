"""UCUM: reads case-sensitive unit codes and expresses values in base units, exactly.

https://ucum.org/ucum

Arbitrary units such as [iU], and special units that are no linear scale (pH, bel, homeopathic potencies), are dimensions
of their own: prefixes apply to them, nothing else is converted into them. Celsius, Fahrenheit and Réaumur become kelvin.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path

TABLE = Path(__file__).parent / "ucum.tsv"

LONGEST = 128  # characters of a code
_LARGEST_EXPONENT = 24
_ROUNDING = Context(prec=34)

# Kelvin at zero of the scale, in degrees of the scale.
_SCALES = {"Cel": Fraction("273.15"), "degF": Fraction("459.67"), "degRe": Fraction("218.52")}

_SYMBOL = re.compile(r"(?:\[[^\[\]]*\]|[^./(){}\[\]\s])+")
_POWER = re.compile(r"(.*?)([+-]?\d+)?", re.DOTALL)
_ANNOTATION = re.compile(r"\{[\x20-\x7a\x7c\x7e]*?\}")

Dimension = tuple[tuple[str, int], ...]
"""Base units with their exponents, sorted, none of them zero."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: a value in it, times `factor`, plus `offset`, is the value in the base units of `dimension`."""

    factor: Fraction
    dimension: Dimension
    offset: Fraction = Fraction(0)

    @property
    def canonical(self) -> str:
        """The base units as a UCUM code: `g.m-3`; `1` for a pure number."""
        return ".".join(base + ("" if power == 1 else str(power)) for base, power in self.dimension) or "1"


@dataclass(frozen=True, slots=True)
class _Definition:
    metric: bool
    kind: str  # -, arbitrary, or the function of a special unit
    value: str
    unit: str


class _InvalidError(ValueError):
    """The text is no unit of UCUM."""


_ONE = Unit(Fraction(1), ())


@functools.lru_cache(maxsize=4096)
def canonical(value: Decimal, code: str) -> tuple[Decimal, str] | None:
    """The value in base units, to 34 significant digits, and the code of those; None where `code` is no UCUM unit.

    Equal quantities give equal results: 5.4 g and 5400 mg. An infinite value stays what it is.
    """
    found = unit(code)
    if found is None:
        return None
    if not value.is_finite():
        return value, found.canonical
    exact = Fraction(value) * found.factor + found.offset
    return _ROUNDING.divide(Decimal(exact.numerator), Decimal(exact.denominator)), found.canonical


@functools.lru_cache(maxsize=8192)
def unit(code: str) -> Unit | None:
    """The unit that a code stands for; None where it is no UCUM unit."""
    if not code or len(code) > LONGEST:
        return None
    try:
        return _Reader(code).whole()
    except _InvalidError:
        return None


class _Reader:
    """Recursive descent over a code: terms of components, divided and multiplied from left to right."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._at = 0

    def whole(self) -> Unit:
        found = self._main_term()
        if self._at < len(self._code):
            raise _InvalidError(self._code)
        return found

    def _next(self, character: str) -> bool:
        """Whether the character comes next, which is then behind us."""
        found = self._code.startswith(character, self._at)
        self._at += found
        return found

    def _main_term(self) -> Unit:
        return _quotient(_ONE, self._term()) if self._next("/") else self._term()

    def _term(self) -> Unit:
        found = self._component()
        while True:
            if self._next("."):
                found = _product(found, self._component())
            elif self._next("/"):
                found = _quotient(found, self._component())
            else:
                return found

    def _component(self) -> Unit:
        if self._next("("):
            found = self._main_term()
            if not self._next(")"):
                raise _InvalidError(self._code)
            return found
        symbol = _SYMBOL.match(self._code, self._at)
        self._at = symbol.end() if symbol else self._at
        annotation = _ANNOTATION.match(self._code, self._at)
        self._at = annotation.end() if annotation else self._at
        if symbol is None and annotation is None:
            raise _InvalidError(self._code)
        return _simple(symbol[0]) if symbol else _ONE


def _simple(text: str) -> Unit:
    """A symbol with its exponent, or a whole number."""
    if text.isascii() and text.isdigit():
        if not text.strip("0"):
            raise _InvalidError(text)
        return Unit(Fraction(int(text)), ())
    found = _POWER.fullmatch(text)
    symbol, exponent = found.groups() if found else (text, None)
    return _power(_atom(symbol), int(exponent)) if exponent else _atom(symbol)


@functools.lru_cache(maxsize=2048)
def _atom(symbol: str) -> Unit:
    """A symbol of the table, or a prefix and a metric symbol of it."""
    prefixes, bases, units = _table()
    if symbol in bases:
        return Unit(Fraction(1), ((symbol, 1),))
    if symbol in units:
        return _defined(symbol, units[symbol])
    for length in (1, 2):
        head, rest = symbol[:length], symbol[length:]
        if head in prefixes and (rest in bases or (rest in units and units[rest].metric)):
            whole = _atom(rest)
            return Unit(prefixes[head] * whole.factor, whole.dimension, whole.offset)
    raise _InvalidError(symbol)


def _defined(symbol: str, definition: _Definition) -> Unit:
    """What the table says of a unit, down to base units."""
    if definition.kind in _SCALES:
        degree = _scaled(definition)
        return Unit(degree.factor, degree.dimension, _SCALES[definition.kind] * degree.factor)
    if definition.kind not in ("-", "arbitrary") or (definition.kind == "arbitrary" and definition.unit == "1"):
        return Unit(Fraction(1), ((symbol, 1),))
    return _scaled(definition)


def _scaled(definition: _Definition) -> Unit:
    return _product(Unit(Fraction(definition.value), ()), _Reader(definition.unit).whole())


def _product(left: Unit, right: Unit) -> Unit:
    if left.offset or right.offset:
        raise _InvalidError("a temperature scale is no factor")
    powers = dict(left.dimension)
    for base, power in right.dimension:
        powers[base] = powers.get(base, 0) + power
    return Unit(left.factor * right.factor, _dimension(powers))


def _quotient(left: Unit, right: Unit) -> Unit:
    return _product(left, _power(right, -1))


def _power(base: Unit, exponent: int) -> Unit:
    if base.offset or abs(exponent) > _LARGEST_EXPONENT:
        raise _InvalidError("a temperature scale has no powers, and no unit is raised that far")
    return Unit(base.factor**exponent, _dimension({name: power * exponent for name, power in base.dimension}))


def _dimension(powers: dict[str, int]) -> Dimension:
    return tuple(sorted((base, power) for base, power in powers.items() if power))


@functools.cache
def _table() -> tuple[dict[str, Fraction], frozenset[str], dict[str, _Definition]]:
    """The prefixes, base units and units of the table."""
    prefixes: dict[str, Fraction] = {}
    bases: set[str] = set()
    units: dict[str, _Definition] = {}
    for line in _lines():
        match line:
            case "prefix", code, value:
                prefixes[code] = Fraction(value)
            case "base", code:
                bases.add(code)
            case "unit", code, metric, kind, value, of:
                units[code] = _Definition(metric == "metric", kind, value, of)
    return prefixes, frozenset(bases), units


def _lines() -> Iterator[list[str]]:
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split("\t")
