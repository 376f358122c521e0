"""The shapes are the published ones, and each of them is a search that the server's own parser takes, strictly."""

from collections import Counter
from random import Random

import pytest

from bench.pools import Pools
from bench.search import drawn, expected
from bench.shapes import MIX_OF_30, SETS_OF_24, NothingToDraw, Shape
from fhir_server.interactions.url import split_query
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.parse import parse
from fhir_server.search.types.context import Context
from loaders.demonstration import generate

ALL = (*SETS_OF_24, *MIX_OF_30)


@pytest.fixture(scope="module")
def pools() -> Pools:
    found: dict[str, list[dict]] = {}
    for resource in generate(3, 7):
        found.setdefault(resource["resourceType"], []).append(resource)
    return Pools(found)


def test_there_are_24_shapes_of_six_kinds_and_30_in_the_mix():
    assert Counter(shape.group for shape in SETS_OF_24) == {
        "string": 3, "date": 3, "token": 4, "quantity": 3, "composite": 3, "reference": 8,
    }  # fmt: skip
    assert len(MIX_OF_30) == 30
    assert sum("_total=accurate" in shape.name for shape in MIX_OF_30) == 7
    assert sum(mark in shape.name for shape in MIX_OF_30 for mark in ("_content", ":text", "_text=")) == 7


def test_no_two_shapes_of_a_set_have_the_same_name():
    assert len({shape.name for shape in SETS_OF_24}) == 24
    assert len({shape.name for shape in MIX_OF_30}) == 30


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: shape.name)
def test_every_instance_of_a_shape_is_a_search_that_is_understood(shape: Shape, pools: Pools):
    parameters, context = r4_parameters(), Context(tenant=1, base="http://localhost/fhir")
    for seed in range(30):
        path = shape.path(pools, Random(seed))
        kind, mark, query = path.partition("?")
        assert path.isascii()
        assert " " not in path
        if mark:
            understood = parse((kind,), split_query(query.encode()), parameters, context)
            assert understood.terms or kind == "Observation"
            assert not understood.ignored


@pytest.mark.parametrize("shape", ALL, ids=lambda shape: shape.name)
def test_the_same_seed_draws_the_same_values(shape: Shape, pools: Pools):
    assert shape.path(pools, Random("7")) == shape.path(pools, Random("7"))


def test_a_shape_that_the_data_has_nothing_for_is_left_out():
    subject = next(shape for shape in SETS_OF_24 if shape.name == "Observation?subject")
    with pytest.raises(NothingToDraw):
        subject.path(Pools({}), Random(1))
    instances = drawn(ALL, Pools({}), "1")
    assert subject not in instances
    assert any(shape.name == "metadata" for shape in instances)


def test_instances_hold_a_value_that_is_not_there_now_and_then(pools: Pools):
    name = next(shape for shape in SETS_OF_24 if shape.name == "Patient?name")
    paths = [name.path(pools, Random(seed)) for seed in range(300)]
    misses = sum("NON-EXISTS" in path for path in paths)
    assert 0 < misses < 60


def test_what_is_expected_depends_on_what_is_asked():
    assert expected(Shape("Patient/{}", "mix", lambda _p, _r: "")) is not expected(SETS_OF_24[0])
