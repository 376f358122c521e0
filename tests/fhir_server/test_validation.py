import re
from typing import Any

import pytest

from fhir_server.outcome import STATUS, Issue, Refusal
from fhir_server.packages import Packages
from fhir_server.settings import Settings
from fhir_server.validation import Validation, base_issues, structural_issues
from tests.profiles.mutations import BASE, STRUCTURE, patient


def test_a_valid_resource_has_no_issues():
    assert structural_issues(patient()) == base_issues(patient()) == []


def test_an_issue_has_the_form_of_an_operation_outcome():
    assert structural_issues({"resourceType": "Patient", "brithDate": "2000"}) == [
        Issue(
            "structure",
            "Patient has no element 'brithDate'; did you mean 'birthDate'?",
            ("Patient.brithDate",),
            "error",
        )
    ]


def test_rules_beyond_structure_are_left_to_the_other_level():
    resource = {"resourceType": "Patient", "gender": "x"}
    assert structural_issues(resource) == []
    assert [(issue.code, issue.expression) for issue in base_issues(resource)] == [
        ("code-invalid", ("Patient.gender",))
    ]


@pytest.mark.parametrize("mutation", [*STRUCTURE, *BASE], ids=lambda mutation: mutation.name)
def test_every_issue_has_a_status_and_at_most_one_expression(mutation):
    for issue in base_issues(mutation.mutant()):
        assert issue.code in STATUS
        assert len(issue.expression) <= 1


# Levels.

UNKNOWN = "http://example.org/fhir/StructureDefinition/unknown"


def rules(tmp_path, asked=None, *, relax=False, strict=False, **settings: Any) -> Validation:
    return Validation(Settings(**settings), Packages(tmp_path), asked, relax=relax, strict=strict)


@pytest.mark.parametrize(
    ("asked", "relax", "level"),
    [
        (None, False, "base"),
        ("structure", False, "base"),
        ("base", False, "base"),
        ("profiles", False, "profiles"),
        ("structure", True, "structure"),
    ],
)
def test_a_higher_level_is_granted_and_a_lower_one_by_setting(tmp_path, asked, relax, level):
    assert rules(tmp_path, asked, relax=relax).level("Patient") == level


@pytest.mark.parametrize(
    ("resource_type", "level"), [("Patient", "profiles"), ("Observation", "structure"), ("Group", "base")]
)
def test_types_have_levels_of_their_own(tmp_path, resource_type, level):
    settings = {"validation_types": "Observation=structure", "required_profiles": f"Patient={UNKNOWN}"}
    assert rules(tmp_path, **settings).level(resource_type) == level


def test_a_lower_level_is_refused_to_the_strict(tmp_path):
    with pytest.raises(Refusal, match="is not granted here") as refused:
        rules(tmp_path, "structure", strict=True)(patient())
    assert refused.value.status == 400


def test_what_a_profile_refuses_is_422_whatever_its_issue_type(tmp_path):
    claiming = {**patient(), "meta": {"profile": [UNKNOWN]}}
    assert [issue.severity for issue in rules(tmp_path)(claiming)] == ["warning"]
    with pytest.raises(Refusal) as refused:
        rules(tmp_path, "profiles")(claiming)
    assert [refused.value.status, refused.value.issues[0].code] == [422, "not-found"]


def test_the_first_error_decides_on_the_status_not_a_warning_before_it():
    issues = [Issue("not-found", "a", severity="warning"), Issue("invariant", "b")]
    assert Refusal(issues).status == 422
    assert Refusal(issues[:1]).status == 404


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"validation_types": "Patient"}, "'Patient' is not of the form Type=…"),
        ({"validation_types": "Patient=profile"}, "Patient=profile: a level is structure, base, profiles"),
        ({"validation_types": "Patient=base Patient=profiles"}, "Patient is given two levels"),
        ({"validation_types": "Resource=base"}, "Resource is no R4 resource type"),
        ({"required_profiles": "Patient=us-core-patient"}, "a profile is named by its canonical"),
        ({"required_profiles": f"Patint={UNKNOWN}"}, "Patint is no R4 resource type"),
        ({"required_profiles": f"Patient={UNKNOWN}", "validation_types": "Patient=base"}, "at the level base only"),
        ({"validation": "strict"}, "'structure', 'base' or 'profiles'"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_settings_that_make_no_sense_are_refused_with_a_sentence(settings, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        Settings(**settings)


def test_lists_in_settings_are_separated_by_commas_or_white_space():
    settings = Settings(
        validation_types=" Patient=profiles,Group=base\tBasic=structure ",
        required_profiles=f"Patient={UNKNOWN}|1.0.0  Patient={UNKNOWN}2, Device={UNKNOWN}",
    )
    assert settings.levels == {
        "Patient": "profiles", "Group": "base", "Basic": "structure", "Device": "profiles"
    }  # fmt: skip
    assert settings.profiles == {"Patient": (f"{UNKNOWN}|1.0.0", f"{UNKNOWN}2"), "Device": (UNKNOWN,)}
