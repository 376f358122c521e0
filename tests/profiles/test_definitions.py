import json
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest

from profiles.definitions import Definitions, UnknownStructure, r4
from tests.reference import reference

# Value sets that R4 binds with `required` and whose codes live outside the package.
EXTERNAL = {
    "http://hl7.org/fhir/ValueSet/currencies|4.0.1": "ISO 4217",
    "http://hl7.org/fhir/ValueSet/mimetypes|4.0.1": "BCP 13",
    "http://hl7.org/fhir/ValueSet/ucum-units|4.0.1": "UCUM",
    "http://loinc.org/vs/LL379-9|4.0.1": "a LOINC answer list",
}


@pytest.fixture(scope="module")
def everything() -> Definitions:
    definitions = r4()
    for name in definitions.types:
        definitions.structure(name)
    return definitions


def structures(definitions: Definitions) -> list[Any]:
    return list(definitions._structures.values())


def test_the_package_is_the_core_of_r4() -> None:
    package = r4()._package
    assert (package.name, package.version) == ("hl7.fhir.r4.core", "4.0.1")
    assert Counter(entry.resource_type for entry in package.entries()) == {
        "SearchParameter": 1400,
        "ValueSet": 1316,
        "CodeSystem": 1062,
        "StructureDefinition": 658,
        "ConceptMap": 80,
        "OperationDefinition": 47,
        "CapabilityStatement": 8,
        "CompartmentDefinition": 6,
        "NamingSystem": 2,
        "StructureMap": 2,
    }


def test_r4_has_146_concrete_resource_types() -> None:
    types = r4().resource_types
    assert len(types) == 146
    assert list(types) == sorted(types)
    assert types[:3] == ("Account", "ActivityDefinition", "AdverseEvent")
    assert types[-1] == "VisionPrescription"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("Patient", True),
        ("Parameters", True),
        ("Bundle", True),
        ("Resource", False),
        ("DomainResource", False),
        ("HumanName", False),
        ("vitalsigns", False),
        ("patient", False),
        ("", False),
    ],
)
def test_a_resource_type_is_a_type_an_instance_can_have(name: str, is_one: bool) -> None:
    assert r4().is_resource(name) is is_one


def test_every_structure_loads(everything: Definitions) -> None:
    kinds = Counter(structure.kind for structure in structures(everything))
    assert kinds == {"resource": 148, "complex-type": 41, "primitive-type": 20, "backbone": 473}


def test_every_field_has_a_type_that_is_there(everything: Definitions) -> None:
    for structure in structures(everything):
        for field in structure.fields.values():
            assert everything.structure(field.type).name == field.type, field
            assert field.primitive == (field.type in everything.primitive_types), field
            assert all(map(everything.is_resource, field.targets)), field


def test_every_structure_but_two_has_a_base_that_is_there(everything: Definitions) -> None:
    rootless = {structure.name for structure in structures(everything) if structure.base is None}
    assert rootless == {"Element", "Resource"}
    assert all(everything.structure(each.base).name == each.base for each in structures(everything) if each.base)


def test_the_fields_of_human_name_in_the_order_of_the_definition() -> None:
    fields = r4().structure("HumanName").fields
    assert [(field.name, field.type, field.repeats) for field in fields.values()] == [
        ("id", "string", False),
        ("extension", "Extension", True),
        ("use", "code", False),
        ("text", "string", False),
        ("family", "string", False),
        ("given", "string", True),
        ("prefix", "string", True),
        ("suffix", "string", True),
        ("period", "Period", False),
    ]


def test_the_fields_of_patient() -> None:
    patient = r4().structure("Patient")
    assert (patient.kind, patient.abstract, patient.base) == ("resource", False, "DomainResource")
    assert patient.url == "http://hl7.org/fhir/StructureDefinition/Patient"
    assert " ".join(patient.fields) == (
        "id meta implicitRules language text contained extension modifierExtension identifier active name telecom gender "
        "birthDate deceasedBoolean deceasedDateTime address maritalStatus multipleBirthBoolean multipleBirthInteger photo "
        "contact communication generalPractitioner managingOrganization link"
    )
    assert patient.required == ()


def test_the_fields_of_a_backbone() -> None:
    link = r4().structure("Patient.link")
    assert (link.kind, link.base, link.url) == ("backbone", "BackboneElement", None)
    assert list(link.fields) == ["id", "extension", "modifierExtension", "other", "type"]
    assert link.required == ("other", "type")
    assert link.fields["other"].targets == ("Patient", "RelatedPerson")
    assert r4().structure("Timing.repeat").base == "Element"


@pytest.mark.parametrize(
    ("structure", "field", "kind"),
    [
        ("Patient", "id", "id"),
        ("Patient", "contact", "Patient.contact"),
        ("Patient.contact", "name", "HumanName"),
        ("Element", "id", "string"),
        ("Extension", "id", "string"),
        ("Extension", "url", "uri"),
        ("xhtml", "id", "string"),
        ("Narrative", "div", "xhtml"),
        ("Patient", "contained", "Resource"),
        ("Bundle.entry", "resource", "Resource"),
        ("Parameters.parameter", "resource", "Resource"),
        ("Parameters.parameter", "part", "Parameters.parameter"),
        ("Bundle.entry", "link", "Bundle.link"),
        ("Questionnaire.item", "item", "Questionnaire.item"),
        ("Observation.component", "referenceRange", "Observation.referenceRange"),
        ("ValueSet.compose", "exclude", "ValueSet.compose.include"),
        ("Observation.referenceRange", "low", "Quantity"),
        ("Condition", "onsetAge", "Age"),
    ],
)
def test_the_type_of_a_field(structure: str, field: str, kind: str) -> None:
    assert r4().structure(structure).fields[field].type == kind


def test_a_choice_gives_one_field_per_type() -> None:
    value = [field for field in r4().structure("Observation").fields.values() if field.element == "value"]
    assert " ".join(field.name for field in value) == (
        "valueQuantity valueCodeableConcept valueString valueBoolean valueInteger valueRange valueRatio valueSampledData "
        "valueTime valueDateTime valuePeriod"
    )
    assert {(field.path, field.choice, field.repeats) for field in value} == {("Observation.value[x]", True, False)}
    assert len([name for name in r4().structure("Extension").fields if name.startswith("value")]) == 50


def test_a_required_choice_is_named_once() -> None:
    assert r4().structure("MedicationRequest").required == ("status", "intent", "medication[x]", "subject")


def test_what_is_an_xml_attribute(everything: Definitions) -> None:
    attributes = {
        field.path.rpartition(".")[2]
        for structure in structures(everything)
        if structure.kind != "primitive-type"
        for field in structure.fields.values()
        if field.attribute
    }
    assert attributes == {"id", "url"}
    assert r4().structure("Extension").fields["url"].attribute
    assert not r4().structure("ValueSet").fields["url"].attribute
    assert not r4().structure("Patient").fields["id"].attribute


def test_flags_cardinality_and_binding_of_a_field() -> None:
    observation = r4().structure("Observation").fields
    status, language = observation["status"], observation["language"]
    assert (status.min, status.max, status.summary, status.modifier) == (1, 1, True, True)
    assert (status.binding, status.strength) == ("http://hl7.org/fhir/ValueSet/observation-status|4.0.1", "required")
    assert (observation["category"].max, observation["category"].summary) == (None, False)
    assert (language.strength, language.max_binding) == ("preferred", "http://hl7.org/fhir/ValueSet/all-languages")
    low = r4().structure("Observation.referenceRange").fields["low"]
    assert low.profiles == ("http://hl7.org/fhir/StructureDefinition/SimpleQuantity",)


def test_a_binding_stands_at_the_coded_types_of_a_choice_alone() -> None:
    fields = r4().structure("MedicationRequest").fields
    assert fields["medicationCodeableConcept"].binding == "http://hl7.org/fhir/ValueSet/medication-codes"
    assert fields["medicationReference"].binding is None


def test_a_reference_to_any_resource_has_no_targets() -> None:
    assert r4().structure("Observation").fields["focus"].targets == ()
    assert r4().structure("Observation").fields["encounter"].targets == ("Encounter",)
    assert r4().structure("CarePlan").fields["instantiatesCanonical"].targets[0] == "PlanDefinition"


def test_repeats_is_what_the_introducing_type_says() -> None:
    field = r4().structure("xhtml").fields["extension"]
    assert (field.repeats, field.max) == (True, 0)


@pytest.mark.parametrize(
    ("structure", "rules"),
    [
        ("Patient", "Patient dom-2, Patient dom-3, Patient dom-4, Patient dom-5, Patient dom-6"),
        ("Patient.contact", "Patient.contact ele-1, Patient.contact pat-1"),
        ("Extension", "Extension ele-1, Extension ext-1"),
        ("Reference", "Reference ele-1, Reference ref-1"),
        ("Narrative", "Narrative ele-1, Narrative.div txt-1, Narrative.div txt-2"),
        ("Period", "Period ele-1, Period per-1"),
        ("Money", "Money ele-1"),
    ],
)
def test_each_rule_stands_once_where_it_is_evaluated(structure: str, rules: str) -> None:
    assert ", ".join(f"{rule.path} {rule.key}" for rule in r4().structure(structure).constraints) == rules


def test_every_constraint_is_an_expression_of_known_severity(everything: Definitions) -> None:
    rules = [rule for structure in structures(everything) for rule in structure.constraints]
    assert len(rules) == 1491
    assert {rule.severity for rule in rules} == {"error", "warning"}
    assert all(rule.expression and rule.human and rule.key for rule in rules)


def test_an_unknown_structure_is_a_key_error_that_names_it() -> None:
    for name in ("Patientt", "Patient.nmae", "", ".", "structure/Patient", "MetadataResource", "SimpleQuantity"):
        with pytest.raises(UnknownStructure) as caught:
            r4().structure(name)
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == f"R4 defines no structure '{name}'"


def test_primitive_types_have_the_patterns_of_the_specification() -> None:
    patterns = r4().primitive_types
    assert len(patterns) == 20
    assert patterns["id"] == r"[A-Za-z0-9\-\.]{1,64}"
    assert patterns["boolean"] == "true|false"
    assert [name for name, pattern in patterns.items() if not pattern] == ["xhtml"]


def test_all_1400_search_parameters_are_there() -> None:
    parameters = r4().search_parameters()
    assert Counter(parameter["type"] for parameter in parameters) == {
        "token": 542,
        "reference": 476,
        "string": 142,
        "date": 113,
        "composite": 46,
        "uri": 45,
        "quantity": 27,
        "number": 7,
        "special": 2,
    }
    assert len([parameter for parameter in parameters if "expression" not in parameter]) == 16
    assert not any("xpath" in parameter or "text" in parameter for parameter in parameters)


def test_a_search_parameter_keeps_what_search_needs() -> None:
    by_url = {parameter["url"].rpartition("/")[2]: parameter for parameter in r4().search_parameters()}
    composite = by_url["Observation-component-code-value-quantity"]
    assert (composite["code"], composite["base"]) == ("component-code-value-quantity", ["Observation"])
    assert [part["expression"] for part in composite["component"]] == ["code", "value.as(Quantity)"]
    assert by_url["Observation-subject"]["target"] == ["Group", "Device", "Patient", "Location"]
    assert by_url["clinical-code"]["description"].splitlines()[3] == "* Condition: Code for the condition"


def test_operations_and_compartments_are_there_without_examples() -> None:
    operations = r4().operations()
    assert len(operations) == 46
    assert len({operation["url"] for operation in operations}) == 46
    assert {"everything", "validate", "expand"} <= {operation["code"] for operation in operations}
    compartments = ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"]
    assert [each["code"] for each in r4().compartments()] == compartments


def test_a_definition_is_found_by_its_canonical() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
    profile = r4().resource(url)
    assert profile is not None
    assert (profile["type"], profile["derivation"]) == ("Observation", "constraint")
    assert r4().resource(url + "|4.0.1") == profile
    assert r4().resource(url + "|5.0.0") is None
    assert r4().resource("http://example.org/nothing") is None


def test_a_profile_keeps_its_slices_and_bindings() -> None:
    profile = r4().resource("http://hl7.org/fhir/StructureDefinition/vitalsigns")
    assert profile is not None
    elements = {element["id"]: element for element in profile["snapshot"]["element"]}
    assert [item["path"] for item in elements["Observation.category"]["slicing"]["discriminator"]] == [
        "coding.code",
        "coding.system",
    ]
    assert elements["Observation.category:VSCat"]["mustSupport"] is True
    assert elements["Observation.category:VSCat.coding.code"]["fixedCode"] == "vital-signs"
    assert elements["Observation.status"]["binding"]["strength"] == "required"
    assert "definition" not in elements["Observation.status"]


def test_terminology_is_found_by_kind() -> None:
    gender = r4().code_system("http://hl7.org/fhir/administrative-gender")
    assert gender is not None
    assert [concept["code"] for concept in gender["concept"]] == ["male", "female", "other", "unknown"]
    assert gender["concept"][0]["display"] == "Male"
    assert r4().value_set("http://hl7.org/fhir/administrative-gender") is None
    assert r4().value_set("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1") is not None


def test_the_codes_of_a_value_set() -> None:
    system = "http://hl7.org/fhir/administrative-gender"
    codes = {(system, code) for code in ("male", "female", "other", "unknown")}
    assert r4().codes("http://hl7.org/fhir/ValueSet/administrative-gender") == codes
    assert r4().codes("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1") == codes
    assert r4().codes("http://hl7.org/fhir/ValueSet/administrative-gender|3.0.0") is None
    assert r4().codes("http://example.org/nothing") is None


def test_every_required_binding_expands_or_is_known_to_be_external(everything: Definitions) -> None:
    bindings = {
        field.binding
        for structure in structures(everything)
        for field in structure.fields.values()
        if field.strength == "required"
    }
    assert len(bindings) == 224
    assert {binding for binding in bindings if everything.codes(binding) is None} == set(EXTERNAL)
    assert all(everything.codes(binding) for binding in bindings - set(EXTERNAL))


def test_most_value_sets_expand_from_the_package_alone() -> None:
    urls = [entry.url for entry in r4()._package.entries("ValueSet") if entry.url]
    assert len(urls) == 1316
    assert len([url for url in urls if r4().codes(url) is None]) == 104


def misfits(value: dict[str, Any], structure: str, where: str) -> Iterator[str]:
    """Where a resource is not as the fields say: an independent reading of structures, by real resources."""
    fields = r4().structure(structure).fields
    for name, item in value.items():
        field = fields.get(name.removeprefix("_"))
        if name == "resourceType":
            continue
        if field is None or (name.startswith("_") and not field.primitive) or isinstance(item, list) != field.repeats:
            yield f"{where}.{name}"
            continue
        for each in item if isinstance(item, list) else [item]:
            if each is None:
                continue
            if name.startswith("_"):
                yield from misfits(each, "Element", f"{where}.{name}")
            elif isinstance(each, dict) == field.primitive:
                yield f"{where}.{name}"
            elif isinstance(each, dict):
                yield from misfits(each, each.get("resourceType", field.type), f"{where}.{name}")


def test_the_definitions_themselves_fit_the_structures() -> None:
    source = reference("packages/hl7.fhir.r4.core-4.0.1.tgz")
    tried = 0
    with tarfile.open(source) as archive:
        members = (member for member in archive if member.name.endswith(".json"))
        for member in islice(members, 0, None, 12):
            content = archive.extractfile(member)
            assert content is not None
            resource = json.loads(content.read(), parse_float=Decimal)
            if "resourceType" in resource:
                assert not list(misfits(resource, resource["resourceType"], member.name))
                tried += 1
    assert tried > 350


@pytest.mark.parametrize("folder", ["bulk-data-server-100", "fhir-data-pipes-hiv-79"])
def test_synthetic_patients_fit_the_structures(folder: str) -> None:
    for path in sorted(reference(f"synthea/{folder}").rglob("*.json"))[:4]:
        bundle = json.loads(path.read_bytes(), parse_float=Decimal)
        assert not list(misfits(bundle, bundle["resourceType"], path.name))


def test_a_cold_start_decodes_only_what_is_asked_for() -> None:
    program = (
        "from profiles.definitions import r4\n"
        "r4().resource_types, r4().search_parameters(), r4().structure('Patient')\n"
        "print(len(r4()._structures))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(shown) == len(["Patient", "Patient.contact", "Patient.communication", "Patient.link"])


def test_opening_is_once_a_process() -> None:
    assert r4() is r4()
    assert r4().structure("Patient") is r4().structure("Patient")
