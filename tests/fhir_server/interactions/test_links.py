"""Tests of fhir_server.interactions.links."""

from typing import Any

import pytest

from fhir_server.interactions.links import Identities, conditional_references, rewritten

U = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
SOURCE = "http://a.example.org/r4"
KNOWN = Identities(
    {
        U: "Patient/new",
        f"{U}/_history/": "Patient/new/_history/1",
        f"{SOURCE}/Patient/7": "Patient/absolute",
        "Patient/7": "Patient/relative",
    }
)


@pytest.mark.parametrize(
    ("text", "root", "becomes"),
    [
        (U, "", "Patient/new"),
        (f"{U}#part", "", "Patient/new#part"),
        (f"{U}|2.0", "", "Patient/new|2.0"),
        (f"{U}/_history/9", "", "Patient/new/_history/1"),
        ("Patient/7", "", "Patient/relative"),
        ("Patient/7", f"{SOURCE}/", "Patient/absolute"),
        ("Patient/7/_history/3", f"{SOURCE}/", "Patient/absolute/_history/3"),
        (f"{SOURCE}/Patient/7", "", "Patient/absolute"),
        ("Patient/8", f"{SOURCE}/", "Patient/8"),
        ("#contained", "", "#contained"),
        ("http://example.org/x|1", "", "http://example.org/x|1"),
        (f"x{U}", "", f"x{U}"),
    ],
)
def test_a_link_becomes_what_its_identity_stands_for(text: str, root: str, becomes: str):
    assert KNOWN.resolved(text, root) == becomes


def test_a_resource_without_links_stays_the_same_object():
    resource = {"resourceType": "Patient", "name": [{"text": U}], "identifier": [{"value": U}]}
    assert rewritten(resource, KNOWN) is resource


def test_only_what_holds_a_link_is_copied():
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "code": {"text": U},
        "subject": {"reference": U, "display": U},
    }
    after = rewritten(resource, KNOWN)
    assert after["subject"] == {"reference": "Patient/new", "display": U}
    assert after["code"] is resource["code"]
    assert resource["subject"]["reference"] == U


def test_conditional_references_are_found_wherever_they_stand():
    inner = {"resourceType": "Group", "member": [{"entity": {"reference": "Patient?identifier=1"}}]}
    resource = {
        "resourceType": "Observation",
        "contained": [inner],
        "subject": {"reference": "Patient?identifier=2"},
        "performer": [{"reference": "Patient/3"}, {"reference": "patient?x"}, {"display": "Patient?identifier=4"}],
    }
    assert conditional_references(resource) == {"Patient?identifier=1", "Patient?identifier=2"}


@pytest.mark.parametrize(
    ("text", "conditional"),
    [
        ("Patient?identifier=http://a|1&name=\u00e9 \u6f22", True),
        ('Patient?name="quoted" \\ back', True),
        ("Patient?name=two\nlines", False),
        ("Patient?", False),
        ("patient?name=a", False),
        ("http://a.example.org/Patient?name=a", False),
        ("Patient/1?name=a", False),
        ('","reference":"Patient?name=a', False),
        ('"reference":"Patient?name=a"', False),
        ("\\", False),
    ],
)
def test_what_is_a_conditional_reference(text, conditional):
    resource = {"note": [{"text": text, "reference": text}], "reference": [text], "text": {"reference": {"a": text}}}
    assert conditional_references(resource) == ({text} if conditional else set())
