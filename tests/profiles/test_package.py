import random
from decimal import Decimal
from pathlib import Path

import pytest

from profiles.package import BLOCK, MARK, Package, PackageError, write_package

RESOURCES = [
    {
        "resourceType": "ValueSet",
        "id": "b",
        "url": "http://example.org/b",
        "version": "2",
        "name": "B",
        "status": "draft",
    },
    {"resourceType": "ValueSet", "id": "a", "url": "http://example.org/a", "experimental": True, "note": "Ünïcode ☤"},
    {"resourceType": "Observation", "id": "o", "valueQuantity": {"value": Decimal("160.50")}, "count": 3},
    {
        "resourceType": "StructureDefinition",
        "id": "p",
        "url": "http://example.org/p",
        "kind": "resource",
        "type": "Patient",
        "derivation": "constraint",
    },
]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_package(tmp_path / "example.pack", "example", "1.2.3", RESOURCES, {"two": b"22", "one": b"1"})
    return Package.open(tmp_path / "example.pack")


def test_a_package_knows_its_name_and_version(package: Package) -> None:
    assert (package.name, package.version) == ("example", "1.2.3")


def test_entries_are_ordered_by_type_and_id(package: Package) -> None:
    entries = [(entry.resource_type, entry.id) for entry in package.entries()]
    assert entries == [("Observation", "o"), ("StructureDefinition", "p"), ("ValueSet", "a"), ("ValueSet", "b")]
    assert [entry.id for entry in package.entries("ValueSet")] == ["a", "b"]
    assert not list(package.entries("Patient"))


def test_an_entry_says_what_is_needed_to_resolve_it(package: Package) -> None:
    *_, value_set = package.entries("ValueSet")
    (profile,) = package.entries("StructureDefinition")
    assert (value_set.url, value_set.version, value_set.name) == ("http://example.org/b", "2", "B")
    assert (profile.kind, profile.type, profile.derivation) == ("resource", "Patient", "constraint")


def test_a_resource_comes_back_as_it_was_with_every_digit(package: Package) -> None:
    read = [package.read(entry) for entry in package.entries()]
    assert sorted(map(repr, read)) == sorted(map(repr, RESOURCES))
    assert repr(read[0]["valueQuantity"]["value"]) == "Decimal('160.50')"


def test_reading_twice_gives_two_dicts(package: Package) -> None:
    entry = next(package.entries())
    assert package.read(entry) == package.read(entry)
    assert package.read(entry) is not package.read(entry)


def test_resources_are_those_of_the_entries_across_many_blocks(tmp_path: Path) -> None:
    generator = random.Random(7)
    resources = [
        {"resourceType": generator.choice("ABC"), "id": str(number), "text": "x" * generator.randint(0, BLOCK // 3)}
        for number in range(60)
    ]
    resources.append({"resourceType": "B", "id": "larger than a block", "text": "y" * (2 * BLOCK)})
    write_package(tmp_path / "large.pack", "large", "1", resources)
    package = Package.open(tmp_path / "large.pack")
    assert list(package.resources()) == [package.read(entry) for entry in package.entries()]
    assert sorted(map(repr, package.resources())) == sorted(map(repr, resources))


def test_tables_lie_beside_the_resources(package: Package) -> None:
    assert package.tables() == ("one", "two")
    assert (package.table("one"), package.table("two")) == (b"1", b"22")
    with pytest.raises(KeyError):
        package.table("three")


def test_the_order_of_the_resources_does_not_change_the_bytes(tmp_path: Path) -> None:
    write_package(tmp_path / "forward", "example", "1", RESOURCES)
    write_package(tmp_path / "backward", "example", "1", reversed(RESOURCES))
    assert (tmp_path / "forward").read_bytes() == (tmp_path / "backward").read_bytes()


def test_a_package_without_resources_is_a_package(tmp_path: Path) -> None:
    write_package(tmp_path / "empty.pack", "empty", "1", [])
    assert not list(Package.open(tmp_path / "empty.pack").entries())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda _: b"", "not a compiled FHIR package"),
        (lambda _: MARK, "not a compiled FHIR package"),
        (lambda content: b"\x1f\x8b" + content, "not a compiled FHIR package"),
        (lambda content: content[:40] + b"?" + content[41:], "the header is damaged"),
        (lambda content: content[:-1], "bytes where the header promises"),
        (lambda content: content + b"!", "bytes where the header promises"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage, complaint: str) -> None:
    path = tmp_path / "damaged.pack"
    write_package(path, "example", "1", RESOURCES)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PackageError, match=rf"damaged\.pack: .*{complaint}"):
        Package.open(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Package.open(tmp_path / "none.pack")
