"""https://hl7.org/fhir/R4/search.html#token"""

from dataclasses import replace
from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.types.context import NotAtHand
from fhir_server.search.types.token import condition
from tests.fhir_server.search.types.asking import CONTEXT, found, parsed

SNOMED = "http://snomed.info/sct"
LOCAL = "http://acme.org/codes"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MRN = "http://acme.org/patient"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def condition_of(*codings: tuple[str | None, str | None, str | None], text: str | None = None) -> dict[str, Any]:
    names = ("system", "code", "display")
    coding = [{name: part for name, part in zip(names, one, strict=True) if part} for one in codings]
    return {"resourceType": "Condition", "code": {"coding": coding} | ({"text": text} if text else {})}


PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "gender": "male",
    "identifier": [
        {"system": MRN, "value": "2345Ab", "type": {"coding": [{"system": IDENTIFIER_TYPES, "code": "MR", "display": "Medical record"}], "text": "Chart"}},
        {"value": "bare"},
    ],
    "telecom": [
        {"system": "phone", "use": "home", "value": "(000) 555-0100"},
        {"system": "email", "value": "Otto@Example.org"},
    ],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "de-CH"}]}}],
}  # fmt: skip

CASES: list[tuple[dict[str, Any], str, bool]] = [
    (PATIENT, f"identifier={MRN}|2345Ab", True),
    (PATIENT, f"identifier={MRN}|2345ab", False),
    (PATIENT, "identifier=2345Ab", True),
    (PATIENT, "identifier=2345ab", False),
    (PATIENT, "identifier=|2345Ab", False),
    (PATIENT, "identifier=|bare", True),
    (PATIENT, f"identifier={MRN}|", True),
    (PATIENT, "identifier=http://acme.org/other|", False),
    (PATIENT, f"identifier:of-type={IDENTIFIER_TYPES}|MR|2345Ab", True),
    (PATIENT, f"identifier:of-type={IDENTIFIER_TYPES}|SS|2345Ab", False),
    (PATIENT, "identifier:text=medical", True),
    (PATIENT, "identifier:text=chart", True),
    (PATIENT, "gender=male", True),
    (PATIENT, "gender=Male", False),
    (PATIENT, "gender=http://hl7.org/fhir/administrative-gender|male", True),
    (PATIENT, "gender=http://hl7.org/fhir/administrative-gender|", True),
    (PATIENT, "gender=http://acme.org/gender|male", False),
    (PATIENT, "gender=|male", False),
    (PATIENT, "active=true", True),
    (PATIENT, "active=false", False),
    (PATIENT, "active=http://hl7.org/fhir/special-values|true", True),
    (PATIENT, "active=http://hl7.org/fhir/special-values|", True),
    (PATIENT, "phone=0005550100", True),
    (PATIENT, "telecom=000-555-0100", True),
    (PATIENT, "telecom=home|(000) 555-0100", True),
    (PATIENT, "telecom=phone|0005550100", True),
    (PATIENT, "telecom=work|0005550100", False),
    (PATIENT, "email=otto@example.ORG", True),
    (PATIENT, "phone=otto@example.org", False),
    (PATIENT, "language=DE-ch", True),
    (PATIENT, "deceased=false", True),
    # codes: to the letter where the system is known to be so
    (condition_of((LOCAL, "ha125", None)), f"code={LOCAL}|HA125", True),
    (condition_of((LOCAL, "ha125", None)), "code=Ha125", True),
    (condition_of((LOCAL, "ha125", None)), "code=|ha125", False),
    (condition_of((None, "ha125", None)), "code=|HA125", True),
    (condition_of((V3, "AMB", None)), f"code={V3}|AMB", True),
    (condition_of((V3, "AMB", None)), f"code={V3}|amb", False),
    (condition_of((V3, "AMB", None)), "code=amb", True),
    (condition_of((V3, "AMB", None), (LOCAL, "x", None)), f"code={LOCAL}|x", True),
    (condition_of((V3, "AMB", None), (LOCAL, "x", None)), f"code={LOCAL}|AMB", False),
    (condition_of((V3, None, None)), f"code={V3}|", True),
    (condition_of(("http://a|b", "c$d,e", None)), r"code=http://a\|b|c\$d\,e", True),
    # texts
    (condition_of((LOCAL, "1", "Headache (finding)")), "code:text=headache", True),
    (condition_of((LOCAL, "1", None), text="Headache"), "code:text=HEAD", True),
    (condition_of((LOCAL, "1", None), text="Headache"), "code:text=ache", False),
    (condition_of((LOCAL, "headache", None)), "code:text=headache", False),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "query", "expected"), CASES)
def test_a_token_is_found_by_code_and_system(resource: dict[str, Any], query: str, expected: bool) -> None:
    assert found(resource, query) is expected


DOCUMENT = {
    "resourceType": "DocumentReference",
    "content": [{"attachment": {"contentType": "text/xml; charset=UTF-8"}}],
}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("contenttype=text/xml", False),
        ("contenttype:below=text/xml", True),
        ("contenttype:below=Text/XML", True),
        ("contenttype:below=text/plain", False),
    ],
)
def test_a_media_type_is_found_below_its_base(query: str, expected: bool) -> None:
    assert found(DOCUMENT, query) is expected


def codes_of(value_set: str) -> set[tuple[str, str]]:
    if value_set != "http://acme.org/vs":
        raise NotAtHand("no such value set")
    return {(SNOMED, "1"), (LOCAL, "x")}


def subsumed(system: str, code: str, direction: str) -> set[str]:
    if (system, code, direction) != (SNOMED, "1", "below"):
        raise NotAtHand("no such code system")
    return {"1", "11", "12"}


TERMINOLOGY = replace(CONTEXT, codes_of=codes_of, subsumed=subsumed)


@pytest.mark.parametrize(
    ("code", "query", "expected"),
    [
        ((SNOMED, "1", None), "code:in=http://acme.org/vs", True),
        ((LOCAL, "1", None), "code:in=http://acme.org/vs", False),
        ((LOCAL, "X", None), "code:in=http://acme.org/vs", True),
        ((SNOMED, "11", None), f"code:below={SNOMED}|1", True),
        ((SNOMED, "13", None), f"code:below={SNOMED}|1", False),
    ],
)
def test_value_sets_and_hierarchies_come_from_the_terminology(code: Any, query: str, expected: bool) -> None:
    assert found(condition_of(code), query, TERMINOLOGY) is expected


@pytest.mark.parametrize("query", ["code:in=http://acme.org/unknown", f"code:above={SNOMED}|1", "code:below=2"])
def test_what_the_terminology_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Condition", query, TERMINOLOGY)
    assert refused.value.issues[0].code == "not-supported"


@pytest.mark.parametrize("query", ["code=", "code=|", "code=a|b|c", "code:exact=a", "code:of-type=a|b", "code:text=."])
def test_what_is_no_token_is_refused(query: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Condition", query)
    assert refused.value.status == 400


def test_a_boolean_is_true_or_false() -> None:
    with pytest.raises(Refusal, match="true or false"):
        parsed("Patient", "active=yes")


def test_one_key_is_an_equality_without_duplicates() -> None:
    parameter, modifier, value = parsed("Condition", f"code={SNOMED}|1")
    assert condition(parameter, modifier, value, 1).text == "SELECT pk FROM index_token WHERE key = %s"


def test_a_value_set_is_one_array_of_keys() -> None:
    many = replace(CONTEXT, codes_of=lambda _: {(SNOMED, str(n)) for n in range(500)})
    fragment = condition(*parsed("Condition", "code:in=http://acme.org/vs", many), 1)
    assert fragment.text == "SELECT pk FROM index_token WHERE key = ANY(%s::int8[])"
    assert len(fragment.parameters[0]) == 500


def test_a_system_that_the_binding_excludes_finds_nothing_without_looking() -> None:
    parameter, modifier, value = parsed("Patient", "gender=http://acme.org/gender|male")
    assert condition(parameter, modifier, value, 1).text.endswith("WHERE false")


@pytest.mark.parametrize(
    "code", [None, 5, "x", [], {"coding": "x"}, {"coding": [None, 5, {"code": 5, "system": []}]}, {"text": 5}]
)
def test_odd_json_is_not_found_and_does_no_harm(code: object) -> None:
    resource = {"resourceType": "Condition", "code": code}
    assert not found(resource, "code=y")
    assert not found(resource, "code:text=y")
