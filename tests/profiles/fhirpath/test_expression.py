"""What expressions find, where it stands, and what is refused."""

import copy
from decimal import Decimal
from typing import Any

import pytest

from profiles.fhirpath import (
    CLIENT_STEPS,
    Element,
    FhirPathError,
    Host,
    TooCostly,
    compile_expression,
    evaluate,
    root,
)

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Ward"}],
    "extension": [{"url": "urn:a", "valueDecimal": Decimal("1.50")}],
    "active": True,
    "name": [
        {"use": "official", "given": ["Ada", None, "May"], "_given": [None, {"id": "g"}, None]},
        {"use": "old", "family": "Roe"},
    ],
    "birthDate": "2000-02",
    "_birthDate": {"extension": [{"url": "urn:b", "valueString": "b"}]},
    "deceasedDateTime": "2020-01-01T10:00:00+02:00",
    "managingOrganization": {"reference": "#o"},
    "generalPractitioner": [{"reference": "Practitioner/1"}],
}

FINDS: dict[str, list[Any]] = {
    "Patient.name.given": ["Ada", None, "May"],
    "name.where(use = 'old').family": ["Roe"],
    "Resource.id": ["p"],
    "DomainResource.contained.name": ["Ward"],
    "Observation.id": [],
    "Patient.deceased.exists()": [True],
    "(Patient.deceased as dateTime)": ["2020-01-01T10:00:00+02:00"],
    "Patient.deceased.ofType(boolean)": [],
    "Patient.deceased > @2020-01-01T07:59:59Z": [True],
    "Patient.deceased = @2020-01-01T08:00:00.000Z": [True],
    "birthDate.extension('urn:b').value": ["b"],
    "birthDate < @2000-03": [True],
    "birthDate = @2000-02-01": [],
    "birthDate + 1 month": ["2000-03"],
    "extension.value": [Decimal("1.50")],
    "extension.value + 0.25": [Decimal("1.75")],
    "extension.value.toString()": ["1.50"],
    "managingOrganization.resolve().name": ["Ward"],
    "managingOrganization.resolve() is Organization": [True],
    "contained.first().id = 'o' and %resource.id = 'p'": [True],
    "name.given.hasValue()": [False],
    "name.given.select(hasValue())": [True, False, True],
    "name.given[1].id": ["g"],
    "name.type().name.distinct()": ["HumanName"],
    "0.1 + 0.2 = 0.3": [True],
    "3 'mg' + 2 'g'": [{"value": Decimal(2003), "system": "http://unitsofmeasure.org", "code": "mg"}],
    "2147483647 + 1": [],
    "name.as(HumanName).count()": [2],
    "active.as(boolean)": [True],
    "iif(active, 'yes', 1/0)": ["yes"],
    "descendants().where($this is Extension).url": ["urn:a", "urn:b"],
    "'A\\u00e9'.length()": [2],
    "name.`use`": ["official", "old"],
    "name.given contains 'May'": [True],
    "Patient.meta.tag.where(system = 'x').code": [],
}


@pytest.mark.parametrize("expression", FINDS)
def test_an_expression_finds(expression: str) -> None:
    before = copy.deepcopy(PATIENT)
    found = evaluate(PATIENT, expression)
    assert found == FINDS[expression]
    assert list(map(type, found)) == list(map(type, FINDS[expression]))
    assert before == PATIENT


def test_elements_know_where_they_stand() -> None:
    found = compile_expression("name.given | deceased | birthDate.extension.value").items(PATIENT)
    assert [item.location() for item in found] == [
        ("name", 0, "given", 0),
        ("name", 0, "given", 1),
        ("name", 0, "given", 2),
        ("deceasedDateTime",),
        ("birthDate", "extension", 0, "valueString"),
    ]
    assert [item.path() for item in found][2:4] == ["Patient.name[0].given[2]", "Patient.deceased"]


def test_an_expression_may_start_inside_a_resource() -> None:
    (name, *_) = compile_expression("name").items(PATIENT)
    assert compile_expression("given.count()").evaluate(name) == [3]
    assert compile_expression("%resource.id").evaluate(name) == ["p"]
    (ward,) = compile_expression("contained").items(PATIENT)
    assert compile_expression("%resource.id | %rootResource.id").evaluate(ward) == ["o", "p"]


def test_a_value_of_a_data_type_may_be_the_context() -> None:
    period = root({"start": "2020", "end": "2019"}, "Period")
    rule = "start.hasValue().not() or end.hasValue().not() or (start <= end)"
    assert compile_expression(rule, on="Period").holds(period) is False


def test_a_resource_of_a_type_r4_does_not_know_is_read_as_it_looks() -> None:
    thing = {"resourceType": "Gadget", "part": [{"size": 1}, {"size": Decimal("2.5")}], "name": "x"}
    assert evaluate(thing, "Gadget.part.size") == [1, Decimal("2.5")]
    assert evaluate(thing, "name.startsWith('x')") == [True]


def test_json_of_the_wrong_form_is_no_reason_to_fall_over() -> None:
    resource = {"resourceType": "Patient", "name": "x", "gender": {"a": 1}, "birthDate": [1], "telecom": [[], None, 5]}
    assert evaluate(resource, "(gender | birthDate | name.given).count()") == [2]
    assert evaluate(resource, "descendants().count() > 0 and telecom.value.empty()") == [True]


WRONG: dict[str, str] = {
    "name.": "unexpected the end",
    "name..given": "unexpected '.'",
    "name[0": "']' is expected",
    "name # given": "cannot read '# given' at character 6",
    "'open": "cannot read",
    "'\\q'": "no escape sequence",
    "'\\ud800'": "no escape sequence",
    "@2020-13-01": "there is no such date",
    "name.wher(use = 'x')": "no function wher()",
    "name.where()": "takes 1 arguments, not 0",
    "name is Nonsense": "no type Nonsense",
    "name.single()": "one item is expected here, there are 2",
    "'a' > 1": "cannot be compared",
    "1 + 'a'": "has no meaning",
    "%nothing": "no variable %nothing",
    "generalPractitioner.resolve()": "resolve() is not available",
    "'x'.matches('(')": "no regular expression",
    "'aaa'.matches('(a+)+b')": "exponential",
    "(" * 200 + "1" + ")" * 200: "nested deeper",
    "1" + " + 1" * 200: "nested deeper",
    "1.toQuantity(5)": "a unit is a text",
    "1" * 500: "more than 400 digits",
    "'" + "x" * 20_000 + "'": "longer than 20000",
}


@pytest.mark.parametrize("expression", WRONG)
def test_an_expression_is_refused(expression: str) -> None:
    with pytest.raises(FhirPathError) as wrong:
        evaluate(PATIENT, expression)
    assert WRONG[expression] in wrong.value.message
    assert wrong.value.expression


UNKNOWN = {
    "Patient.nmae": "Patient has no element 'nmae'; did you mean 'name'?",
    "name.where(usse = 'old')": "HumanName has no element 'usse'; did you mean 'use'?",
    "Observation.value": "Observation is not what this is evaluated on",
    "deceasedBoolean": "Patient has no element 'deceasedBoolean'",
    "(deceased as boolean).start": "boolean has no element 'start'",
    "name.select(given | nick)": "HumanName has no element 'nick'",
    "children().first()": "needs an order",
    "iif('x', 1, 2)": "the condition of iif() is no boolean",
}


@pytest.mark.parametrize("expression", UNKNOWN)
def test_an_expression_is_checked_against_the_definitions(expression: str) -> None:
    with pytest.raises(FhirPathError) as wrong:
        compile_expression(expression, on="Patient")
    assert UNKNOWN[expression] in wrong.value.message
    assert compile_expression(expression)


def test_as_picks_from_several_items_unless_it_is_strict() -> None:
    assert len(compile_expression("name.as(HumanName)").items(PATIENT)) == 2
    with pytest.raises(FhirPathError, match="one item"):
        compile_expression("name.as(HumanName)", strict=True).items(PATIENT)


COSTLY = [
    "(1|2|3|4|5|6|7|8|9).select(" * 7 + "1" + ")" * 7,
    "(1).repeat($this + 1)",
    "(1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20).aggregate($total & $total & 'xx' & $total, 'xxxxxxxx')",
    "(1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22).aggregate($total.combine($total), 1)",
    "'x'.replace('', " + "'" + "y" * 9000 + "').replace('', '" + "z" * 9000 + "')",
    "10.power(99999999999999).toString()",
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("expression", COSTLY, ids=range(len(COSTLY)))
def test_what_would_take_for_ever_is_given_up(expression: str) -> None:
    try:
        found = compile_expression(expression).evaluate(PATIENT, limit=CLIENT_STEPS)
    except TooCostly:
        return
    assert found == []


def test_the_host_resolves_decides_membership_and_profiles_and_hears_traces() -> None:
    heard: list[tuple[str, int]] = []

    def resolve(reference: str, within: Element) -> dict[str, Any] | None:
        return {"resourceType": "Practitioner", "id": "1"} if reference == "Practitioner/1" else None

    host = Host(
        resolve=resolve,
        member_of=lambda value, url: (value, url) == ("official", "urn:vs"),
        conforms_to=lambda _, kind, url: kind == "Patient" if url == "urn:p" else None,
        trace=lambda name, items: heard.append((name, len(items))),
    )
    expected = {
        "generalPractitioner.resolve().where(resolve() is Patient or $this is Practitioner).id": ["1"],
        "name.use.select(memberOf('urn:vs'))": [True, False],
        "conformsTo('urn:p')": [True],
        "name.trace('names', given).count()": [2],
    }
    for expression, values in expected.items():
        assert evaluate(PATIENT, expression, host=host) == values
    assert heard == [("names", 3)]
    with pytest.raises(FhirPathError, match="urn:q is not known"):
        evaluate(PATIENT, "conformsTo('urn:q')", host=host)


def test_variables_are_given_by_name() -> None:
    variables = {"user": "Ada", "numbers": [1, 2]}
    assert evaluate(PATIENT, "name.given contains %user", variables=variables) == [True]
    assert evaluate(PATIENT, "%numbers.count()", variables=variables) == [2]


def test_an_expression_is_compiled_once() -> None:
    assert compile_expression("Patient.name") is compile_expression("Patient.name")


def test_an_evaluation_has_a_limit_of_its_own_unless_it_is_told_otherwise():
    bundle = {"resourceType": "Bundle", "entry": [{"fullUrl": f"urn:uuid:{n}"} for n in range(1_100)]}
    often = compile_expression("entry.all(%resource.entry.all(fullUrl.exists()))")
    with pytest.raises(TooCostly):
        often.evaluate(bundle)
    assert often.evaluate(bundle | {"entry": bundle["entry"][:20]}, limit=None) == [True]


@pytest.mark.parametrize("form", ["hex", "base64", "urlbase64"])
def test_a_text_does_not_grow_without_end_by_being_encoded(form: str):
    again = f".encode('{form}')" * 60
    with pytest.raises(TooCostly):
        compile_expression(f"'abcdefgh'{again}").evaluate(PATIENT)
