"""Units of measure, as far as quantities in expressions are converted: UCUM's prefixes and its common units.

https://ucum.org/ucum and https://hl7.org/fhirpath/N1/#quantity
"""

import functools
import re
from collections.abc import Mapping
from fractions import Fraction

Dimension = tuple[tuple[str, int], ...]
"""Base units with their exponents, sorted: (("g", 1), ("m", -3))."""

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3,
    "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
# Base units first, then what is made of them; those that take a prefix are metric.
_METRIC: Mapping[str, tuple[str, str]] = {
    "m": ("1", ""), "s": ("1", ""), "g": ("1", ""), "rad": ("1", ""), "K": ("1", ""), "C": ("1", ""), "cd": ("1", ""),
    "mol": ("6.0221367e23", "1"), "L": ("1", "dm3"), "l": ("1", "dm3"), "N": ("1000", "g.m/s2"), "Pa": ("1", "N/m2"),
    "J": ("1", "N.m"), "W": ("1", "J/s"), "A": ("1", "C/s"), "V": ("1", "J/C"), "F": ("1", "C/V"), "Ohm": ("1", "V/A"),
    "S": ("1", "A/V"), "Wb": ("1", "V.s"), "T": ("1", "Wb/m2"), "H": ("1", "Wb/A"), "Hz": ("1", "s-1"),
    "lm": ("1", "cd.sr"), "Bq": ("1", "s-1"), "Gy": ("1", "J/kg"), "Sv": ("1", "J/kg"), "sr": ("1", "rad2"),
    "bar": ("100000", "Pa"), "cal": ("4.184", "J"), "eq": ("1", "mol"), "osm": ("1", "mol"), "kat": ("1", "mol/s"),
    "U": ("1", "umol/min"), "t": ("1000", "kg"), "u": ("1.6605402e-24", "g"), "eV": ("160217733e-27", "J"),
    "m[H2O]": ("9.80665", "kPa"), "m[Hg]": ("133.3220", "kPa"),
}  # fmt: skip
_PLAIN: Mapping[str, tuple[str, str]] = {
    "%": ("0.01", "1"), "[ppth]": ("0.001", "1"), "[ppm]": ("1e-6", "1"), "[ppb]": ("1e-9", "1"),
    "[pi]": ("3.1415926535897932384626433832795028841971693993751058209749445923", "1"),
    "min": ("60", "s"), "h": ("60", "min"), "d": ("24", "h"), "wk": ("7", "d"), "a": ("365.25", "d"),
    "mo": ("30.4375", "d"), "deg": ("2", "[pi].rad/360"), "[in_i]": ("2.54", "cm"), "[ft_i]": ("12", "[in_i]"),
    "[yd_i]": ("3", "[ft_i]"), "[mi_i]": ("5280", "[ft_i]"), "[nmi_i]": ("1852", "m"), "[gr]": ("64.79891", "mg"),
    "[lb_av]": ("7000", "[gr]"), "[oz_av]": ("0.0625", "[lb_av]"), "[stone_av]": ("14", "[lb_av]"),
    "[gal_us]": ("231", "[in_i]3"), "[qt_us]": ("0.25", "[gal_us]"), "[pt_us]": ("0.5", "[qt_us]"),
    "[foz_us]": ("0.0625", "[pt_us]"), "[cup_us]": ("16", "[tbs_us]"), "[tbs_us]": ("0.5", "[foz_us]"),
    "[tsp_us]": ("1", "[tbs_us]/3"), "[drp]": ("0.05", "ml"), "atm": ("101325", "Pa"), "[lbf_av]": ("4.4482216152605", "N"),
    "[psi]": ("1", "[lbf_av]/[in_i]2"), "[g]": ("9.80665", "m/s2"), "ar": ("100", "m2"), "har": ("100", "ar"),
    "Ao": ("0.1", "nm"), "[Cal]": ("1", "kcal"), "10*": ("10", "1"), "10^": ("10", "1"),
}  # fmt: skip
# Units that nothing converts: arbitrary ones, and those on a scale that is no ratio.
_OPAQUE = frozenset(
    "[iU] [IU] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [smgy'U] [bdsk'U] [ka'U] "
    "[knk'U] [mclg'U] [tb'U] [CFU] [FFU] [PFU] [BAU] [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U] [FEU] [ELU] [EU] [Ch] [hnsf'U] "
    "[hp'_X] [hp_X] [S] [HPF] [LPF] [degF] [degRe] Cel [pH] Np B dB [m/s2/Hz^0.5] [diop] [MET]".split()
)
_PART = re.compile(r"(?P<unit>(?:10[*^])|(?:[A-Za-z%']|\[[^\]\s]+\])+)?(?P<power>[+-]?\d+)?(?:\{[^{}]*\})?$", re.ASCII)
_SPLIT = re.compile(r"\{[^{}]*\}|\[[^\]]*\]|[./()]|[^./()\[\]{}]+")


@functools.lru_cache(maxsize=4096)
def canonical(unit: str) -> tuple[Fraction, Dimension] | None:
    """What one of a UCUM unit is in base units (m, s, g, rad, K, C, cd): factor and dimension; None if it is unknown."""
    try:
        factor, dimension, rest = _term(_SPLIT.findall(unit))
    except (ValueError, IndexError, RecursionError):
        return None
    return None if rest else (factor, tuple(sorted((base, power) for base, power in dimension.items() if power)))


def _term(pieces: list[str]) -> tuple[Fraction, dict[str, int], list[str]]:
    """A product of units, as far as a closing bracket: its factor, its dimension, and the pieces after it."""
    factor, dimension, sign = Fraction(1), dict[str, int](), 1
    if pieces and pieces[0] == "/":
        pieces, sign = pieces[1:], -1
    while True:
        if pieces[0] == "(":
            scale, powers, pieces = _term(pieces[1:])
            pieces = pieces[1:] if pieces[0] == ")" else pieces[len(pieces) + 1 :]
        else:
            end = next((i for i, piece in enumerate(pieces) if piece in "./()"), len(pieces))
            scale, powers = _component("".join(pieces[:end]))
            pieces = pieces[end:]
        factor *= scale**sign
        for base, power in powers.items():
            dimension[base] = dimension.get(base, 0) + sign * power
        if not pieces or pieces[0] == ")":
            return factor, dimension, pieces
        sign = {".": 1, "/": -1}[pieces[0]] if pieces[0] in "./" else 0
        pieces = pieces[1:]


def _component(text: str) -> tuple[Fraction, dict[str, int]]:
    """One unit with its exponent, or a number: mm2, [in_i]3, s-1, 10*3, 7, {tablets}."""
    match = _PART.match(text)
    if match is None or not text:
        raise ValueError(text)
    if match["unit"] is None:
        number = match["power"]
        return Fraction(int(number)) if number else Fraction(1), {}
    power = int(match["power"] or 1)
    if abs(power) > 400:
        raise ValueError(text)
    factor, dimension = _unit(match["unit"])
    return factor**power, {base: exponent * power for base, exponent in dimension.items()}


@functools.lru_cache(maxsize=1024)
def _unit(code: str) -> tuple[Fraction, dict[str, int]]:
    """One unit, with its prefix if it has one."""
    if code in _OPAQUE:
        return Fraction(1), {code: 1}
    definition = _METRIC.get(code) or _PLAIN.get(code)
    if definition is not None:
        return _defined(code, *definition)
    for length in (1, 2):
        prefix, rest = code[:length], code[length:]
        if prefix in _PREFIXES and (rest in _METRIC or rest in ("[iU]", "[IU]")):
            factor, dimension = _unit(rest)
            return factor * Fraction(10) ** _PREFIXES[prefix], dimension
    raise ValueError(code)


def _defined(code: str, value: str, unit: str) -> tuple[Fraction, dict[str, int]]:
    if not unit:
        return Fraction(1), {code: 1}
    if unit == "1":
        return Fraction(value), {}
    factor, dimension, _ = _term(_SPLIT.findall(unit))
    return Fraction(value) * factor, dimension
