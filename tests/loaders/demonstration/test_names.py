"""Invented names: whole, transliterated, and in the form that gender has.

https://hl7.org/fhir/R4/datatypes.html#HumanName
"""

import re
from random import Random

import pytest

from loaders.demonstration.names import LANGUAGES, human_names, invent, relative, slug

CODES = [language.code[0] for language in LANGUAGES]


def test_ten_languages_are_spoken():
    assert len(CODES) == len(set(CODES)) == 10


@pytest.mark.parametrize("language", LANGUAGES, ids=CODES)
@pytest.mark.parametrize("gender", ["female", "male"])
def test_a_name_has_a_text_and_an_ascii_slug(language, gender):
    for seed in range(50):
        name = invent(Random(seed), gender, language)
        assert all(part in name.text for part in (name.given[0], *(own for own, _ in name.families)))
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name.slug)


@pytest.mark.parametrize("language", LANGUAGES, ids=CODES)
def test_other_scripts_are_given_in_latin_letters_too(language):
    names = human_names(invent(Random(1), "female", language))
    assert names[0]["use"] == "official"
    if language.latin:
        assert len(names) == 1
    else:
        codes = [name["extension"][0]["valueCode"] for name in names]
        assert codes == [language.representation, "ABC"]
        assert slug(names[1]["text"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Çiğdem Işık", "cigdem-isik"), ("Łukasz", "lukasz"), ("Jürgen Groß", "jurgen-gross"), ("al-Bahr", "al-bahr")],
)
def test_a_slug_is_plain(text, expected):
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("code", "feminine", "masculine"), [("pl", r".*(ska)$", r".*(ski)$"), ("el", r".*[αιη]$", r".*ης$")]
)
def test_relatives_bear_the_family_name_in_the_form_of_their_gender(code, feminine, masculine):
    language = LANGUAGES[CODES.index(code)]
    for seed in range(30):
        random = Random(seed)
        daughter = invent(random, "female", language)
        father = relative(random, daughter, "male")
        assert re.fullmatch(feminine, daughter.families[0][0])
        assert re.fullmatch(masculine, father.families[0][0])
        assert relative(random, father, "female").families == daughter.families


def test_a_spanish_name_says_which_family_is_whose():
    (name,) = human_names(invent(Random(3), "female", LANGUAGES[CODES.index("es")]))
    father, mother = (each["valueString"] for each in name["_family"]["extension"])
    assert name["family"] == f"{father} {mother}"


def test_a_prefix_is_part_of_the_text():
    name = human_names(invent(Random(3), "male", LANGUAGES[1]), "Dr.")[0]
    assert name["prefix"] == ["Dr."]
    assert name["text"].startswith("Dr. ")
