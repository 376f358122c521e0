"""The reader of plain expressions.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

import pytest

from fhir_server.search.expression import (
    Branch,
    Comparison,
    Condition,
    Existence,
    ExtensionOf,
    Item,
    Member,
    NotPlain,
    OfType,
    Where,
    parse,
    split_union,
    written,
    written_condition,
)

NORMAL_FORMS = [
    ("Patient.name", "Patient.name"),
    ("(Observation.value as Quantity)", "Observation.value.ofType(Quantity)"),
    ("Observation.value as Quantity", "Observation.value.ofType(Quantity)"),
    ("Condition.onset.as(Age)", "Condition.onset.ofType(Age)"),
    ("Observation.value.ofType(FHIR.Quantity)", "Observation.value.ofType(Quantity)"),
    ("(Observation.value as CodeableConcept).text", "Observation.value.ofType(CodeableConcept).text"),
    ("Patient.telecom.where( system = 'phone' )", "Patient.telecom.where(system='phone')"),
    ("Patient.telecom.where(system='phone' and use != 'old')", "Patient.telecom.where(system='phone' and use!='old')"),
    ("a.where(b.exists())", "a.where(b.exists())"),
    ("a.where(b.exists().not())", "a.where(b.empty())"),
    ("a.where(b.exists(c = 1))", "a.where(b.where(c=1).exists())"),
    ("a.where(hasExtension('http://x'))", "a.where(extension('http://x').exists())"),
    ("a.where((b | c).exists())", "a.where((b | c).exists())"),
    ("a.where($this = 'x')", "a.where($this='x')"),
    ("Bundle.entry[0].resource", "Bundle.entry[0].resource"),
    ("Bundle.entry.first().resource", "Bundle.entry[0].resource"),
    ("Patient.extension('http://x/y').value", "Patient.extension('http://x/y').value"),
    (r"a.where(b='it\'s')", r"a.where(b='it\'s')"),
    ("a.b | (c.d as T)", "a.b | c.d.ofType(T)"),
    ("(a | b).c", "a.c | b.c"),
    ("((a | b) as T).d", "a.ofType(T).d | b.ofType(T).d"),
    ("%resource.a.b", "%resource.a.b"),
    ("`a`.b", "a.b"),
]


@pytest.mark.parametrize(("text", "normal"), NORMAL_FORMS)
def test_an_expression_has_one_normal_form_that_reads_back(text: str, normal: str):
    branches = parse(text)
    assert isinstance(branches, tuple)
    assert written(branches) == normal
    assert parse(normal) == branches


def test_each_kind_of_step_is_told_apart():
    phone = Where((Comparison((Branch((Member("system"),)),), "phone", equal=True),))
    (branch,) = parse_union("a.as(T)[2].extension('u').where(system='phone')")
    assert branch.steps == (Member("a"), OfType("T"), Item(2), ExtensionOf("u"), phone)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("Observation.subject.where(resolve() is Patient)", ("Patient",)),
        ("Observation.subject.where(resolve() is FHIR.Patient)", ("Patient",)),
        ("Observation.subject.where(resolve() is Patient or resolve() is Group)", ("Patient", "Group")),
        ("Observation.subject", ()),
    ],
)
def test_resolve_restricts_the_targets_and_leaves_the_path_as_it_is(text: str, targets: tuple[str, ...]):
    (branch,) = parse_union(text)
    assert (written((branch,)), branch.targets) == ("Observation.subject", targets)


def test_a_condition_is_told_from_a_union():
    condition = parse("Patient.deceased.exists() and Patient.deceased != false")
    deceased = (Branch((Member("Patient"), Member("deceased"))),)
    assert condition == Condition((Existence(deceased, exists=True), Comparison(deceased, literal=False, equal=False)))
    assert written_condition(condition.criteria) == "Patient.deceased.exists() and Patient.deceased!=false"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.",
        "a b",
        "a.where(b)",
        "a.where(b = 'c'",
        "a.where(b = 'c' or d = 'e')",
        "a.where(b > 3)",
        "a + b",
        "a.b.resolve()",
        "resolve() is Patient",
        "resolve()",
        "a.select(b)",
        "a.where(resolve() is Patient or b.exists())",
        "(a | b)[0]",
        "a[-1]",
        "a['x']",
        "a.first() | b.exists()",
        "a.extension(1)",
        "a.not()",
        "a = 1.5",
        "a = b",
        "a.'b'",
        "#",
    ],
)
def test_what_is_not_plain_is_left_to_the_general_engine(text: str):
    with pytest.raises(NotPlain):
        parse(text)


@pytest.mark.parametrize(
    ("text", "operands"),
    [
        ("a", ["a"]),
        ("a|b | c", ["a", "b", "c"]),
        ("(a | b).c | d", ["(a | b).c", "d"]),
        (r"a.where(b = '|\'|') | c", [r"a.where(b = '|\'|')", "c"]),
    ],
)
def test_a_union_is_split_at_its_top_level_only(text: str, operands: list[str]):
    assert list(split_union(text)) == operands


def parse_union(text: str) -> tuple[Branch, ...]:
    branches = parse(text)
    assert isinstance(branches, tuple)
    return branches
