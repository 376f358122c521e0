"""https://hl7.org/fhir/R4/search.html#string"""

from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.types.string import after, normalised
from tests.fhir_server.search.types.asking import found, parsed

NORMALS = [
    ("Peter", "peter"),
    ("Peña", "pena"),
    ("Pen\u0303a", "pena"),
    ("STRASSE", "strasse"),
    ("Straße", "strasse"),
    ("O'Brien", "obrien"),
    ("Smith-Jones, J.", "smith jones j"),
    ("  a \t b\n", "a b"),
    ("İstanbul", "istanbul"),
    ("Łódź", "łodz"),
    ("山田 太郎", "山田 太郎"),
    ("Müller", "muller"),
    ("ﬁne", "fine"),
    ("...", ""),
]


@pytest.mark.parametrize(("text", "normal"), NORMALS)
def test_case_accents_punctuation_and_runs_of_spaces_do_not_count(text: str, normal: str) -> None:
    assert normalised(text) == normal
    assert normalised(normal) == normal


@pytest.mark.parametrize(
    ("start", "end"),
    [("ab", "ac"), ("a\U0010ffff", "b"), ("\U0010ffff", ""), ("a\ud7ff", "a\ue000"), ("z\u007f", "z\u0080")],
)
def test_the_end_of_a_range_is_behind_all_that_starts_so(start: str, end: str) -> None:
    assert after(start) == end


def patient(**name: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "name": [name]}


EVES = [patient(given=["Eve"]), patient(given=["Evelyn"]), patient(given=["Severine"]), patient(given=["EVE"])]
CASES = [
    ("given=eve", [True, True, False, True]),
    ("given:contains=eve", [True, True, True, True]),
    ("given:exact=Eve", [True, False, False, False]),
    ("given=Ève", [True, True, False, True]),
    ("name=eve", [True, True, False, True]),
]


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_the_examples_of_the_specification_are_found(query: str, expected: list[bool]) -> None:
    assert [found(one, query) for one in EVES] == expected


@pytest.mark.parametrize(
    "query", ["family=Carreno", "family=quinones", "name=Quinones", "family:contains=reno q", "family=carreño quiñones"]
)
def test_the_parts_of_a_family_name_are_found_independently(query: str) -> None:
    assert found(patient(family="Carreno Quinones"), query)


@pytest.mark.parametrize("query", ["family:exact=Quinones", "given=Quinones", "family=reno", "family:contains=renoq"])
def test_a_part_of_a_family_name_is_not_the_whole(query: str) -> None:
    assert not found(patient(family="Carreno Quinones"), query)


@pytest.mark.parametrize("text", ["Invented Person", "Specimen", "Greta", "Dr.", "Jr"])
def test_every_part_of_a_name_is_searched(text: str) -> None:
    name = {
        "text": "Invented Person",
        "family": "Specimen",
        "given": ["Otto", "Greta"],
        "prefix": ["Dr."],
        "suffix": ["Jr"],
        "use": "official",
    }
    assert found({"resourceType": "Patient", "name": [name]}, "name=" + text)
    assert not found({"resourceType": "Patient", "name": [name]}, "name=official")


@pytest.mark.parametrize("text", ["1 Nowhere Lane", "Sampleville", "Zz", "00000", "XX", "nowhere"])
def test_every_part_of_an_address_is_searched(text: str) -> None:
    address = {
        "text": "Nowhere",
        "line": ["1 Nowhere Lane"],
        "city": "Sampleville",
        "state": "Zz",
        "postalCode": "00000",
        "country": "XX",
        "use": "home",
    }
    assert found({"resourceType": "Patient", "address": [address]}, "address=" + text)
    assert not found({"resourceType": "Patient", "address": [address]}, "address=home")


def test_a_long_text_is_compared_to_its_end() -> None:
    text = "a" * 127 + "Éb" + "c" * 200
    resource = patient(family=text)
    assert found(resource, "family:exact=" + text)
    assert not found(resource, "family:exact=" + text + "c")
    assert found(resource, "family=" + text[:200].lower())
    assert not found(resource, "family=" + text[:200] + "d")
    assert found(resource, "family:contains=" + "c" * 150)


def test_text_finds_words_in_any_order() -> None:
    resource = patient(text="Otto van Example")
    assert found(resource, "name:text=exam otto")
    assert not found(resource, "name:text=ample")


def test_a_text_of_punctuation_only_is_refused_unless_it_is_to_be_exact() -> None:
    with pytest.raises(Refusal):
        parsed("Patient", "name=--")
    assert found(patient(family="--"), "family:exact=--")


@pytest.mark.parametrize("family", [None, 5, [5, ["a"]], {"a": "b"}, "", "a\x00b", "a\ud800"])
def test_odd_json_is_not_found_and_does_no_harm(family: object) -> None:
    assert not found(patient(family=family), "family=a")
