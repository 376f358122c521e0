"""Compiles a FHIR npm package into the container the product ships: `python -m profiles.compile hl7.fhir.r4.core-4.0.1.tgz`.

https://hl7.org/fhir/R4/packages.html and https://hl7.org/fhir/R4/structuredefinition.html
"""

import argparse
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from profiles.definitions import CORE, Constraint, Field, Structure
from profiles.package import PackageError, write_package

SPECIFICATION = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = SPECIFICATION + "structuredefinition-fhir-type"
REGEX = SPECIFICATION + "regex"
MAX_VALUE_SET = SPECIFICATION + "elementdefinition-maxValueSet"

# Extensions that say how the specification is edited, or that only people read.
EDITORIAL = frozenset(
    SPECIFICATION + name
    for name in (
        "codesystem-concept-comments",
        "elementdefinition-bestpractice-explanation",
        "elementdefinition-bindingName",
        "elementdefinition-isCommonBinding",
        "structuredefinition-display-hint",
        "structuredefinition-explicit-type-name",
        "structuredefinition-fmm",
        "structuredefinition-normative-version",
        "structuredefinition-standards-status",
        "structuredefinition-summary",
        "structuredefinition-wg",
        "valueset-concept-comments",
    )
)
PUBLICATION = frozenset(
    {
        "contact",
        "copyright",
        "date",
        "experimental",
        "fhirVersion",
        "jurisdiction",
        "mapping",
        "meta",
        "publisher",
        "purpose",
        "text",
        "useContext",
    }
)
PROSE = frozenset(
    {
        "alias",
        "comment",
        "definition",
        "example",
        "isModifierReason",
        "mapping",
        "meaningWhenMissing",
        "orderMeaning",
        "requirements",
    }
)
# What only the resources of one type lose, beside PUBLICATION; SearchParameter and OperationDefinition keep their description.
DROPPED = {
    "StructureDefinition": frozenset({"description", "keyword"}),
    "ValueSet": frozenset({"description"}),
    "CodeSystem": frozenset({"description"}),
    "ConceptMap": frozenset({"description"}),
    "SearchParameter": frozenset({"xpath"}),
    "OperationDefinition": frozenset({"comment"}),
}
# Types whose bindings speak of codes; a binding of a choice means nothing for its other types.
CODED = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})
LINK = re.compile(r"\[([^]]*)]\([^)]*\)")

Json = dict[str, Any]
Element = Mapping[str, Any]
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def read_source(path: Path) -> tuple[str, str, list[Json]]:
    """Name, version and resources of a FHIR npm package (a gzipped tar of package/*.json); examples are left out.

    Raises PackageError for an archive without package.json.
    """
    manifest: Json = {}
    resources: list[Json] = []
    with tarfile.open(path) as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            content = archive.extractfile(member)
            if folder != "package" or not name.endswith(".json") or name.startswith(".") or content is None:
                continue
            document = _decode(content.read())
            if name == "package.json":
                manifest = document
            elif "resourceType" in document:
                resources.append(document)
    if not manifest:
        raise PackageError(f"{path}: no package/package.json, so this is not a FHIR package")
    return manifest["name"], manifest["version"], resources


def strip(resource: Json) -> Json:
    """The resource without narrative, prose, mappings and publication details; everything computable stays."""
    dropped = PUBLICATION | DROPPED.get(resource["resourceType"], frozenset())
    kept = {key: _trim(value) for key, value in resource.items() if key.lstrip("_") not in dropped}
    kept = {key: value for key, value in kept.items() if value != []}
    match kept["resourceType"]:
        case "StructureDefinition" if "snapshot" in kept:
            # A snapshot says all that the differential does; without one the differential is all there is.
            kept.pop("differential", None)
            kept["snapshot"] = {"element": [_strip_element(element) for element in kept["snapshot"]["element"]]}
        case "StructureDefinition" if "differential" in kept:
            kept["differential"] = {"element": [_strip_element(element) for element in kept["differential"]["element"]]}
        case "CodeSystem" if "concept" in kept:
            kept["concept"] = [_strip_concept(concept) for concept in kept["concept"]]
        case "SearchParameter":
            kept["description"] = LINK.sub(r"\1", kept["description"]).replace("\r\n", "\n").strip()
    return kept


def _trim(value: Any) -> Any:
    """The value without editorial extensions, at any depth."""
    match value:
        case dict():
            trimmed = {key: _trim(item) for key, item in value.items()}
            return {key: item for key, item in trimmed.items() if item not in ([], {}) or value[key] in ([], {})}
        case list():
            return [_trim(item) for item in value if not (isinstance(item, dict) and item.get("url") in EDITORIAL)]
        case _:
            return value


def _strip_element(element: Json) -> Json:
    kept = {key: value for key, value in element.items() if key not in PROSE}
    if "constraint" in kept:
        kept["constraint"] = [_without(item, "xpath", "requirements") for item in kept["constraint"]]
    if "binding" in kept:
        kept["binding"] = _without(kept["binding"], "description")
    if "slicing" in kept:
        kept["slicing"] = _without(kept["slicing"], "description")
    return kept


def _strip_concept(concept: Json) -> Json:
    kept = _without(concept, "definition")
    if "concept" in kept:
        kept["concept"] = [_strip_concept(child) for child in kept["concept"]]
    return kept


def _without(value: Json, *keys: str) -> Json:
    return {key: item for key, item in value.items() if key not in keys}


def tables(resources: Iterable[Json]) -> dict[str, bytes]:
    """The tables `profiles.definitions` reads: one per type, with its backbones, and the patterns of the primitive types."""
    types = {
        resource["type"]: resource
        for resource in resources
        if resource["resourceType"] == "StructureDefinition"
        and resource["kind"] != "logical"
        and resource.get("derivation") != "constraint"
    }
    encoded = {
        f"structure/{name}": msgspec.msgpack.encode(tuple(structures(definition, types)))
        for name, definition in sorted(types.items())
    }
    patterns = {name: _pattern(types[name]) for name in sorted(types) if _is_primitive(name, types)}
    return encoded | {"primitive-types": msgspec.msgpack.encode(patterns)}


def structures(definition: Json, types: Mapping[str, Json]) -> Iterator[Structure]:
    """The structure of a type, then those of its backbones, from the snapshot of its StructureDefinition.

    `types` holds the StructureDefinitions of all types by name: a field's own rules are those its type does not have.
    """
    elements: list[Json] = definition["snapshot"]["element"]
    children: dict[str, list[Element]] = {}
    for element in elements[1:]:
        children.setdefault(element["path"].rpartition(".")[0], []).append(element)
    for root in elements:
        path = root["path"]
        if path not in children:
            continue
        own = [field for element in children[path] for field in _fields(element, children, types)]
        whole = path == definition["type"]
        yield Structure(
            name=path,
            kind=definition["kind"] if whole else "backbone",
            abstract=definition["abstract"] if whole else False,
            base=_base(definition) if whole else root["type"][0]["code"],
            url=definition["url"] if whole else None,
            fields={field.name: field for field in own},
            required=tuple(item["path"].rpartition(".")[2] for item in children[path] if item["min"]),
            constraints=(*_constraints(root, ()), *_field_constraints(children[path], children, types)),
        )


def _base(definition: Json) -> str | None:
    base: str | None = definition.get("baseDefinition")
    return base and base.removeprefix(SPECIFICATION)


def _fields(element: Element, children: Mapping[str, Any], types: Mapping[str, Json]) -> Iterator[Field]:
    """The JSON properties of an element: one, or one per type of a choice."""
    path: str = element["path"]
    last = path.rpartition(".")[2]
    name = last.removesuffix("[x]")
    choice = last != name
    representation = element.get("representation", ())
    maximum = element["max"]
    for kind in element.get("type", [{}]):
        code = _type_name(element, kind, children)
        binding = element.get("binding", {}) if not choice or code in CODED else {}
        yield Field(
            name=name + code[0].upper() + code[1:] if choice else name,
            element=name,
            path=path,
            type=code,
            primitive=_is_primitive(code, types),
            repeats=element["base"]["max"] != "1",
            min=element["min"],
            max=None if maximum == "*" else int(maximum),
            choice=choice,
            attribute="xmlAttr" in representation,
            summary=element.get("isSummary", False),
            modifier=element.get("isModifier", False),
            targets=tuple(_targets(kind)),
            profiles=tuple(kind.get("profile", ())),
            binding=binding.get("valueSet"),
            strength=binding.get("strength"),
            max_binding=_extension(binding, MAX_VALUE_SET),
        )


def _type_name(element: Element, kind: Element, children: Mapping[str, Any]) -> str:
    """The name of an element's type as `Definitions.structure` knows it, or Resource."""
    if element["path"] in children:
        return str(element["path"])
    if "contentReference" in element:
        return str(element["contentReference"]).removeprefix("#")
    if not kind["code"].startswith("http://hl7.org/fhirpath/"):
        return str(kind["code"])
    # The definitions call a resource's id a string, https://hl7.org/fhir/R4/resource.html#id calls it an id.
    if element["base"]["path"] == "Resource.id":
        return "id"
    return _extension(kind, FHIR_TYPE) or "string"


def _targets(kind: Element) -> Iterator[str]:
    names = [profile.removeprefix(SPECIFICATION) for profile in kind.get("targetProfile", ())]
    return iter(()) if "Resource" in names else iter(names)


def _constraints(element: Element, inherited: Iterable[str]) -> Iterator[Constraint]:
    """The rules of an element, but for those whose keys are `inherited` from its type."""
    for rule in element.get("constraint", ()):
        if rule["key"] not in inherited:
            yield Constraint(element["path"], rule["key"], rule["severity"], rule["human"], rule.get("expression", ""))


def _field_constraints(
    elements: Iterable[Element], children: Mapping[str, Any], types: Mapping[str, Json]
) -> Iterator[Constraint]:
    for element in elements:
        if element["path"] in children:
            continue
        codes = [kind["code"] for kind in element.get("type", ()) if kind["code"] in types] or ["Element"]
        roots = [types[code]["snapshot"]["element"][0] for code in codes]
        yield from _constraints(element, {rule["key"] for root in roots for rule in root.get("constraint", ())})


def _is_primitive(name: str, types: Mapping[str, Json]) -> bool:
    return name in types and bool(types[name]["kind"] == "primitive-type")


def _pattern(definition: Json) -> str:
    """The regular expression of a primitive type, empty where the specification gives none."""
    value = next(item for item in definition["snapshot"]["element"] if item["path"].endswith(".value"))
    return _extension(value["type"][0], REGEX) or ""


def _extension(element: Element, url: str) -> str | None:
    """The value of an extension that holds text."""
    for extension in element.get("extension", ()):
        if extension["url"] == url:
            return next(str(value) for key, value in extension.items() if key.startswith("value"))
    return None


def compile_package(source: Path, target: Path) -> int:
    """Compile the npm package at `source` into `target` and give the number of its resources."""
    name, version, resources = read_source(source)
    write_package(target, name, version, map(strip, resources), tables(resources))
    return len(resources)


def main() -> None:
    """The command line: the package to read, and where to write if not into the product."""
    parser = argparse.ArgumentParser(prog="python -m profiles.compile", description=__doc__)
    parser.add_argument("source", type=Path, help="a FHIR npm package, .tgz")
    parser.add_argument("target", type=Path, nargs="?", default=CORE, help=f"default: {CORE}")
    arguments = parser.parse_args()
    count = compile_package(arguments.source, arguments.target)
    before, after = arguments.source.stat().st_size, arguments.target.stat().st_size
    print(f"{count:,} resources, {before:,} bytes -> {arguments.target} {after:,} bytes")


if __name__ == "__main__":
    main()
