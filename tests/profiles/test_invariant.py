import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.answer import Unsure
from profiles.definitions import Constraint, Structure, r4
from profiles.erratum import CHECKED_ELSEWHERE, LEFT_OUT, REPAIRED
from profiles.expression_tree import reads
from profiles.fhirpath import FhirPathError, root
from profiles.fhirpath.evaluation import truth
from profiles.fhirpath.expression import compile_expression
from profiles.invariant import invariants, quick
from tests.profiles.mutations import VALID


def structures() -> list[Structure]:
    found: dict[str, Structure] = {}
    todo = list(r4().types)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = r4().structure(name)
            todo += [field.type for field in found[name].fields.values() if "." in field.type]
    return list(found.values())


CODED = {"coding": [{"system": "http://loinc.org", "code": "1"}]}
STRUCTURES = structures()
CONSTRAINTS: list[Constraint] = [one for structure in STRUCTURES for one in structure.constraints]


def test_every_constraint_of_r4_compiles_both_ways():
    count = 0
    for structure in STRUCTURES:
        for path in {constraint.path for constraint in structure.constraints}:
            for invariant in invariants(structure, path):
                quick(invariant, structure.name)
                count += 1
    assert count > 240


def test_the_tables_speak_of_constraints_that_exist_and_give_reasons():
    assert set(CHECKED_ELSEWHERE) | set(LEFT_OUT) <= {one.key for one in CONSTRAINTS}
    assert set(REPAIRED) <= {one.expression for one in CONSTRAINTS}
    reasons = [*CHECKED_ELSEWHERE.values(), *LEFT_OUT.values(), *(why for _, why in REPAIRED.values())]
    assert all(len(why.split()) >= 4 for why in reasons)


@pytest.mark.parametrize(
    ("type_name", "expression", "expected"),
    [
        ("Patient", "name.exists() or birthDate.empty()", {"name", "birthDate"}),
        ("Patient", "Patient.name.given.empty()", {"name"}),
        ("Patient", "contained.where(id = %resource.id).exists()", {"contained"}),
        ("Patient", "name.subsetOf(contact.name)", {"name", "contact"}),
        ("Patient", "%resource.id = 'x'", None),
        ("Patient", "$this.name.empty()", None),
        ("Patient", "children().count() > 1", None),
        ("Patient", "1 = 1", set()),
        ("Patient", "name.family.intersect(contact.name.family).empty()", {"name"}),
    ],
)
def test_what_an_expression_reads_is_known(type_name, expression, expected):
    found = reads(compile_expression(expression).tree, type_name)
    assert found == (None if expected is None else frozenset(expected))


@pytest.mark.parametrize(
    ("type_name", "value", "key", "holds"),
    [
        ("Period", {"start": "2020", "end": "2020-05"}, "per-1", True),
        ("Period", {"start": "2020-06", "end": "2020-05"}, "per-1", False),
        ("Period", {"start": "2020-01-01T10:00:00Z", "end": "2020-01-01T10:30:00+01:00"}, "per-1", False),
        ("Period", {"start": "2020-01-01T10:00:00.5Z", "end": "2020-01-01T10:00:00Z"}, "per-1", False),
        ("Period", {"start": "2020-01-01T10:00:00+01:00", "end": "2020-01-01T09:30:00Z"}, "per-1", True),
        ("Period", {"end": "2020"}, "per-1", True),
        ("Range", {"low": {"value": 1, "unit": "a"}, "high": {"value": 0, "unit": "b"}}, "rng-2", True),
        ("Range", {"low": {"value": 2}, "high": {"value": 1}}, "rng-2", False),
        ("Bundle.entry", {"request": {"method": "DELETE", "url": "Patient/1"}}, "bdl-8", True),
        ("ValueSet", {"resourceType": "ValueSet", "status": "draft"}, "vsd-0", True),
        ("Timing.repeat", {"offset": 5, "when": ["AC", "HS"]}, "tim-9", True),
        ("Timing.repeat", {"offset": 5, "when": ["AC", "C"]}, "tim-9", False),
        ("MessageDefinition.focus", {"code": "Patient", "min": 0}, "md-1", True),
        ("MessageDefinition.focus", {"code": "Patient", "min": 0, "max": "0"}, "md-1", False),
        ("CareTeam.participant", {"member": {"reference": "Practitioner/1"}, "onBehalfOf": {"reference": "Organization/1"}}, "ctm-1", True),
        ("CareTeam.participant", {"member": {"reference": "Patient/1"}, "onBehalfOf": {"reference": "Organization/1"}}, "ctm-1", False),
        ("Condition", {"resourceType": "Condition", "category": [{"coding": [{"code": "encounter-diagnosis"}]}]}, "con-3", True),
        ("Condition", {"resourceType": "Condition", "category": [{"coding": [{"code": "problem-list-item"}]}]}, "con-3", False),
        ("StructureDefinition", {"resourceType": "StructureDefinition", "kind": "logical", "abstract": False}, "sdf-4", True),
        ("StructureDefinition", {"resourceType": "StructureDefinition", "kind": "resource", "abstract": False}, "sdf-4", False),
        ("ElementDefinition", {"path": "a.b", "min": 2, "max": "1"}, "eld-2", False),
        ("ElementDefinition", {"path": "a.b", "min": 1, "max": "*"}, "eld-2", True),
        ("Organization", {"resourceType": "Organization", "active": True}, "org-1", False),
        ("Organization", {"resourceType": "Organization", "name": "a"}, "org-1", True),
        ("Organization", {"resourceType": "Organization", "identifier": [{"value": "a"}]}, "org-1", True),
        ("Timing.repeat", {"period": Decimal("0.5")}, "tim-5", True),
        ("Timing.repeat", {"period": 0}, "tim-5", True),
        ("Timing.repeat", {"period": Decimal("-0.5")}, "tim-5", False),
        ("Timing.repeat", {"duration": -1}, "tim-5", True),
        ("Observation", {"resourceType": "Observation", "code": CODED, "valueString": "a"}, "obs-7", True),
        ("Observation", {"resourceType": "Observation", "code": CODED, "component": [{"code": CODED}]}, "obs-7", True),
        ("Observation", {"resourceType": "Observation", "code": CODED, "valueString": "a", "component": [{"code": CODED}]}, "obs-7", False),
        ("Bundle", {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {}}, {"request": {}}]}, "bdl-3", True),
        ("Bundle", {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {}}, {"fullUrl": "a:b"}]}, "bdl-3", False),
        ("Bundle", {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "a:b"}]}, "bdl-3", True),
        ("Bundle", {"resourceType": "Bundle", "type": "collection", "entry": [{"request": {}}]}, "bdl-3", False),
        ("Bundle", {"resourceType": "Bundle", "type": "collection"}, "bdl-3", True),
        ("Bundle", {"resourceType": "Bundle", "entry": [{"request": {}}]}, "bdl-3", False),
        ("Questionnaire.item", {"linkId": "1", "type": "display", "item": [{"linkId": "2"}]}, "que-1", False),
        ("Questionnaire.item", {"linkId": "1", "type": "group", "item": [{"linkId": "2"}]}, "que-1", True),
        ("Questionnaire.item", {"linkId": "1", "type": "date", "maxLength": 3}, "que-10", False),
        ("Questionnaire.item", {"linkId": "1", "type": "string", "maxLength": 3}, "que-10", True),
        ("Questionnaire.item", {"linkId": "1", "maxLength": 3}, "que-10", False),
        ("ElementDefinition", {"path": "Patient.na me"}, "eld-20", True),
        ("ElementDefinition", {"path": "12"}, "eld-20", False),
        ("Age", {"value": 0, "code": "a", "system": "http://unitsofmeasure.org"}, "age-1", False),
    ],
)  # fmt: skip
def test_a_constraint_holds_or_not_whichever_way_it_is_asked(type_name, value, key, holds):
    (invariant,) = (one for one in invariants(r4().structure(type_name), type_name) if one.key == key)
    assert invariant.holds(root(value, type_name)) is holds
    assert invariant.surely_holds(root(value, type_name)) is holds
    assert bool(quick(invariant, type_name)(value)) is holds


def test_what_asks_for_the_resource_around_is_left_to_those_who_know_it():
    (invariant,) = (
        one
        for one in invariants(r4().structure("StructureDefinition.snapshot"), "StructureDefinition.snapshot")
        if one.key == "sdf-8"
    )
    with pytest.raises(Unsure):
        quick(invariant, "StructureDefinition.snapshot")({"element": [{"path": "Patient"}]})


def objects(type_name: str, value: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every object in a resource, itself first, with the name of its structure."""
    found = [(type_name, value)]
    for field in r4().structure(type_name).fields.values():
        member = value.get(field.name)
        for item in member if isinstance(member, list) else [member]:
            if isinstance(item, dict):
                found += objects(item["resourceType"] if field.type == "Resource" else field.type, item)
    return found


OBJECTS = [pair for make in VALID for pair in objects(make()["resourceType"], make())]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_ways_give_one_answer_whatever_is_left_out(data):
    type_name, value = copy.deepcopy(data.draw(st.sampled_from(OBJECTS)))
    for key in data.draw(st.sets(st.sampled_from(sorted(value)))):
        del value[key]
    for invariant in invariants(r4().structure(type_name), type_name):
        try:
            answer = quick(invariant, type_name)(value)
        except Unsure:
            continue
        try:
            assert answer == truth(invariant.expression.items(root(value, type_name)))
        except FhirPathError:
            pytest.fail(f"{invariant.key} has the answer {answer} where it cannot be evaluated")
