import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from profiles import archive
from profiles.install import Installed, InstallError, install, installed, missing, pin, remove, unpin
from profiles.package import Package
from profiles.registry import pins
from tests.profiles.npm import npm, package_json, profile, write_tgz
from tests.reference import reference

VALUE_SET = {
    "resourceType": "ValueSet",
    "id": "v",
    "url": "http://example.org/v",
    "status": "active",
    "text": {"status": "generated", "div": "<div/>"},
    "publisher": "Example",
}
DERIVED = profile(
    "p",
    "Patient",
    {"path": "Patient.name", "min": 1, "definition": "prose", "mapping": [{"identity": "x", "map": "y"}]},
)


def one(source: Path, folder: Path) -> Installed:
    (done,) = install(source, folder)
    return done


def test_a_package_is_written_as_one_container_of_definitions(tmp_path: Path) -> None:
    done = one(npm(tmp_path, VALUE_SET, DERIVED), tmp_path / "packages")
    assert (done.manifest.label, done.definitions, done.changed, done.missing) == ("example.one#1.0.0", 2, True, ())
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["example.one#1.0.0.pack"]


def test_narrative_publication_prose_and_mappings_are_left_out(tmp_path: Path) -> None:
    install(npm(tmp_path, VALUE_SET, DERIVED), tmp_path)
    package = Package.open(tmp_path / "example.one#1.0.0.pack")
    kept = {entry.id: package.read(entry) for entry in package.entries()}
    assert not kept["v"].keys() & {"text", "publisher"}
    assert kept["p"]["differential"] == {"element": [{"path": "Patient.name", "min": 1}]}


def test_what_is_no_definition_is_left_out(tmp_path: Path) -> None:
    files = [
        ("package/package.json", package_json()),
        ("package/Patient-x.json", {"resourceType": "Patient", "id": "x"}),
        ("package/ImplementationGuide-x.json", {"resourceType": "ImplementationGuide", "id": "x", "url": "http://x"}),
        ("package/example/ValueSet-e.json", {**VALUE_SET, "id": "e"}),
        ("package/.index.json", {"files": []}),
        ("package/other/notes.txt", b"notes"),
        ("package/ValueSet-v.json", VALUE_SET),
    ]
    assert one(write_tgz(tmp_path / "x.tgz", files), tmp_path).definitions == 1


def test_installing_twice_changes_nothing(tmp_path: Path) -> None:
    source, folder = npm(tmp_path, VALUE_SET), tmp_path / "packages"
    install(source, folder)
    before = (folder / "example.one#1.0.0.pack").stat()
    assert not one(source, folder).changed
    assert (folder / "example.one#1.0.0.pack").stat() == before


def test_an_unpacked_package_and_a_folder_of_archives_are_read_too(tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked" / "package"
    unpacked.mkdir(parents=True)
    (unpacked / "package.json").write_text(json.dumps(package_json()))
    (unpacked / "ValueSet-v.json").write_text(json.dumps(VALUE_SET))
    archives = tmp_path / "archives"
    archives.mkdir()
    npm(archives, VALUE_SET)
    npm(archives, VALUE_SET, name="example.two")
    ways = [install(source, tmp_path / "packages") for source in (unpacked, unpacked.parent, archives)]
    assert [[(done.manifest.name, done.changed) for done in way] for way in ways] == [
        [("example.one", True)],
        [("example.one", False)],
        [("example.one", False), ("example.two", True)],
    ]


def test_dependencies_that_are_not_installed_are_named(tmp_path: Path) -> None:
    wanted = {"hl7.fhir.r4.core": "4.0.1", "example.two": "2.1.x", "example.three": "latest"}
    source, folder = npm(tmp_path, VALUE_SET, dependencies=wanted), tmp_path / "packages"
    assert one(source, folder).missing == ("example.three#latest", "example.two#2.1.x")
    install(npm(tmp_path, VALUE_SET, name="example.two", version="2.1.7"), folder)
    assert missing(installed(folder)[0], folder) == ("example.three#latest",)


def test_the_core_package_is_always_there(tmp_path: Path) -> None:
    done = one(npm(tmp_path, VALUE_SET, name="hl7.fhir.r4.core", version="4.0.1"), tmp_path / "packages")
    assert not done.changed
    assert not (tmp_path / "packages").exists()


def test_versions_are_listed_from_old_to_new(tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0", "2.0.0", "2.0.0-ballot"):
        install(npm(tmp_path, VALUE_SET, version=version), tmp_path)
    assert [manifest.version for manifest in installed(tmp_path)] == ["1.9.0", "1.10.0", "2.0.0-ballot", "2.0.0"]


def test_a_removed_package_is_gone_and_its_pin_with_it(tmp_path: Path) -> None:
    install(npm(tmp_path, VALUE_SET), tmp_path)
    pin(tmp_path, "example.one", "1.0.0")
    assert pins(tmp_path) == {"example.one": "1.0.0"}
    remove(tmp_path, "example.one", "1.0.0")
    assert (installed(tmp_path), pins(tmp_path)) == ((), {})


def test_a_pin_can_be_taken_back(tmp_path: Path) -> None:
    install(npm(tmp_path, VALUE_SET), tmp_path)
    pin(tmp_path, "example.one", "1.0.0")
    unpin(tmp_path, "example.one")
    assert pins(tmp_path) == {}


@pytest.mark.parametrize("act", [pin, remove])
def test_what_is_not_installed_can_be_neither_pinned_nor_removed(act: Any, tmp_path: Path) -> None:
    install(npm(tmp_path, VALUE_SET), tmp_path)
    with pytest.raises(InstallError, match=r"example.one#9 is not installed; there is example.one#1.0.0"):
        act(tmp_path, "example.one", "9")


# What is refused, and changes nothing.


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = ("package/package.json", package_json())
REFUSED = [
    ("no package.json", [("package/ValueSet-v.json", VALUE_SET)], "no package/package.json"),
    ("no name", [("package/package.json", {"version": "1.0.0", "fhirVersions": ["4.0.1"]})], "no usable name"),
    ("a name that is a path", [("package/package.json", package_json("../x"))], "no usable name"),
    (
        "a version that is a path",
        [("package/package.json", package_json(version="1/../../x"))],
        "no usable name and version",
    ),
    ("no FHIR", [("package/package.json", {"name": "left-pad", "version": "1.0.0"})], "names no FHIR version"),
    (
        "R5",
        [("package/package.json", package_json(fhirVersions=["5.0.0"]))],
        "for FHIR 5.0.0; this server speaks 4.0.1",
    ),
    ("R4B", [("package/package.json", package_json(fhirVersions=["4.3.0"]))], "for FHIR 4.3.0"),
    (
        "strange dependencies",
        [("package/package.json", package_json(dependencies=["x"]))],
        "no list of names and versions",
    ),
    ("no JSON", [GOOD, ("package/x.json", b"{")], "x.json is not a JSON object"),
    ("an array", [GOOD, ("package/x.json", b"[]")], "x.json is not a JSON object"),
    ("deep JSON", [GOOD, ("package/x.json", b'{"a":' + b"[" * 100_000)], "x.json is not a JSON object"),
    (
        "misshapen",
        [GOOD, ("package/x.json", {**DERIVED, "differential": 1})],
        "x.json is not a well-formed StructureDefinition",
    ),
    ("a path upwards", [GOOD, ("package/../../x.json", {})], "leads out of the archive"),
    ("an absolute path", [GOOD, ("/etc/x.json", {})], "leads out of the archive"),
    ("a symbolic link", [GOOD, (link("package/x.json", "/etc/passwd", tarfile.SYMTYPE), b"")], "is a link or a device"),
    (
        "a hard link",
        [GOOD, (link("package/x.json", "package/package.json", tarfile.LNKTYPE), b"")],
        "is a link or a device",
    ),
    ("a device", [GOOD, (link("package/x.json", "", tarfile.CHRTYPE), b"")], "is a link or a device"),
    ("a name twice", [GOOD, ("package/./package.json", package_json("other"))], "stands in it twice"),
]


@pytest.mark.parametrize(("files", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_package_for_this_server_is_refused(files: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=message):
        install(write_tgz(tmp_path / "x.tgz", files), tmp_path / "packages")
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no archive", gzip.compress(b"no archive" * 100), gzip.compress(b"x" * 9000)[:-20]]
)
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(InstallError, match=r"not a readable .tgz archive|no package/package.json"):
        install(tmp_path / "x.tgz", tmp_path / "packages")


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MAX_FILE", "has at most 200"), ("MAX_FILES", "more than 1 files"), ("MAX_TOTAL", "more than 3,000 bytes")],
)
def test_an_archive_has_its_bounds(limit: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, limit, {"MAX_FILE": 200, "MAX_FILES": 1, "MAX_TOTAL": 3000}[limit])
    source = write_tgz(tmp_path / "x.tgz", [GOOD, ("package/x.json", {"a": "b" * 300})])
    with pytest.raises(InstallError, match=message):
        install(source, tmp_path / "packages")


def test_a_link_in_an_unpacked_package_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps(package_json()))
    (folder / "x.json").symlink_to("/etc/passwd")
    with pytest.raises(InstallError, match="made of plain files"):
        install(tmp_path, tmp_path / "packages")


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_path_without_packages_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"no such file|neither a package"):
        install(tmp_path / name, tmp_path / "packages")


# The published packages, and the command.


def test_the_published_packages_install_side_by_side(tmp_path: Path) -> None:
    for name in ("us_core_311", "us_core_610", "us_core_800", "ips_v110"):
        install(reference(f"packages/{name}.tgz"), tmp_path)
    assert [manifest.label for manifest in installed(tmp_path)] == [
        "hl7.fhir.us.core#3.1.1",
        "hl7.fhir.us.core#6.1.0",
        "hl7.fhir.us.core#8.0.0",
        "hl7.fhir.uv.ips#1.1.0",
    ]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.pack")) < 1024 * 1024


def test_the_command_says_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDICONNECT_DATA_DIR", str(tmp_path / "data"))
    source = npm(tmp_path, VALUE_SET, DERIVED, dependencies={"example.two": "2.0.0"}, title="Example")

    def said(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["package", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    assert said("install", str(source)).splitlines() == [
        "example.one#1.0.0: 2 definitions installed",
        "  not installed, though it is depended on: example.two#2.0.0",
    ]
    assert said("install", str(source)).startswith("example.one#1.0.0: is installed already")
    assert said("pin", "example.one", "1.0.0") == "example.one is pinned to 1.0.0\n"
    assert said("list") == "example.one#1.0.0 (pinned) Example; lacks example.two#2.0.0\n"
    assert "9 profiles of 2 packages compiled" in said("check")  # with MediConnect's own
    assert said("remove", "example.one", "1.0.0") == "example.one#1.0.0 is removed\n"
    assert said("list") == ""
    assert "no such file" in said("install", str(tmp_path / "nowhere"), code=1)
