"""Validation, in one warm process: microseconds for a resource, beside a JSON parse and fhir.resources on the same bytes.

https://hl7.org/fhir/R4/validation.html; `python -m bench.validation` prints the table, `--record` writes it.

A row is the least of many measurements of processor time, which others on the machine disturb the least, and their median.
"""

import gc
import importlib
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bench import report
from bench.data import SEPARATE, reference_data, synthea
from profiles.definitions import r4
from profiles.install import install
from profiles.profile_validator import ProfileValidator
from profiles.registry import Registry
from profiles.validator import Validator

Json = dict[str, Any]
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
US_CORE_PACKAGE = "us_core_610.tgz"
ENTRIES = 400
_RATIO = 25
BEGIN, END = "<!-- validation: begin -->", "<!-- validation: end -->"
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Case:
    """What is validated: the bytes of a resource, how, and the microseconds and JSON parses it may take.

    A profile comes on top of base and has its target in microseconds alone.
    """

    name: str
    body: bytes
    validate: Callable[[Json], object]
    target: int
    most: float = _RATIO


@dataclass(frozen=True, slots=True)
class Took:
    """Microseconds of processor time: the least, and the median."""

    least: float
    median: float


@dataclass(frozen=True, slots=True)
class Row:
    """One case: `parse` is a plain JSON parse, `decode` ours with exact numbers; `other`: fhir.resources, None where it fails."""

    case: Case
    validate: Took
    decode: Took
    parse: Took
    other: Took | None

    @property
    def ratio(self) -> float:
        """How many JSON parses a validation takes."""
        return self.validate.least / self.parse.least

    @property
    def good(self) -> bool:
        """Whether it is within its target, the ratio, and what fhir.resources takes, parsing included in both."""
        whole = self.validate.least + self.decode.least
        return (
            self.validate.least <= self.case.target
            and self.ratio <= self.case.most
            and (self.other is None or whole < self.other.least)
        )


def took(function: Callable[[], object], seconds: float) -> Took:
    """What a call takes, after one that warms up: of the calls of some seconds, five at least."""
    function()
    found: list[float] = []
    until = time.monotonic() + seconds
    gc.collect()
    gc.disable()  # a collection walks what this process keeps besides, which no server process does
    try:
        while len(found) < 5 or time.monotonic() < until:
            begun = time.process_time_ns()
            function()
            found.append((time.process_time_ns() - begun) / 1000)
    finally:
        gc.enable()
    return Took(min(found), statistics.median(found))


def cases(folder: Path) -> Iterator[Case]:
    """A Patient, an Observation of median size and a Bundle of about 400 entries of Synthea, at base; a US Core Patient.

    `folder` takes the installed package. A line to the standard error says which are left out, and why.
    """
    data = synthea(100)
    if data is None:
        print(f"left out: the reference data (synthea/{SEPARATE}) is not there", file=sys.stderr)
        return
    body = min((load for load in data.loads if load.entries), key=lambda load: abs(load.entries - ENTRIES)).body
    resources = [entry["resource"] for entry in _decode(body)["entry"]]
    base = Validator(r4()).validate
    patient = next(_encode(one) for one in resources if one["resourceType"] == "Patient")
    observations = sorted((_encode(one) for one in resources if one["resourceType"] == "Observation"), key=len)
    yield Case("Patient", patient, base, 250)
    yield Case("Observation", observations[len(observations) // 2], base, 120)
    yield Case(f"Bundle of {len(resources)}", body, base, 60_000)
    yield from _us_core(folder, patient, base)


def _us_core(folder: Path, patient: bytes, base: Callable[[Json], list[Any]]) -> Iterator[Case]:
    place = (reference_data() or Path()).parent / "packages" / US_CORE_PACKAGE
    if not place.exists():
        print(f"left out: US Core is not at {place}", file=sys.stderr)
        return
    install(place, folder)
    against = ProfileValidator(Registry(folder)).validate
    yield Case("US Core Patient", patient, lambda one: [*base(one), *against(one, [US_CORE])], 1_000, math.inf)


def row(case: Case, seconds: float) -> Row:
    """One case measured; each of its columns takes some seconds. Raises ValueError for a resource that is not valid."""
    resource = _decode(case.body)
    wrong = [issue for issue in _issues(case.validate(resource)) if issue.severity == "error"]
    if wrong:
        raise ValueError(f"{case.name} is not valid: {wrong[0]}")
    return Row(
        case,
        took(lambda: case.validate(resource), seconds),
        took(lambda: _decode(case.body), seconds),
        took(lambda: parser()(case.body), seconds),
        _other(case.body, seconds),
    )


def _issues(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def parser() -> Callable[[bytes], object]:
    """orjson.loads where it is installed, else that of the standard library."""
    try:
        loads: Callable[[bytes], object] = importlib.import_module("orjson").loads
    except ImportError:
        return json.loads
    return loads


def _other(body: bytes, seconds: float) -> Took | None:
    """fhir.resources on the same bytes; it has R4B, which lacks some of what R4 has."""
    name = _decode(body)["resourceType"]
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)
    try:
        model.model_validate_json(body)
    except ValueError:
        return None
    return took(lambda: model.model_validate_json(body), seconds)


def table(rows: list[Row]) -> str:
    """The rows as Markdown; microseconds."""
    lines = [
        "| | bytes | validate, least | median | target | parse | ratio | our decode | fhir.resources | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for one in rows:
        other = "refuses it" if one.other is None else f"{one.other.least:,.0f}"
        lines.append(
            f"| {one.case.name} | {len(one.case.body):,} | {one.validate.least:,.0f} | {one.validate.median:,.0f} "
            f"| {one.case.target:,} | {one.parse.least:,.0f} | {one.ratio:.1f} | {one.decode.least:,.0f} | {other} "
            f"| {'within' if one.good else 'MISSED'} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] = (), seconds: float = 1.0) -> int:
    """Measures and prints, with `--record` into docs/performance.md, too; 1 where a target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(case, seconds) for case in cases(Path(folder))]
    print(table(rows))
    if rows and "--record" in arguments:
        on = report.machine()
        said = f"Measured {datetime.now(UTC):%Y-%m-%d}, one process on {on['processor']}, Python {on['python']}; microseconds."
        report.between(report.PAGE, BEGIN, END, f"{said}\n\n{table(rows)}")
    return 0 if all(one.good for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
