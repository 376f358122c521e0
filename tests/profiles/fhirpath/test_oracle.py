"""A second implementation, fhirpathpy, finds the same with the search parameters of R4 in Synthea's resources."""

import gzip
import json
import re
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.json import parse_json
from profiles.definitions import r4
from profiles.fhirpath import evaluate
from tests.reference import reference

# It has no resolve() and hasExtension(), and takes Resource.id to be empty on a Patient.
BEYOND_IT = re.compile(r"resolve\(|hasExtension\(|^Resource\.|^DomainResource\.")
PER_TYPE = 2


def comparable(value: Any) -> Any:
    match value:
        case dict():
            return {key: comparable(member) for key, member in value.items()}
        case list():
            return [comparable(member) for member in value]
        case bool():
            return value
        case int() | float() | Decimal():
            return float(value)
        case str() | None:
            return value
        case _:
            return str(value)


def of_types(expression: str) -> str:
    """`as` written as ofType(), without which fhirpathpy refuses more than one item."""
    return re.sub(r"\(?([\w.]+) as (\w+)\)?", r"\1.ofType(\2)", expression)


@pytest.mark.slow
def test_search_parameters_find_the_same_as_fhirpathpy() -> None:
    fhirpathpy = pytest.importorskip("fhirpathpy")
    from fhirpathpy.models import models  # noqa: PLC0415 - only where the oracle is there

    parameters = defaultdict(set)
    for parameter in r4().search_parameters():
        for base in parameter.get("base", ()):
            if "expression" in parameter and not BEYOND_IT.search(parameter["expression"]):
                parameters[base].add(parameter["expression"])
    seen: Counter[str] = Counter()
    compared = 0
    for path in sorted(reference("synthea/bulk-data-server-100").glob("*.gz"))[::50]:
        data = gzip.decompress(path.read_bytes())
        ours, theirs = parse_json(data), json.loads(data)
        for mine, other in zip(ours["entry"], theirs["entry"], strict=True):
            kind = mine["resource"]["resourceType"]
            seen[kind] += 1
            for expression in sorted(parameters[kind]) if seen[kind] <= PER_TYPE else ():
                expected = fhirpathpy.evaluate(other["resource"], of_types(expression), {}, models["r4"])
                assert comparable(evaluate(mine["resource"], expression)) == comparable(expected), expression
                compared += 1
    assert compared > 300
