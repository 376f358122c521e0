"""https://hl7.org/fhir/R4/search.html#reference"""

from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.key import reference_key
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types.reference import extractor
from fhir_server.store.rows import Rows
from tests.fhir_server.search.types.asking import BASE, found, parsed


def about(reference: str | None = None, **others: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "subject": ({"reference": reference} if reference else {}) | others}


CASES: list[tuple[dict[str, Any], str, bool]] = [
    (about("Patient/123"), "subject=Patient/123", True),
    (about("Patient/123"), "subject=123", True),
    (about("Patient/123"), "subject:Patient=123", True),
    (about("Patient/123"), "subject:Group=123", False),
    (about("Group/123"), "subject=123", True),
    (about("Patient/123"), "patient=123", True),
    (about("Patient/123"), "patient=Patient/123", True),
    (about("Group/123"), "patient=123", False),
    (about("Group/123"), "patient=Group/123", False),
    (about("Patient/1234"), "subject=Patient/123", False),
    (about("Patient/123"), f"subject={BASE}/Patient/123", True),
    (about(f"{BASE}/Patient/123"), "subject=Patient/123", True),
    (about(f"{BASE}/Patient/123"), f"subject={BASE}/Patient/123", True),
    (about(f"{BASE}/Patient/123"), "patient=123", True),
    (about("http://other.example/fhir/Patient/123"), "subject=Patient/123", False),
    (about("http://other.example/fhir/Patient/123"), "subject=http://other.example/fhir/Patient/123", True),
    (about("http://other.example/fhir/Group/123"), "patient=http://other.example/fhir/Group/123", False),
    (about("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"), "subject=urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", True),
    (about("Patient/123/_history/4"), "subject=Patient/123", True),
    (about("Patient/123/_history/4"), "subject=Patient/123/_history/4", True),
    (about("Patient/123/_history/4"), "subject=Patient/123/_history/5", False),
    (about("#p"), "subject=http://example.org/#p", False),
    (about(identifier={"system": "http://acme.org/mrn", "value": "7"}), "subject:identifier=http://acme.org/mrn|7", True),
    (about("Patient/7", identifier={"value": "7"}), "subject:identifier=|7", True),
    (about(identifier={"system": "http://acme.org/mrn", "value": "7"}), "subject:identifier=http://acme.org/ssn|7", False),
    (about("Patient/7"), "subject:identifier=7", False),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "query", "expected"), CASES)
def test_a_reference_is_found_by_its_target(resource: dict[str, Any], query: str, expected: bool) -> None:
    assert found(resource, query) is expected


CANONICALS = [
    ("questionnaire=http://acme.org/q", True),
    ("questionnaire=http://acme.org/q|1.2.3", True),
    ("questionnaire=http://acme.org/q|1.2", False),
    ("questionnaire:below=http://acme.org/q", True),
    ("questionnaire:below=http://acme.org/q|1", True),
    ("questionnaire:below=http://acme.org/q|1.2", True),
    ("questionnaire:below=http://acme.org/q|1.2.3", True),
    ("questionnaire:below=http://acme.org/q|2", False),
    ("questionnaire:below=http://acme.org/q|1.2.30", False),
]


@pytest.mark.parametrize(("query", "expected"), CANONICALS)
def test_a_canonical_is_found_with_any_version_of_it_below(query: str, expected: bool) -> None:
    assert (
        found({"resourceType": "QuestionnaireResponse", "questionnaire": "http://acme.org/q|1.2.3"}, query) is expected
    )


def test_a_resource_inside_a_bundle_is_referred_to() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}]}
    assert found(bundle, "composition=c")


def test_a_url_under_the_own_base_is_stored_as_the_relative_reference_that_chains_follow() -> None:
    parameter = r4_parameters().get("Observation", "subject")
    assert parameter is not None
    path, rows = parameter.paths[0], Rows()
    extractor(path, 1, BASE)(path.nodes(about(f"{BASE}/Patient/123")), rows)
    assert {target for _, target in rows.references} == {reference_key(1, "Patient/123")}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("subject=Patinet/1", "did you mean 'Patient'"),
        ("subject=a b", "write an id"),
        ("subject:Practitioner=1", "never refers to Practitioner"),
        ("subject:exact=1", ":identifier"),
        ("subject:below=Patient/1", "canonical"),
    ],
)
def test_what_is_no_reference_is_refused(query: str, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        parsed("Observation", query)


@pytest.mark.parametrize(
    "subject", [None, 5, [], "Patient/1", {"reference": 5}, {"reference": ""}, {"identifier": "x"}]
)
def test_odd_json_is_not_found_and_does_no_harm(subject: object) -> None:
    assert not found({"resourceType": "Observation", "subject": subject}, "subject=Patient/2")
