import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from loaders.demonstration import generate
from profiles import own
from profiles.definitions import r4
from profiles.issue import Issue
from profiles.package import Package
from profiles.profile_validator import ProfileValidator
from profiles.registry import OWN, Registry, manifest
from profiles.validator import Validator
from tests.profiles.mutations import Mutation, Resource
from tests.profiles.own_resources import BROKEN, VALID

REGISTRY = Registry()
BASE, PROFILES = Validator(r4()), ProfileValidator(REGISTRY)
URLS = REGISTRY.profile_urls()


def issues(resource: Resource) -> list[Issue]:
    """What R4, and MediConnect's profile of the type, find wrong."""
    return BASE.validate(resource) or PROFILES.validate(resource, URLS[resource["resourceType"]])


def test_the_package_has_a_profile_for_each_type_this_server_cares_for():
    types = "Patient Practitioner PractitionerRole Schedule Slot Appointment MedicationRequest AuditEvent"
    assert {name: len(urls) for name, urls in URLS.items()} == dict.fromkeys(types.split(), 1)
    assert not REGISTRY.problems


def test_the_shipped_package_is_what_its_sources_compile_to(tmp_path: Path):
    found = own.write(tmp_path / "fresh.pack")
    ours, fresh = Package.open(OWN), Package.open(tmp_path / "fresh.pack")
    assert manifest(ours) == found == manifest(fresh)
    assert list(ours.resources()) == list(fresh.resources()), "run python -m profiles.own"


@pytest.mark.parametrize("path", sorted(own.SOURCE.glob("*-*.json")), ids=lambda path: path.stem)
def test_a_definition_of_the_package_is_itself_valid_and_described(path: Path):
    definition = json.loads(path.read_text())
    assert BASE.validate(definition) == []
    assert path.name == f"{definition['resourceType']}-{definition['id']}.json"
    assert (
        definition["url"] == f"{manifest(Package.open(OWN)).canonical}/{definition['resourceType']}/{definition['id']}"
    )
    assert definition["version"] == manifest(Package.open(OWN)).version
    assert len(definition["description"]) > 30


def test_each_rule_has_a_key_of_its_own_and_is_broken_by_a_test():
    keys = [one.key for profile in REGISTRY.profiles() for rule in profile.elements() for one in rule.constraints]
    ours = Counter(key for key in keys if key.startswith("mc-"))
    assert set(ours.values()) == {1}
    told = {"mc-adr-1", "mc-med-1"}  # warnings, below
    assert ours.keys() - told == {name for one in BROKEN if (name := one.name.partition(":")[0]).startswith("mc-")}


@pytest.mark.parametrize("resource", VALID, ids=lambda resource: resource.__name__)
def test_what_the_server_writes_meets_its_profile(resource: Callable[[], Resource]):
    assert issues(resource()) == []


@pytest.mark.parametrize("mutation", BROKEN, ids=lambda mutation: mutation.name)
def test_what_breaks_a_profile_is_refused_where_it_breaks_it(mutation: Mutation):
    mutant = mutation.mutant()
    found = [issue for issue in issues(mutant) if issue.severity == "error"]
    assert (mutation.at, mutation.code) in [(issue.location, issue.code) for issue in found]
    key = mutation.name.partition(":")[0]
    assert not key.startswith("mc-") or key in [issue.key for issue in found]


def test_what_is_not_wrong_but_unwise_is_a_warning():
    address = {**VALID[0](), "address": [{"country": "Turkey"}]}
    stopped = {**VALID[9](), "status": "stopped"}
    told = [(one.severity, one.key) for resource in (address, stopped) for one in issues(resource)]
    assert told == [("warning", "mc-adr-1"), ("warning", "mc-med-1")]


def test_a_date_of_birth_may_be_missing_for_a_reason():
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    unknown = {key: value for key, value in VALID[0]().items() if key != "birthDate"}
    assert issues({**unknown, "_birthDate": {"extension": [reason]}}) == []


def test_the_demonstration_hospital_is_valid_and_meets_the_profiles():
    seen: Counter[str] = Counter()
    for resource in generate(patients=12, seed=7, today=date(2026, 11, 21)):
        name = resource["resourceType"]
        seen[name] += 1
        assert BASE.validate(resource) == [], resource["id"]
        if name not in URLS or (name == "Slot" and seen[name] > 200):
            continue
        assert PROFILES.validate(resource, URLS[name]) == [], resource["id"]
    assert URLS.keys() - seen.keys() == {"AuditEvent"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_other_hospitals_meet_the_profiles_too(seed: int):
    for resource in generate(patients=150, seed=seed):
        canonicals = URLS.get(resource["resourceType"], ())
        assert (BASE.validate(resource) or PROFILES.validate(resource, canonicals)) == [], resource["id"]
