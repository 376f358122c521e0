from decimal import Decimal
from typing import Any

import pytest

from profiles.criterion import equals, has_pattern, is_in, matcher, resolved
from profiles.fhirpath.element import members, root
from profiles.slicing import (
    Bound,
    Child,
    Conforming,
    Criterion,
    Extension,
    Fixed,
    OfType,
    Pattern,
    Present,
    Resolve,
    Step,
    Typed,
)

CODING = {"system": "http://example.org/s", "code": "a"}


@pytest.mark.parametrize(
    ("value", "fixed", "answer"),
    [
        ("a", "a", True),
        ("a", "b", False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (Decimal("1.0"), Decimal("1.00"), True),
        (1, Decimal("1.0"), True),
        ("1", 1, False),
        (None, "a", False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        (CODING, CODING, True),
        ({**CODING, "display": "A"}, CODING, False),
        ("a", CODING, False),
    ],
)
def test_a_fixed_value_is_met_by_its_equal(value: Any, fixed: Any, answer: bool) -> None:
    assert equals(value, fixed) is answer


@pytest.mark.parametrize(
    ("value", "pattern", "answer"),
    [
        ({**CODING, "display": "A"}, CODING, True),
        ({"code": "a"}, CODING, False),
        ({"coding": [{"code": "b"}, {**CODING, "display": "A"}]}, {"coding": [CODING]}, True),
        ({"coding": [{"code": "b"}]}, {"coding": [CODING]}, False),
        ({"coding": CODING}, {"coding": [CODING]}, False),
        (None, CODING, False),
        ("a", "a", True),
    ],
)
def test_a_pattern_is_met_by_what_has_at_least_that(value: Any, pattern: Any, answer: bool) -> None:
    assert has_pattern(value, pattern) is answer


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("a", True),
        ("b", False),
        (CODING, True),
        ({"code": "a"}, True),
        ({"system": "http://x", "code": "a"}, False),
        ({"coding": [{"code": "b"}, CODING]}, True),
        ({"text": "a"}, False),
        (None, False),
    ],
)
def test_a_coded_value_is_in_a_value_set_with_one_of_its_codes(value: Any, answer: bool) -> None:
    assert is_in(value, frozenset({("http://example.org/s", "a")})) is answer


OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "contained": [{"resourceType": "Patient", "id": "p", "gender": "female"}],
    "extension": [{"url": "http://example.org/e", "valueCode": "x"}],
    "status": "final",
    "code": {"coding": [CODING]},
    "subject": {"reference": "#p"},
    "performer": [{"reference": "Practitioner/1"}],
    "device": {"reference": "urn:uuid:0b2dd65a-54ac-4a3b-9c5e-5f6e7c3b1f01"},
    "valueQuantity": {"value": 1},
}


@pytest.mark.parametrize(
    ("steps", "demand", "answer"),
    [
        ([Child("status")], Fixed("final"), True),
        ([Child("status")], Fixed("amended"), False),
        ([Child("issued")], Fixed("x"), False),
        ([Child("code")], Pattern({"coding": [{"code": "a"}]}), True),
        ([Child("code"), Child("coding"), Child("code")], Fixed("a"), True),
        ([Child("code")], Bound("http://example.org/v"), True),
        ([Child("code")], Bound("http://example.org/unknown"), None),
        ([Child("issued")], Present(wanted=False), True),
        ([Child("value")], Present(wanted=True), True),
        ([Child("value")], Typed(("Quantity",)), True),
        ([Child("status")], Typed(("string",)), False),
        ([], Typed(("Resource",)), True),
        ([Child("value"), OfType("Quantity")], Present(wanted=True), True),
        ([Child("value"), OfType("string")], Present(wanted=True), False),
        ([Extension("http://example.org/e"), Child("value")], Fixed("x"), True),
        ([Child("subject"), Resolve(), Child("gender")], Fixed("female"), True),
        ([Child("subject"), Resolve()], Typed(("Group",)), False),
        ([Child("performer"), Resolve()], Typed(("Practitioner",)), True),
        ([Child("performer"), Resolve()], Typed(("Organization",)), False),
        ([Child("performer"), Resolve(), Child("gender")], Fixed("female"), None),
        ([Child("device"), Resolve()], Typed(("Device",)), None),
        ([Child("subject"), Resolve()], Conforming(("known",)), True),
        ([Child("subject"), Resolve()], Conforming(("unknown",)), None),
    ],
)
def test_a_criterion_is_met_is_not_met_or_cannot_be_told(steps: list[Step], demand: Any, answer: bool | None) -> None:
    codes = {"http://example.org/v": frozenset({("http://example.org/s", "a")})}
    match = matcher(
        (Criterion(tuple(steps), demand),), codes.get, lambda _, profiles: True if profiles == ("known",) else None
    )
    assert match(root(OBSERVATION)) is answer


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ((True, True), True),
        ((True, False), False),
        ((None, False), False),
        ((False, None), False),
        ((None, True), None),
    ],
)
def test_all_criteria_have_to_be_met(answers: tuple[bool | None, ...], answer: bool | None) -> None:
    told = {str(number): one for number, one in enumerate(answers)}
    criteria = tuple(Criterion((), Conforming((name,))) for name in told)
    assert matcher(criteria, lambda _: None, lambda _, profiles: told[profiles[0]])(root(OBSERVATION)) is answer


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("urn:uuid:1", "one"),
        ("Patient/2", "two"),
        ("http://example.org/fhir/Patient/2", "two"),
        ("#in", "in"),
        ("Patient/3", None),
        (None, None),
    ],
)
def test_a_reference_is_followed_inside_its_resource_and_its_bundle(reference: str | None, found: str | None) -> None:
    holder = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Patient", "id": "in"}],
        "subject": {"reference": reference},
    }
    entries = [
        ("urn:uuid:1", {"resourceType": "Patient", "id": "one"}),
        ("http://example.org/fhir/Patient/2", {"resourceType": "Patient", "id": "two"}),
    ]
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": holder}, *({"fullUrl": url, "resource": one} for url, one in entries)],
    }
    element = members(members(members(root(bundle), "entry")[0], "resource")[0], "subject")[0]
    target = resolved(reference, element)
    assert (target and target["id"]) == found
