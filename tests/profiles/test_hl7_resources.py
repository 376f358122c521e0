"""The resources of HL7's test cases, read as JSON and XML: valid, but for those listed with the reason."""

from pathlib import Path
from typing import Any

import pytest

from fhir_server.json import parse_json
from fhir_server.outcome import Refusal
from fhir_server.rest.xml import parse_xml
from profiles.definitions import r4
from profiles.profile_validator import ProfileValidator
from profiles.registry import Registry
from profiles.validator import Validator
from tests.reference import reference

BASE, PROFILES = Validator(r4()), ProfileValidator(Registry())
NO_RESOURCES = {"fhirpath", "graphql", "graphdefinition", "patch"}
INVALID = {
    "bundle-with-no-type.json": ("Bundle.type", "it is meant to have none"),
    "codesystem-example.xml": ("CodeSystem", "the code chol-mass comes twice, which csd-1 forbids"),
    "examples/codesystem-example.json": ("CodeSystem", "the code chol-mass comes twice, which csd-1 forbids"),
    "examples/bundle-questionnaire.json": ("Questionnaire.item[0].item[0].linkId", "items have no linkId"),
    "examples/devicemetric-example.json": ("DeviceMetric.parent.reference", "a parent is a Device in R4, not a definition of one"),
    "examples/deviceusestatement-example.json": ("DeviceUseStatement.reasonReference[0].reference", "a Procedure is no reason in R4"),
    "examples/medicationrequest0301.json": ("MedicationRequest.dispenseRequest.performer.reference", "an Organization dispenses in R4, not a Practitioner"),
    "explanationofbenefit-example.json": ("ExplanationOfBenefit.status", "a resource of an earlier version: what R4 requires is missing"),
    "myconsent-resource.json": ("Consent.period", "a resource of STU3"),
    "patient-container-example.json": ("Patient.contained[0]", "its organization has neither name nor identifier, which org-1 asks for"),
    "r4-caredove-bundle.json": ("Bundle.entry[0].resource.id", "ids are numbers, and narratives empty"),
}  # fmt: skip
NOT_READ = {"myconsent-ext.xml": "<contextType> is of STU3"}


def resources() -> list[Path]:
    found = sorted(path for path in reference("fhir-test-cases/r4").rglob("*") if path.suffix in (".json", ".xml"))
    return [path for path in found if NO_RESOURCES.isdisjoint(path.parts)]


def read(path: Path) -> Any:
    return (parse_json if path.suffix == ".json" else parse_xml)(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))


def refused(resource: dict[str, Any]) -> list[str]:
    issues = BASE.validate(resource)
    if all(issue.severity != "error" for issue in issues):
        issues = PROFILES.validate(resource, resource.get("meta", {}).get("profile", ()))
    return [issue.location for issue in issues if issue.severity == "error"]


def test_the_resources_of_hl7s_test_cases_are_valid_but_for_those_that_are_listed():
    folder, seen = reference("fhir-test-cases/r4"), 0
    invalid: dict[str, list[str]] = {}
    unread: set[str] = set()
    for path in resources():
        name = path.relative_to(folder).as_posix()
        try:
            resource = read(path)
        except Refusal:
            unread.add(name)
            continue
        seen += 1
        if found := refused(resource):
            invalid[name] = found
    assert seen >= 90
    assert unread == NOT_READ.keys()
    assert invalid.keys() == INVALID.keys()
    assert not {name: found for name, found in invalid.items() if INVALID[name][0] not in found}


@pytest.mark.parametrize("name", ["patient-example", "condition-example", "list-example-long", "questionnaire-example"])
def test_a_resource_is_as_valid_in_xml_as_in_json(name: str):
    assert refused(read(reference(f"fhir-test-cases/r4/{name}.xml"))) == []
