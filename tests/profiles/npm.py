"""FHIR npm packages for tests: small ones written here, and the published ones of the reference data."""

import functools
import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.reference import reference

CORE = "hl7.fhir.r4.core-4.0.1"
Json = dict[str, Any]


@functools.cache
def structure_definitions(name: str) -> tuple[Json, ...]:
    """The StructureDefinitions of a published package as they are, differentials included."""
    with tarfile.open(reference(f"packages/{name}.tgz")) as archive:
        members = [member for member in archive if member.name.startswith("package/StructureDefinition-")]
        return tuple(json.load(archive.extractfile(member)) for member in members)


@functools.cache
def examples(name: str, start: str = "package/example/") -> tuple[Json, ...]:
    """The examples of a published package, or its other files whose names start so; numbers with a point are Decimals."""
    with tarfile.open(reference(f"packages/{name}.tgz")) as archive:
        members = [member for member in archive if member.name.startswith(start) and "/." not in member.name]
        return tuple(json.load(archive.extractfile(member), parse_float=Decimal) for member in members)


def package_json(name: str = "example.one", version: str = "1.0.0", **more: Any) -> Json:
    return {
        "name": name,
        "version": version,
        "fhirVersions": ["4.0.1"],
        "dependencies": {"hl7.fhir.r4.core": "4.0.1"},
        **more,
    }


def write_tgz(path: Path, files: Iterable[tuple[str, Any]]) -> Path:
    """A .tgz of files: name and content, bytes or JSON; a TarInfo in place of a name stands as it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    path.write_bytes(gzip.compress(buffer.getvalue()))
    return path


def npm(path: Path, *definitions: Json, name: str = "example.one", version: str = "1.0.0", **more: Any) -> Path:
    """A package of definitions, as .tgz in a folder."""
    files = [(f"package/{one['resourceType']}-{one['id']}.json", one) for one in definitions]
    return write_tgz(
        path / f"{name}-{version}.tgz", [("package/package.json", package_json(name, version, **more)), *files]
    )


def profile(name: str, base: str, *elements: Json, version: str = "1.0.0", **more: Any) -> Json:
    """A profile without snapshot; its elements are given by path (or id), and the base may be a type."""
    url = base if base.startswith("http") else f"http://hl7.org/fhir/StructureDefinition/{base}"
    type_name = elements[0]["path"].partition(".")[0]
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": f"http://example.org/fhir/StructureDefinition/{name}",
        "version": version,
        "name": name,
        "status": "active",
        "kind": "complex-type" if type_name == "Extension" else "resource",
        "abstract": False,
        "type": type_name,
        "baseDefinition": url,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **more,
    }
