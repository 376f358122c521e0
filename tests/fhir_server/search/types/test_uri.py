"""https://hl7.org/fhir/R4/search.html#uri"""

import pytest

from fhir_server.outcome import Refusal
from tests.fhir_server.search.types.asking import found, parsed

LONG = "http://acme.org/" + "x" * 200

CASES = [
    ("http://acme.org/fhir/ValueSet/123", "url=http://acme.org/fhir/ValueSet/123", True),
    ("http://acme.org/fhir/ValueSet/123", "url=http://acme.org/fhir/ValueSet", False),
    ("http://acme.org/fhir/ValueSet/123", "url=http://acme.org/fhir/valueset/123", False),
    ("http://acme.org/fhir/ValueSet/123", "url:below=http://acme.org/fhir/", True),
    ("http://acme.org/other", "url:below=http://acme.org/fhir/", False),
    ("http://acme.org/fhir/ValueSet/123", "url:above=http://acme.org/fhir/ValueSet/123/_history/5", True),
    ("http://acme.org/fhir/ValueSet/124", "url:above=http://acme.org/fhir/ValueSet/123/_history/5", False),
    ("urn:oid:1.2.3.4.5", "url=urn:oid:1.2.3.4.5", True),
    (LONG, "url=" + LONG, True),
    (LONG + "y", "url=" + LONG, False),
    (LONG + "y", "url:below=" + LONG, True),
    (LONG, "url:above=" + LONG + "/z", True),
    (LONG + "y", "url:above=" + LONG + "/z", False),
    ("http://acme.org/a,b|c", r"url:below=http://acme.org/a\,b\|c", True),
]


@pytest.mark.parametrize(("url", "query", "expected"), CASES)
def test_a_uri_is_compared_to_the_letter(url: str, query: str, expected: bool) -> None:
    assert found({"resourceType": "ValueSet", "url": url}, query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_profile=http://acme.org/p", True),
        ("_profile=http://acme.org/p|2.0", True),
        ("_profile=http://acme.org/p|1.0", False),
    ],
)
def test_a_canonical_is_found_with_and_without_its_version(query: str, expected: bool) -> None:
    assert found({"resourceType": "Patient", "meta": {"profile": ["http://acme.org/p|2.0"]}}, query) is expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("url=http://acme.org/v|2.0", True), ("url=http://acme.org/v|1.0", False), ("url=http://acme.org/v", True)],
)
def test_the_version_behind_a_url_is_that_of_the_resource(query: str, expected: bool) -> None:
    assert found({"resourceType": "ValueSet", "url": "http://acme.org/v", "version": "2.0"}, query) is expected


def test_a_urn_has_no_hierarchy() -> None:
    with pytest.raises(Refusal, match="URN"):
        parsed("ValueSet", "url:below=urn:oid:1.2.3")


def test_an_endless_url_is_refused() -> None:
    with pytest.raises(Refusal, match="2000"):
        parsed("ValueSet", "url=http://" + "x" * 3000)
