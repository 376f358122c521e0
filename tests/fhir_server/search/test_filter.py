"""The grammar of _filter: https://hl7.org/fhir/R4/search_filter.html."""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.query import Chain, Clause, Either, Every, Except, Has, Missing, Spelled, Term
from tests.fhir_server.search.world import query_of


def shown(term: Term) -> str:
    """A term in one line."""
    match term:
        case Clause():
            name = term.parameter.code + (f":{term.modifier}" if term.modifier else "")
            return ("not " if term.negated else "") + name
        case Spelled():
            return f"{term.parameter.code} {term.how} {term.text}"
        case Missing():
            return f"{term.parameter.code} {'missing' if term.missing else 'present'}"
        case Every(terms=terms):
            return "(" + " & ".join(map(shown, terms)) + ")"
        case Either(terms=terms):
            return "(" + " | ".join(map(shown, terms)) + ")"
        case Except(term=one):
            return f"!{shown(one)}"
        case Chain():
            return f"{term.parameter.code}>{'/'.join(name for name, _ in term.targets)}>{shown(term.targets[0][1])}"
        case Has():
            return f"{term.type}.{term.parameter.code}<{shown(term.term)}"
    return type(term).__name__


READ = [
    ("Patient", 'name co "pet"', "name co pet"),
    ("Patient", 'given eq "Peter" and birthdate ge 2014-10-10', "(given eq peter & birthdate)"),
    ("Patient", "gender eq male or gender eq female and active eq true", "(gender | (gender & active))"),
    ("Patient", "(gender eq male or gender eq female) and active eq true", "((gender | gender) & active)"),
    ("Patient", "not (active eq true)", "!active"),
    ("Patient", "not active eq true", "!active"),
    ("Patient", "not(not(active eq true))", "!!active"),
    ("Patient", "gender ne male", "(gender present & !gender)"),
    ("Patient", "birthdate ne 2010", "birthdate"),
    ("Patient", "birthdate po 2010", "birthdate"),
    ("Patient", "name pr true", "name present"),
    ("Patient", "name pr false", "name missing"),
    ("Patient", "family sw a", "family"),
    ("Patient", "family ew a", "family ew a"),
    ("Patient", "name eq \"a b, c\"", "name eq a b c"),
    ("ValueSet", "url sw http://a", "url:below"),
    ("ValueSet", "url ew /x", "url ew /x"),
    ("Observation", "subject re Patient/1", "subject"),
    ("Observation", 'subject.name co "pet"', "subject>Patient/Location>name co pet"),
    ("Observation", 'subject:Patient.name co "pet"', "subject>Patient>name co pet"),
    ("Observation", 'subject[active eq true].name co "p"', "subject>Patient>(active & name co p)"),
    ("Observation", "subject[active eq true or gender eq male].general-practitioner.name co x",
     "subject>Patient>((active | gender) & general-practitioner>Practitioner/Organization>name co x)"),
    ("Observation", "value-quantity gt 5.4|http://unitsofmeasure.org|mg", "value-quantity"),
    ("Observation", "code eq http://loinc.org|1234-5", "code"),
    ("Patient", "_has:Observation:patient:code eq 1", "Observation.patient<code"),
    ("Patient", "_id eq 5", "_id"),
    ("Patient", "_lastUpdated gt 2020", "_lastUpdated"),
    ("Patient", "_content eq liver", "Words"),
    ("Patient", "  name   co   x  ", "name co x"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "expected"), READ)
def test_a_filter_is_read_into_terms(kind, text, expected):
    (term,) = query_of(f"{kind}?_filter={text}").terms
    assert shown(term) == expected


REFUSED = [
    ("name", "one of"),
    ("name xx a", "one of"),
    ("name eq", "a value"),
    ("eq a", "one of"),
    ("(name eq a", "')'"),
    ("name eq a)", "'and', 'or'"),
    ("name eq a b", "'and', 'or'"),
    ("name eq a and", "name of a search parameter"),
    ("name eq a or", "name of a search parameter"),
    ('name eq "a', "a JSON string"),
    ('name eq "\\ud800"', "surrogates"),
    ('name eq "\\u0000"', "NUL"),
    ("nmae eq a", "did you mean 'name'"),
    ("gender co a", "takes eq"),
    ("name gt a", "takes"),
    ("birthdate eq x", "no date"),
    ("birthdate po x", "a date is needed"),
    ("name pr maybe", "true or false"),
    ("name.family eq a", "only references"),
    ("general-practitioner[name eq a", "']'"),
    ("general-practitioner[name eq a]", "'.'"),
    ("general-practitioner.nmae eq a", "unknown search parameter"),
    ("name eq !", "letter or digit"),
    ("gender in http://unknown", "not at hand"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED)
def test_what_cannot_be_read_is_refused_with_its_place(text, told):
    with pytest.raises(Refusal) as caught:
        query_of(f"Patient?_filter={text}")
    assert told in str(caught.value)
    assert caught.value.status == 400
