"""Paths: what they yield from the JSON of a resource.

https://hl7.org/fhir/R4/fhirpath.html
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.expression import Condition, NotPlain, parse
from fhir_server.search.path import DeadExpressionError, Node, Path, compile_branch, compile_condition
from profiles.definitions import r4

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": True,
    "name": [{"family": "Abendroth", "given": ["Ida", None, "Ulla"]}, {"text": "Ida", "_family": {"id": "f"}}],
    "_birthDate": {"extension": [{"url": "http://example.org/unknown", "valueCode": "unknown"}]},
    "telecom": [{"system": "phone", "value": "1", "rank": 1}, {"system": "email", "value": "2"}, {"value": "3"}],
    "multipleBirthInteger": 2,
    "extension": [
        {"url": "http://example.org/a", "valueString": "x"},
        {"url": "http://example.org/b", "valueDecimal": Decimal("1.50")},
        {"url": "http://example.org/a", "valueCoding": {"code": "y"}},
    ],
    "contained": [{"resourceType": "Organization", "name": "O"}, {"resourceType": "Device", "id": "d"}],
}


def path(resource_type: str, text: str) -> Path:
    parsed = parse(text)
    if isinstance(parsed, Condition):
        return compile_condition(resource_type, parsed.criteria, r4())
    (branch,) = parsed
    return compile_branch(resource_type, (resource_type,), branch, r4())


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("active", [("boolean", True)]),
        ("name.family", [("string", "Abendroth")]),
        ("name.given", [("string", "Ida"), ("string", "Ulla")]),
        ("name.given[1]", [("string", "Ulla")]),
        ("name[1]", [("HumanName", PATIENT["name"][1])]),
        ("name[2]", []),
        ("name[0].given.first()", [("string", "Ida")]),
        ("birthDate", []),
        ("telecom.value", [("string", "1"), ("string", "2"), ("string", "3")]),
        ("telecom.where(system='phone').value", [("string", "1")]),
        ("telecom.where(system!='phone').value", [("string", "2")]),
        ("telecom.where(rank=1).value", [("string", "1")]),
        ("telecom.where(system.empty()).value", [("string", "3")]),
        ("telecom.where(system.exists() and rank.exists()).value", [("string", "1")]),
        ("name.where(given='Ida').family", []),  # a collection of two is not equal to one
        ("name.given.where($this='Ulla')", [("string", "Ulla")]),
        ("multipleBirth", [("integer", 2)]),
        ("multipleBirth.ofType(integer)", [("integer", 2)]),
        ("multipleBirth.ofType(boolean)", []),
        ("extension('http://example.org/a').value", [("string", "x"), ("Coding", {"code": "y"})]),
        ("extension('http://example.org/b').value.ofType(decimal)", [("decimal", Decimal("1.50"))]),
        ("contained", [("Organization", PATIENT["contained"][0]), ("Device", PATIENT["contained"][1])]),
        ("contained.ofType(Organization).name", [("string", "O")]),
        ("active.exists() and active != false", [("boolean", True)]),
        ("deceased.exists() and deceased != false", [("boolean", False)]),
        ("name.exists() and multipleBirth = 1", [("boolean", False)]),
        ("multipleBirth != true", [("boolean", True)]),
    ],
)
def test_a_path_yields_typed_nodes(text: str, nodes: list[Node]):
    assert path("Patient", text).nodes(PATIENT) == nodes


@pytest.mark.parametrize(
    ("deceased", "answer"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2020"}, True),
    ],
)
def test_deceased_is_true_of_who_died_at_a_time_too(deceased: dict[str, Any], answer: bool):
    asked = path("Patient", "deceased.exists() and deceased != false")
    assert asked.nodes({"resourceType": "Patient", **deceased}) == [("boolean", answer)]


@pytest.mark.parametrize(
    ("resource_type", "text", "written", "types", "properties"),
    [
        ("Patient", "name", "Patient.name", ("HumanName",), {"name"}),
        ("Patient", "deceased", "Patient.deceased", ("boolean", "dateTime"), {"deceasedBoolean", "deceasedDateTime"}),
        ("Observation", "(value as Quantity)", "Observation.value.ofType(Quantity)", ("Quantity",), None),
        ("Bundle", "entry[0].resource", "Bundle.entry[0].resource", ("Resource",), {"entry"}),
        ("Observation", "component", "Observation.component", ("Observation.component",), {"component"}),
    ],
)
def test_a_path_knows_its_text_types_and_properties(
    resource_type: str, text: str, written: str, types: tuple[str, ...], properties: set[str] | None
):
    made = path(resource_type, text)
    assert (made.text, made.types) == (written, types)
    assert properties is None or made.properties == properties


@pytest.mark.parametrize(
    ("resource_type", "text", "system"),
    [
        ("Patient", "gender", "http://hl7.org/fhir/administrative-gender"),
        ("Observation", "status", "http://hl7.org/fhir/observation-status"),
        ("Task", "intent", None),  # of two systems
        ("Subscription", "channel.payload", None),  # media types, a grammar
        ("Patient", "language", None),
        ("SearchParameter", "code", None),  # bound to nothing
        ("Condition", "clinicalStatus", "http://terminology.hl7.org/CodeSystem/condition-clinical"),
        ("Observation", "category", None),  # bound to one system, but others may stand there
        ("Patient", "name.family", None),
    ],
)
def test_the_system_of_a_code_is_that_of_its_binding(resource_type: str, text: str, system: str | None):
    assert path(resource_type, text).code_system == system


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nmae", DeadExpressionError),
        ("name.ofType(Address)", DeadExpressionError),
        ("deceased.ofType(string)", DeadExpressionError),
        ("name.where(nmae='x')", DeadExpressionError),
        ("birthDate.extension('http://example.org/a')", NotPlain),
        ("contained.name", NotPlain),
        ("multipleBirth[0]", NotPlain),
    ],
)
def test_what_cannot_yield_anything_is_refused_and_what_is_not_plain_is_told(text: str, error: type[Exception]):
    with pytest.raises(error):
        path("Patient", text)


SCALARS = st.sampled_from((None, True, 0, 1, Decimal("1.5"), "", "phone", "Patient", "http://example.org/a"))
KEYS = (
    "name",
    "given",
    "telecom",
    "system",
    "extension",
    "url",
    "contained",
    "resourceType",
    "valueString",
    "deceasedBoolean",
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
ANY_PATH = [
    path("Patient", text)
    for text in (
        "name",
        "name.given",
        "name.given[1]",
        "telecom.where(system='phone')",
        "telecom.where(rank=1).value",
        "extension('http://example.org/a').value",
        "contained",
        "contained.ofType(Patient).name.where(given.exists()).given",
        "deceased.exists() and deceased != false",
    )
]


@given(st.dictionaries(st.sampled_from(("name", "telecom", "extension", "contained", "deceasedBoolean")), JSON))
def test_odd_json_never_raises_and_yields_only_nodes_of_the_right_kind(resource: dict[str, Any]):
    for made in ANY_PATH:
        for name, value in made.nodes(resource):
            expected = {"boolean": bool, "string": str, "HumanName": dict, "ContactPoint": dict}
            assert isinstance(value, expected.get(name, object))
