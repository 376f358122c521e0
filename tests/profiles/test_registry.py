import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from profiles.install import install, pin
from profiles.profile import ElementRule, Profile
from profiles.registry import Registry
from tests.profiles.npm import npm, profile
from tests.reference import reference

PATIENT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
URL = "http://example.org/fhir/StructureDefinition/"


def value_set(version: str | None, *codes: str) -> dict[str, Any]:
    concepts = [{"code": code} for code in codes]
    compose = {"include": [{"system": "http://example.org/s", "concept": concepts}]}
    known = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": "http://example.org/v",
        "status": "active",
        "compose": compose,
    }
    return known | ({"version": version} if version else {})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("packages")
    for name in ("us_core_311", "us_core_610", "us_core_800", "ips_v110"):
        install(reference(f"packages/{name}.tgz"), folder)
    return Registry(folder)


def element(found: Profile | None, name: str) -> ElementRule:
    assert found is not None
    return next(rule for rule in found.elements() if rule.id == name)


def test_r4_is_always_there() -> None:
    registry = Registry()
    patient = registry.profile("http://hl7.org/fhir/StructureDefinition/Patient")
    assert patient is not None
    assert (patient.canonical, patient.kind, patient.derivation) == (
        f"{patient.url}|4.0.1",
        "resource",
        "specialization",
    )
    assert registry.codes("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1")
    assert registry.code_system("http://hl7.org/fhir/administrative-gender") is not None


def test_what_is_nowhere_is_none(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "nowhere")
    nowhere = "http://example.org/nowhere"
    assert (
        registry.profile(nowhere)
        is registry.resource(nowhere)
        is registry.codes(nowhere)
        is registry.extension(nowhere)
        is None
    )
    assert registry.profile("http://hl7.org/fhir/StructureDefinition/Patient|9.9") is None


def test_a_canonical_without_version_means_the_newest(published: Registry) -> None:
    versions = [published.profile(f"{PATIENT}{version}") for version in ("", "|3.1.1", "|6.1.0", "|8.0.0", "|7.0.0")]
    assert [found and found.version for found in versions] == ["8.0.0", "3.1.1", "6.1.0", "8.0.0", None]


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (("1.9.0", "1.10.0"), "1.10.0"),
        (("2.0.0-ballot", "2.0.0"), "2.0.0"),
        (("2.0.0-a", "2.0.0-b"), "2.0.0-b"),
        ((None, "0.1"), "0.1"),
    ],
)
def test_newer_is_told_by_the_numbers_of_the_version(
    versions: tuple[str | None, ...], newest: str, tmp_path: Path
) -> None:
    for number, version in enumerate(versions):
        install(npm(tmp_path, value_set(version), name=f"example.p{number}"), tmp_path / "packages")
    found = Registry(tmp_path / "packages").value_set("http://example.org/v")
    assert found is not None
    assert found["version"] == newest


def test_the_pinned_package_comes_before_the_newest(tmp_path: Path) -> None:
    for version in ("1.0.0", "2.0.0"):
        install(npm(tmp_path, value_set(version), version=version), tmp_path)
    pin(tmp_path, "example.one", "1.0.0")
    registry = Registry(tmp_path)
    found = [registry.value_set(f"http://example.org/v{version}") for version in ("", "|2.0.0")]
    assert [one and one["version"] for one in found] == ["1.0.0", "2.0.0"]


def test_what_a_package_names_is_found_in_itself_and_in_what_it_depends_on_first(tmp_path: Path) -> None:
    for version, codes in (("1.0.0", "a"), ("2.0.0", "b")):
        install(npm(tmp_path, value_set(version, codes), version=version), tmp_path / "packages")
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": "http://example.org/v"}}
    mine = npm(tmp_path, profile("p", "Patient", bound), name="example.mine", dependencies={"example.one": "1.0.x"})
    install(mine, tmp_path / "packages")
    registry = Registry(tmp_path / "packages")
    rule = element(registry.profile(f"{URL}p"), "Patient.maritalStatus")
    assert rule.binding is not None
    assert rule.binding.value_set == "http://example.org/v|1.0.0"
    assert registry.codes(rule.binding.value_set) == {("http://example.org/s", "a")}


def test_references_between_profiles_stay_inside_their_version(published: Registry) -> None:
    subject = element(
        published.profile("http://hl7.org/fhir/us/core/StructureDefinition/us-core-vital-signs|6.1.0"),
        "Observation.subject",
    )
    assert [kind.targets for kind in subject.types] == [(f"{PATIENT}|6.1.0",)]


def test_a_profile_without_snapshot_gets_one(tmp_path: Path) -> None:
    middle = profile("middle", "Patient", {"path": "Patient.name", "min": 1})
    last = profile("last", f"{URL}middle", {"path": "Patient.name.family", "min": 1, "mustSupport": True})
    install(npm(tmp_path, middle, last), tmp_path)
    found = Registry(tmp_path).profile(f"{URL}last")
    assert (element(found, "Patient.name").min, element(found, "Patient.name.family").must_support) == (1, True)


def test_why_a_profile_cannot_be_used_is_kept(tmp_path: Path) -> None:
    circle = [profile("a", f"{URL}b", {"path": "Patient"}), profile("b", f"{URL}a", {"path": "Patient"})]
    install(npm(tmp_path, profile("p", "http://example.org/gone", {"path": "Patient"}), *circle), tmp_path)
    registry = Registry(tmp_path)
    assert registry.profile(f"{URL}p") is registry.profile(f"{URL}a") is None
    assert registry.problems[f"{URL}p|1.0.0"] == f"{URL}p#Patient: 'http://example.org/gone' is not installed"
    assert f"{URL}b|1.0.0" in registry.problems


def test_an_element_rule_says_all_that_is_demanded(published: Registry) -> None:
    found = published.profile(f"{PATIENT}|8.0.0")
    identifier, gender = element(found, "Patient.identifier"), element(found, "Patient.gender")
    assert (identifier.min, identifier.max, identifier.must_support) == (1, None, True)
    assert [child.name for child in identifier.children][:4] == ["id", "extension", "use", "type"]
    assert gender.binding is not None
    assert (gender.binding.strength, gender.binding.value_set) == (
        "required",
        "http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1",
    )
    older = published.profile(f"{PATIENT}|6.1.0")
    assert "us-core-6" in {rule.key for rule in element(older, "Patient.name").constraints}
    assert element(found, "Patient.deceased[x]").choice
    assert element(found, "Patient.id").types[0].code in ("id", "string")


def test_extensions_are_found_by_the_url_that_instances_carry(published: Registry) -> None:
    race = published.extension("http://hl7.org/fhir/us/core/StructureDefinition/us-core-race")
    assert race is not None
    assert race.contexts == (("element", "Patient"),) or ("element", "Patient") in race.contexts
    assert element(race, "Extension.url").fixed == race.url
    assert published.extension(PATIENT) is None


def test_every_published_profile_compiles(published: Registry) -> None:
    # US Core publishes the one whose base lies elsewhere with a snapshot.
    assert len(list(published.profiles())) == 8 + 30 + 59 + 67 + 36
    assert not published.problems


def test_a_process_with_r4_and_us_core_takes_less_than_150_mb(tmp_path: Path) -> None:
    install(reference("packages/us_core_800.tgz"), tmp_path / "packages")
    command = [sys.executable, "-m", "fhir_server", "package", "check"]
    done = subprocess.run(
        command, env={"MEDICONNECT_DATA_DIR": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    *_, megabytes = done.stdout.partition("the process took ")
    assert int(megabytes.split()[0]) < 150
