import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from profiles.compile import compile_package, read_source, strip
from profiles.definitions import CORE
from profiles.package import Package, PackageError
from tests.reference import reference


def archive(path: Path, files: dict[str, Any]) -> Path:
    with tarfile.open(path, "w:gz") as target:
        for name, document in files.items():
            content = json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("compile") / "core.pack"
    assert compile_package(reference("packages/hl7.fhir.r4.core-4.0.1.tgz"), target) == 4581
    return target


def test_the_shipped_package_is_what_the_source_compiles_to(rebuilt: Path) -> None:
    # The inflated content is compared: another zlib may deflate to other bytes.
    ours, fresh = Package.open(CORE), Package.open(rebuilt)
    assert list(ours.entries()) == list(fresh.entries())
    assert ours.tables() == fresh.tables()
    assert all(ours.table(name) == fresh.table(name) for name in ours.tables())
    assert list(ours.resources()) == list(fresh.resources())


def test_the_shipped_package_is_small() -> None:
    assert CORE.stat().st_size < 2_000_000


def test_nothing_computable_is_lost_from_a_code_system(rebuilt: Path) -> None:
    def codes(concepts: list[dict[str, Any]]) -> list[Any]:
        return [
            (item["code"], item.get("display"), item.get("property"), codes(item.get("concept", [])))
            for item in concepts
        ]

    _, _, resources = read_source(reference("packages/hl7.fhir.r4.core-4.0.1.tgz"))
    source = {item["id"]: item for item in resources if item["resourceType"] == "CodeSystem"}
    compiled = {item["id"]: item for item in Package.open(rebuilt).resources("CodeSystem")}
    assert source.keys() == compiled.keys()
    assert all(codes(source[key].get("concept", [])) == codes(compiled[key].get("concept", [])) for key in source)


def test_the_source_is_the_folder_package_without_its_manifest_and_examples(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "guide.tgz",
        {
            "package/package.json": {"name": "example.guide", "version": "0.1.0"},
            "package/.index.json": {"files": []},
            "package/ValueSet-a.json": {"resourceType": "ValueSet", "id": "a", "status": "draft"},
            "package/example/Patient-b.json": {"resourceType": "Patient", "id": "b"},
            "package/other/spec.internals.json": {"anything": 1},
        },
    )
    assert read_source(path) == (
        "example.guide",
        "0.1.0",
        [{"resourceType": "ValueSet", "id": "a", "status": "draft"}],
    )


def test_an_archive_that_is_no_package_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "other.tgz", {"readme.json": {}})
    with pytest.raises(PackageError, match="not a FHIR package"):
        read_source(path)


def test_a_guide_compiles_with_its_profiles_and_without_tables_of_types(tmp_path: Path) -> None:
    compile_package(reference("packages/us_core_610.tgz"), tmp_path / "guide.pack")
    guide = Package.open(tmp_path / "guide.pack")
    assert (guide.name, guide.version) == ("hl7.fhir.us.core", "6.1.0")
    assert guide.tables() == ("primitive-types",)
    (patient,) = [item for item in guide.resources("StructureDefinition") if item["url"].endswith("/us-core-patient")]
    assert any(element.get("sliceName") == "race" for element in patient["snapshot"]["element"])


@pytest.mark.parametrize(
    ("source", "stripped"),
    [
        pytest.param(
            {
                "resourceType": "ValueSet",
                "text": {"div": "…"},
                "meta": {},
                "url": "u",
                "title": "T",
                "description": "D",
            },
            {"resourceType": "ValueSet", "url": "u", "title": "T"},
            id="narrative and publication details go, identity stays",
        ),
        pytest.param(
            {
                "resourceType": "CodeSystem",
                "concept": [{"code": "a", "definition": "long", "concept": [{"code": "b", "definition": "long"}]}],
            },
            {"resourceType": "CodeSystem", "concept": [{"code": "a", "concept": [{"code": "b"}]}]},
            id="definitions of concepts go at every depth",
        ),
        pytest.param(
            {"resourceType": "StructureDefinition", "differential": {"element": [{"path": "Patient", "comment": "c"}]}},
            {"resourceType": "StructureDefinition", "differential": {"element": [{"path": "Patient"}]}},
            id="a differential stays where there is no snapshot",
        ),
        pytest.param(
            {
                "resourceType": "StructureDefinition",
                "differential": {"element": []},
                "snapshot": {"element": [{"path": "Patient", "short": "s", "definition": "d", "min": 0}]},
            },
            {
                "resourceType": "StructureDefinition",
                "snapshot": {"element": [{"path": "Patient", "short": "s", "min": 0}]},
            },
            id="a snapshot makes the differential needless",
        ),
        pytest.param(
            {
                "resourceType": "SearchParameter",
                "xpath": "f:x",
                "expression": "Patient.name",
                "description": "Multiple Resources: \r\n\r\n* [Patient](patient.html): A name\r\n",
            },
            {
                "resourceType": "SearchParameter",
                "expression": "Patient.name",
                "description": "Multiple Resources: \n\n* Patient: A name",
            },
            id="links to the specification's pages become their text",
        ),
        pytest.param(
            {
                "resourceType": "ConceptMap",
                "extension": [
                    {"url": "http://hl7.org/fhir/StructureDefinition/structuredefinition-fmm", "valueInteger": 1}
                ],
                "group": [{"element": [{"code": "a", "extension": [{"url": "http://example.org/kept"}]}]}],
            },
            {
                "resourceType": "ConceptMap",
                "group": [{"element": [{"code": "a", "extension": [{"url": "http://example.org/kept"}]}]}],
            },
            id="extensions go where they are editorial and stay where they are not",
        ),
    ],
)
def test_stripping(source: dict[str, Any], stripped: dict[str, Any]) -> None:
    assert strip(source) == stripped
