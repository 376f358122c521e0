"""What an update changes in the index is what the rows of both versions differ by, whatever was changed."""

import copy
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search import index
from fhir_server.search.difference import changed_properties, difference
from fhir_server.search.parameter import Parameters, r4_parameters
from loaders.demonstration import bundles
from profiles.definitions import r4
from tests.fhir_server.search.test_index import OBSERVATION, PATIENT, PLACES, RICH, changed

TENANT = 3
ODD = st.sampled_from([None, True, 0, 1, Decimal("1.0"), "", "a/b|c$d,e", "1980", [], [None], {}, {"": {}}, [[["x"]]]])
CONTAINED = {
    "contained": [{"resourceType": "Patient", "id": "in", "gender": "male"}],
    "subject": {"reference": "#in"},
}


def assert_told(old: dict[str, Any], new: dict[str, Any], parameters: Parameters | None = None) -> None:
    known = parameters or r4_parameters()
    before, after = index.extract(old, known, TENANT), index.extract(new, known, TENANT)
    added, removed = difference(old, new, known, TENANT)
    come, gone = after.without(before), before.without(after)
    assert msgspec.structs.replace(added, texts=come.texts) == come
    assert msgspec.structs.replace(removed, paths=before.paths, texts=gone.texts) == gone
    assert_words_told(before.texts, after.texts, added.texts, removed.texts)
    assert before.changed(added, removed) == after
    assert difference(old, new, known, TENANT, before) == (added, removed)


def assert_words_told(before: set[Any], after: set[Any], added: set[Any], removed: set[Any]) -> None:
    """Of those that go it is only told that they do; the same words may go and come."""
    if before == after and not added:
        assert not removed
    else:
        assert added == after
        assert bool(removed) == bool(before)


@given(st.sampled_from(RICH), st.lists(st.tuples(st.sampled_from(PLACES), ODD), max_size=3), st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_is_changed_is_told(
    old: dict[str, Any], changes: list[tuple[tuple[dict[str, Any], tuple[Any, ...]], Any]], backwards: bool
):
    new = copy.deepcopy(old)
    for (resource, at), value in changes:
        if resource is old:
            new = changed(new, at, value) if _is_there(new, at) else new
    assert_told(new, old) if backwards else assert_told(old, new)


def _is_there(node: Any, at: tuple[Any, ...]) -> bool:
    """Whether the place is still there: a change before may have put a list where an object was."""
    for name in at[:-1]:
        if not (name in node if isinstance(node, dict) else _has(node, name)):
            return False
        node = node[name]
    return isinstance(node, dict) or _has(node, at[-1])


def _has(node: Any, index: Any) -> bool:
    return isinstance(node, list) and isinstance(index, int) and len(node) > index


def test_each_property_of_the_hospital_s_resources_can_go_come_and_become_another_s():
    kept = defaultdict(list)
    for bundle in bundles(3):
        for entry in bundle["entry"]:
            kept[entry["resource"]["resourceType"]].append(entry["resource"])
    assert len(kept) > 15
    for some in kept.values():
        for old, new in pairwise(some[:3]):
            assert_told(old, new)
        for name in some[0].keys() - {"resourceType"}:
            less = {key: value for key, value in some[0].items() if key != name}
            assert_told(some[0], less)
            assert_told(less, some[0])
            assert_told(some[0], {**less, name: some[-1].get(name, some[0][name])})


def test_each_property_of_definitions_can_go_and_come():
    for kind in ("SearchParameter", "CompartmentDefinition", "OperationDefinition"):
        old = next(iter(r4()._package.resources(kind)))
        for name in old.keys() - {"resourceType"}:
            less = {key: value for key, value in old.items() if key != name}
            assert_told(old, less)
            assert_told(less, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OBSERVATION, OBSERVATION | CONTAINED),
        (OBSERVATION | CONTAINED, OBSERVATION),
        (OBSERVATION | CONTAINED, OBSERVATION | CONTAINED | {"status": "amended"}),
        (PATIENT, OBSERVATION),
        ({}, PATIENT),
        ({"resourceType": "Unknown", "a": "b"}, {"resourceType": "Unknown", "a": "c"}),
    ],
)
def test_where_properties_do_not_tell_all_rows_are_compared(old: dict[str, Any], new: dict[str, Any]):
    assert_told(old, new)


@pytest.mark.parametrize(
    ("one", "other"), [(Decimal("1.0"), Decimal("1.00")), (1, True), (1, Decimal("1.0")), ([0], [False])]
)
def test_what_is_equal_but_written_otherwise_has_changed(one: Any, other: Any):
    assert changed_properties({"a": one, "b": "x"}, {"a": other, "b": "x"}) == {"a"}
    assert changed_properties({"a": {"b": one}}, {"a": {"b": one}}) == set()


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.where(active = true).name.family",
        "Patient.name.where(use = 'official').family",
        "Patient.name[0].family",
        "Patient.name.family.lower()",
        "Patient.name.family.where(%resource.active)",
        "iif(Patient.active, Patient.name.family)",
    ],
)
@pytest.mark.parametrize("change", [{"active": False}, {"name": []}, {"name": [{"use": "usual", "family": "Other"}]}])
def test_criteria_about_other_properties_are_heeded(expression: str, change: dict[str, Any]):
    parameters = Parameters(r4(), r4().search_parameters())
    url = "http://example.org/SearchParameter/difference"
    parameters.add({"url": url, "code": "rank", "base": ["Patient"], "type": "string", "expression": expression})
    patient = {"active": True, **PATIENT, "name": [{"use": "official", "family": "Linde"}]}
    assert extracted(patient, parameters) != extracted(patient | {"active": False, "name": []}, parameters)
    assert_told(patient, patient | change, parameters)
    assert_told(patient | change, patient, parameters)


def extracted(patient: dict[str, Any], parameters: Parameters) -> set[Any]:
    return index.extract(patient, parameters, TENANT).strings
