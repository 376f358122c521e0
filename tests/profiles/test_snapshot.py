import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from profiles.registry import Registry
from profiles.snapshot import SnapshotError, snapshot
from tests.profiles.npm import CORE, profile, structure_definitions
from tests.profiles.snapshot_differences import DIFFERENCES, UNMADE

PACKAGES = ("us_core_311", "us_core_610", "us_core_800", "ips_v110", CORE)
R4 = Registry()
PLAIN = ("path", "min", "max", "mustSupport", "maxLength", "sliceName")


def made(*elements: dict[str, Any], base: str = "Observation", **more: Any) -> dict[str, dict[str, Any]]:
    """The snapshot of a profile that says these elements, by id."""
    return {one["id"]: one for one in snapshot(profile("it", base, *elements, **more), R4.structure_definition)}


def codes(element: dict[str, Any]) -> list[str]:
    return [kind["code"] for kind in element["type"]]


# Published snapshots.


def types(element: dict[str, Any]) -> list[Any]:
    kinds = element.get("type", [])
    return [
        (kind.get("code"), sorted(kind.get("profile", [])), sorted(kind.get("targetProfile", []))) for kind in kinds
    ]


def view(element: dict[str, Any]) -> dict[str, Any]:
    """The members that are compared."""
    seen = {
        key: value
        for key, value in element.items()
        if key in PLAIN or re.match(r"(fixed|pattern|minValue|maxValue)[A-Z]", key)
    }
    slicing, binding = element.get("slicing"), element.get("binding")
    if slicing:
        told = [(one["type"], one["path"]) for one in slicing.get("discriminator", [])]
        seen["slicing"] = told, slicing.get("ordered", False), slicing.get("rules")
    if binding:
        seen["binding"] = binding.get("strength"), binding.get("valueSet")
    # The same element, with the canonical of its definition or without.
    seen["contentReference"] = element.get("contentReference", "").rpartition("#")[2]
    return seen | {"type": types(element), "constraint": sorted(one["key"] for one in element.get("constraint", []))}


def compared(definition: dict[str, Any], ours: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Element and member of each difference."""
    mine, published = ({one["id"]: one for one in elements} for elements in (ours, definition["snapshot"]["element"]))
    yield from ((name, "element") for name in mine.keys() ^ published.keys())
    for name in mine.keys() & published.keys():
        left, right = view(mine[name]), view(published[name])
        yield from ((name, member) for member in left.keys() | right.keys() if left.get(member) != right.get(member))
    if [name for name in mine if name in published] != [name for name in published if name in mine]:
        yield "", "order"


def matches(row: tuple[str, ...], found: tuple[str, ...]) -> bool:
    return all(
        re.fullmatch(re.escape(glob).replace(r"\*", ".*"), value) for glob, value in zip(row, found, strict=True)
    )


@functools.cache
def published(package: str) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(_published(package))


def _published(package: str) -> Iterator[tuple[str, str, str, str]]:
    """All differences of a package's snapshots from ours."""
    known = {one["url"]: one for name in (CORE, package) for one in structure_definitions(name)}
    for definition in structure_definitions(package):
        if "differential" not in definition or "snapshot" not in definition:
            continue
        try:
            ours = snapshot(definition, lambda url: known.get(url.partition("|")[0]))
        except SnapshotError:
            yield package, definition["id"], "", "unmade"
            continue
        yield from ((package, definition["id"], element, member) for element, member in compared(definition, ours))


@pytest.mark.parametrize("package", PACKAGES)
def test_snapshots_are_the_published_ones_but_for_the_listed_differences(package: str) -> None:
    rows = [row for row in DIFFERENCES if row[0] == package]
    differences = [found for found in published(package) if found[3] != "unmade"]
    assert not [found for found in differences if not any(matches(row, found) for row in rows)]
    assert not [row for row in rows if not any(matches(row, found) for found in differences)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_snapshot_that_cannot_be_made_is_listed(package: str) -> None:
    unmade = {(found[0], found[1]) for found in published(package) if found[3] == "unmade"}
    assert unmade == {key for key in UNMADE if key[0] == package}


def test_the_snapshots_of_the_newest_us_core_have_no_difference() -> None:
    assert not [row for row in DIFFERENCES if row[0] == "us_core_800"]


# What a differential can say, one by one.


def test_elements_that_a_differential_does_not_name_are_those_of_the_base() -> None:
    ours = made({"path": "Observation"})
    theirs = R4.structure_definition("http://hl7.org/fhir/StructureDefinition/Observation")
    assert theirs is not None
    assert list(ours) == [one["id"] for one in theirs["snapshot"]["element"]]


def test_limits_bindings_and_flags_take_the_place_of_the_base() -> None:
    status = made(
        {
            "path": "Observation.status",
            "mustSupport": True,
            "fixedCode": "final",
            "binding": {"strength": "required", "valueSet": "http://x"},
        }
    )["Observation.status"]
    assert (status["mustSupport"], status["fixedCode"], status["binding"]["valueSet"]) == (True, "final", "http://x")
    assert (status["min"], status["max"]) == (1, "1")


def test_constraints_are_added_and_those_of_one_key_replaced() -> None:
    rule = {"key": "it-1", "severity": "error", "human": "has a code", "expression": "code.exists()"}
    again = {**rule, "key": "obs-6", "human": "other words"}
    found = made({"path": "Observation", "constraint": [rule, again]})["Observation"]["constraint"]
    assert [one["key"] for one in found].count("obs-6") == 1
    assert {one["key"]: one["human"] for one in found}["obs-6"] == "other words"
    assert found[-1]["key"] == "it-1"


def test_a_new_fixed_value_replaces_one_of_another_type() -> None:
    base = profile("base", "Observation", {"path": "Observation.value[x]", "fixedString": "a"})
    definition = {**base, "snapshot": {"element": snapshot(base, R4.structure_definition)}}
    derived = profile("it", base["url"], {"path": "Observation.value[x]", "fixedInteger": 1})
    found = snapshot(derived, lambda url: definition if url == base["url"] else R4.structure_definition(url))
    value = next(one for one in found if one["id"] == "Observation.value[x]")
    assert "fixedString" not in value
    assert value["fixedInteger"] == 1


def test_a_text_that_begins_with_dots_continues_that_of_the_base() -> None:
    assert made({"path": "Observation.code", "short": "...as LOINC"})["Observation.code"]["short"].endswith(
        "\nas LOINC"
    )


def test_children_of_a_typed_element_come_from_its_type() -> None:
    ours = made({"path": "Observation.code.coding.system", "min": 1})
    assert ours["Observation.code.coding.system"]["min"] == 1
    assert "Observation.code.text" in ours
    assert ours["Observation.code.coding.system"]["path"] == "Observation.code.coding.system"
    assert "Observation.method.coding" not in ours


def test_children_of_an_element_with_a_profile_come_from_the_profile() -> None:
    simple = "http://hl7.org/fhir/StructureDefinition/SimpleQuantity"
    ours = made(
        {"path": "Observation.referenceRange.low.value", "min": 1},
        {"path": "Observation.referenceRange.high", "type": [{"code": "Quantity", "profile": [simple]}]},
    )
    assert ours["Observation.referenceRange.low.comparator"]["max"] == "0"
    assert "sqty-1" in {one["key"] for one in ours["Observation.referenceRange.high"]["constraint"]}


def test_children_behind_a_content_reference_are_those_of_the_element_it_leads_to() -> None:
    ours = made({"path": "Observation.component.referenceRange.low", "min": 1})
    assert ours["Observation.component.referenceRange.low"]["min"] == 1
    assert "Observation.component.referenceRange.appliesTo" in ours
    assert "contentReference" not in ours["Observation.component.referenceRange"]
    assert ours["Observation.referenceRange.low"]["min"] == 0


def test_a_content_reference_that_stays_says_which_definition_it_means() -> None:
    reference = made({"path": "Observation.code", "min": 1})["Observation.component.referenceRange"]["contentReference"]
    assert reference == "http://hl7.org/fhir/StructureDefinition/Observation#Observation.referenceRange"


def test_one_type_of_a_choice_by_its_name_is_a_slice_by_type() -> None:
    ours = made(
        {"path": "Observation.valueQuantity", "mustSupport": True}, {"path": "Observation.valueQuantity.code", "min": 1}
    )
    assert ours["Observation.value[x]"]["slicing"]["discriminator"] == [{"type": "type", "path": "$this"}]
    assert codes(ours["Observation.value[x]:valueQuantity"]) == ["Quantity"]
    assert ours["Observation.value[x]:valueQuantity.code"]["path"] == "Observation.value[x].code"
    assert "string" in codes(ours["Observation.value[x]"])


def test_one_required_type_of_a_choice_leaves_no_other() -> None:
    ours = made({"path": "Observation.valueQuantity", "min": 1})
    assert codes(ours["Observation.value[x]"]) == ["Quantity"]
    assert (ours["Observation.value[x]"]["min"], ours["Observation.value[x]"]["slicing"]["rules"]) == (1, "closed")


COMPONENT = {"slicing": {"discriminator": [{"type": "pattern", "path": "code"}], "rules": "open"}}


def test_a_slice_is_a_copy_of_what_it_slices_and_is_optional_unless_it_says_so() -> None:
    ours = made(
        {"path": "Observation.component", "min": 2, **COMPONENT},
        {"path": "Observation.component", "sliceName": "one", "max": "1"},
        {"path": "Observation.component.code", "patternCodeableConcept": {"text": "one"}},
        {"path": "Observation.component", "sliceName": "two", "min": 1},
    )
    assert [ours[f"Observation.component{name}"]["min"] for name in ("", ":one", ":two")] == [2, 0, 1]
    assert ours["Observation.component:one.code"]["patternCodeableConcept"] == {"text": "one"}
    assert "patternCodeableConcept" not in ours["Observation.component:two.code"]
    assert "slicing" not in ours["Observation.component:one"]
    names = list(ours)
    assert names.index("Observation.component.referenceRange") < names.index("Observation.component:one")
    assert names.index("Observation.component:one.referenceRange") < names.index("Observation.component:two")


def test_a_slice_can_be_sliced_again() -> None:
    ours = made(
        {"path": "Observation.component", **COMPONENT},
        {"path": "Observation.component", "sliceName": "a", "max": "3", **COMPONENT},
        {"path": "Observation.component", "sliceName": "b"},
        {"path": "Observation.component", "sliceName": "a/x", "min": 1},
        {"path": "Observation.component.code", "id": "Observation.component:a/x.code", "mustSupport": True},
    )
    slices = [name for name in ours if re.fullmatch(r"Observation\.component:[^.]*", name)]
    assert slices == ["Observation.component:a", "Observation.component:a/x", "Observation.component:b"]
    assert (ours["Observation.component:a/x"]["max"], ours["Observation.component:a/x"]["sliceName"]) == ("3", "a/x")
    assert ours["Observation.component:a/x.code"]["mustSupport"] is True


def test_slices_of_a_base_are_constrained_by_their_ids() -> None:
    base = profile(
        "base",
        "Observation",
        {"path": "Observation.component", **COMPONENT},
        {"path": "Observation.component", "sliceName": "a"},
    )
    definition = {**base, "snapshot": {"element": snapshot(base, R4.structure_definition)}}
    derived = profile(
        "it", base["url"], {"id": "Observation.component:a.code", "path": "Observation.component.code", "short": "this"}
    )
    found = snapshot(derived, lambda url: definition if url == base["url"] else R4.structure_definition(url))
    assert {one["id"]: one for one in found}["Observation.component:a.code"]["short"] == "this"


def test_extensions_are_sliced_by_url_unless_the_differential_says_how() -> None:
    ours = made(
        {"path": "Observation.extension", "sliceName": "mine", "type": [{"code": "Extension", "profile": ["http://x"]}]}
    )
    assert ours["Observation.extension"]["slicing"]["discriminator"] == [{"type": "value", "path": "url"}]
    assert ours["Observation.extension:mine"]["type"] == [{"code": "Extension", "profile": ["http://x"]}]


def test_a_binding_goes_where_no_type_has_codes_any_more() -> None:
    ours = made({"path": "Observation.subject", "binding": {"strength": "required", "valueSet": "http://x"}})
    assert "binding" not in ours["Observation.subject"]


@pytest.mark.parametrize(
    ("elements", "base", "message"),
    [
        ([{"path": "Observation.colour", "min": 1}], "Observation", "'colour' is no element there"),
        ([{"path": "Observation.status.colour", "min": 1}], "Observation", "'colour' is no element there"),
        ([{"path": "Observation"}], "http://example.org/nowhere", "'http://example.org/nowhere' is not installed"),
        ([{"path": "Patient"}], "Observation", "the differential is of Patient, the base of Observation"),
        ([{"path": "Observation"}, {"path": "Patient.name"}], "Observation", "does not stand below"),
    ],
)
def test_a_differential_that_does_not_fit_is_refused(elements: list[dict[str, Any]], base: str, message: str) -> None:
    with pytest.raises(SnapshotError, match=re.escape(message)):
        made(*elements, base=base)
