"""The packages at hand, side by side: canonicals resolved to definitions, profiles compiled when they are first asked for.

https://hl7.org/fhir/R4/references.html#canonical and https://hl7.org/fhir/R4/packages.html
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from profiles.definitions import CORE, Definitions, r4
from profiles.package import Entry, Package, PackageError
from profiles.profile import Profile, compile_profile
from profiles.snapshot import SnapshotError, snapshot
from profiles.value_set import Bounds, Code, bounds, expand
from profiles.version import Order, meets, order

Json = dict[str, Any]
SUFFIX = ".pack"
OWN = CORE.with_name(f"mediconnect{SUFFIX}")
"""MediConnect's own package, which is always at hand (profiles.own)."""
PINS = "pins.json"
MANIFEST = "manifest"
"""The table of a container that holds its Manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself: its name and version, what it depends on (name: version), its canonical and title."""

    name: str
    version: str
    dependencies: Mapping[str, str]
    canonical: str = ""
    title: str = ""

    @property
    def label(self) -> str:
        """name#version, as packages are referred to."""
        return f"{self.name}#{self.version}"


class Found(NamedTuple):
    """A definition in a package; `home` is the number of the package, that of the core package is 0."""

    home: int
    entry: Entry


def manifest(package: Package) -> Manifest:
    """The manifest of an opened package; of one that was written without, its name and version."""
    try:
        return msgspec.json.decode(package.table(MANIFEST), type=Manifest)
    except KeyError:
        return Manifest(package.name, package.version, {})


def pins(folder: Path) -> dict[str, str]:
    """The pinned packages of a folder: name: version."""
    try:
        return msgspec.json.decode((folder / PINS).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise PackageError(f"{folder / PINS}: not what `package pin` writes: {error}") from error


def packages(folder: Path) -> Iterator[Package]:
    """The packages in a folder, opened, by name and then from old to new; raises PackageError for a damaged one."""
    found = [Package.open(path) for path in folder.glob(f"*{SUFFIX}")] if folder.is_dir() else []
    return iter(sorted(found, key=lambda package: (package.name, order(package.version))))


class Registry:
    """The R4 definitions and the packages of a folder. Opening reads their headers; all else waits until it is asked for."""

    def __init__(self, folder: Path | None = None, definitions: Definitions | None = None) -> None:
        """`folder` is DATA_DIR/packages; None: what comes with the product alone. Raises PackageError for a damaged file."""
        self._definitions = definitions or r4()
        self._packages = [Package.open(CORE), Package.open(OWN), *(packages(folder) if folder else ())]
        self._pins = pins(folder) if folder else {}
        self._snapshots: dict[Found, Json | None] = {}
        self._profiles: dict[Found, Profile | None] = {}
        self._codes: dict[Found, frozenset[Code] | None] = {}
        self.problems: dict[str, str] = {}
        """Why a StructureDefinition that was asked for cannot be used, by its canonical."""

    @functools.cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Those of the packages at hand: the core package, MediConnect's own, then the installed ones."""
        return tuple(map(manifest, self._packages))

    def resource(self, canonical: str, resource_type: str | None = None) -> Json | None:
        """The definition of a canonical, decoded anew; None where no package at hand has it.

        With `|version` only that version. Without, the one of the pinned package, else the newest.
        """
        found = self.find(canonical, resource_type)
        return None if found is None else self._read(found)

    def resources(self, resource_type: str) -> Iterator[Json]:
        """All definitions of one type in the packages at hand, those of the core package excepted."""
        return (resource for package in self._packages[1:] for resource in package.resources(resource_type))

    def structure_definition(self, canonical: str) -> Json | None:
        """A StructureDefinition with its snapshot, made here where the package has none.

        None where it, or what its snapshot needs, is not at hand. The dict is shared; nobody changes it.
        """
        found = self.find(canonical, "StructureDefinition")
        return None if found is None else self._with_snapshot(found)

    def profile(self, canonical: str) -> Profile | None:
        """A profile, extension or type, compiled once; None where it, or what its snapshot needs, is not at hand."""
        found = self.find(canonical, "StructureDefinition")
        return None if found is None else self._compiled(found)

    def profiles(self) -> Iterator[Profile]:
        """All profiles, extensions and types of the packages at hand that can be used, the core package excepted."""
        for number, package in enumerate(self._packages[1:], 1):
            for entry in package.entries("StructureDefinition"):
                profile = self._compiled(Found(number, entry))
                if profile is not None:
                    yield profile

    def profile_urls(self) -> dict[str, tuple[str, ...]]:
        """By resource type, the canonicals of the profiles of it in the packages at hand, sorted, without version."""
        found: dict[str, set[str]] = {}
        for package in self._packages[1:]:
            for entry in package.entries("StructureDefinition"):
                if entry.kind == "resource" and entry.derivation == "constraint" and entry.type and entry.url:
                    found.setdefault(entry.type, set()).add(entry.url)
        return {name: tuple(sorted(urls)) for name, urls in sorted(found.items())}

    def extension(self, url: str) -> Profile | None:
        """The definition of an extension by the url that instances carry."""
        profile = self.profile(url)
        return profile if profile is not None and profile.type == "Extension" else None

    def value_set(self, canonical: str) -> Json | None:
        """The ValueSet of a canonical."""
        return self.resource(canonical, "ValueSet")

    def code_system(self, canonical: str) -> Json | None:
        """The CodeSystem of a canonical."""
        return self.resource(canonical, "CodeSystem")

    def codes(self, canonical: str) -> frozenset[Code] | None:
        """All (system, code) of a value set; None where the packages at hand cannot tell (profiles.value_set.expand)."""
        found = self.find(canonical, "ValueSet")
        if found is None or found.entry.url is None:
            return None
        if found not in self._codes:
            self._codes[found] = expand(
                self._canonical(found),
                lambda url: self._read_within(url, "ValueSet", found.home),
                lambda url: self._read_within(url, "CodeSystem", found.home),
            )
        return self._codes[found]

    def bounds(self, canonical: str) -> Bounds | None:
        """The systems and codes that a value set, whose codes cannot be told, does not go beyond; None: not known either."""
        found = self.find(canonical, "ValueSet")
        if found is None or found.entry.url is None:
            return None
        return bounds(
            self._canonical(found),
            lambda url: self._read_within(url, "ValueSet", found.home),
            lambda url: self._read_within(url, "CodeSystem", found.home),
        )

    def find(self, canonical: str, resource_type: str | None = None, home: int | None = None) -> Found | None:
        """Where the definition of a canonical is.

        Without `|version` the `home` package and what it depends on come first, then the pinned packages, then the newest.
        """
        url, _, version = canonical.partition("|")
        candidates = [
            found
            for found in self._by_url.get(url, ())
            if resource_type in (None, found.entry.resource_type) and version in ("", found.entry.version)
        ]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return max(candidates, key=lambda found: self._preference(found, home))

    def _preference(self, found: Found, home: int | None) -> tuple[bool, bool, bool, Order, Order]:
        """By what one of several definitions of a canonical is taken."""
        package = self.manifests[found.home]
        wanted = self.manifests[home].dependencies.get(package.name) if home is not None else None
        return (
            found.home == home,
            wanted is not None and meets(package.version, wanted),
            self._pins.get(package.name) == package.version,
            order(found.entry.version),
            order(package.version),
        )

    @functools.cached_property
    def _by_url(self) -> dict[str, list[Found]]:
        index: dict[str, list[Found]] = {}
        for number, package in enumerate(self._packages):
            for entry in package.entries():
                if entry.url:
                    index.setdefault(entry.url, []).append(Found(number, entry))
        return index

    def _read(self, found: Found) -> Json:
        resource: Json = self._packages[found.home].read(found.entry)
        return resource

    def _read_within(self, canonical: str, resource_type: str, home: int) -> Json | None:
        found = self.find(canonical, resource_type, home)
        return None if found is None else self._read(found)

    def _with_snapshot(self, found: Found) -> Json | None:
        if found not in self._snapshots:
            self._snapshots[found] = None  # what leads back to itself is not at hand while it is being made
            self._snapshots[found] = self._made(found)
        return self._snapshots[found]

    def _made(self, found: Found) -> Json | None:
        definition = self._read(found)
        if definition.get("snapshot", {}).get("element"):
            return definition
        try:
            return {**definition, "snapshot": {"element": snapshot(definition, self._looking_from(found.home))}}
        except SnapshotError as error:
            self.problems[self._canonical(found)] = str(error)
            return None

    def _looking_from(self, home: int) -> "functools.partial[Json | None]":
        return functools.partial(self._definition_within, home)

    def _definition_within(self, home: int, canonical: str) -> Json | None:
        found = self.find(canonical, "StructureDefinition", home)
        return None if found is None else self._with_snapshot(found)

    def _compiled(self, found: Found) -> Profile | None:
        if found not in self._profiles:
            self._profiles[found] = None
            definition = self._with_snapshot(found)
            if definition is not None:
                self._profiles[found] = compile_profile(
                    definition, self.profile, functools.partial(self._pinned, found.home)
                )
            # The compiled profile says it all; the snapshot is made again where another profile is based on it.
            self._snapshots.pop(found, None)
        return self._profiles[found]

    def _pinned(self, home: int, canonical: str) -> str:
        """A canonical with the version that the package which names it means; of R4's own definitions there is one."""
        found = self.find(canonical, None, home)
        if found is None or found.home == 0 or "|" in canonical:
            return canonical
        return self._canonical(found)

    def _canonical(self, found: Found) -> str:
        return f"{found.entry.url}|{found.entry.version}" if found.entry.version else str(found.entry.url)
