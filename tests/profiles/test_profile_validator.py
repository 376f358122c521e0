import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from profiles.install import install
from profiles.issue import Issue
from profiles.profile_validator import ProfileValidator
from profiles.registry import Registry
from tests.profiles.npm import examples, npm, profile
from tests.reference import reference

URL = "http://example.org/fhir/StructureDefinition/"
Json = dict[str, Any]


def found(issues: list[Issue]) -> list[tuple[str, str, str]]:
    return [(issue.severity, issue.code, issue.location) for issue in issues]


def validated(folder: Path, resource: Json, *elements: Json, others: tuple[Json, ...] = ()) -> list[Issue]:
    """What a profile of these elements, over the type of the resource, finds."""
    install(npm(folder, profile("it", resource["resourceType"], *elements), *others), folder / "packages")
    return ProfileValidator(Registry(folder / "packages")).validate(resource, [f"{URL}it"])


# The published examples meet the profiles they are for.

EXCEPTIONS = {
    (
        "us_core_311",
        "satO2-fiO2",
        "code-invalid",
    ): "L/min is not among the units that R4's vital signs require, in components too",
    (
        "ips_v110",
        "ips-example-imaging-1",
        "invariant",
    ): "the constraint asks for valueString, which FHIRPath calls value",
}


def inside(resource: Json) -> list[Json]:
    return [resource, *(entry["resource"] for entry in resource.get("entry", ()) if "resource" in entry)]


def claims(package: str) -> list[tuple[Json, list[str]]]:
    """The examples of a package with the profiles they name, or that the guide says they are examples of."""
    (guide,) = examples(package, "package/ImplementationGuide-")
    listed = guide["definition"]["resource"]
    named = {one["reference"]["reference"]: one.get("exampleCanonical") for one in listed}
    resources = [one for example in examples(package) if "resourceType" in example for one in inside(example)]
    return [
        (
            one,
            [
                *one.get("meta", {}).get("profile", ()),
                *filter(None, [named.get(f"{one['resourceType']}/{one.get('id')}")]),
            ],
        )
        for one in resources
    ]


@pytest.mark.parametrize("package", ["us_core_610", "us_core_800", "ips_v110"])
def test_published_examples_meet_their_profiles_but_for_the_listed_exceptions(package: str, tmp_path: Path) -> None:
    install(reference(f"packages/{package}.tgz"), tmp_path)
    validator = ProfileValidator(Registry(tmp_path))
    claimed = claims(package)
    refused = {
        (package, resource["id"], issue.code)
        for resource, canonicals in claimed
        for issue in validator.validate(resource, canonicals)
        if issue.severity == "error"
    }
    assert sum(1 for _, canonicals in claimed if canonicals) >= 25
    assert refused == {key for key in EXCEPTIONS if key[0] == package}


def test_the_examples_of_the_oldest_us_core_meet_the_profiles_they_claim(tmp_path: Path) -> None:
    install(reference("packages/us_core_311.tgz"), tmp_path)
    validator = ProfileValidator(Registry(tmp_path))
    refused = {
        ("us_core_311", resource.get("id", ""), issue.code)
        for resource in itertools.chain.from_iterable(
            inside(one) for one in examples("us_core_311") if "resourceType" in one
        )
        for issue in validator.validate(resource, resource.get("meta", {}).get("profile", ()))
        if issue.severity == "error"
    }
    assert refused == {key for key in EXCEPTIONS if key[0] == "us_core_311"}


# Broken in one place, they are refused there.


def patient() -> Json:
    return next(one for one in examples("us_core_800") if one["resourceType"] == "Patient" and one["id"] == "example")


def pressure() -> Json:
    return next(one for one in examples("us_core_800") if one.get("id") == "blood-pressure")


Mutation = Callable[[Json], object]
MUTANTS: list[tuple[str, Callable[[], Json], Mutation, tuple[str, str]]] = [
    ("a required element is gone", patient, lambda r: r.pop("identifier"), ("required", "Patient.identifier")),
    (
        "a required child is gone",
        patient,
        lambda r: r["identifier"][0].pop("value"),
        ("required", "Patient.identifier[0].value"),
    ),
    (
        "a constraint is broken",
        patient,
        lambda r: r["name"].__setitem__(0, {"use": "old"}),
        ("invariant", "Patient.name[0]"),
    ),
    (
        "an extension lacks what its definition requires",
        patient,
        lambda r: r["extension"][0].__setitem__("extension", r["extension"][0]["extension"][:1]),
        ("required", "Patient.extension[0].extension"),
    ),
    (
        "an extension has a value of another type",
        patient,
        lambda r: r["extension"][0]["extension"][-1].update(
            valueCode=r["extension"][0]["extension"][-1].pop("valueString")
        ),
        ("structure", "Patient.extension[0].extension[5].value"),
    ),
    (
        "an extension stands twice",
        patient,
        lambda r: r["extension"].append(r["extension"][0]),
        ("structure", "Patient.extension"),
    ),
    (
        "an extension stands where it may not",
        patient,
        lambda r: r["name"][0].update(extension=[r["extension"][0]]),
        ("extension", "Patient.name[0].extension[0]"),
    ),
    ("a slice is missing", pressure, lambda r: r["component"].pop(0), ("required", "Observation.component")),
    (
        "a slice is there twice",
        pressure,
        lambda r: r["component"].append(r["component"][0]),
        ("structure", "Observation.component"),
    ),
    (
        "a slice holds another fixed value",
        pressure,
        lambda r: r["component"][0]["valueQuantity"].update(code="kPa"),
        ("value", "Observation.component[0].value.code"),
    ),
    (
        "a slice lacks a child",
        pressure,
        lambda r: r["component"][0]["valueQuantity"].pop("unit"),
        ("required", "Observation.component[0].value.unit"),
    ),
    (
        "a pattern is left",
        pressure,
        lambda r: r["code"]["coding"][0].update(code="8480-6"),
        ("value", "Observation.code"),
    ),
    (
        "a slice by value and code is missing",
        pressure,
        lambda r: r["category"][0]["coding"][0].update(code="exam"),
        ("required", "Observation.category"),
    ),
    (
        "a reference leads to another type",
        pressure,
        lambda r: r["subject"].update(reference="Group/1"),
        ("value", "Observation.subject"),
    ),
]


@pytest.fixture(scope="module")
def us_core(tmp_path_factory: pytest.TempPathFactory) -> ProfileValidator:
    folder = tmp_path_factory.mktemp("packages")
    install(reference("packages/us_core_800.tgz"), folder)
    return ProfileValidator(Registry(folder))


@pytest.mark.parametrize(
    ("source", "mutate", "expected"), [case[1:] for case in MUTANTS], ids=[case[0] for case in MUTANTS]
)
def test_a_broken_example_is_refused_where_it_is_broken(
    source: Callable[[], Json], mutate: Mutation, expected: tuple[str, str], us_core: ProfileValidator
) -> None:
    resource = copy.deepcopy(source())
    canonicals = resource["meta"]["profile"]
    assert not [issue for issue in us_core.validate(resource, canonicals) if issue.severity == "error"]
    mutate(resource)
    assert ("error", *expected) in found(us_core.validate(resource, canonicals))


# Each kind of rule.

OBSERVATION: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "one"}}
VALUE_SET: Json = {
    "resourceType": "ValueSet",
    "id": "v",
    "url": "http://example.org/v",
    "compose": {"include": [{"system": "http://example.org/s", "concept": [{"code": "a"}]}]},
}


def bound(strength: str, path: str = "Observation.code", **more: Any) -> Json:
    return {"path": path, "binding": {"strength": strength, "valueSet": "http://example.org/v", **more}}


def coded(code: str) -> Json:
    return {"code": {"coding": [{"system": "http://example.org/s", "code": code}]}}


MAXIMUM = [
    {
        "url": "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet",
        "valueCanonical": "http://example.org/v",
    }
]
BY_CODE = {"slicing": {"discriminator": [{"type": "value", "path": "text"}], "rules": "open"}}


def categories(rules: str, *, ordered: bool = False, least: int = 0) -> list[Json]:
    """Observation.category sliced by its text into a and b."""
    slicing = {"discriminator": [{"type": "value", "path": "text"}], "rules": rules, "ordered": ordered}
    elements: list[Json] = [{"path": "Observation.category", "slicing": slicing}]
    for name in ("a", "b"):
        elements += [
            {"path": "Observation.category", "sliceName": name, "min": least},
            {"path": "Observation.category.text", "id": f"Observation.category:{name}.text", "fixedString": name},
        ]
    return elements


def texts(names: str) -> Json:
    return {"category": [{"text": name} for name in names]}


RULES: list[tuple[str, list[Json], Json, list[tuple[str, str, str]]]] = [
    (
        "forbidden",
        [{"path": "Observation.issued", "max": "0"}],
        {"issued": "2026-01-01T00:00:00Z"},
        [("error", "structure", "Observation.issued")],
    ),
    (
        "too many",
        [{"path": "Observation.note", "max": "1"}],
        {"note": [{"text": "a"}, {"text": "b"}]},
        [("error", "structure", "Observation.note")],
    ),
    (
        "fixed",
        [{"path": "Observation.status", "fixedCode": "final"}],
        {"status": "amended"},
        [("error", "value", "Observation.status")],
    ),
    ("fixed, met", [{"path": "Observation.status", "fixedCode": "final"}], {}, []),
    (
        "pattern",
        [{"path": "Observation.code", "patternCodeableConcept": {"text": "two"}}],
        {},
        [("error", "value", "Observation.code")],
    ),
    (
        "pattern, met",
        [{"path": "Observation.code", "patternCodeableConcept": {"text": "one"}}],
        coded("a") | {"code": {"text": "one", "id": "x"}},
        [],
    ),
    (
        "type",
        [{"path": "Observation.value[x]", "type": [{"code": "Quantity"}]}],
        {"valueString": "x"},
        [("error", "structure", "Observation.value")],
    ),
    ("type, met", [{"path": "Observation.value[x]", "type": [{"code": "string"}]}], {"valueString": "x"}, []),
    (
        "length",
        [{"path": "Observation.value[x]", "maxLength": 2}],
        {"valueString": "abc"},
        [("error", "value", "Observation.value")],
    ),
    (
        "least",
        [{"path": "Observation.value[x]", "minValueInteger": 5}],
        {"valueInteger": 4},
        [("error", "value", "Observation.value")],
    ),
    (
        "greatest",
        [{"path": "Observation.value[x]", "maxValueInteger": 5}],
        {"valueInteger": 6},
        [("error", "value", "Observation.value")],
    ),
    ("required binding", [bound("required")], coded("b"), [("error", "code-invalid", "Observation.code")]),
    ("required binding without a code", [bound("required")], {}, [("error", "code-invalid", "Observation.code")]),
    ("required binding, met", [bound("required")], coded("a"), []),
    ("extensible binding", [bound("extensible")], coded("b"), [("warning", "code-invalid", "Observation.code")]),
    ("preferred binding", [bound("preferred")], coded("b"), []),
    (
        "greatest value set",
        [bound("preferred", extension=MAXIMUM)],
        coded("b"),
        [("error", "code-invalid", "Observation.code")],
    ),
    (
        "constraint",
        [
            {
                "path": "Observation",
                "constraint": [
                    {"key": "it-1", "severity": "error", "human": "has a note", "expression": "note.exists()"}
                ],
            }
        ],
        {},
        [("error", "invariant", "Observation")],
    ),
    (
        "constraint that warns",
        [
            {
                "path": "Observation.code",
                "constraint": [
                    {"key": "it-2", "severity": "warning", "human": "is coded", "expression": "coding.exists()"}
                ],
            }
        ],
        {},
        [("warning", "invariant", "Observation.code")],
    ),
    (
        "constraint that cannot be read",
        [
            {
                "path": "Observation",
                "constraint": [{"key": "it-3", "severity": "error", "human": "?", "expression": "a = ("}],
            }
        ],
        {},
        [("warning", "processing", "Observation")],
    ),
    (
        "child of a type",
        [{"path": "Observation.subject.display", "min": 1}],
        {"subject": {"reference": "Patient/1"}},
        [("error", "required", "Observation.subject.display")],
    ),
    ("child of what is not there", [{"path": "Observation.subject.display", "min": 1}], {}, []),
    (
        "extension of a primitive",
        [{"path": "Observation.status.extension", "min": 1}],
        {},
        [("error", "required", "Observation.status.extension")],
    ),
    (
        "choice by name, required",
        [{"path": "Observation.valueQuantity", "min": 1}],
        {"valueString": "x"},
        # Neither the type nor the slice is there, and what is there is of another.
        [("error", "required", "Observation.value"), *[("error", "structure", "Observation.value")] * 2],
    ),
    (
        "choice by name, its child",
        [{"path": "Observation.valueQuantity.code", "min": 1}],
        {"valueQuantity": {"value": 1}},
        [("error", "required", "Observation.value.code")],
    ),
    ("choice by name, another type", [{"path": "Observation.valueQuantity.code", "min": 1}], {"valueString": "x"}, []),
    ("open slices", categories("open"), texts("xa"), []),
    ("closed slices", categories("closed"), texts("xa"), [("error", "structure", "Observation.category[0]")]),
    ("closed slices, met", categories("closed"), texts("ba"), []),
    ("open at the end", categories("openAtEnd"), texts("axb"), [("error", "structure", "Observation.category[2]")]),
    ("open at the end, met", categories("openAtEnd"), texts("abx"), []),
    (
        "ordered slices",
        categories("open", ordered=True),
        texts("ba"),
        [("error", "structure", "Observation.category[1]")],
    ),
    ("required slices", categories("open", least=1), texts("a"), [("error", "required", "Observation.category")]),
    (
        "sliced again",
        [
            *categories("open"),
            {
                "path": "Observation.category",
                "id": "Observation.category:a",
                "sliceName": "a",
                "slicing": {"discriminator": [{"type": "value", "path": "id"}], "rules": "closed"},
            },
            {"path": "Observation.category", "id": "Observation.category:a/x", "sliceName": "a/x", "min": 1},
            {"path": "Observation.category.id", "id": "Observation.category:a/x.id", "fixedString": "x"},
        ],
        {"category": [{"text": "a", "id": "y"}, {"text": "b", "id": "z"}]},
        [("error", "structure", "Observation.category[0]"), ("error", "required", "Observation.category")],
    ),
    (
        "slices by what is there",
        [
            {
                "path": "Observation.component",
                "slicing": {"discriminator": [{"type": "exists", "path": "value"}], "rules": "open"},
            },
            {"path": "Observation.component", "sliceName": "with", "max": "1"},
            {"path": "Observation.component.value[x]", "min": 1},
        ],
        {
            "component": [
                {"code": {"text": "a"}, "valueInteger": 1},
                {"code": {"text": "b"}, "valueInteger": 2},
                {"code": {"text": "c"}},
            ]
        },
        [("error", "structure", "Observation.component")],
    ),
]


@pytest.mark.parametrize(
    ("elements", "more", "expected"), [case[1:] for case in RULES], ids=[case[0] for case in RULES]
)
def test_a_rule_finds_what_breaks_it(elements: list[Json], more: Json, expected: list[Any], tmp_path: Path) -> None:
    issues = validated(tmp_path, OBSERVATION | more, {"path": "Observation"}, *elements, others=(VALUE_SET,))
    assert sorted(found(issues)) == sorted(expected)


def test_slices_by_profile_look_behind_references(tmp_path: Path) -> None:
    woman = profile("woman", "Patient", {"path": "Patient.gender", "fixedCode": "female", "min": 1})
    elements = (
        {
            "path": "Observation.performer",
            "slicing": {"discriminator": [{"type": "profile", "path": "resolve()"}], "rules": "closed"},
        },
        {
            "path": "Observation.performer",
            "sliceName": "she",
            "type": [{"code": "Reference", "targetProfile": [f"{URL}woman"]}],
        },
    )
    people = [{"resourceType": "Patient", "id": gender, "gender": gender} for gender in ("female", "male")]
    performers = [{"reference": reference} for reference in ("#female", "#male", "Patient/elsewhere")]
    issues = validated(
        tmp_path, OBSERVATION | {"contained": people, "performer": performers}, *elements, others=(woman,)
    )
    assert found(issues) == [("error", "structure", "Observation.performer[1]")]


def test_a_profile_that_is_not_installed_is_a_warning() -> None:
    issues = ProfileValidator(Registry()).validate(OBSERVATION, ["http://example.org/nowhere"])
    assert found(issues) == [("warning", "not-found", "Observation")]


def test_a_profile_for_another_type_is_refused() -> None:
    issues = ProfileValidator(Registry()).validate(OBSERVATION, ["http://hl7.org/fhir/StructureDefinition/Patient"])
    assert [issue.text for issue in issues] == [
        "the profile http://hl7.org/fhir/StructureDefinition/Patient is for Patient, not for Observation"
    ]


def test_extensions_are_compared_with_their_definitions_without_any_profile() -> None:
    extension = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueString": "Bern"}
    resource = {
        "resourceType": "Patient",
        "extension": [extension],
        "contact": [{"extension": [{"url": "http://example.org/unknown"}]}],
    }
    issues = ProfileValidator(Registry()).validate(resource, [])
    assert found(issues) == [("error", "structure", "Patient.extension[0].value")]


def test_profiles_that_lead_to_each_other_in_a_circle_end(tmp_path: Path) -> None:
    part = {"path": "Bundle.entry.resource", "type": [{"code": "Bundle", "profile": [f"{URL}it"]}]}
    inner = {"resourceType": "Bundle", "type": "batch"}
    resource = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {**inner, "entry": [{"resource": inner}]}}],
    }
    issues = validated(tmp_path, resource, {"path": "Bundle.type", "fixedCode": "collection"}, part)
    assert found(issues) == [
        ("error", "value", "Bundle.entry[0].resource.type"),
        ("error", "value", "Bundle.entry[0].resource.entry[0].resource.type"),
    ]
