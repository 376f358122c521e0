"""The query string as a Query: https://hl7.org/fhir/R4/search.html#Introduction."""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.parse import Limits, parse
from fhir_server.search.query import Chain, Clause, Either, Has, Include, Listed, Missing, Words
from tests.fhir_server.search.world import CONTEXT, query_of


def test_parameters_are_terms_and_the_rest_shapes_the_answer():
    query = query_of(
        "Patient?name=a&_sort=-birthdate,family&_count=5&_total=accurate&_summary=true&_elements=name, id&_format=json"
    )
    assert [term.parameter.code for term in query.terms] == ["name"]
    assert [(key.parameter.code, key.descending) for key in query.sort] == [("birthdate", True), ("family", False)]
    assert (query.count, query.total, query.summary, query.elements) == (5, "accurate", "true", ("name", "id"))
    assert [name for name, _ in query.applied] == ["name", "_sort", "_count", "_total", "_summary", "_elements"]


def test_a_page_is_no_larger_than_the_limit():
    pairs = [("_count", "5000")]
    assert parse(("Patient",), pairs, r4_parameters(), CONTEXT, limits=Limits(20, 300)).count == 300
    assert parse(("Patient",), [], r4_parameters(), CONTEXT, limits=Limits(7, 300)).count == 7


TERMS = [
    ("Patient?name=a,b", Clause, 2),
    ("Patient?name=a\\,b", Clause, 1),
    ("Patient?gender:not=male", Clause, 1),
    ("Patient?name:missing=true", Missing, None),
    ("Patient?general-practitioner.name=a", Chain, None),
    ("Patient?_has:Observation:patient:code=a", Has, None),
    ("Patient?_list=1,List/2", Listed, None),
    ("Patient?_content=a,b", Words, None),
    ("Observation,DiagnosticReport?code=a", Clause, 1),
    ("Observation,DiagnosticReport?date=2020", Clause, 1),
]


@pytest.mark.parametrize(("text", "kind", "values"), TERMS)
def test_a_pair_is_read_into_its_term(text, kind, values):
    (term,) = query_of(text).terms
    assert isinstance(term, kind)
    if values is not None:
        assert len(term.values) == values


def test_a_parameter_of_several_types_has_the_paths_of_all():
    (term,) = query_of("Observation,DiagnosticReport?code=a").terms
    assert isinstance(term, Clause)
    assert {path.resource_type for path in term.parameter.paths} == {"Observation", "DiagnosticReport"}
    (everywhere,) = query_of("?_tag=a").terms
    assert isinstance(everywhere, Clause)
    assert len(everywhere.parameter.paths) == len(r4_parameters().resource_types)


def test_a_composite_of_several_types_is_an_alternative_for_each():
    (term,) = query_of("Questionnaire,ValueSet?context-type-value=a$b").terms
    assert isinstance(term, Either)
    assert len(term.terms) == 2


def test_a_chain_leads_to_the_types_that_know_the_parameter():
    (term,) = query_of("Observation?subject.birthdate=2020").terms
    assert isinstance(term, Chain)
    assert [name for name, _ in term.targets] == ["Patient"]
    (named,) = query_of("Observation?subject:Patient.name=a").terms
    assert isinstance(named, Chain)
    assert [name for name, _ in named.targets] == ["Patient"]


INCLUDES = [
    ("_include=Observation:patient", Include("Observation", None, None, iterate=False, reverse=False)),
    ("_include=Observation:*", Include("Observation", None, None, iterate=False, reverse=False)),
    ("_include=*", Include("*", None, None, iterate=False, reverse=False)),
    (
        "_include:iterate=Observation:subject:Patient",
        Include("Observation", None, "Patient", iterate=True, reverse=False),
    ),
    ("_revinclude:recurse=Provenance:target", Include("Provenance", None, None, iterate=True, reverse=True)),
]


@pytest.mark.parametrize(("text", "expected"), INCLUDES)
def test_an_include_names_type_parameter_and_target(text, expected):
    (found,) = query_of(f"Observation?{text}").includes
    assert (found.type, found.target, found.iterate, found.reverse) == (
        expected.type, expected.target, expected.iterate, expected.reverse,
    )  # fmt: skip
    assert (found.parameter is None) is ("*" in text)


def test_an_empty_value_asks_for_nothing():
    assert query_of("Patient?name=&_id=").terms == ()


def test_a_lenient_query_tells_what_it_ignored():
    query = query_of("Patient?nmae=a&name=b&_count=x", lenient=True)
    assert len(query.terms) == 1
    assert len(query.ignored) == 2
    assert query.applied == (("name", "b"),)
    with pytest.raises(Refusal):
        query_of("Patient?nmae=a&name=b")
