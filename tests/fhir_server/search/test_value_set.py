"""https://hl7.org/fhir/R4/search.html#token: what :in, :not-in, :above and :below find, in the database and in memory."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from fhir_server.search.execute import Search
from fhir_server.search.parse import parse
from fhir_server.search.query import Query
from fhir_server.search.types.context import NotAtHand
from fhir_server.search.value_set import MOST_DEFINITIONS, Asked, AtHand, at_hand, may_ask
from profiles.registry import Registry
from tests.fhir_server.search.world import CONTEXT, TENANT, World, world

A, B = "http://acme.org/a", "http://acme.org/b"
SET = "http://acme.org/set"
REGISTRY = Registry()
LETTERS = "uvwxyz"


@pytest.fixture(scope="module")
def empty(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as made:
        yield made


def search(here: World) -> Search:
    return Search(here.conn, TENANT, here.types, here.parameters)


def asked(here: World, types: tuple[str, ...], name: str, value: str) -> Query:
    """The query, read twice as a request is."""
    assert may_ask([name])
    noted = Asked()
    parse(types, [(name, value)], here.parameters, replace(CONTEXT, codes_of=noted.codes_of, subsumed=noted.subsumed))
    found = here.runner.run(at_hand(search(here), REGISTRY, noted.names, CONTEXT.base))
    known = replace(CONTEXT, codes_of=found.codes_of, subsumed=found.subsumed)
    return parse(types, [(name, value)], here.parameters, known)


def code_system(url: str, concepts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    kept = {"url": url, "status": "active", "content": "complete", "caseSensitive": True, "concept": concepts}
    return {"resourceType": "CodeSystem", "id": url.rpartition("/")[2]} | kept | more


def value_set(url: str, compose: dict[str, Any], **more: Any) -> dict[str, Any]:
    name = url.rpartition("/")[2]
    return {"resourceType": "ValueSet", "id": name, "url": url, "status": "active", "compose": compose} | more


# --- agreement --------------------------------------------------------------------------------------------------------


@st.composite
def hierarchies(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
    """Concepts, each under some of those before it in one of the three ways; and what is above each, itself included."""
    above: dict[str, set[str]] = {}
    by_code: dict[str, dict[str, Any]] = {}
    tops = []
    for code in LETTERS:
        parents = draw(st.lists(st.sampled_from([*by_code]), max_size=2, unique=True)) if by_code else []
        one: dict[str, Any] = {"code": code}
        nested = False
        for parent in parents:
            way = draw(st.sampled_from(("nested", "child", "parent", "subsumedBy")))
            if way == "nested" and not nested:
                by_code[parent].setdefault("concept", []).append(one)
                nested = True
            elif way == "child":
                by_code[parent].setdefault("property", []).append({"code": "child", "valueCode": code})
            else:
                name = "subsumedBy" if way == "subsumedBy" else "parent"
                one.setdefault("property", []).append({"code": name, "valueCode": parent})
        tops += [] if nested else [one]
        by_code[code] = one
        above[code] = {code}.union(*(above[parent] for parent in parents))
    return tops, above


CODINGS = st.fixed_dictionaries({"code": st.sampled_from(LETTERS)}, optional={"system": st.sampled_from((A, B))})
CONCEPTS = st.lists(st.one_of(st.none(), st.lists(CODINGS, max_size=2)), max_size=5)


def conditions(made: list[Any]) -> list[dict[str, Any]]:
    return [
        {"resourceType": "Condition", "id": f"c{n}", "subject": {"reference": "Patient/p"}}
        | ({} if codings is None else {"code": {"coding": codings}})
        for n, codings in enumerate(made)
    ]


def having(made: list[dict[str, Any]], codes: set[tuple[str, str]]) -> set[str]:
    """The conditions with one of the codes, looked at one after the other."""
    return {
        f"Condition/{one['id']}"
        for one in made
        if any((c.get("system"), c["code"]) in codes for c in one.get("code", {}).get("coding", ()))
    }


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(hierarchies(), CONCEPTS, st.sampled_from(LETTERS), st.sets(st.sampled_from(LETTERS)))
def test_the_database_and_memory_find_what_a_look_at_each_code_finds(
    empty: World, hierarchy: tuple[Any, dict[str, set[str]]], codings: list[Any], root: str, listed: set[str]
) -> None:
    concepts, above = hierarchy
    below = {code for code, over in above.items() if root in over}
    rooted = {"system": A, "filter": [{"property": "concept", "op": "is-a", "value": root}]}
    some = [{"system": B, "concept": [{"code": code} for code in sorted(listed)]}] if listed else []
    stored = [code_system(A, concepts), value_set(SET, {"include": [rooted, *some]})]
    made = conditions(codings)
    everything = {f"Condition/{one['id']}" for one in made}
    inside = having(made, {(A, code) for code in below} | {(B, code) for code in listed})
    expected = {
        ("code:in", SET): inside,
        ("code:not-in", SET): everything - inside,
        ("code:below", f"{A}|{root}"): having(made, {(A, code) for code in below}),
        ("code:above", f"{A}|{root}"): having(made, {(A, code) for code in above[root]}),
        ("_filter", f"code in {SET}"): inside,
        ("_filter", f"code ss {A}|{root}"): having(made, {(A, code) for code in below}),
    }
    with empty.of([*stored, *made]) as here:
        for (name, value), names in expected.items():
            query = asked(here, ("Condition",), name, value)
            assert {f"{m.type}/{m.id}" for m in here.page(query).matches} == names, (name, value)
            assert here.in_memory(query) == names, (name, value)


# --- what is fetched --------------------------------------------------------------------------------------------------


def chain(length: int) -> list[dict[str, Any]]:
    """Value sets each of which takes in the next one twice."""
    last = value_set(f"{SET}{length}", {"include": [{"system": A, "concept": [{"code": "u"}]}]})
    links = [
        value_set(f"{SET}{n}", {"include": [{"valueSet": [f"{SET}{n + 1}"]}, {"valueSet": [f"{SET}{n + 1}"]}]})
        for n in range(length)
    ]
    return [*links, last]


def test_value_sets_that_take_each_other_in_are_expanded_once(empty: World) -> None:
    with empty.of([*chain(40), *conditions([[{"system": A, "code": "u"}]])]) as here:
        assert len(here.page(asked(here, ("Condition",), "code:in", f"{SET}0")).matches) == 1


def test_a_value_set_that_needs_too_many_others_is_refused(empty: World) -> None:
    with empty.of(chain(MOST_DEFINITIONS + 5)) as here, pytest.raises(Refusal, match="more than 200 definitions") as no:
        asked(here, ("Condition",), "code:in", f"{SET}0")
    assert no.value.status == 400


ODD: list[dict[str, Any]] = [
    {"compose": {}},
    {"compose": {"include": "all"}},
    {"compose": {"include": [5, {"system": 5}, {"valueSet": SET}]}},
    {"compose": {"include": [{"system": A, "concept": [{"display": "no code"}]}]}},
    {"compose": {"include": [{"system": A, "filter": [{"op": "is-a"}]}]}},
    {"expansion": {"contains": [{"code": "u"}], "total": "many"}},
    {"compose": [], "expansion": []},
]


@pytest.mark.parametrize("more", ODD)
def test_a_value_set_that_is_none_is_refused_and_does_no_harm(empty: World, more: dict[str, Any]) -> None:
    odd = {"resourceType": "ValueSet", "id": "odd", "url": SET, "status": "active", "version": 5} | more
    with empty.of([odd, code_system(A, [{"code": "u"}])]) as here, pytest.raises(NotAtHand):
        asked(here, ("Condition",), "code:in", SET)


@pytest.mark.parametrize("more", [{"concept": [{}]}, {"concept": ["u"]}, {"content": 5}, {"concept": "u"}])
def test_a_code_system_that_is_none_is_refused_and_does_no_harm(empty: World, more: dict[str, Any]) -> None:
    with empty.of([code_system(A, [{"code": "u"}]) | more]) as here, pytest.raises(NotAtHand):
        asked(here, ("Condition",), "code:below", f"{A}|u")


def test_one_code_of_a_system_without_case_is_found_in_any_case(empty: World) -> None:
    concepts = [{"code": "Heart", "concept": [{"code": "Valve"}]}]
    with empty.of(
        [code_system(A, concepts, caseSensitive=False), *conditions([[{"system": A, "code": "VALVE"}]])]
    ) as here:
        assert here.in_memory(asked(here, ("Condition",), "code:below", f"{A}|heart")) == {"Condition/c0"}


def test_a_package_is_asked_where_nothing_is_stored() -> None:
    known = AtHand(REGISTRY, {})
    assert ("http://hl7.org/fhir/administrative-gender", "male") in known.codes_of(
        "http://hl7.org/fhir/ValueSet/administrative-gender"
    )
    clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    assert known.subsumed(clinical, "active", "below") == {"active", "recurrence", "relapse"}
    assert known.subsumed(clinical, "relapse", "above") == {"active", "relapse"}


@pytest.mark.parametrize(
    ("value_set_url", "said"),
    [
        ("http://hl7.org/fhir/ValueSet/condition-code", "http://snomed.info/sct"),
        ("http://snomed.info/sct?fhir_vs=isa/126851005", "code system http://snomed.info/sct is"),
        ("http://snomed.info/sct/900000000000207008?fhir_vs", "code system http://snomed.info/sct is"),
        ("http://loinc.org/vs/LL715-4", "code system http://loinc.org is"),
        ("http://acme.org/unknown", "value set http://acme.org/unknown is not at hand; store"),
    ],
)
def test_what_is_missing_is_named(value_set_url: str, said: str) -> None:
    with pytest.raises(NotAtHand, match=said.replace(".", r"\.")):
        AtHand(REGISTRY, {}).codes_of(value_set_url)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("code:in", True), ("subject:Patient.gender:not-in", True), ("_has:Observation:patient:code:below", True),
        ("url:above", True), ("_filter", True), ("code", False), ("code:not", False), ("_include:iterate", False),
    ],
)  # fmt: skip
def test_only_queries_with_these_modifiers_are_read_twice(name: str, expected: bool) -> None:
    assert may_ask([name]) is expected
