import pytest

from fhir_server.outcome import STATUS, Issue
from fhir_server.validation import base_issues, structural_issues
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
