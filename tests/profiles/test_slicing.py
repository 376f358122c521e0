from pathlib import Path
from typing import Any

import pytest

from profiles.install import install
from profiles.profile import Profile
from profiles.registry import Registry
from profiles.slicing import (
    Bound,
    Child,
    Conforming,
    Criterion,
    Extension,
    Fixed,
    OfType,
    Pattern,
    Present,
    Resolve,
    Slicing,
    Typed,
    UnfitDiscriminator,
    discriminator,
)
from tests.profiles.npm import npm, profile
from tests.reference import reference

URL = "http://example.org/fhir/StructureDefinition/"


def slicing(found: Profile | None, name: str) -> Slicing:
    assert found is not None
    rule = next(rule for rule in found.elements() if rule.id == name)
    assert rule.slicing is not None
    return rule.slicing


def compiled(
    folder: Path, *elements: dict[str, Any], base: str = "Observation", others: tuple[dict[str, Any], ...] = ()
) -> Profile:
    install(npm(folder, profile("it", base, *elements), *others), folder)
    found = Registry(folder).profile(f"{URL}it")
    assert found is not None
    return found


def sliced(path: str, kind: str, at: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "slicing": {"discriminator": [{"type": kind, "path": at}], "rules": "open", **more}}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$this", ()),
        ("code", (Child("code"),)),
        ("code.coding.code", (Child("code"), Child("coding"), Child("code"))),
        ("$this.code", (Child("code"),)),
        ("resolve()", (Resolve(),)),
        ("resolve().code", (Resolve(), Child("code"))),
        ("value.ofType(Quantity)", (Child("value"), OfType("Quantity"))),
        ("extension('http://example.org/a.b').value", (Extension("http://example.org/a.b"), Child("value"))),
    ],
)
def test_the_path_of_a_discriminator_is_read_as_steps(path: str, steps: tuple[Any, ...]) -> None:
    assert discriminator("value", path).steps == steps


@pytest.mark.parametrize(
    ("kind", "path"),
    [("value", "a[0]"), ("value", "where(a = 1)"), ("value", "a..b"), ("colour", "a"), ("value", "extension()")],
)
def test_a_discriminator_that_is_none_is_refused(kind: str, path: str) -> None:
    with pytest.raises(UnfitDiscriminator):
        discriminator(kind, path)


CODING = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}


@pytest.mark.parametrize(
    ("kind", "at", "elements", "criteria"),
    [
        (
            "value",
            "code",
            [{"path": "Observation.component.code", "patternCodeableConcept": CODING}],
            (Criterion((Child("code"),), Pattern(CODING)),),
        ),
        (
            "pattern",
            "code",
            [{"path": "Observation.component.code", "patternCodeableConcept": CODING}],
            (Criterion((Child("code"),), Pattern(CODING)),),
        ),
        (
            "value",
            "code.text",
            [{"path": "Observation.component.code.text", "fixedString": "a"}],
            (Criterion((Child("code"), Child("text")), Fixed("a")),),
        ),
        (
            "value",
            "code",
            [
                {"path": "Observation.component.code.coding.code", "fixedCode": "a"},
                {"path": "Observation.component.code.text", "fixedString": "b"},
            ],
            (
                Criterion((Child("code"), Child("coding"), Child("code")), Fixed("a")),
                Criterion((Child("code"), Child("text")), Fixed("b")),
            ),
        ),
        (
            "value",
            "code",
            [{"path": "Observation.component.code", "binding": {"strength": "required", "valueSet": "http://x"}}],
            (Criterion((Child("code"),), Bound("http://x")),),
        ),
        ("value", "code", [{"path": "Observation.component.code", "mustSupport": True}], ()),
        (
            "exists",
            "value",
            [{"path": "Observation.component.value[x]", "min": 1}],
            (Criterion((Child("value"),), Present(wanted=True)),),
        ),
        (
            "exists",
            "value",
            [{"path": "Observation.component.value[x]", "max": "0"}],
            (Criterion((Child("value"),), Present(wanted=False)),),
        ),
        ("exists", "value", [{"path": "Observation.component.value[x]", "short": "it"}], ()),
        (
            "type",
            "value",
            [{"path": "Observation.component.value[x]", "type": [{"code": "Range"}]}],
            (Criterion((Child("value"),), Typed(("Range",))),),
        ),
    ],
)
def test_a_slice_is_told_by_what_its_rule_demands_at_the_path(
    kind: str, at: str, elements: list[Any], criteria: Any, tmp_path: Path
) -> None:
    named = {"path": "Observation.component", "sliceName": "one"}
    found = compiled(tmp_path, sliced("Observation.component", kind, at), named, *elements)
    (one,) = slicing(found, "Observation.component").slices
    assert (one.name, one.criteria) == ("one", criteria)


def test_a_slice_by_profile_names_the_profiles_of_the_value_or_of_what_is_referred_to(tmp_path: Path) -> None:
    patient = f"{URL}patient"
    elements = (
        sliced("Observation.performer", "profile", "resolve()"),
        {
            "path": "Observation.performer",
            "sliceName": "self",
            "type": [{"code": "Reference", "targetProfile": [patient]}],
        },
        sliced("Observation.contained", "profile", "$this"),
        {"path": "Observation.contained", "sliceName": "one", "type": [{"code": "Patient", "profile": [patient]}]},
    )
    found = compiled(tmp_path, *elements, others=(profile("patient", "Patient", {"path": "Patient"}),))
    assert slicing(found, "Observation.performer").slices[0].criteria == (
        Criterion((Resolve(),), Conforming((f"{patient}|1.0.0",))),
    )
    assert slicing(found, "Observation.contained").slices[0].criteria == (
        Criterion((), Conforming((f"{patient}|1.0.0",))),
    )


def test_a_path_leads_through_references_into_the_profiles_behind_them(tmp_path: Path) -> None:
    person = profile("patient", "Patient", {"path": "Patient.gender", "fixedCode": "female"})
    elements = (
        sliced("Observation.performer", "value", "resolve().gender"),
        {
            "path": "Observation.performer",
            "sliceName": "she",
            "type": [{"code": "Reference", "targetProfile": [f"{URL}patient"]}],
        },
        sliced("Observation.focus", "type", "resolve()"),
        {
            "path": "Observation.focus",
            "sliceName": "it",
            "type": [{"code": "Reference", "targetProfile": [f"{URL}patient"]}],
        },
    )
    found = compiled(tmp_path, *elements, others=(person,))
    assert slicing(found, "Observation.performer").slices[0].criteria == (
        Criterion((Resolve(), Child("gender")), Fixed("female")),
    )
    assert slicing(found, "Observation.focus").slices[0].criteria == (Criterion((Resolve(),), Typed(("Patient",))),)


def test_an_extension_is_told_by_its_url_even_where_its_definition_is_missing(tmp_path: Path) -> None:
    kinds = [{"code": "Extension", "profile": ["http://example.org/gone"]}]
    found = compiled(tmp_path, {"path": "Patient.extension", "sliceName": "gone", "type": kinds}, base="Patient")
    assert slicing(found, "Patient.extension").slices[0].criteria == (
        Criterion((Child("url"),), Fixed("http://example.org/gone")),
    )


def test_a_slice_that_is_sliced_again_has_slices_of_its_own(tmp_path: Path) -> None:
    how = sliced("Observation.component", "value", "code")["slicing"]
    elements = (
        {"path": "Observation.component", "slicing": how},
        {"path": "Observation.component", "sliceName": "a", "slicing": {**how, "rules": "closed", "ordered": True}},
        {"path": "Observation.component", "sliceName": "a/x", "max": "1"},
        {"path": "Observation.component", "sliceName": "b"},
    )
    outer = slicing(compiled(tmp_path, *elements), "Observation.component")
    assert [one.name for one in outer.slices] == ["a", "b"]
    inner = outer.slices[0].rule.slicing
    assert inner is not None
    assert ([one.rule.id for one in inner.slices], inner.rules, inner.ordered) == (
        ["Observation.component:a/x"],
        "closed",
        True,
    )


def test_a_closed_slicing_without_slices_is_kept(tmp_path: Path) -> None:
    found = compiled(tmp_path, sliced("Observation.component", "value", "code", rules="closed"))
    assert slicing(found, "Observation.component").slices == ()


def test_the_slices_of_the_published_profiles_all_have_criteria(tmp_path: Path) -> None:
    for name in ("us_core_311", "us_core_610", "us_core_800", "ips_v110"):
        install(reference(f"packages/{name}.tgz"), tmp_path)
    slices = [
        (found.canonical, one.rule.id)
        for found in Registry(tmp_path).profiles()
        for rule in found.elements()
        for one in (rule.slicing.slices if rule.slicing else ())
        if not one.criteria
    ]
    assert slices == []
