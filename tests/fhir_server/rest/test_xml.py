"""JSON to XML and back, equal in content and in the digits of numbers, for whole collections of resources.

https://hl7.org/fhir/R4/xml.html
"""

import gzip
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.json import Verbatim, dump_json, parse_json
from fhir_server.rest.xml import parse_xml, to_xml
from tests.reference import reference

CORE = "packages/hl7.fhir.r4.core-4.0.1.tgz"


def content(resource: dict[str, Any]) -> str:
    """What two texts of one resource have in common: all but the order of members and padding at the end of an array."""
    return json.dumps(trimmed(resource), sort_keys=True, default=lambda number: f"#{number}")


def trimmed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: trimmed(below) for key, below in value.items()}
    if isinstance(value, list):
        while value and value[-1] is None:
            value = value[:-1]
        return [trimmed(below) for below in value]
    return value


def assert_round_trip(resource: dict[str, Any]) -> None:
    for pretty in (False, True):
        assert content(parse_xml(to_xml(resource, pretty=pretty))) == content(resource)


def definitions() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(reference(CORE)) as package:
        for member in package:
            folder, _, name = member.name.partition("/")
            if folder == "package" and name.endswith(".json") and "/" not in name and name[0].isupper():
                file = package.extractfile(member)
                assert file is not None
                yield name, file.read()


def test_definitions_of_every_kind_survive_xml() -> None:
    for index, (name, data) in enumerate(definitions()):
        if index % 30 == 0 and len(data) < 300_000:
            resource = parse_json(data)
            assert content(parse_xml(to_xml(resource))) == content(resource), name


@pytest.mark.slow
def test_every_definition_of_the_core_package_survives_xml() -> None:
    count = 0
    for name, data in definitions():
        resource = parse_json(data)
        assert content(parse_xml(to_xml(resource))) == content(resource), name
        count += 1
    assert count > 4_500


def test_a_patient_with_all_its_history_survives_xml() -> None:
    folder = reference("synthea/bulk-data-server-100")
    smallest = sorted(folder.glob("*.json.gz"), key=lambda path: path.stat().st_size)[:2]
    for path in smallest:
        assert_round_trip(parse_json(gzip.decompress(path.read_bytes())))


def examples(extension: str) -> list[Any]:
    root = reference("fhir-test-cases/r4")
    files = [*root.glob(f"*.{extension}"), *(root / "examples").glob(f"*.{extension}")]
    return sorted(file for file in files if file.name not in NOT_R4)


# Files that use elements of other versions: StructureDefinition.contextType, Consent.period, DiagnosticReport.created.
NOT_R4 = frozenset({"myconsent-ext.xml", "myconsent-resource.json", "r4-caredove-bundle.json"})


def test_examples_in_json_survive_xml() -> None:
    files = examples("json")
    assert len(files) > 60
    for path in files:
        assert_round_trip(parse_json(path.read_bytes()))


def test_examples_in_xml_survive_json() -> None:
    files = examples("xml")
    assert len(files) > 15
    for path in files:
        resource = parse_xml(path.read_bytes())
        again = parse_xml(to_xml(parse_json(dump_json(resource))))
        assert content(again) == content(resource), path.name
        assert content(parse_json(dump_json(resource))) == content(resource), path.name


@pytest.mark.parametrize(
    "name",
    [
        ("condition-example.xml", "examples/condition-example.json"),
        ("patient-example.xml", "examples/patient-example.json"),
        ("questionnaire-example.xml", "examples/questionnaire-example.json"),
        ("examples/observation-decimal.xml", "examples/observation-decimal.json"),
        ("examples/organization-1.xml", "examples/organization-1.json"),
    ],
)
def test_an_example_published_in_both_formats_is_one_resource(name: tuple[str, str]) -> None:
    root = reference("fhir-test-cases/r4")
    assert content(parse_xml((root / name[0]).read_bytes())) == content(parse_json((root / name[1]).read_bytes()))


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: not any((c < " " and c not in "\t\n\r") or c in "\ufffe\uffff" for c in text)
)


@given(TEXT, TEXT)
def test_every_string_that_xml_can_carry_comes_back_unchanged(family: str, url: str) -> None:
    assert_round_trip(
        {"resourceType": "Patient", "name": [{"family": family, "extension": [{"url": url, "valueString": family}]}]}
    )


NUMBERS = ["0", "-1", "160", "160.50", "0.00", "-0", "-0.0", "1E2", "1.0e+5", "0.0000001", "1" * 30, "0.1" + "0" * 40]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_keeps_its_digits_through_xml(text: str) -> None:
    resource = parse_json(f'{{"resourceType":"Observation","valueQuantity":{{"value":{text}}}}}'.encode())
    xml = to_xml(resource)
    assert f'<value value="{text}"/>'.encode() in xml
    assert str(parse_xml(xml)["valueQuantity"]["value"]) == text
    assert dump_json(parse_xml(xml)) == dump_json(resource)


RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Patient"},
    {"resourceType": "Patient", "birthDate": "1970", "_birthDate": {"id": "b", "extension": [{"url": "u"}]}},
    {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "u", "valueCode": "unknown"}]}},
    {
        "resourceType": "Patient",
        "name": [
            {"given": ["Ada", None, "Bo"], "_given": [None, {"extension": [{"url": "u", "valueInteger": 1}]}, None]}
        ],
    },
    {"resourceType": "Patient", "name": [{"_given": [{"id": "x"}, {"id": "y"}]}]},
    {"resourceType": "Patient", "active": False, "multipleBirthInteger": 0, "deceasedBoolean": True},
    {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Patient", "id": "p", "contained": [{"resourceType": "Basic", "id": "q"}]}],
        "subject": {"reference": "#p"},
    },
    {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:x", "resource": {"resourceType": "Patient", "id": "1"}},
            {"search": {"score": Verbatim("1E0")}},
        ],
    },
    {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "resource": {"resourceType": "Binary", "contentType": "x/y", "data": "AA=="}},
            {
                "name": "b",
                "part": [{"name": "c", "valueBoolean": True}, {"name": "d", "valueDecimal": Verbatim("1E2")}],
            },
        ],
    },
    {
        "resourceType": "Questionnaire",
        "item": [{"linkId": "1", "item": [{"linkId": "1.1", "item": [{"linkId": "1.1.1"}]}]}],
    },
    {"resourceType": "StructureMap", "id": "s", "_url": {"id": "u"}, "url": "http://example.org/a?b=c&d=<e>"},
    {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml">\r\n<p>a &amp; b<br/></p> <!-- c --></div>',
        },
    },
]


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_survives_xml(resource: dict[str, Any]) -> None:
    assert_round_trip(resource)
