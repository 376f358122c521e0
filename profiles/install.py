"""Packages installed, listed, pinned and removed: FHIR npm packages, compiled into containers of our own in one folder.

https://hl7.org/fhir/R4/packages.html and https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from profiles import archive
from profiles.compile import strip
from profiles.definitions import CORE
from profiles.package import Package, write_package
from profiles.registry import MANIFEST, OWN, PINS, SUFFIX, Manifest, manifest, packages, pins
from profiles.version import meets

Json = dict[str, Any]
CANONICAL_TYPES = frozenset(
    {
        "CapabilityStatement",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "GraphDefinition",
        "MessageDefinition",
        "NamingSystem",
        "OperationDefinition",
        "Questionnaire",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "ValueSet",
    }
)
"""The types that are kept: definitions. Examples and the text of an ImplementationGuide are not."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._\-]{0,127}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+\-]{0,63}")
_CORE = "hl7.fhir.r4.core"
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class InstallError(Exception):
    """A package that cannot be installed, pinned or removed; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation did: the package, the number of definitions kept, whether anything changed.

    `missing` are the dependencies that are not installed, as name#version; what they define resolves to nothing.
    """

    manifest: Manifest
    definitions: int
    changed: bool
    missing: tuple[str, ...]


def install(source: Path, folder: Path) -> tuple[Installed, ...]:
    """Install a .tgz, an unpacked package, or each .tgz in a folder, into `folder` (DATA_DIR/packages), made if need be.

    Each package is written whole or not at all, and one that is there already stays as it is. Raises InstallError for what
    is no FHIR package, is for another FHIR version than 4.0.x, or is damaged or hostile.
    """
    if not source.exists():
        raise InstallError(f"{source}: there is no such file or folder")
    several = _archives(source)
    written = [_install_one(one, folder) for one in several]
    present = [manifest(package) for package in packages(folder)]
    return tuple(Installed(one, count, changed, _missing(one, present)) for one, count, changed in written)


def installed(folder: Path) -> tuple[Manifest, ...]:
    """The installed packages, by name and from old to new; raises PackageError for a damaged one."""
    return tuple(manifest(package) for package in packages(folder))


def missing(one: Manifest, folder: Path) -> tuple[str, ...]:
    """The dependencies of a package that are not installed, as name#version."""
    return _missing(one, installed(folder))


def remove(folder: Path, name: str, version: str) -> None:
    """Remove a package, and its pin; raises InstallError where it is not installed."""
    path = _installed_file(folder, name, version)
    if pins(folder).get(name) == version:
        unpin(folder, name)
    path.unlink()


def pin(folder: Path, name: str, version: str) -> None:
    """Have canonicals without a version mean this version of a package; raises InstallError where it is not installed."""
    _installed_file(folder, name, version)
    _write_pins(folder, pins(folder) | {name: version})


def unpin(folder: Path, name: str) -> None:
    """Have canonicals without a version mean the newest again."""
    _write_pins(folder, {key: value for key, value in pins(folder).items() if key != name})


def _archives(source: Path) -> list[Path]:
    if source.is_file() or (source / "package.json").is_file() or (source / "package" / "package.json").is_file():
        return [source]
    found = sorted(source.glob("*.tgz"))
    if not found:
        raise InstallError(f"{source}: neither a package (it has no package.json) nor a folder of .tgz files")
    return found


def _install_one(source: Path, folder: Path) -> tuple[Manifest, int, bool]:
    try:
        found, definitions = _read(source)
    except archive.ArchiveError as error:
        raise InstallError(str(error)) from error
    if found.name == _CORE:
        return found, 0, False
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{found.label}{SUFFIX}"
    handle, name = tempfile.mkstemp(dir=folder, prefix=".installing-")
    os.close(handle)
    written = Path(name)
    try:
        write_package(written, found.name, found.version, definitions, {MANIFEST: _encoded(found)})
        changed = not target.exists() or target.read_bytes() != written.read_bytes()
        if changed:
            written.chmod(0o644)
            written.replace(target)
        return found, len(definitions), changed
    finally:
        written.unlink(missing_ok=True)


def _read(source: Path) -> tuple[Manifest, list[Json]]:
    """The manifest and the definitions of a package, stripped."""
    document: Json | None = None
    definitions: list[Json] = []
    for name, content in archive.files(source):
        resource = _json(source, name, content)
        if name == "package.json":
            document = resource
        elif resource.get("resourceType") in CANONICAL_TYPES and isinstance(resource.get("url"), str):
            definitions.append(_stripped(source, name, resource))
    if document is None:
        raise InstallError(f"{source}: not a FHIR package: it has no package/package.json")
    return _manifest(source, document), definitions


def _json(source: Path, name: str, content: bytes) -> Json:
    try:
        return _decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InstallError(f"{source}: {name} is not a JSON object: {error}") from error


def _stripped(source: Path, name: str, resource: Json) -> Json:
    try:
        return strip({"description": "", **resource} if resource["resourceType"] == "SearchParameter" else resource)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InstallError(f"{source}: {name} is not a well-formed {resource['resourceType']}: {error!r}") from error


def _manifest(source: Path, document: Mapping[str, Any]) -> Manifest:
    name, version = document.get("name"), document.get("version")
    if (
        not isinstance(name, str)
        or not _NAME.fullmatch(name)
        or not isinstance(version, str)
        or not _VERSION.fullmatch(version)
    ):
        raise InstallError(f"{source}: not a FHIR package: its package.json has no usable name and version")
    dependencies = document.get("dependencies") or {}
    if not isinstance(dependencies, dict) or not all(isinstance(value, str) for value in dependencies.values()):
        raise InstallError(f"{source}: the dependencies in its package.json are no list of names and versions")
    _check_fhir_version(source, document, dependencies)
    texts = [text if isinstance(text := document.get(key), str) else "" for key in ("canonical", "title")]
    return Manifest(name, version, dependencies, *texts)


def _check_fhir_version(source: Path, document: Mapping[str, Any], dependencies: Mapping[str, str]) -> None:
    stated = document.get("fhirVersions") or document.get("fhir-version-list") or []
    versions = [str(one) for one in stated] if isinstance(stated, list) else [str(stated)]
    versions = versions or [version for name, version in dependencies.items() if name == _CORE]
    if not versions:
        raise InstallError(f"{source}: not a FHIR package: its package.json names no FHIR version")
    if not any(version == "4.0" or version.startswith("4.0.") for version in versions):
        raise InstallError(f"{source}: {document['name']} is for FHIR {', '.join(versions)}; this server speaks 4.0.1")


def _missing(one: Manifest, present: list[Manifest] | tuple[Manifest, ...]) -> tuple[str, ...]:
    known = [*present, *(manifest(Package.open(path)) for path in (CORE, OWN))]
    return tuple(
        f"{name}#{version}"
        for name, version in sorted(one.dependencies.items())
        if not any(other.name == name and meets(other.version, version) for other in known)
    )


def _encoded(found: Manifest) -> bytes:
    return msgspec.json.encode(found, order="deterministic")


def _installed_file(folder: Path, name: str, version: str) -> Path:
    for package in packages(folder):
        if (package.name, package.version) == (name, version):
            return folder / f"{name}#{version}{SUFFIX}"
    others = ", ".join(one.label for one in installed(folder) if one.name == name)
    raise InstallError(f"{name}#{version} is not installed{f'; there is {others}' if others else ''}")


def _write_pins(folder: Path, pinned: Mapping[str, str]) -> None:
    with _replaced(folder / PINS) as path:
        path.write_bytes(msgspec.json.encode(dict(pinned), order="sorted"))


@contextlib.contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """A file beside the target that takes its place when it is written."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(0o644)
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)
