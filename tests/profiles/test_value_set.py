from typing import Any

import pytest

from profiles.definitions import r4
from profiles.value_set import Code, expand

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
