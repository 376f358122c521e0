"""What FHIR R4 defines, compiled: the structures, search parameters, operations, compartments and terminology of its core package.

https://hl7.org/fhir/R4/structuredefinition.html and https://hl7.org/fhir/R4/elementdefinition.html
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from profiles.package import Entry, Package
from profiles.value_set import Code, expand

CORE = Path(__file__).parent / "packages" / "hl7.fhir.r4.core.pack"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule of the specification: `expression` is FHIRPath over the element at `path`; severity is error or warning."""

    path: str
    key: str
    severity: str
    human: str
    expression: str


@dataclass(frozen=True, slots=True)
class Field:
    """One JSON property of a structure; a choice is expanded, so `value[x]` gives valueQuantity, valueString and so on."""

    name: str
    """JSON property and XML element: birthDate, valueQuantity."""
    element: str
    """Element in the definition: birthDate, and value for valueQuantity."""
    path: str
    """Path in the definition: Patient.birthDate, Observation.value[x]."""
    type: str
    """Type name; Resource for any resource; the path of a backbone structure: Patient.contact, Questionnaire.item."""
    primitive: bool
    """The JSON value is a scalar, and a property with a leading underscore carries its id and extensions."""
    repeats: bool
    """The JSON value is an array; as the type that introduces the element says, whatever a specialization allows."""
    min: int
    max: int | None
    """None is *."""
    choice: bool
    attribute: bool
    """Written as an XML attribute: Element.id, Extension.url."""
    summary: bool
    modifier: bool
    targets: tuple[str, ...]
    """Resource types a Reference or canonical may lead to; empty: any, or neither of the two."""
    profiles: tuple[str, ...]
    """Canonicals of the profiles the value must meet, such as SimpleQuantity."""
    binding: str | None
    """Canonical of the bound value set, perhaps with |version."""
    strength: str | None
    """required, extensible, preferred or example."""
    max_binding: str | None
    """Canonical of the value set that even an extensible or preferred binding may not be left for."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A resource type, data type or backbone element: its fields in the order of the definition, which is that of XML."""

    name: str
    """Patient, HumanName, Patient.contact."""
    kind: str
    """resource, complex-type, primitive-type or backbone."""
    abstract: bool
    base: str | None
    """The name of the type this one specializes; None for Resource and Element."""
    url: str | None
    """Canonical of the StructureDefinition; None for a backbone."""
    fields: Mapping[str, Field]
    """By JSON property, id and extension included, resourceType not."""
    required: tuple[str, ...]
    """Elements that must be there: 'status', and 'value[x]' for a choice."""
    constraints: tuple[Constraint, ...]
    """Of the structure itself and of its fields, each rule once: those of a field's type and of a backbone stand there."""


class UnknownStructure(KeyError):
    """R4 has no resource type, data type or backbone element of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"R4 defines no structure '{self.name}'"


_decode_structures = msgspec.msgpack.Decoder(tuple[Structure, ...]).decode
_decode_primitives = msgspec.msgpack.Decoder(dict[str, str]).decode


class Definitions:
    """The definitions in a package; structures and indexes are kept once decoded, resources are decoded at each call."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._structures: dict[str, Structure] = {}
        self._codes: dict[str, frozenset[Code] | None] = {}
        self.primitive_types: Mapping[str, str] = _decode_primitives(package.table("primitive-types"))
        """The regular expression of the specification for each primitive type; empty where it gives none (xhtml).

        Not all are safe to match against what a client sends: that of base64Binary takes exponential time.
        """
        self.types: tuple[str, ...] = tuple(
            name.removeprefix("structure/") for name in package.tables() if name.startswith("structure/")
        )
        """All resource types, data types and abstract types that `structure` knows, sorted; backbones are inside them."""
        self.resource_types: tuple[str, ...] = tuple(
            entry.id
            for entry in package.entries("StructureDefinition")
            if entry.kind == "resource" and entry.derivation == "specialization" and entry.id != "DomainResource"
        )
        """All concrete resource types, sorted."""
        self._concrete = frozenset(self.resource_types)

    def structure(self, name: str) -> Structure:
        """The structure of a type (Patient, HumanName) or backbone (Patient.contact); raises UnknownStructure."""
        found = self._structures.get(name)
        if found is not None:
            return found
        try:
            table = self._package.table("structure/" + name.partition(".")[0])
        except KeyError:
            raise UnknownStructure(name) from None
        for structure in _decode_structures(table):
            self._structures.setdefault(structure.name, structure)
        if name not in self._structures:
            raise UnknownStructure(name)
        return self._structures[name]

    def is_resource(self, name: str) -> bool:
        """Whether `name` is a resource type that instances can have (not Resource, DomainResource)."""
        return name in self._concrete

    def search_parameters(self) -> tuple[dict[str, Any], ...]:
        """Every SearchParameter without prose: code, base, type, expression, target, component, comparator and so on.

        Three are the specification's examples (`example`, `example-extension`, `example-reference`), 16 have no expression.
        """
        return tuple(self._package.resources("SearchParameter"))

    def operations(self) -> tuple[dict[str, Any], ...]:
        """Every OperationDefinition of the specification, without comments and without its `example`."""
        return self._normative("OperationDefinition")

    def compartments(self) -> tuple[dict[str, Any], ...]:
        """The five CompartmentDefinitions, without prose and without the `example`, which would be a second Device."""
        return self._normative("CompartmentDefinition")

    def resource(self, canonical: str) -> dict[str, Any] | None:
        """The definition with this url, of any type; with `|version` only that version; None where there is none."""
        return self._find(canonical, None)

    def code_system(self, url: str) -> dict[str, Any] | None:
        """The CodeSystem with this url (`|version` allowed), its concepts included."""
        return self._find(url, "CodeSystem")

    def value_set(self, url: str) -> dict[str, Any] | None:
        """The ValueSet with this url (`|version` allowed)."""
        return self._find(url, "ValueSet")

    def codes(self, value_set_url: str) -> frozenset[Code] | None:
        """All (system, code) of a value set; None where the package alone cannot tell: LOINC, SNOMED CT, UCUM, languages.

        Abstract and inactive concepts are among them; raises nothing for an unknown value set, which is None too.
        """
        entry = self._entry(value_set_url, "ValueSet")
        if entry is None or entry.url is None:
            return None
        if entry.url not in self._codes:
            self._codes[entry.url] = expand(entry.url, self.value_set, self.code_system)
        return self._codes[entry.url]

    def _normative(self, resource_type: str) -> tuple[dict[str, Any], ...]:
        """The resources of a type that carry the version of the package: the specification's examples do not."""
        resources = self._package.resources(resource_type)
        return tuple(resource for resource in resources if resource.get("version") == self._package.version)

    def _find(self, canonical: str, resource_type: str | None) -> dict[str, Any] | None:
        entry = self._entry(canonical, resource_type)
        return None if entry is None else self._package.read(entry)

    def _entry(self, canonical: str, resource_type: str | None) -> Entry | None:
        url, _, version = canonical.partition("|")
        for entry in self._by_url.get(url, ()):
            if resource_type in (None, entry.resource_type) and version in ("", entry.version):
                return entry
        return None

    @functools.cached_property
    def _by_url(self) -> dict[str, list[Entry]]:
        index: dict[str, list[Entry]] = {}
        for entry in self._package.entries():
            if entry.url:
                index.setdefault(entry.url, []).append(entry)
        return index


@functools.cache
def r4() -> Definitions:
    """The definitions of FHIR R4 (4.0.1) that are shipped with the product, opened once a process."""
    return Definitions(Package.open(CORE))
