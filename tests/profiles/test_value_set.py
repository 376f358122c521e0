from typing import Any

import pytest

from profiles.definitions import r4
from profiles.value_set import Code, UnknownCodes, codes_of, expand, is_whole, subsumed

ANIMALS = {
    "resourceType": "CodeSystem",
    "url": "animals",
    "content": "complete",
    "concept": [
        {
            "code": "mammal",
            "concept": [
                {"code": "dog", "display": "Dog", "property": [{"code": "legs", "valueInteger": 4}]},
                {
                    "code": "whale",
                    "property": [{"code": "legs", "valueInteger": 0}, {"code": "sea", "valueBoolean": True}],
                },
            ],
        },
        {"code": "bird", "property": [{"code": "child", "valueCode": "hen"}]},
        {"code": "hen", "property": [{"code": "legs", "valueInteger": 2}]},
        {"code": "duck", "property": [{"code": "parent", "valueCode": "bird"}, {"code": "legs", "valueInteger": 2}]},
    ],
}
SYSTEMS = {
    "animals": ANIMALS,
    "part": {"url": "part", "content": "fragment", "concept": [{"code": "a"}]},
    "absent": {"url": "absent", "content": "not-present"},
}
ALL = "mammal dog whale bird hen duck"


def codes(compose: dict[str, Any], **others: dict[str, Any]) -> frozenset[Code] | None:
    sets = {"it": {"compose": compose}, **{name: {"compose": other} for name, other in others.items()}}
    return expand("it", sets.get, SYSTEMS.get)


def chosen(*filters: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "include": [
            {
                "system": "animals",
                "filter": [{"property": name, "op": operator, "value": value} for name, operator, value in filters],
            }
        ]
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ALL),
        ([("concept", "is-a", "mammal")], "mammal dog whale"),
        ([("concept", "descendent-of", "mammal")], "dog whale"),
        ([("concept", "is-a", "bird")], "bird hen duck"),
        ([("concept", "is-not-a", "bird")], "mammal dog whale"),
        ([("code", "is-a", "dog")], "dog"),
        ([("legs", "=", "2")], "hen duck"),
        ([("legs", "in", "0, 4")], "dog whale"),
        ([("legs", "not-in", "0,2,4")], "mammal bird"),
        ([("sea", "=", "true")], "whale"),
        ([("display", "=", "Dog")], "dog"),
        ([("code", "in", "dog,duck")], "dog duck"),
        ([("concept", "is-a", "mammal"), ("legs", "=", "4")], "dog"),
    ],
)
def test_filters_choose_codes_of_a_system(filters: list[tuple[str, str, str]], expected: str) -> None:
    assert codes(chosen(*filters)) == {("animals", code) for code in expected.split()}


@pytest.mark.parametrize(
    "compose",
    [
        pytest.param({"include": [{"system": "nowhere"}]}, id="a system nobody has"),
        pytest.param({"include": [{"system": "part"}]}, id="a fragment"),
        pytest.param({"include": [{"system": "absent"}]}, id="a system without its concepts"),
        pytest.param({"include": [{"valueSet": ["nowhere"]}]}, id="a value set nobody has"),
        pytest.param({"include": [{"valueSet": ["it"]}]}, id="itself"),
        pytest.param(chosen(("concept", "is-a", "unicorn")), id="a code that is not there"),
        pytest.param(chosen(("code", "regex", ".*")), id="a filter that is not evaluated"),
        pytest.param(
            {"include": [{"system": "animals"}], "exclude": [{"system": "nowhere"}]}, id="an exclusion nobody can tell"
        ),
    ],
)
def test_what_cannot_be_told_is_none(compose: dict[str, Any]) -> None:
    assert codes(compose) is None


def test_listed_codes_need_no_code_system() -> None:
    compose = {"include": [{"system": "nowhere", "concept": [{"code": "x"}, {"code": "y"}]}]}
    assert codes(compose) == {("nowhere", "x"), ("nowhere", "y")}


def test_includes_are_united_and_exclusions_taken_away() -> None:
    compose = {
        "include": [{"system": "animals"}, {"system": "other", "concept": [{"code": "x"}]}],
        "exclude": [{"system": "animals", "concept": [{"code": code} for code in ("bird", "hen", "duck")]}],
    }
    expected = {("animals", "mammal"), ("animals", "dog"), ("animals", "whale"), ("other", "x")}
    assert codes(compose) == expected


def test_a_system_and_value_sets_in_one_include_are_intersected() -> None:
    compose = {"include": [{"system": "animals", "valueSet": ["two legs", "birds"]}]}
    both = {"two legs": chosen(("legs", "=", "2")), "birds": chosen(("concept", "is-a", "bird"))}
    assert codes(compose, **both) == {("animals", "hen"), ("animals", "duck")}


def test_two_value_sets_may_share_a_third() -> None:
    compose = {"include": [{"valueSet": ["left"]}, {"valueSet": ["right"]}]}
    shared = {"include": [{"valueSet": ["third"]}]}
    assert codes(compose, left=shared, right=shared, third=chosen(("legs", "=", "0"))) == {("animals", "whale")}


def test_a_value_set_without_compose_has_the_codes_of_its_expansion() -> None:
    contains = [{"abstract": True, "contains": [{"system": "s", "code": "a"}]}, {"system": "s", "code": "b"}]
    value_set = {"it": {"expansion": {"contains": contains}}}
    assert expand("it", value_set.get, SYSTEMS.get) == {("s", "a"), ("s", "b")}


def test_our_codes_are_those_of_an_expansion_in_the_specification() -> None:
    value_set = r4().value_set("http://hl7.org/fhir/ValueSet/yesnodontknow")
    assert value_set is not None
    published = {(item["system"], item["code"]) for item in value_set["expansion"]["contains"]}
    assert r4().codes("http://hl7.org/fhir/ValueSet/yesnodontknow") == published


@pytest.mark.parametrize(
    ("name", "code"),
    [("v3-ActPriority", "CSP"), ("v3-RouteOfAdministration", "SL"), ("v3-NullFlavor", "UNK")],
)
def test_hierarchies_of_version_3_are_followed(name: str, code: str) -> None:
    found = r4().codes(f"http://terminology.hl7.org/ValueSet/{name}")
    assert found is not None
    assert (f"http://terminology.hl7.org/CodeSystem/{name}", code) in found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nowhere", "the value set nowhere is not at hand"),
        ("it", "the code system absent is not at hand with all its codes"),
        ("empty", "says neither how it is composed nor all its codes"),
    ],
)
def test_what_is_missing_is_said(url: str, said: str) -> None:
    sets: dict[str, dict[str, Any]] = {"it": {"compose": {"include": [{"system": "absent"}]}}, "empty": {}}
    with pytest.raises(UnknownCodes, match=said):
        codes_of(url, sets.get, SYSTEMS.get)


def test_a_code_system_is_taken_in_the_version_that_is_stated_where_that_is_at_hand() -> None:
    systems = {
        "s": {"content": "complete", "concept": [{"code": "new"}]},
        "s|1": {"content": "complete", "concept": [{"code": "old"}]},
    }
    for version, expected in (("1", "old"), ("2", "new")):
        sets = {"it": {"compose": {"include": [{"system": "s", "version": version}]}}}
        assert expand("it", sets.get, systems.get) == {("s", expected)}


CONTAINS = [{"system": "s", "code": "a", "contains": [{"system": "s", "code": "b"}]}]


@pytest.mark.parametrize(
    ("expansion", "whole"),
    [
        ({"contains": CONTAINS}, True),
        ({"contains": CONTAINS, "total": 2, "offset": 0}, True),
        ({"contains": CONTAINS, "total": 3}, False),
        ({"contains": CONTAINS, "total": 2, "offset": 2}, False),
        ({"contains": []}, False),
        ({}, False),
        (None, False),
        ({"contains": CONTAINS, "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/valueset-toocostly"}]}, False),
    ],
)  # fmt: skip
def test_an_expansion_says_whether_it_is_whole(expansion: Any, whole: bool) -> None:
    assert is_whole(expansion) is whole


@pytest.mark.parametrize(
    ("code", "below", "above"),
    [
        ("mammal", "mammal dog whale", "mammal"),
        ("dog", "dog", "dog mammal"),
        ("bird", "bird hen duck", "bird"),
        ("hen", "hen", "hen bird"),
        ("duck", "duck", "duck bird"),
        ("unicorn", "unicorn", "unicorn"),
    ],
)
def test_a_code_subsumes_what_is_under_it_and_itself(code: str, below: str, above: str) -> None:
    assert subsumed("animals", ANIMALS, code, up=False) == set(below.split())
    assert subsumed("animals", ANIMALS, code, up=True) == set(above.split())


@pytest.mark.parametrize(
    "definition", [None, SYSTEMS["part"], SYSTEMS["absent"], {**ANIMALS, "hierarchyMeaning": "part-of"}]
)
def test_a_hierarchy_that_cannot_be_told_is_none(definition: dict[str, Any] | None) -> None:
    with pytest.raises(UnknownCodes):
        subsumed("animals", definition, "dog", up=True)
