"""FHIRPath Patch: HL7's own cases, and the places where JSON is more than it looks.

https://hl7.org/fhir/R4/fhirpatch.html
"""

import copy
import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.interactions.fhirpath_patch import apply
from fhir_server.outcome import Refusal
from fhir_server.rest.xml import parse_xml
from tests.reference import ROOT

SUITE = ROOT / "fhir-test-cases/r4/patch/fhir-patch-tests.xml"
KNOWN_DIFFERENCES: dict[str, str] = {}


def cases() -> list[Any]:
    if not SUITE.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"reference data missing: {SUITE}"))]
    found = []
    for case in ET.parse(SUITE).getroot().iter("case"):
        name = case.attrib["name"]
        mark = pytest.mark.xfail(reason=KNOWN_DIFFERENCES[name], strict=True) if name in KNOWN_DIFFERENCES else ()
        found.append(pytest.param(case, id=name, marks=mark))
    return found


def read(case: ET.Element, name: str) -> dict[str, Any]:
    node = case.find(name)
    assert node is not None
    return parse_xml(ET.tostring(node[0]))


def squeezed(value: Any) -> Any:
    """Without the white space of narratives, in which the suite's own texts differ, and without their prefixes."""
    match value:
        case dict():
            return {key: squeezed(member) for key, member in value.items()}
        case list():
            return [squeezed(member) for member in value]
        case str() if value.startswith("<div"):
            return re.sub(r"\s+|<!--.*?-->", "", value)
        case _:
            return value


@pytest.mark.parametrize("case", cases())
def test_hl7_case(case: ET.Element) -> None:
    resource, patch = read(case, "input"), read(case, "diff")
    if case.find("error") is not None:
        with pytest.raises(Refusal):
            apply(resource, patch)
        return
    assert squeezed(apply(resource, patch)) == squeezed(read(case, "output"))


def operation(kind: str, path: str, **parts: Any) -> dict[str, Any]:
    """One operation: name, index, source and destination as they are, value as a part without its name."""
    made: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name == "value":
            made.append({"name": "value", **value})
        else:
            made.append({"name": name, "valueString" if isinstance(value, str) else "valueInteger": value})
    return {"name": "operation", "part": made}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def patient(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **members}


GIVEN = {"given": ["Ada", None], "_given": [None, {"id": "x"}]}
CHANGES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "a choice finds its property by the type of the value": (
        patient(),
        [operation("add", "Patient", name="deceased", value={"valueDateTime": "2020-01-01"})],
        patient(deceasedDateTime="2020-01-01"),
    ),
    "a choice may be replaced by another type": (
        patient(deceasedBoolean=True, gender="female"),
        [operation("replace", "Patient.deceased", value={"valueDateTime": "2020"})],
        patient(deceasedDateTime="2020", gender="female"),
    ),
    "adding to a list of primitives keeps the extensions in step": (
        patient(name=[copy.deepcopy(GIVEN)]),
        [operation("add", "Patient.name", name="given", value={"valueString": "May"})],
        patient(name=[{"given": ["Ada", None, "May"], "_given": [None, {"id": "x"}, None]}]),
    ),
    "deleting from a list of primitives keeps the extensions in step": (
        patient(name=[copy.deepcopy(GIVEN)]),
        [operation("delete", "Patient.name.given[0]")],
        patient(name=[{"_given": [{"id": "x"}]}]),
    ),
    "moving in a list of primitives keeps the extensions in step": (
        patient(name=[copy.deepcopy(GIVEN)]),
        [operation("move", "Patient.name.given", source=0, destination=1)],
        patient(name=[{"given": [None, "Ada"], "_given": [{"id": "x"}, None]}]),
    ),
    "a primitive with an extension is added with it": (
        patient(),
        [operation("add", "Patient", name="birthDate", value={"valueDate": "2000", "_valueDate": {"id": "b"}})],
        patient(birthDate="2000", _birthDate={"id": "b"}),
    ),
    "an extension of a primitive is added through its parts": (
        patient(birthDate="2000"),
        [
            operation(
                "add",
                "Patient.birthDate",
                name="extension",
                value={"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueCode": "y"}]},
            )
        ],
        patient(birthDate="2000", _birthDate={"extension": [{"url": "urn:x", "valueCode": "y"}]}),
    ),
    "the last extension of a primitive takes its object with it": (
        patient(birthDate="2000", _birthDate={"extension": [{"url": "urn:x", "valueCode": "y"}]}),
        [operation("delete", "Patient.birthDate.extension('urn:x')")],
        patient(birthDate="2000"),
    ),
    "an element that only has an extension goes with it": (
        patient(_birthDate={"extension": [{"url": "urn:x", "valueCode": "y"}]}),
        [operation("delete", "Patient.birthDate.extension.where(url = 'urn:x')")],
        patient(),
    ),
    "inserting in a list that is not there yet": (
        patient(),
        [operation("insert", "Patient.telecom", index=0, value={"valueContactPoint": {"value": "1"}})],
        patient(telecom=[{"value": "1"}]),
    ),
    "a resource is contained": (
        patient(),
        [operation("add", "Patient", name="contained", value={"resource": {"resourceType": "Basic", "id": "b"}})],
        patient(contained=[{"resourceType": "Basic", "id": "b"}]),
    ),
    "a backbone is made of parts, with lists and choices in it": (
        patient(),
        [
            operation(
                "add",
                "Patient",
                name="contact",
                value={
                    "part": [
                        {"name": "telecom", "valueContactPoint": {"value": "1"}},
                        {"name": "telecom", "valueContactPoint": {"value": "2"}},
                        {"name": "name", "part": [{"name": "given", "valueString": "Ada"}]},
                    ]
                },
            )
        ],
        patient(contact=[{"telecom": [{"value": "1"}, {"value": "2"}], "name": {"given": ["Ada"]}}]),
    ),
    "deleting what is not there changes nothing": (
        patient(gender="male"),
        [operation("delete", "Patient.name.where(use = 'old')")],
        patient(gender="male"),
    ),
    "an element is found by a condition": (
        patient(identifier=[{"system": "a", "value": "1"}, {"system": "b", "value": "2"}]),
        [operation("replace", "Patient.identifier.where(system = 'b').value", value={"valueString": "3"})],
        patient(identifier=[{"system": "a", "value": "1"}, {"system": "b", "value": "3"}]),
    ),
    "operations see what those before them did": (
        patient(),
        [
            operation("add", "Patient", name="name", value={"valueHumanName": {"family": "A"}}),
            operation("add", "Patient.name[0]", name="given", value={"valueString": "B"}),
        ],
        patient(name=[{"family": "A", "given": ["B"]}]),
    ),
    "numbers keep their digits": (
        {"resourceType": "Observation", "id": "o"},
        [operation("add", "Observation", name="value", value={"valueQuantity": {"value": Decimal("160.50")}})],
        {"resourceType": "Observation", "id": "o", "valueQuantity": {"value": Decimal("160.50")}},
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES.keys())
def test_a_patch_changes(case: tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]) -> None:
    resource, operations, expected = case
    before = copy.deepcopy(resource)
    result = apply(resource, patch(*operations))
    assert result == expected
    assert str(result) == str(expected) or list(result) != list(expected)
    assert resource == before


REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "several elements to replace": (
        operation("replace", "Patient.name", value={"valueHumanName": {"family": "A"}}),
        422,
        "2 elements",
    ),
    "several elements to delete": (operation("delete", "Patient.name"), 422, "2 elements"),
    "nothing to replace": (operation("replace", "Patient.gender", value={"valueCode": "male"}), 422, "no elements"),
    "an element that is there already": (
        operation("add", "Patient", name="birthDate", value={"valueDate": "2001"}),
        422,
        "there already",
    ),
    "a choice that is there already as another type": (
        operation("add", "Patient", name="deceased", value={"valueDateTime": "2001"}),
        422,
        "deceasedBoolean is there",
    ),
    "an unknown element": (operation("delete", "Patient.nmae"), 400, "did you mean 'name'"),
    "an unknown element to add": (
        operation("add", "Patient", name="gendre", value={"valueCode": "male"}),
        422,
        "did you mean 'gender'",
    ),
    "another type's path": (operation("delete", "Observation.status"), 400, "Observation"),
    "no FHIRPath": (operation("delete", "Patient.name["), 400, "unexpected the end"),
    "a path out of the resource": (operation("delete", "Patient.managingOrganization.resolve()"), 422, "resolve"),
    "a path to a number": (operation("delete", "Patient.name.count()"), 422, "a value, not to an element"),
    "a value of the wrong type": (
        operation("add", "Patient", name="maritalStatus", value={"valueString": "S"}),
        422,
        "not a string",
    ),
    "a value of the wrong form": (
        operation("replace", "Patient.birthDate", value={"valueInteger": 2000}),
        422,
        "not a integer",
    ),
    "an index beyond the list": (
        operation("insert", "Patient.name", index=3, value={"valueHumanName": {"text": "A"}}),
        422,
        "between 0 and 2",
    ),
    "a move out of the list": (operation("move", "Patient.name", source=0, destination=2), 422, "outside the list"),
    "an insertion into what is no list": (
        operation("insert", "Patient.gender", index=0, value={"valueCode": "male"}),
        422,
        "no list",
    ),
    "the resource itself": (operation("delete", "Patient"), 422, "as a whole"),
    "another id": (operation("replace", "Patient.id", value={"valueId": "q"}), 422, "cannot change id"),
    "no value": (operation("add", "Patient", name="gender"), 400, "lacks its part 'value'"),
    "an unknown type": (operation("upsert", "Patient"), 400, "'upsert'"),
    "an unknown part": (operation("delete", "Patient.gender", vlaue={"valueCode": "x"}), 400, "did you mean 'value'"),
    "two values": (
        operation("add", "Patient", name="gender", value={"valueCode": "male", "valueString": "x"}),
        422,
        "here are 2",
    ),
    "an empty value": (
        operation("add", "Patient", name="contact", value={"valuePeriod": {}}),
        422,
        "the value of contact is empty",
    ),
    "parts that are no list": ({"name": "operation", "part": 5}, 400, "a part None"),
    "a path that takes for ever": (
        operation("delete", "Patient.name.where(" + "(1|2|3|4|5|6|7|8|9).select(" * 8 + "1" + ")" * 8 + ".exists())"),
        422,
        "given up",
    ),
}


@pytest.mark.parametrize(("wrong", "status", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_patch_is_refused(wrong: dict[str, Any], status: int, reason: str) -> None:
    resource = patient(
        name=[{"family": "A"}, {"family": "B"}],
        birthDate="2000",
        deceasedBoolean=False,
        managingOrganization={"reference": "Organization/1"},
    )
    before = copy.deepcopy(resource)
    with pytest.raises(Refusal, match=re.escape(reason)) as refused:
        apply(resource, patch(wrong))
    assert refused.value.status == status
    assert resource == before


def test_a_refusal_names_the_operation_and_its_path() -> None:
    harmless = operation("delete", "Patient.name")
    wrong = operation("replace", "Patient.gender", value={"valueCode": "male"})
    with pytest.raises(Refusal) as refused:
        apply(patient(), patch(harmless, wrong))
    assert "operation [1] (replace Patient.gender)" in str(refused.value)
    assert refused.value.issues[0].expression == ("Patient.gender",)


def test_what_is_no_parameters_resource_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        apply(patient(), {"resourceType": "Patient"})
    assert refused.value.status == 400


def test_too_many_operations_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        apply(patient(), patch(*[operation("delete", "Patient.name")] * 1001))
    assert refused.value.status == 413
