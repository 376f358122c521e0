"""The registry of search parameters, compared with what R4 publishes and with another FHIRPath engine.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from bench.extraction import compared, definitions
from fhir_server.outcome import Refusal
from fhir_server.search.expression import NotPlain, parse, split_union
from fhir_server.search.parameter import NOT_DOMAIN, Parameter, Parameters, Path, r4_parameters
from profiles.definitions import r4
from tests.reference import reference

SEARCH_PARAMETER = "http://hl7.org/fhir/SearchParameter/"
EXAMPLES = {SEARCH_PARAMETER + name for name in ("example", "example-extension", "example-reference")}
IS_SUBJECT = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject"
# What no index answers: full text, named queries, _filter; and an age, which changes without a write.
WITHOUT_PATHS = {"_content", "_query", "_text", "_filter", "age"}


def parameter(resource_type: str, code: str) -> Parameter:
    found = r4_parameters().get(resource_type, code)
    assert found is not None
    return found


def texts(paths: tuple[Path, ...]) -> list[str]:
    return [path.text for path in paths]


def test_all_parameters_of_r4_are_registered_but_three_examples():
    registered = {one.url for name in r4().resource_types for one in r4_parameters().of(name).values()}
    assert len(definitions()) == 1400
    assert definitions().keys() - registered == EXAMPLES


def test_every_expression_compiles_to_plain_paths():
    empty = {
        one.code
        for name in r4().resource_types
        for one in r4_parameters().of(name).values()
        if not (one.paths or one.roots)
    }
    assert empty == WITHOUT_PATHS
    fallen_back = []
    for url, definition in definitions().items():
        for operand in split_union(definition.get("expression", "$this")):
            try:
                parse(operand)
            except NotPlain:
                fallen_back.append(url)
    assert fallen_back == []


def test_a_type_has_its_own_parameters_and_those_of_every_resource():
    for resource_type in r4().resource_types:
        own = {
            one["code"]
            for one in definitions().values()
            if resource_type in one.get("base", ()) and one["url"] not in EXAMPLES
        }
        found = set(r4_parameters().of(resource_type))
        assert own <= found
        assert {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"} <= found
        assert ("_text" in found) == (resource_type not in NOT_DOMAIN)


def test_an_unknown_type_has_no_parameters():
    assert dict(r4_parameters().of("Patent")) == {}
    assert r4_parameters().get("Patient", "nmae") is None


@pytest.mark.parametrize(
    ("resource_type", "code", "paths"),
    [
        ("Patient", "phone", ["Patient.telecom.where(system='phone')"]),
        ("Practitioner", "phone", ["Practitioner.telecom.where(system='phone')"]),
        ("Patient", "death-date", ["Patient.deceased.ofType(dateTime)"]),
        ("Patient", "deceased", ["Patient.deceased.exists() and Patient.deceased!=false"]),
        ("Observation", "date", ["Observation.effective"]),
        ("Observation", "combo-code", ["Observation.code", "Observation.component.code"]),
        (
            "Observation",
            "value-string",
            ["Observation.value.ofType(string)", "Observation.value.ofType(CodeableConcept).text"],
        ),
        ("Condition", "onset-age", ["Condition.onset.ofType(Age)", "Condition.onset.ofType(Range)"]),
        ("Bundle", "composition", ["Bundle.entry[0].resource"]),
        ("Patient", "_tag", ["Patient.meta.tag"]),
        (
            "Patient",
            "mothersMaidenName",
            ["Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName').value"],
        ),
        ("Patient", "birthOrderBoolean", ["Patient.multipleBirth"]),
        (
            "ValueSet",
            "keyword",
            ["ValueSet.extension('http://hl7.org/fhir/StructureDefinition/valueset-keyWord').value"],
        ),
        ("Location", "near", ["Location.position"]),
        (
            "QuestionnaireResponse",
            "item-subject",
            [f"QuestionnaireResponse.item.where(extension('{IS_SUBJECT}').exists()).answer.value.ofType(Reference)"],
        ),
    ],
)
def test_a_parameter_has_one_path_for_each_branch_about_its_type(resource_type: str, code: str, paths: list[str]):
    assert texts(parameter(resource_type, code).paths) == paths


@pytest.mark.parametrize(
    ("resource_type", "code", "targets", "restricted"),
    [
        ("Observation", "subject", {"Patient", "Group", "Device", "Location"}, False),
        ("Observation", "patient", {"Patient"}, True),
        ("AuditEvent", "patient", {"Patient"}, True),
        ("Immunization", "patient", {"Patient"}, False),
        ("Person", "practitioner", {"Practitioner"}, True),
        ("Condition", "subject", {"Patient", "Group"}, False),
        ("DiagnosticReport", "assessed-condition", set(), False),
    ],
)
def test_targets_are_those_of_resolve_or_of_the_definition(
    resource_type: str, code: str, targets: set[str], restricted: bool
):
    found = parameter(resource_type, code)
    assert (set(found.targets), found.restricted) == (targets, restricted)


def test_parameters_that_share_a_branch_share_its_path():
    code, component, combo = (parameter("Observation", one).paths for one in ("code", "component-code", "combo-code"))
    assert [id(path) for path in combo] == [id(code[0]), id(component[0])]
    assert parameter("Observation", "patient").paths[0] is parameter("Observation", "subject").paths[0]


# Every shape of composite in R4: the roots, each component's type and paths below the roots, and where a root is the
# resource itself the paths from it.
USE_CONTEXT_VALUE = (["{}.useContext"], [("token", ["code"], []), ("token", ["value.ofType(CodeableConcept)"], [])])
USE_CONTEXT_QUANTITY = (
    ["{}.useContext"],
    [("token", ["code"], []), ("quantity", ["value.ofType(Quantity)", "value.ofType(Range)"], [])],
)


def observation(*value: str, kind: str) -> list[tuple[str, list[str], list[str]]]:
    return [("token", ["code"], ["Observation.code"]), (kind, [*value], ["Observation." + one for one in value])]


def below_observation(*value: str, kind: str) -> list[tuple[str, list[str], list[str]]]:
    return [("token", ["code"], []), (kind, [*value], [])]


def coordinate(start: str, end: str, first: tuple[str, str]) -> list[tuple[str, list[str], list[str]]]:
    return [(first[0], [first[1]], []), ("number", [start], []), ("number", [end], [])]


COMPOSITES = {
    ("DocumentReference", "relationship"): (
        ["DocumentReference.relatesTo"],
        [("reference", ["target"], []), ("token", ["code"], [])],
    ),
    ("Group", "characteristic-value"): (["Group.characteristic"], [("token", ["code"], []), ("token", ["value"], [])]),
    ("MolecularSequence", "referenceseqid-window-coordinate"): (
        ["MolecularSequence.referenceSeq"],
        coordinate("windowStart", "windowEnd", ("token", "referenceSeqId")),
    ),
    ("MolecularSequence", "chromosome-window-coordinate"): (
        ["MolecularSequence.referenceSeq"],
        coordinate("windowStart", "windowEnd", ("token", "chromosome")),
    ),
    ("MolecularSequence", "referenceseqid-variant-coordinate"): (
        ["MolecularSequence.variant"],
        coordinate("start", "end", ("token", "%resource.referenceSeq.referenceSeqId")),
    ),
    ("MolecularSequence", "chromosome-variant-coordinate"): (
        ["MolecularSequence.variant"],
        coordinate("start", "end", ("token", "%resource.referenceSeq.chromosome")),
    ),
    ("Observation", "code-value-concept"): (
        ["Observation"],
        observation("value.ofType(CodeableConcept)", kind="token"),
    ),
    ("Observation", "code-value-date"): (
        ["Observation"],
        observation("value.ofType(dateTime)", "value.ofType(Period)", kind="date"),
    ),
    ("Observation", "code-value-quantity"): (["Observation"], observation("value.ofType(Quantity)", kind="quantity")),
    ("Observation", "code-value-string"): (["Observation"], observation("value.ofType(string)", kind="string")),
    ("Observation", "combo-code-value-concept"): (
        ["Observation", "Observation.component"],
        observation("value.ofType(CodeableConcept)", kind="token"),
    ),
    ("Observation", "combo-code-value-quantity"): (
        ["Observation", "Observation.component"],
        observation("value.ofType(Quantity)", kind="quantity"),
    ),
    ("Observation", "component-code-value-concept"): (
        ["Observation.component"],
        below_observation("value.ofType(CodeableConcept)", kind="token"),
    ),
    ("Observation", "component-code-value-quantity"): (
        ["Observation.component"],
        below_observation("value.ofType(Quantity)", kind="quantity"),
    ),
}


def test_every_composite_is_of_a_known_shape():
    seen = set()
    for resource_type in r4().resource_types:
        for one in r4_parameters().of(resource_type).values():
            if one.type != "composite":
                assert (one.roots, one.components) == ((), ())
                continue
            known = COMPOSITES.get((resource_type, one.code))
            roots, components = known or (
                USE_CONTEXT_QUANTITY if one.code == "context-type-quantity" else USE_CONTEXT_VALUE
            )
            assert texts(one.roots) == [root.format(resource_type) for root in roots], one
            assert [
                (c.parameter.type, texts(c.parameter.paths), texts(c.absolute.paths)) for c in one.components
            ] == components
            seen.add((resource_type, one.code))
    assert COMPOSITES.keys() <= seen
    assert {code for _, code in seen - COMPOSITES.keys()} == {"context-type-value", "context-type-quantity"}


def test_the_paths_of_a_composite_from_the_resource_are_those_the_components_have_anyway():
    quantity = parameter("Observation", "code-value-quantity").components[1].absolute
    assert quantity.paths[0] is parameter("Observation", "value-quantity").paths[0]


def test_a_component_reads_the_element_or_with_percent_the_resource():
    sequence = {
        "resourceType": "MolecularSequence",
        "referenceSeq": {"chromosome": {"text": "1"}},
        "variant": [{"start": 5, "end": 7}],
    }
    composite = parameter("MolecularSequence", "chromosome-variant-coordinate")
    ((_, root),) = composite.roots[0].nodes(sequence)
    read = [
        path.nodes(sequence if path.from_resource else root)
        for one in composite.components
        for path in one.parameter.paths
    ]
    assert read == [[("CodeableConcept", {"text": "1"})], [("integer", 5)], [("integer", 7)]]


def test_a_type_in_an_expression_is_that_type_and_no_other_that_descends_from_it():
    concept_map = {"resourceType": "ConceptMap", "targetCanonical": "http://example.org/x"}
    found = {
        code: [path.nodes(concept_map) for path in parameter("ConceptMap", code).paths]
        for code in ("target", "target-uri")
    }
    assert found == {"target": [[("canonical", "http://example.org/x")]], "target-uri": [[]]}


# --- parameters that are added ----------------------------------------------------------------------------------------

CUSTOM: dict[str, Any] = {
    "resourceType": "SearchParameter",
    "url": "http://example.org/SearchParameter/ward",
    "code": "ward",
    "base": ["Patient", "Person"],
    "type": "string",
    "expression": "Patient.extension('http://example.org/ward') | Person.extension('http://example.org/ward').value.ofType(string)",
}


def fresh() -> Parameters:
    return Parameters(r4(), r4().search_parameters())


def test_a_parameter_can_be_added_replaced_and_removed():
    parameters = fresh()
    before = parameters.of("Patient")
    added = parameters.add(CUSTOM)
    assert [(one.resource_type, one.code) for one in added] == [("Patient", "ward"), ("Person", "ward")]
    assert parameters.get("Patient", "ward") == added[0]
    assert parameters.of("Patient") is not before
    parameters.add({**CUSTOM, "code": "unit", "base": ["Patient"]})
    assert parameters.get("Patient", "unit") is not None
    assert parameters.get("Patient", "ward") is parameters.get("Person", "ward") is None
    parameters.remove(CUSTOM["url"])
    assert parameters.of("Patient").keys() == before.keys()


def test_an_expression_that_is_not_plain_is_left_to_the_fhirpath_engine():
    expression = "Patient.name.where(use != 'old' or period.exists()).family | Patient.name.given.count()"
    (added,) = fresh().add({**CUSTOM, "base": ["Patient"], "expression": expression})
    patient = {
        "resourceType": "Patient",
        "name": [{"use": "usual", "family": "Abendroth", "given": ["Ida"]}, {"use": "old", "family": "X"}],
    }
    assert [path.nodes(patient) for path in added.paths] == [[("string", "Abendroth")], [("integer", 1)]]
    assert added.paths[0].nodes({"resourceType": "Patient", "name": [{"use": 3}, 4]}) == []


def test_a_parameter_of_every_resource_is_added_to_every_type():
    parameters = fresh()
    definition = {
        **CUSTOM,
        "base": ["DomainResource"],
        "expression": "DomainResource.extension('http://example.org/ward')",
    }
    assert len(parameters.add(definition)) == len(r4().resource_types) - len(NOT_DOMAIN)
    assert texts(parameters.of("Slot")["ward"].paths) == ["Slot.extension('http://example.org/ward').value"]
    assert parameters.get("Binary", "ward") is None


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"code": ""}, "SearchParameter.code"),
        ({"expression": None}, "SearchParameter.expression"),
        ({"expression": "Patient.nmae | Person.name"}, "SearchParameter.expression"),
        ({"expression": "Patient.name"}, "SearchParameter.expression"),  # nothing about Person
        ({"expression": "Patient.name.("}, "SearchParameter.expression"),
        ({"type": "text"}, "SearchParameter.type"),
        ({"base": ["Patent"]}, "SearchParameter.base"),
        ({"base": "Patient"}, "SearchParameter.base"),
        ({"base": [{}]}, "SearchParameter.base"),
        ({"expression": {}}, "SearchParameter.expression"),
        ({"type": "composite"}, "SearchParameter.component"),
        ({"type": "composite", "component": [{}, {}]}, "SearchParameter.component"),
        (
            {"type": "composite", "component": [{"definition": "http://example.org/unknown", "expression": "a"}] * 2},
            "SearchParameter.expression",
        ),
        ({"code": "name"}, "SearchParameter.code"),
    ],
)
def test_a_parameter_that_cannot_be_indexed_is_refused_and_changes_nothing(change: dict[str, Any], expression: str):
    parameters = fresh()
    before = parameters.of("Patient")
    with pytest.raises(Refusal) as refused:
        parameters.add({**CUSTOM, **change})
    assert refused.value.status == 422
    assert refused.value.issues[0].expression == (expression,)
    assert parameters.of("Patient") is before


# --- agreement with another engine ------------------------------------------------------------------------------------


def check_agreement(resource: dict[str, Any]) -> int:
    """Compares every parameter of the resource's type; the number of those that yielded something."""
    found = 0
    for one, mine, theirs in compared(resource):
        assert mine == theirs, (one.code, definitions()[one.url]["expression"])
        found += bool(mine)
    return found


def synthea() -> Iterator[dict[str, Any]]:
    """The first two resources of every type of a few patients."""
    seen: dict[str, int] = {}
    for file in sorted(reference("synthea/bulk-data-server-100").glob("*.json.gz"))[:3]:
        bundle = json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            count = seen[resource["resourceType"]] = seen.get(resource["resourceType"], 0) + 1
            if count <= 2:
                yield resource


def test_synthea_resources_yield_what_fhirpathpy_finds():
    found = {resource["resourceType"]: check_agreement(resource) for resource in synthea()}
    assert found["Patient"] > 15
    assert len(found) > 10


DEFINITIONS = [
    "http://hl7.org/fhir/administrative-gender",
    "http://hl7.org/fhir/ValueSet/administrative-gender",
    "http://hl7.org/fhir/CompartmentDefinition/device",
    "http://hl7.org/fhir/OperationDefinition/Encounter-everything",
    "http://hl7.org/fhir/SearchParameter/clinical-code",
    "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",
]


@pytest.mark.parametrize("url", DEFINITIONS)
def test_definitions_of_r4_yield_what_fhirpathpy_finds(url: str):
    resource = r4().resource(url)
    assert resource is not None
    assert check_agreement(resource) > 3


HAND_MADE: list[dict[str, Any]] = [
    {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "c"},
        "subject": {"reference": "Group/1"},
        "valueCodeableConcept": {"text": "v", "coding": [{"code": "x"}]},
        "component": [
            {"code": {"text": "d"}, "valueQuantity": {"value": 1}},
            {"code": {"text": "e"}, "valueString": "s"},
        ],
        "effectivePeriod": {"start": "2020"},
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/observation-geneticsGene",
                "valueCodeableConcept": {"text": "g"},
            }
        ],
    },
    {
        "resourceType": "Patient",
        "deceasedDateTime": "2020",
        "telecom": [{"system": "email", "value": "a"}, {"value": "b"}],
    },
    {"resourceType": "Patient", "deceasedBoolean": False, "link": [{"other": {"reference": "RelatedPerson/1"}}]},
    {
        "resourceType": "Condition",
        "onsetAge": {"value": 3},
        "abatementString": "late",
        "subject": {"reference": "Patient/1"},
    },
    {
        "resourceType": "AuditEvent",
        "agent": [{"who": {"reference": "Patient/1"}}, {"who": {"reference": "Practitioner/1"}}],
        "entity": [{"what": {"reference": "Patient/2"}}, {"what": {"reference": "Observation/2"}}],
    },
    {
        "resourceType": "Library",
        "relatedArtifact": [
            {"type": "depends-on", "resource": "http://x|1"},
            {"type": "successor", "resource": "http://y"},
        ],
        "useContext": [{"code": {"code": "age"}, "valueRange": {"low": {"value": 1}}}],
    },
    {"resourceType": "ConceptMap", "sourceUri": "http://x", "targetUri": "http://y"},
    {
        "resourceType": "Group",
        "characteristic": [{"code": {"text": "a"}, "valueBoolean": True}, {"valueQuantity": {"value": 1}}],
    },
    {"resourceType": "MedicationRequest", "medicationReference": {"reference": "Medication/1"}},
    {
        "resourceType": "QuestionnaireResponse",
        "item": [
            {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject",
                        "valueBoolean": True,
                    }
                ],
                "answer": [{"valueReference": {"reference": "Patient/1"}}, {"valueString": "x"}],
            },
            {"answer": [{"valueReference": {"reference": "Patient/2"}}]},
        ],
    },
    {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [{"resource": {"resourceType": "Composition", "id": "1"}}, {"resource": {"resourceType": "Patient"}}],
    },
]


@pytest.mark.parametrize("resource", HAND_MADE, ids=lambda one: str(one["resourceType"]))
def test_choices_criteria_and_restrictions_yield_what_fhirpathpy_finds(resource: dict[str, Any]):
    assert check_agreement(resource) > 0
