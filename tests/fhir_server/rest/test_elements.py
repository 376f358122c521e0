"""What _summary and _elements leave of a resource.

https://hl7.org/fhir/R4/search.html#summary
"""

import copy
from typing import Any

import pytest

from fhir_server.json import parse_json
from fhir_server.rest.elements import SUBSETTED, select_elements, summarize
from fhir_server.rest.xml import to_xml
from tests.reference import reference

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "1",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "extension": [{"url": "http://example.org/x", "valueString": "x"}],
    "modifierExtension": [{"url": "http://example.org/m", "valueString": "m"}],
    "name": [{"family": "Muster", "extension": [{"url": "http://example.org/n", "valueString": "n"}]}],
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "http://example.org/b", "valueString": "b"}]},
    "photo": [{"contentType": "image/png", "data": "AAAA"}],
    "contact": [{"name": {"family": "Beispiel"}}],
    "communication": [{"language": {"text": "German"}, "preferred": True}],
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "3", "tag": [{"code": "x"}]},
    "text": {"status": "generated", "div": "<div/>"},
    "implicitRules": "http://example.org/rules",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": 1, "unit": "kg"},
    "note": [{"text": "n"}],
    "bodySite": {"text": "arm"},
}


def test_the_summary_has_the_elements_of_the_definition() -> None:
    assert list(summarize(PATIENT, "true")) == [
        "resourceType", "id", "meta", "modifierExtension", "name", "birthDate", "_birthDate", "link",
    ]  # fmt: skip
    assert list(summarize(OBSERVATION, "true")) == [
        "resourceType", "id", "meta", "implicitRules", "status", "code", "valueQuantity",
    ]  # fmt: skip


def test_the_summary_goes_into_elements_but_keeps_modifier_extensions_whole() -> None:
    summary = summarize(PATIENT, "true")
    assert summary["name"] == [{"family": "Muster"}]
    assert summary["modifierExtension"] == PATIENT["modifierExtension"]
    assert summary["link"] == PATIENT["link"]


def test_the_summary_of_an_attachment_has_no_data() -> None:
    summary = summarize(
        {"resourceType": "DocumentReference", "content": [{"attachment": {"url": "x", "data": "AAAA", "title": "t"}}]},
        "true",
    )
    assert summary["content"] == [{"attachment": {"url": "x", "title": "t"}}]


def test_the_summary_of_a_bundle_summarizes_its_resources() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "u", "resource": PATIENT}]}
    [entry] = summarize(bundle, "true")["entry"]
    assert entry["fullUrl"] == "u"
    assert "text" not in entry["resource"]
    assert entry["resource"]["name"] == [{"family": "Muster"}]


def test_text_has_the_narrative_and_what_is_mandatory() -> None:
    assert list(summarize(PATIENT, "text")) == ["resourceType", "id", "meta", "text"]
    assert list(summarize(OBSERVATION, "text")) == ["resourceType", "id", "meta", "text", "status", "code"]


def test_data_has_all_but_the_narrative() -> None:
    expected = [name for name in OBSERVATION if name != "text"]
    assert list(summarize(OBSERVATION, "data")) == expected


def test_false_is_the_resource_itself() -> None:
    assert summarize(PATIENT, "false") is PATIENT


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("name",), ["name"]),
        (("Patient.name",), ["name"]),
        (("Observation.name",), []),
        (("name.family", " contact.name"), ["name", "contact"]),
        (("birthDate",), ["birthDate", "_birthDate"]),
        (("text", "photo"), ["text", "photo"]),
        (("nothing", "", "Patient"), []),
        (("id", "meta"), []),
    ],
)
def test_elements_has_what_was_asked_for_and_what_modifies(names: tuple[str, ...], expected: list[str]) -> None:
    left = list(select_elements(PATIENT, names))
    always = {"resourceType", "id", "meta", "modifierExtension", "link"}
    assert [name for name in left if name not in always] == expected
    assert always <= set(left)


@pytest.mark.parametrize("name", ["value", "value[x]", "valueQuantity", "Observation.value[x]"])
def test_elements_knows_choices(name: str) -> None:
    assert list(select_elements(OBSERVATION, [name])) == [
        "resourceType", "id", "meta", "implicitRules", "status", "code", "valueQuantity",
    ]  # fmt: skip


def test_a_part_is_tagged_and_the_resource_is_not_touched() -> None:
    for original in (PATIENT, OBSERVATION):
        before = copy.deepcopy(original)
        for part in (
            summarize(original, "true"),
            summarize(original, "text"),
            summarize(original, "data"),
            select_elements(original, ["name"]),
        ):
            assert part["meta"]["tag"][-1] == SUBSETTED
            assert part["meta"]["tag"][:-1] == original.get("meta", {}).get("tag", [])
        assert original == before


def test_the_tag_stands_once() -> None:
    part = summarize(summarize(OBSERVATION, "data"), "true")
    assert [tag["code"] for tag in part["meta"]["tag"]] == ["x", "SUBSETTED"]


def test_summaries_of_all_examples_are_resources() -> None:
    for path in (reference("fhir-test-cases/r4") / "examples").glob("*-example.json"):
        resource = parse_json(path.read_bytes())
        summary = summarize(resource, "true")
        assert set(summary) <= {*resource, "meta"}
        assert b"SUBSETTED" in to_xml(summary)
