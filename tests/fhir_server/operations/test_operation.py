"""What an operation is: https://hl7.org/fhir/R4/operationdefinition.html."""

import re
from pathlib import Path
from typing import Any

import pytest

from fhir_server.operations.operation import Operation, specified
from fhir_server.operations.registry import OPERATIONS, definition, stated
from profiles.definitions import r4

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


async def nothing(context: Any, call: Any) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("identity", "affects_state", "simple", "paths"),
    [
        ("Resource-validate", False, True, ["[type]/$validate", "[type]/[id]/$validate"]),
        ("Patient-everything", False, True, ["Patient/$everything", "Patient/[id]/$everything"]),
        ("Claim-submit", True, False, ["Claim/$submit"]),
        ("Patient-match", False, False, ["Patient/$match"]),
        ("ConceptMap-closure", True, False, ["$closure"]),
        ("Resource-meta", False, True, ["$meta", "[type]/$meta", "[type]/[id]/$meta"]),
    ],
)
def test_paths_and_methods_follow_from_the_definition(identity: str, affects_state: bool, simple: bool, paths: list):
    operation = Operation(specified(identity), nothing, affects_state)
    assert operation.simple is simple
    assert [path for _, path in operation.paths()] == paths


@pytest.mark.parametrize("one", r4().operations(), ids=lambda one: one["id"])
def test_every_definition_of_the_specification_can_be_read(one: dict[str, Any]):
    operation = Operation(one, nothing, affects_state=True)
    assert operation.code == one["code"]
    assert not operation.own
    assert len(operation.parameters) == sum(parameter["use"] == "in" for parameter in one.get("parameter", ()))


def test_the_registry_says_where_operations_are():
    assert {"name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate"} in stated(
        "Basic"
    )
    assert "validate" not in {one["name"] for one in stated("")}
    assert definition("mediconnect-fhirpath")["code"] == "fhirpath"
    assert definition("Resource-validate") is None


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.code)
def test_every_operation_is_documented_with_its_parameters(operation: Operation):
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## \${operation.code}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    for _, path in operation.paths():
        assert f"`[base]/{path}`" in section[1], path
    for one in operation.parameters:
        assert f"`{one.name}`" in section[1], one.name


def test_the_page_documents_nothing_else():
    headings = re.findall(r"^## \$(\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(one.code for one in OPERATIONS)
