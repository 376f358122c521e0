from pathlib import Path
from typing import Any

import pytest

from profiles.install import install
from profiles.issue import Issue
from profiles.profile_validator import ProfileValidator
from profiles.registry import Registry
from tests.profiles.npm import npm, profile

Json = dict[str, Any]
URL = "http://example.org/fhir/StructureDefinition/"
OBSERVATION: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "one"}}


def checked(folder: Path, resource: Json, *definitions: Json) -> list[Issue]:
    install(npm(folder, *definitions), folder / "packages")
    return ProfileValidator(Registry(folder / "packages")).validate(resource, [f"{URL}it"])


def found(issues: list[Issue]) -> list[tuple[str, str, str]]:
    return [(issue.severity, issue.code, issue.location) for issue in issues]


@pytest.mark.parametrize(
    ("path", "limit", "more", "wrong"),
    [
        ("value[x]", {"minValueInteger": 5}, {"valueInteger": 4}, True),
        ("value[x]", {"minValueInteger": 5}, {"valueInteger": 5}, False),
        ("value[x]", {"maxValueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "kg"}}, {"valueQuantity": {"value": 1001, "system": "http://unitsofmeasure.org", "code": "g"}}, True),
        ("value[x]", {"maxValueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "kg"}}, {"valueQuantity": {"value": 999, "system": "http://unitsofmeasure.org", "code": "g"}}, False),
        ("value[x]", {"maxValueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "kg"}}, {"valueQuantity": {"value": 2, "system": "http://unitsofmeasure.org", "code": "m"}}, False),
        ("effective[x]", {"minValueDateTime": "2020-05-01"}, {"effectiveDateTime": "2020-04"}, True),
        ("effective[x]", {"minValueDateTime": "2020-05-01"}, {"effectiveDateTime": "2020-05"}, False),
        ("effective[x]", {"minValueDateTime": "2020-05-01T00:00:00Z"}, {"effectiveDateTime": "2020-05-01T01:00:00+02:00"}, True),
        ("effective[x]", {"minValueDateTime": "2020-05-01"}, {"effectivePeriod": {"start": "2019-01-01"}}, False),
        ("issued", {"maxValueInstant": "2020-05-01T00:00:00Z"}, {"issued": "2020-04-30T23:30:00-01:00"}, True),
    ],
)  # fmt: skip
def test_limits_go_by_the_order_of_the_type(path: str, limit: Json, more: Json, wrong: bool, tmp_path: Path) -> None:
    definition = profile("it", "Observation", {"path": f"Observation.{path}", **limit})
    place = f"Observation.{path.removesuffix('[x]')}"
    assert found(checked(tmp_path, {**OBSERVATION, **more}, definition)) == [("error", "value", place)] * wrong


def referring(*aggregation: str) -> Json:
    targets = {"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}
    aggregated = targets | ({"aggregation": list(aggregation)} if aggregation else {})
    return profile("it", "Observation", {"path": "Observation.subject", "type": [aggregated]})


@pytest.mark.parametrize(
    ("aggregation", "reference", "wrong"),
    [
        ((), "Patient/1", False),
        (("referenced",), "Patient/1", False),
        (("referenced",), "#p", True),
        (("contained",), "Patient/1", True),
        (("contained",), "#p", False),
        (("bundled",), "Patient/1", True),
        (("contained", "bundled"), "#p", False),
    ],
)
def test_a_reference_is_of_the_kind_that_is_allowed(
    aggregation: tuple[str, ...], reference: str, wrong: bool, tmp_path: Path
) -> None:
    contained = [{"resourceType": "Patient", "id": "p"}]
    resource = {**OBSERVATION, "contained": contained, "subject": {"reference": reference}}
    issues = checked(tmp_path, resource, referring(*aggregation))
    assert found(issues) == [("error", "value", "Observation.subject")] * wrong


TARGET = profile("named", "Patient", {"path": "Patient.name", "min": 1})
TO_NAMED = profile(
    "it",
    "Observation",
    {"path": "Observation.subject", "type": [{"code": "Reference", "targetProfile": [f"{URL}named"]}]},
)


@pytest.mark.parametrize(
    ("patient", "issues"),
    [
        ({"name": [{"text": "A"}]}, []),
        ({"gender": "female"}, [("error", "structure", "Observation.subject")]),
    ],
)
def test_what_a_reference_leads_to_meets_a_target_profile_where_it_is_at_hand(
    patient: Json, issues: list[Any], tmp_path: Path
) -> None:
    contained = [{"resourceType": "Patient", "id": "p", **patient}]
    resource = {**OBSERVATION, "contained": contained, "subject": {"reference": "#p"}}
    assert found(checked(tmp_path, resource, TO_NAMED, TARGET)) == issues
    assert checked(tmp_path, {**OBSERVATION, "subject": {"reference": "Patient/p"}}, TO_NAMED, TARGET) == []


def test_resources_that_refer_to_each_other_end(tmp_path: Path) -> None:
    back = {"path": "Patient.link.other", "type": [{"code": "Reference", "targetProfile": [f"{URL}circle"]}]}
    circle = profile("circle", "Patient", back)
    patient = {"resourceType": "Patient", "id": "p", "link": [{"other": {"reference": "#q"}, "type": "seealso"}]}
    other = {"resourceType": "Patient", "id": "q", "link": [{"other": {"reference": "#"}, "type": "seealso"}]}
    resource = {**patient, "contained": [other]}
    assert checked(tmp_path, resource, {**circle, "id": "it", "url": f"{URL}it"}, circle) == []


def test_a_resource_inside_another_one_is_compared_with_the_profiles_it_claims(tmp_path: Path) -> None:
    claiming = {"resourceType": "Patient", "meta": {"profile": [f"{URL}named"]}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": claiming}]}
    install(npm(tmp_path, TARGET), tmp_path / "packages")
    validator = ProfileValidator(Registry(tmp_path / "packages"))
    assert found(validator.validate(bundle, [])) == [("error", "required", "Bundle.entry[0].resource.name")]
    unknown = {"resourceType": "Patient", "id": "p", "meta": {"profile": [f"{URL}nowhere"]}}
    contained = {**OBSERVATION, "contained": [unknown]}
    assert found(validator.validate(contained, [])) == [("warning", "not-found", "Observation.contained[0]")]


def extension(**more: Any) -> Json:
    value = {"path": "Extension.value[x]", "min": 1, "type": [{"code": "code"}]}
    return profile("it", "Extension", {"path": "Extension", **more.pop("root", {})}, value, **more)


MODIFIES = {"isModifier": True, "isModifierReason": "it says no"}


@pytest.mark.parametrize(
    ("definition", "name", "issues"),
    [
        (extension(), "extension", []),
        (extension(), "modifierExtension", [("error", "extension", "Observation.modifierExtension[0]")]),
        (extension(root=MODIFIES), "modifierExtension", []),
        (extension(root=MODIFIES), "extension", [("error", "extension", "Observation.extension[0]")]),
        (extension(contextInvariant=["status = 'final' and %extension.value = 'a'"]), "extension", []),
        (
            extension(contextInvariant=["status = 'amended'"]),
            "extension",
            [("error", "extension", "Observation.extension[0]")],
        ),
    ],
)
def test_an_extension_stands_where_its_definition_lets_it(
    definition: Json, name: str, issues: list[Any], tmp_path: Path
) -> None:
    install(npm(tmp_path, definition), tmp_path / "packages")
    resource = {**OBSERVATION, name: [{"url": f"{URL}it", "valueCode": "a"}]}
    assert found(ProfileValidator(Registry(tmp_path / "packages")).validate(resource, [])) == issues


def test_a_modifier_extension_nobody_knows_is_told() -> None:
    resource = {**OBSERVATION, "modifierExtension": [{"url": "http://example.org/unknown", "valueCode": "x"}]}
    issues = ProfileValidator(Registry()).validate(resource, [])
    assert found(issues) == [("warning", "not-found", "Observation.modifierExtension[0]")]


SNOMED = {"system": "http://snomed.info/sct", "filter": [{"property": "concept", "op": "is-a", "value": "1"}]}
LISTED = {"system": "http://example.org/s", "concept": [{"code": "a"}]}


@pytest.mark.parametrize(
    ("concept", "wrong"),
    [
        ({"coding": [{"system": "http://snomed.info/sct", "code": "2"}]}, False),
        ({"coding": [{"system": "http://example.org/s", "code": "a"}]}, False),
        ({"coding": [{"system": "http://example.org/s", "code": "b"}]}, True),
        ({"coding": [{"system": "http://example.org/other", "code": "a"}]}, True),
        ({"coding": [{"system": "http://example.org/other", "code": "a"}, {"system": "http://snomed.info/sct", "code": "2"}]}, False),
        ({"text": "a"}, True),
    ],
)  # fmt: skip
def test_a_code_is_refused_that_a_value_set_of_unknown_codes_cannot_have(
    concept: Json, wrong: bool, tmp_path: Path
) -> None:
    values = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": "http://example.org/v",
        "compose": {"include": [SNOMED, LISTED]},
    }
    bound = {"path": "Observation.code", "binding": {"strength": "required", "valueSet": "http://example.org/v"}}
    issues = checked(tmp_path, {**OBSERVATION, "code": concept}, profile("it", "Observation", bound), values)
    assert found(issues) == [("error", "code-invalid", "Observation.code")] * wrong
