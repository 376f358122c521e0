"""What an operation is called with: https://hl7.org/fhir/R4/operations.html#request."""

import re
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.operations.arguments import arguments_of
from fhir_server.operations.operation import ANY_NAME, Operation, defined, parameter
from fhir_server.outcome import Refusal

PATIENT = {"resourceType": "Patient", "id": "ida"}


async def nothing(context: Any, call: Any) -> dict[str, Any]:
    return {}


TRY = Operation(
    defined(
        "try",
        "Takes what a test sends.",
        ("system",),
        [
            parameter("resource", "in", "0..1", "Patient", "A Patient."),
            parameter("count", "in", "0..1", "integer", "A number."),
            parameter("rate", "in", "0..1", "decimal", "A number with a point."),
            parameter("deep", "in", "0..1", "boolean", "Whether."),
            parameter("on", "in", "0..2", "date", "Days."),
            parameter("profile", "in", "0..*", "canonical", "Profiles."),
            parameter("coding", "in", "0..1", "Coding", "A code."),
            parameter("anything", "in", "0..1", "Any", "Of any type."),
            parameter("pair", "in", "0..*", [
                parameter("left", "in", "1..1", "string", "One."),
                parameter("right", "in", "0..1", "string", "The other."),
            ], "Two texts."),
            parameter("values", "in", "0..1", [parameter(ANY_NAME, "in", "0..*", "Element", "One.")], "Named values."),
            parameter("return", "out", "1..1", "Patient", "The same."),
        ],
    ),
    nothing,
    affects_state=False,
)  # fmt: skip


def listed(*parameters: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


@pytest.mark.parametrize(
    ("body", "pairs", "found"),
    [
        (None, [], []),
        (None, [("count", "3"), ("_format", "json")], [("count", "integer", 3)]),
        (None, [("rate", "1.50")], [("rate", "decimal", Decimal("1.50"))]),
        (None, [("deep", "true"), ("on", "2020-01")], [("deep", "boolean", True), ("on", "date", "2020-01")]),
        (PATIENT, [("count", "-1")], [("resource", "Patient", PATIENT), ("count", "integer", -1)]),
        (listed({"name": "resource", "resource": PATIENT}), [], [("resource", "Patient", PATIENT)]),
        (listed({"name": "profile", "valueUri": "http://example.org/p"}), [],
         [("profile", "uri", "http://example.org/p")]),
        (listed({"name": "profile", "valueString": "http://example.org/p"}), [],
         [("profile", "string", "http://example.org/p")]),
        (listed({"name": "coding", "valueCoding": {"code": "x"}}), [], [("coding", "Coding", {"code": "x"})]),
        (listed({"name": "anything", "valueInstant": "2020-01-01T00:00:00Z"}), [],
         [("anything", "instant", "2020-01-01T00:00:00Z")]),
        (listed({"name": "anything", "resource": PATIENT}), [], [("anything", "Patient", PATIENT)]),
    ],
)  # fmt: skip
def test_arguments_come_from_parameters_a_bare_resource_and_the_url(body: Any, pairs: Any, found: Any):
    assert [(one.name, one.type, one.value) for one in arguments_of(TRY, body, pairs)] == found


def test_parts_are_arguments_of_their_own():
    body = listed(
        {"name": "pair", "part": [{"name": "left", "valueString": "a"}]},
        {"name": "values", "part": [{"name": "x", "valueInteger": 1}, {"name": "y", "resource": PATIENT}]},
    )
    pair, values = arguments_of(TRY, body, [])
    assert [(one.name, one.value) for one in pair.parts] == [("left", "a")]
    assert [(one.name, one.type) for one in values.parts] == [("x", "integer"), ("y", "Patient")]


@pytest.mark.parametrize(
    ("body", "pairs", "text"),
    [
        (None, [("cuont", "1")], "unknown parameter 'cuont'; did you mean 'count'?"),
        (None, [("return", "1")], "unknown parameter 'return'"),
        (None, [("count", "1.5")], "count: "),
        (None, [("count", "9" * 5000)], "count: "),
        (None, [("count", "²")], "count: "),
        (None, [("rate", "NaN")], "rate: "),
        (None, [("deep", "yes")], "deep: "),
        (None, [("on", "2020-13")], "on: "),
        (None, [("count", "1"), ("count", "2")], "more than once"),
        (None, [("on", "2020"), ("on", "2021"), ("on", "2022")], "more than 2 times"),
        (None, [("coding", "x")], "cannot be given in the URL"),
        ({"resourceType": "Observation"}, [], "of type Patient; this is Observation"),
        ({"id": "x"}, [], "has no resourceType"),
        (listed({"name": "resource", "resource": {"resourceType": "Group"}}), [], "this is Group"),
        (listed({"name": "resource", "resource": 7}), [], "has no resourceType"),
        (listed({"name": "resource", "valueString": "x"}), [], "of type Patient; this is string"),
        (listed({"name": "count", "resource": PATIENT}), [], "of type integer; this is Patient"),
        (listed({"name": "count", "valueString": "3"}), [], "of type integer; this is string"),
        (listed({"name": "count", "valueInteger": "3"}), [], "count: "),
        (listed({"name": "count", "valueInteger": 3, "valueString": "3"}), [], "one of value[x]"),
        (listed({"name": "count"}), [], "one of value[x]"),
        (listed({"name": "coding", "valueCoding": "x"}), [], "is an object"),
        (listed({"name": "count", "part": []}), [], "has no parts"),
        (listed({"name": "pair", "valueString": "x"}), [], "no value, but parts"),
        (listed({"name": "pair", "part": [{"name": "right", "valueString": "x"}]}), [], "pair.left is missing"),
        (listed({"name": "pair", "part": {}}), [], "is an array"),
        (listed({"valueString": "x"}), [], "has no name"),
        (listed("x"), [], "has no name"),
        ({"resourceType": "Parameters", "parameter": {}}, [], "is an array"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_does_not_fit_the_definition_is_refused(body: Any, pairs: Any, text: str):
    with pytest.raises(Refusal, match=re.escape(text)) as refused:
        arguments_of(TRY, body, pairs)
    assert refused.value.status == 400


def test_a_parameters_resource_may_itself_be_what_an_operation_is_about():
    taking = Operation(
        defined("keep", "Keeps.", ("type",), [parameter("resource", "in", "1..1", "Resource", "Any.")]),
        nothing,
        affects_state=False,
    )
    itself = listed({"name": "x", "valueString": "y"})
    assert arguments_of(taking, itself, [], "Parameters")[0].value == itself
    assert arguments_of(taking, listed({"name": "resource", "resource": itself}), [], "Parameters")[0].value == itself
    with pytest.raises(Refusal, match="unknown parameter 'x'"):
        arguments_of(taking, itself, [], "Patient")
