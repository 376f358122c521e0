"""The index rows of a resource.

https://hl7.org/fhir/R4/search.html#index
"""

import copy
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search.index import extract, missing_keys
from fhir_server.search.key import key, reference_key
from fhir_server.search.parameter import Parameter, Parameters, r4_parameters
from fhir_server.store.rows import Rows
from profiles.definitions import r4

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"lastUpdated": "2024-01-01T00:00:00Z", "tag": [{"system": "http://example.org/tags", "code": "demo"}]},
    "active": True,
    "name": [{"family": "Abendroth", "given": ["Ida"]}],
    "telecom": [{"system": "phone", "value": "+49 30 1234"}],
    "gender": "female",
    "birthDate": "1980-05",
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
    "subject": {"reference": "Patient/p1"},
    "component": [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "valueQuantity": {"value": 120, "unit": "mmHg"},
        },
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]},
            "valueQuantity": {"value": 80, "unit": "mmHg"},
        },
    ],
}


def rows(resource: dict[str, Any], tenant: int = 1) -> Rows:
    return extract(resource, r4_parameters(), tenant)


def parameter(resource_type: str, code: str) -> Parameter:
    found = r4_parameters().get(resource_type, code)
    assert found is not None
    return found


def has(resource: dict[str, Any], code: str) -> bool:
    """What :missing=false asks."""
    wanted = missing_keys(parameter(resource["resourceType"], code), 1)
    return not rows(resource).paths.isdisjoint(wanted)


def test_each_type_of_search_adds_its_rows():
    made = rows(PATIENT)
    assert key(1, "Patient", "Patient.gender", "code", "female") in made.tokens
    assert key(1, "Patient", "Patient.active", "code", "true") in made.tokens
    assert {
        value for found, value, *_ in made.strings if found == key(1, "Patient", "Patient.name.family", "string")
    } == {"abendroth"}
    assert [date for date in made.dates if date[0] == key(1, "Patient", "Patient.birthDate", "date")]
    target = rows(OBSERVATION).references
    assert target == {(key(1, "Observation", "Observation.subject", "reference"), reference_key(1, "Patient/p1"))}


def test_the_keys_of_two_tenants_have_nothing_in_common():
    first, second = rows(PATIENT, 1), rows(PATIENT, 2)
    assert first.tokens.isdisjoint(second.tokens)
    assert first.paths.isdisjoint(second.paths)
    assert {found for found, *_ in first.strings}.isdisjoint({found for found, *_ in second.strings})


def test_columns_of_the_resource_have_no_rows():
    bare = rows({"resourceType": "Patient", "id": "p1", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}})
    assert (bare.dates, bare.strings, bare.references) == (set(), set(), set())
    assert bare.tokens == rows({"resourceType": "Patient"}).tokens


def test_a_living_patient_is_found_by_deceased_false():
    assert (
        key(1, "Patient", "Patient.deceased.exists() and Patient.deceased!=false", "code", "false")
        in rows(PATIENT).tokens
    )


def test_parameters_that_share_a_path_share_its_rows():
    whole = rows(OBSERVATION)
    texts = {
        path.text for one in ("code", "component-code", "combo-code") for path in parameter("Observation", one).paths
    }
    codes = ("85354-9", "8480-6", "8462-4")
    found = {text: sum(key(1, "Observation", text, "code", code) in whole.tokens for code in codes) for text in texts}
    assert found == {"Observation.code": 1, "Observation.component.code": 2}


def test_a_value_is_kept_with_the_codes_it_stands_beside():
    numbers = {found for found, *_ in rows(OBSERVATION).quantities}
    shared = key(1, "Observation", "Observation.component.value.ofType(Quantity)", "quantity")
    assert shared in numbers
    assert len(numbers) > 2  # one key for each code a value stands with


def test_a_value_of_the_resource_is_kept_with_each_of_its_codes_whatever_their_systems_and_the_composites_that_ask():
    text = "Observation.value.ofType(Quantity)"
    alone = {name: value for name, value in OBSERVATION.items() if name != "component"} | {
        "valueQuantity": {"value": 1}
    }
    (code,) = OBSERVATION["code"]["coding"]
    by_code = key(1, "Observation", "Observation.code", "code", code["code"])
    beside = key(1, "Observation", f"Observation${by_code}${text}", "quantity")
    assert {row[0] for row in rows(alone).quantities} == {key(1, "Observation", text, "quantity"), beside}


def test_codes_and_strings_of_the_resource_need_no_rows_of_their_composites():
    coded = {**OBSERVATION, "valueCodeableConcept": {"coding": [{"system": "http://s", "code": "v"}]}}
    added = rows(coded).without(rows(OBSERVATION))
    assert {one for _, *one in added.quantities} == set()
    text = "Observation.value.ofType(CodeableConcept)"
    forms = [("code", "v"), ("system-code", "http://s", "v"), ("system", "http://s")]
    assert {key(1, "Observation", text, *form) for form in forms} <= added.tokens
    assert not {key(1, "Observation", f"Observation$x${text}", "code", "v")} & added.tokens


@pytest.mark.parametrize(
    ("code", "change", "present"),
    [
        ("subject", {}, True),
        ("patient", {}, True),
        ("subject", {"subject": {"reference": "Group/g"}}, True),
        ("patient", {"subject": {"reference": "Group/g"}}, False),
        ("patient", {"subject": {"reference": "https://example.org/fhir/Patient/p1/_history/2"}}, True),
        ("patient", {"subject": {"type": "Patient", "identifier": {"value": "1"}}}, True),
        ("patient", {"subject": {"reference": "#p", "type": "Patient"}}, True),
        ("patient", {"subject": {"reference": 5}}, False),
        ("value-quantity", {}, False),
        ("combo-value-quantity", {}, True),
        ("combo-value-quantity", {"component": [{"valueString": "x"}]}, False),
        ("component-code-value-quantity", {}, True),
        ("component-code-value-quantity", {"component": []}, False),
    ],
)
def test_the_shape_tells_which_parameters_have_a_value(code: str, change: dict[str, Any], present: bool):
    assert has({**OBSERVATION, **change}, code) == present


def test_a_parameter_that_is_added_is_in_the_next_rows():
    parameters = Parameters(r4(), r4().search_parameters())
    before = extract(PATIENT, parameters, 1)
    definition = {
        "url": "http://example.org/SearchParameter/given-lower",
        "code": "rank",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.telecom.where(system='phone').value",
    }
    parameters.add(definition)
    added = extract(PATIENT, parameters, 1).without(before)
    assert len(added.tokens) > 0
    parameters.remove(definition["url"])
    assert extract(PATIENT, parameters, 1) == before


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Patent", "name": "x"}, {"resourceType": ["Patient"]}])
def test_what_is_no_resource_of_r4_has_no_rows(resource: dict[str, Any]):
    assert rows(resource) == Rows()


CONTAINER: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "contained": [{"resourceType": "Medication", "id": "m", "amount": {"numerator": {"value": 5}}}],
    "medicationReference": {"reference": "#m"},
}


def test_a_parameter_that_is_added_is_in_the_next_rows_of_what_contains_its_type():
    parameters = Parameters(r4(), r4().search_parameters())
    before = extract(CONTAINER, parameters, 1)
    definition = {
        "url": "http://example.org/SearchParameter/amount",
        "code": "amount",
        "base": ["Medication"],
        "type": "quantity",
        "expression": "Medication.amount.numerator",
    }
    parameters.add(definition)
    assert len(extract(CONTAINER, parameters, 1).without(before).quantities) == 1
    parameters.remove(definition["url"])
    assert extract(CONTAINER, parameters, 1) == before


@pytest.mark.parametrize("resource", [PATIENT, OBSERVATION, CONTAINER])
def test_the_rows_of_two_tenants_share_no_key(resource: dict[str, Any]):
    one, other = rows(resource, 1), rows(resource, 2)
    assert one.tokens
    assert one.tokens.isdisjoint(other.tokens)
    assert one.paths.isdisjoint(other.paths)
    for mine, theirs in ((one.strings, other.strings), (one.references, other.references), (one.dates, other.dates)):
        assert {row[0] for row in mine}.isdisjoint({row[0] for row in theirs})


def test_a_value_that_holds_the_separator_of_keys_does_not_pass_for_two():
    def identifier(system: str, value: str) -> Rows:
        return rows({**PATIENT, "identifier": [{"system": system, "value": value}]})

    path = "Patient.identifier"
    split, whole = identifier("a\x1fb", "c"), identifier("a", "b\x1fc")
    assert key(1, "Patient", path, "system-code", "a\x1fb", "c") in split.tokens - whole.tokens
    assert key(1, "Patient", path, "system-code", "a", "b\x1fc") in whole.tokens - split.tokens


@pytest.mark.parametrize("kind", [[], {}, None, 5])
def test_a_contained_resource_without_a_proper_type_has_no_rows(kind: Any):
    assert rows({**PATIENT, "contained": [{"resourceType": kind, "id": "x"}]}) == rows(PATIENT)


def test_rows_are_the_same_every_time():
    assert rows(PATIENT) == rows(copy.deepcopy(PATIENT))


# --- odd JSON ---------------------------------------------------------------------------------------------------------

ODD = st.sampled_from(
    [None, True, 0, -1, 10**30, "", "\x00", "a/b|c$d,e", "\ud800", [], [None], {}, {"": {}}, [[["x"]]], "9999-99"]
)


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for name, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*at, name)
        yield from places(value, (*at, name))


def changed(resource: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    out = copy.deepcopy(resource)
    node: Any = out
    for name in at[:-1]:
        node = node[name]
    node[at[-1]] = value
    return out


RICH: list[dict[str, Any]] = [
    PATIENT,
    OBSERVATION,
    {
        "resourceType": "Observation",
        "valueSampledData": {"origin": {"value": 1}, "period": 1, "dimensions": 1},
        "effectiveTiming": {"event": ["2020"], "repeat": {"boundsPeriod": {"start": "2020", "end": "2021"}}},
        "identifier": [{"type": {"coding": [{"system": "s", "code": "c"}], "text": "t"}, "system": "s", "value": "v"}],
        "subject": {"reference": "Patient/1", "type": "Patient", "identifier": {"value": "1"}, "display": "d"},
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/observation-geneticsGene", "valueCoding": {"code": "x"}}
        ],
        "meta": {"profile": ["http://example.org/p|1"], "security": [{"code": "R"}], "source": "urn:x"},
    },
    {
        "resourceType": "Location",
        "position": {"latitude": 52, "longitude": 13},
        "address": {"line": ["a"], "city": "B"},
    },
    {
        "resourceType": "Group",
        "characteristic": [{"code": {"text": "a"}, "valueRange": {"low": {"value": 1}, "high": {"value": 2}}}],
    },
    {
        "resourceType": "MolecularSequence",
        "referenceSeq": {"windowStart": 1, "windowEnd": 2},
        "variant": [{"start": 1, "end": 2}],
    },
    {
        "resourceType": "DocumentReference",
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/1"}}],
    },
    {"resourceType": "Invoice", "totalNet": {"value": 1, "currency": "EUR"}},
    {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}]},
    {
        "resourceType": "ValueSet",
        "url": "http://example.org/v",
        "useContext": [{"code": {"code": "age"}, "valueQuantity": {"value": 1}}],
    },
]
PLACES = [(resource, at) for resource in RICH for at in places(resource)]


@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_odd_json_anywhere_never_raises(changes: list[tuple[tuple[dict[str, Any], tuple[Any, ...]], Any]]):
    for (resource, at), value in changes:
        rows(changed(resource, at, value))


def test_every_odd_value_at_every_place_of_a_patient_and_an_observation():
    for resource in (PATIENT, OBSERVATION):
        for at in places(resource):
            for value in (None, True, 7, "x", [], [None], {}, [[]], {"reference": {}}):
                rows(changed(resource, at, value))


# --- real resources ---------------------------------------------------------------------------------------------------


def test_all_definitions_of_r4_are_extracted():
    for resource_type in ("SearchParameter", "CompartmentDefinition", "OperationDefinition"):
        for resource in r4()._package.resources(resource_type):
            assert rows(resource).paths


# --- the page that explains the index ---------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[3] / "docs" / "implementation" / "index.md"


def documented() -> Iterator[tuple[dict[str, Any], str, list[str]]]:
    """Each worked row of the page: the resource it is about, the table, the cells."""
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    table = ""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            table = ""
        elif ": path" in cells[0]:
            table = cells[0].partition(":")[0]
        elif table and cells[0].startswith("`"):
            resource_type = cells[0].strip("`").partition(".")[0]
            resource = next(one for one in examples if one["resourceType"] == resource_type)
            yield resource, table, [cell.replace("`", "") for cell in cells]


def test_the_worked_rows_of_the_page_are_there():
    checked = set()
    for resource, table, (path, form, *values) in documented():
        made = rows(resource)
        found = key(1, resource["resourceType"], path, *form.split(", "))
        match table:
            case "index_token":
                there = key(1, resource["resourceType"], path, form, *values[0].split(", ")) in made.tokens
            case "index_string":
                there = (found, values[0], None, values[1]) in made.strings
            case "index_date":
                there = (found, values[0], values[1]) in made.dates
            case "index_reference":
                there = (found, reference_key(1, values[0])) in made.references
            case "index_quantity":
                there = (found, Decimal(values[0]), Decimal(values[1])) in {row[:3] for row in made.quantities}
            case _:
                there = found in made.paths
        assert there, (table, path, form, values)
        checked.add(table)
    assert checked == {"index_token", "index_string", "index_date", "index_reference", "index_quantity", "shape"}
