"""The shapes of two published benchmarks as data: 24 over one parameter each, and a mix of 30; values are drawn anew each time.

https://github.com/HealthSamurai/fhir-server-performance-benchmark and https://github.com/mock-health/fhir-server-compare
name what is asked; which values they drew is not published in full, so these are drawn from what the server holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from bench.pools import Pools

LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MISS = "NON-EXISTS"
MISSES = 20  # one value in so many is not there
DATE_PREFIXES = ("", "eq", "lt", "gt", "ge", "le", "sa", "eb")
VALUE_PREFIXES = ("", "eq", "lt", "gt", "ge", "le")
SAFE = "=&,:|/$"  # a server takes these as they are; everything else is percent-encoded

Draw = Callable[[Pools, Random], str]


class NothingToDraw(Exception):
    """The server holds nothing that the shape could ask for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request: `draw` gives the path and query of another instance, encoded, relative to the base."""

    name: str
    group: str
    draw: Draw

    def path(self, pools: Pools, random: Random) -> str:
        return quote(self.draw(pools, random), safe=f"{SAFE}?")


def _one(values: Sequence[str], random: Random, miss: str = MISS) -> str:
    """One of the values, now and then one that is not there."""
    if not values:
        raise NothingToDraw
    return miss if random.randrange(MISSES) == 0 else random.choice(values)


def _plain(values: Sequence[str], random: Random) -> str:
    if not values:
        raise NothingToDraw
    return random.choice(values)


def _escaped(text: str) -> str:
    """The value of a parameter in which nothing separates (search.html#escaping), nor begins another parameter."""
    for mark in ("\\", ",", "|", "$"):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", " ").split(" ")[0]


def _text(kind: str, parameter: str, values: Callable[[Pools], list[str]]) -> Shape:
    def draw(pools: Pools, random: Random) -> str:
        modifier = random.choice(("", ":contains"))
        return f"{kind}?{parameter}{modifier}={_escaped(_one(values(pools), random))}&_count=20"

    return Shape(f"{kind}?{parameter}", "string", draw)


def _date(kind: str, parameter: str, values: Callable[[Pools], list[str]]) -> Shape:
    def draw(pools: Pools, random: Random) -> str:
        return f"{kind}?{parameter}={random.choice(DATE_PREFIXES)}{_one(values(pools), random, '2070-01-01')}&_count=20"

    return Shape(f"{kind}?{parameter}", "date", draw)


def _token(kind: str, parameter: str, system: str, codes: Callable[[Pools], list[str]]) -> Shape:
    """Code alone, system and code, one of several, or none."""

    def draw(pools: Pools, random: Random) -> str:
        those = codes(pools)
        several = [f"{system}|{_plain(those, random)}" for _ in range(random.randint(2, 3))]
        choices = (_plain(those, random), f"{system}|{_plain(those, random)}", ",".join(several), _one(those, random))
        return f"{kind}?{parameter}={random.choice(choices)}&_count=20"

    return Shape(f"{kind}?{parameter}", "token", draw)


def _quantity(parameter: str) -> Shape:
    def draw(_: Pools, random: Random) -> str:
        value = _one([str(number) for number in range(5, 200, 5)], random, "99999")
        return f"Observation?{parameter}={random.choice(VALUE_PREFIXES)}{value}&_count=20"

    return Shape(f"Observation?{parameter}", "quantity", draw)


def _composite(parameter: str, *values: str) -> Shape:
    def draw(_: Pools, random: Random) -> str:
        return f"Observation?{parameter}={_one(values, random, f'{MISS}$gt1')}&_count=20"

    return Shape(f"Observation?{parameter}", "composite", draw)


def _reference(kind: str, parameter: str, target: str) -> Shape:
    def draw(pools: Pools, random: Random) -> str:
        return f"{kind}?{parameter}={target}/{_plain(pools.ids(target), random)}&_count=20"

    return Shape(f"{kind}?{parameter}", "reference", draw)


def _known(*values: str) -> Callable[[Pools], list[str]]:
    return lambda _: list(values)


def _loinc(pools: Pools) -> list[str]:
    return [code for system, code in pools.codes("Observation") if system == LOINC]


SETS_OF_24 = (
    _text("Patient", "name", lambda pools: pools.families() + pools.givens()),
    _text("Patient", "address", Pools.cities),
    _text("Organization", "name", Pools.organizations),
    _date("Patient", "birthdate", Pools.birth_dates),
    _date("Observation", "date", lambda pools: pools.days("Observation")),
    _date("Encounter", "date", lambda pools: pools.days("Encounter")),
    _token("Observation", "category", CATEGORY, _known("vital-signs", "laboratory", "survey", "social-history")),
    _token("Observation", "code", LOINC, _loinc),
    _token("Encounter", "status", "http://hl7.org/fhir/encounter-status", _known("finished", "in-progress", "planned")),
    _token("Encounter", "class", ACT, _known("AMB", "EMER", "IMP", "VR")),
    _quantity("value-quantity"),
    _quantity("component-value-quantity"),
    _quantity("combo-value-quantity"),
    _composite("code-value-quantity", "8867-4$gt100", f"{LOINC}|8302-2$gt170", f"{LOINC}|29463-7$lt60", "2339-0$ge90"),
    _composite("component-code-value-quantity", f"{LOINC}|8480-6$gt140", "8462-4$lt70", "8480-6$le110"),
    _composite("combo-code-value-quantity", f"{LOINC}|8480-6$gt140", "8867-4$gt100", f"{LOINC}|8302-2$lt120"),
    _reference("Observation", "subject", "Patient"),
    _reference("Observation", "encounter", "Encounter"),
    _reference("Observation", "performer", "Practitioner"),
    _reference("Encounter", "subject", "Patient"),
    _reference("Encounter", "participant", "Practitioner"),
    _reference("MedicationRequest", "subject", "Patient"),
    _reference("MedicationRequest", "encounter", "Encounter"),
    _reference("MedicationRequest", "requester", "Practitioner"),
)


def _static(path: str) -> Shape:
    return Shape(path, "mix", lambda _pools, _random: path)


def _drawn(pattern: str, values: Callable[[Pools], list[str]]) -> Shape:
    """`{}` in the pattern stands for one of the values."""
    return Shape(pattern, "mix", lambda pools, random: pattern.replace("{}", _plain(values(pools), random)))


def _codes(kind: str) -> Callable[[Pools], list[str]]:
    return lambda pools: [f"{system}|{code}" for system, code in pools.codes(kind)]


def _patients(pools: Pools) -> list[str]:
    return pools.ids("Patient")


MIX_OF_30 = (
    _static("metadata"),
    _static("Observation?_count=10"),
    _static("Observation?_count=1&_total=accurate"),
    _static(f"Observation?code={LOINC}|8480-6&_count=1&_total=accurate"),
    _static(f"Observation?combo-code={LOINC}|8480-6&_count=1&_total=accurate"),
    _static("Patient?gender=male&_count=5&_total=accurate"),
    _static("Patient?family=S&_count=5"),
    _static("Patient?given=A&_count=5"),
    _static("Patient?gender=female&family=B&_count=5"),
    _static(f"Observation?code={LOINC}|8302-2&_count=5&_total=accurate"),
    _static(f"Observation?code={LOINC}|29463-7&_count=5&_total=accurate"),
    _static(f"Observation?code={LOINC}|72514-3&_count=5&_total=accurate"),
    _static("Observation?date=ge2020-01-01&_count=5"),
    _drawn("Patient/{}", _patients),
    _drawn("Patient?family={}&_count=5", lambda pools: [_escaped(name) for name in pools.families()]),
    _drawn("Observation?patient=Patient/{}&_count=20", _patients),
    _drawn("Condition?patient=Patient/{}", _patients),
    _drawn("Condition?code={}&_count=5", _codes("Condition")),
    _drawn("Procedure?code={}&_count=5", _codes("Procedure")),
    _drawn("Encounter?patient=Patient/{}&_count=10", _patients),
    _drawn("MedicationRequest?patient=Patient/{}&_count=10", _patients),
    _drawn("Encounter?participant={}&_count=10", lambda p: p.referenced("Encounter", "participant", "Practitioner")),
    _drawn("Encounter?location={}&_count=10", lambda p: p.referenced("Encounter", "location", "Location")),
    _static("Patient?_content=Smith&_count=5"),
    _static("Observation?_content=blood&_count=5"),
    _static("Condition?_content=hypertension&_count=5"),
    _static("Patient?name:text=ohn&_count=5"),
    _static("Patient?address:text=Boston&_count=5"),
    _static("Patient?_text=Smith&_count=5"),
    _static("Condition?code:text=hypertensive&_count=5"),
)
