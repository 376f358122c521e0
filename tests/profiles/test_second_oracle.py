"""Our structure rules beside those of fhir.resources (R4B): what it refuses we refuse, and what it lets pass is listed."""

import contextlib
import copy
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_server.json import parse_json
from profiles.definitions import r4
from profiles.validator import Validator
from tests.profiles.mutations import STRUCTURE, Resource
from tests.reference import reference

pytestmark = pytest.mark.slow
VALIDATOR = Validator(r4())

# What of `mutations.STRUCTURE` the models let pass, and why.
PASSED = {
    "they turn texts into numbers and booleans, and numbers into each other": {
        "a string where a boolean is due",
        "a string where an integer is due",
        "a string where a decimal is due",
        "a boolean where an integer is due",
        "an integer with a point",
        "a fault in the resource of an entry",
    },
    "they take null and what is empty for what is absent": {
        "null",
        "null for an object",
        "null without an extension beside it",
        "a sibling longer than its array",
        "an empty object",
        "an empty array",
        "an empty resource in an entry",
        "an object with an id alone",
    },
    "they know formats of few primitive types": {
        "an id of 65 characters",
        "a uri with a blank",
        "a canonical with a blank",
        "a control character",
    },
    "they do not look into narrative": {
        "a script",
        "an event handler",
        "a link that runs",
        "XHTML that is not well-formed",
        "a narrative with nothing to read",
    },
    "they look at one element at a time": {"two variants, one by its sibling", "a contained resource without id"},
    "each of their models has a resourceType": {"resourceType in a data type"},
}


def accepted(resource: Resource) -> bool:
    """Whether fhir.resources makes a model of it; it raises errors of many kinds."""
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate_json(json.dumps(resource, default=float))
    except (ValueError, KeyError, TypeError):
        return False
    return True


def right(resource: Resource) -> bool:
    return not [issue for issue in VALIDATOR.validate(resource, "structure") if issue.severity == "error"]


def synthea(step: int) -> Iterator[Resource]:
    for path in sorted(reference("synthea").glob("*/*.json.gz"))[::step]:
        content = parse_json(gzip.decompress(path.read_bytes()))
        yield from (entry["resource"] for entry in content.get("entry", ()) if "resource" in entry)


def test_both_accept_synthetic_patients():
    count = 0
    for resource in synthea(20):
        count += 1
        assert accepted(resource)
        assert right(resource)
    assert count > 1000


def test_what_the_models_let_pass_of_what_is_broken_is_listed():
    passed = {mutation.name for mutation in STRUCTURE if accepted(mutation.mutant())}
    assert passed == set().union(*PASSED.values())


def places(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*here, key)
        yield from places(member, (*here, key))


def broken(resource: Resource, random: Random) -> Resource:
    """A copy with a member or item gone, renamed, doubled, wrapped in an array or put in place of another."""
    made = copy.deepcopy(resource)
    keys = random.choice(list(places(made)))
    holder: Any = made
    for key in keys[:-1]:
        holder = holder[key]
    last = keys[-1]
    match random.randrange(5):
        case 0:
            del holder[last]
        case 1 if isinstance(last, str):
            holder[f"{last}x"] = holder.pop(last)
        case 2:
            holder[last] = [holder[last]]
        case 3:
            holder[last] = random.choice([{"a": 1}, 7, "a b", True, Decimal("1.5"), {"text": "x"}, "2020-13-01"])
        case _ if isinstance(last, str):
            holder[last.removesuffix("Quantity") + "String"] = "x"
    return made


def test_what_the_models_refuse_is_refused():
    random = Random(4)
    resources = list(synthea(40))
    differences: list[tuple[str, Resource]] = []
    refused = 0
    for _ in range(2500):
        mutant = broken(random.choice(resources), random)
        with contextlib.suppress(RecursionError):
            if not accepted(mutant):
                refused += 1
                if right(mutant):
                    differences.append((mutant.get("resourceType", ""), mutant))
    assert refused > 900
    assert not differences
