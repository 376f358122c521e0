"""The words of resources and texts: https://hl7.org/fhir/R4/search.html#content."""

import pytest

from fhir_server.search import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Blood pressure", ["blood", "pressure"]),
        ("O'Neil-Müller", ["o", "neil", "muller"]),
        ("ÉCLAIR straße", ["eclair", "strasse"]),
        ("5.4 mg/dL", ["5", "4", "mg", "dl"]),
        ("snake_case", ["snake", "case"]),
        ("血糖 測定", ["血糖", "測定"]),
        ("x" * 100, ["x" * 64]),
        ("'; DROP TABLE--\\", ["drop", "table"]),
        ("", []),
    ],
)
def test_words_are_folded_and_hold_nothing_to_quote(text, found):
    assert words.words(text) == found


def test_what_is_for_people_is_content_and_what_is_for_machines_is_not():
    resource = {
        "resourceType": "Observation",
        "id": "secret-id",
        "status": "final",
        "text": {"status": "generated", "div": "<div>told <b>in</b> &amp; full<!-- not this --></div>"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "machine", "display": "Display"}], "text": "Text"},
        "subject": {"reference": "Patient/1", "display": "Somebody"},
        "effectiveDateTime": "2020-01-01",
        "valueString": "a value",
        "extension": [{"url": "http://x", "valueMarkdown": "marked *down*"}],
        "contained": [{"resourceType": "Patient", "id": "p", "name": [{"family": "Inside"}]}],
        "note": [{"text": "noted"}],
        "component": [{"valueSampledData": {"data": "1 2 3"}}],
    }
    assert words.words(" ".join(words.content(resource))) == (
        "told in full display text somebody a value marked down inside noted".split()
    )
    assert words.words(" ".join(words.narrative(resource))) == ["told", "in", "full"]


def test_a_vector_is_written_as_postgresql_reads_it_with_a_gap_between_elements():
    assert words.placed(["a b", "a"]) == {"a": [1, 6], "b": [2]}
    assert words.vectors({"resourceType": "Patient", "note": ["a b", "a"]}) == ("", "a:1 b:2 a:6 'type/Patient'")
    assert words.vectors({"resourceType": "Patient"}) == ("", "'type/Patient'")


def test_of_a_very_long_resource_the_first_words_count():
    found = words.placed([" ".join(f"w{n}" for n in range(5000))])
    assert len(found) == words.MOST_WORDS
    assert len(words.placed(["a " * 5000])["a"]) == words.MOST_PLACES


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        ([], {}),
        ([""], {}),
        (["", "a"], {"a": [4]}),
        (["A-b_c", "é a"], {"a": [1, 8], "b": [2], "c": [3], "e": [7]}),
        (["a\x01b", "a"], {"a": [1, 9], "b": [5]}),
        (["a\x01b", "é"], {"a": [1], "b": [5], "e": [9]}),
        (["a\x1fb\x00c"], {"a": [1], "b": [2], "c": [3]}),
    ],
)
def test_places_are_the_same_with_and_without_letters_beyond_ascii(texts, places):
    assert words.placed(texts) == places


def read(vector: str) -> dict[str, list[int]]:
    """The words of a tsvector's text with their places, as PostgreSQL puts them together."""
    found: dict[str, list[int]] = {}
    for word, _, places in (one.replace("'", "").partition(":") for one in vector.split()):
        found.setdefault(word, []).extend(map(int, filter(None, places.split(","))))
    return found


LONG = " ".join(f"w{n}" for n in range(words.MOST_PLACES))
OFTEN = "often " * (words.MOST_PLACES + 50)


@pytest.mark.parametrize("div", ["<p>told <b>in</b></p>", "<p>é</p>", "<p></p>", "", None, LONG, OFTEN])
@pytest.mark.parametrize("text", ["told again, told", "é told", LONG, OFTEN])
def test_the_vector_of_the_content_begins_with_that_of_the_narrative(div, text):
    resource = {"resourceType": "Basic", "text": {"div": div}, "code": {"text": text, "coding": [{"display": "told"}]}}
    told, content = words.vectors(resource)
    assert read(content) == words.placed(words.content(resource)) | {"type/Basic": []}
    narrative = words.placed(words.narrative(resource))
    assert read(told) == (narrative | {"type/Basic": []} if narrative else {})


@pytest.mark.parametrize(
    "many", [words.MOST_PLACES // 2, words.MOST_PLACES, words.MOST_WORDS // 4 - 1, words.MOST_WORDS // 4, 700]
)
def test_elements_count_as_far_as_words_do(many):
    resource = {"resourceType": "Basic", "text": {"div": "<p>told</p>"}, "note": [f"w{n}" for n in range(many)]}
    assert read(words.vectors(resource)[1]) == words.placed(words.content(resource)) | {"type/Basic": []}


def test_of_a_long_resource_the_first_words_count():
    text = " ".join(f"w{n}" for n in range(words.MOST_WORDS + 100))
    resource = {"resourceType": "Basic", "text": {"div": text}, "code": {"text": "not seen"}}
    assert words.vectors(resource)[0] == words.vectors(resource)[1]
    assert len(words.placed(["same " * 3000])["same"]) == words.MOST_PLACES
