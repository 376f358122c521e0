"""Extraction held against another FHIRPath engine: every search parameter, on all resources of Synthea and all definitions of R4.

https://hl7.org/fhir/R4/searchparameter-registry.html; `python -m bench.extraction` compares all, `--every 50` each fiftieth.

fhirpathpy evaluates the published expression as it stands; the paths that the search index is made from have to find the same.
"""

import argparse
import functools
import gzip
import json
import re
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from fhirpathpy import compile as fhirpath
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from bench.data import reference_data
from fhir_server.search.parameter import Parameter, r4_parameters
from profiles.definitions import r4

Json = dict[str, Any]
CORE_PACKAGE = "hl7.fhir.r4.core-4.0.1.tgz"
SHARES = 16  # of the package, which is one file
SHOWN = 20
# Its published expression names an extension that does not exist; ours reads the one that is meant.
MENDED = "mothersMaidenName"
# Not annotated by the library.
node: Callable[[Json, str], Any] = ResourceNode.create_node


def resolved(references: list[Any]) -> list[Any]:
    """What `resolve()` yields without a server: a resource that has a type only."""
    found = []
    for one in references:
        target = one.get("reference", "")
        parts = re.split("[/?]", target)
        kind = parts[0] if "?" in target else parts[-2] if len(parts) > 1 else None
        if kind:
            found.append(node({"resourceType": kind}, kind))
    return found


OPTIONS = {"userInvocationTable": {"resolve": {"fn": resolved, "arity": {0: []}, "nullable": False}}}


@functools.cache
def definitions() -> dict[str, Json]:
    """R4's SearchParameters by their url."""
    return {one["url"]: one for one in r4().search_parameters()}


@functools.cache
def oracle(operand: str) -> Callable[[Json], list[Any]]:
    """The operand as fhirpathpy understands it: type tests by ofType, the value of an extension, no hasExtension."""
    text = re.sub(r"\(([\w.]+) as (\w+)\)", r"\1.ofType(\2)", operand).replace(".as(", ".ofType(")
    text = re.sub(r"hasExtension\(([^)]*)\)", r"extension(\1).exists()", text)
    text = re.sub(r"(extension\('[^']*'\))$", r"\1.value", text)
    evaluate = fhirpath(text, models["r4"], OPTIONS)
    return lambda resource: evaluate(resource, None)


def operands(definition: Json, resource_type: str) -> Iterator[str]:
    """The parts of a published expression that are about a type."""
    expression = definition.get("expression", "")
    for operand in re.split(r"\s*\|\s*", expression):
        if re.search(rf"\b({resource_type}|Resource)\b", operand.partition(".")[0]):
            yield operand.replace("Resource.", resource_type + ".", 1) if operand.startswith("Resource.") else operand


def shown(values: Iterable[Any]) -> set[str]:
    """Values as a set of JSON texts: a union of FHIRPath has no duplicates either."""
    return {json.dumps(value, default=str, sort_keys=True) for value in values if value is not None}


def ours(one: Parameter, resource: Json) -> set[str]:
    """What our paths find."""
    nodes = [node for path in one.paths for node in path.nodes(resource)]
    if one.restricted:
        # The restriction is applied by the query; here it is applied to compare.
        kinds = [{kind.data["resourceType"] for kind in resolved([value])} for _, value in nodes]
        nodes = [node for node, kind in zip(nodes, kinds, strict=True) if kind & set(one.targets)]
    return shown(value for _, value in nodes)


def compared(resource: Json) -> Iterator[tuple[Parameter, set[str], set[str]]]:
    """For each parameter of the resource's type what we find, and what fhirpathpy finds."""
    resource_type = resource["resourceType"]
    for one in r4_parameters().of(resource_type).values():
        definition = definitions()[one.url]
        if one.paths and MENDED not in one.url and definition.get("expression"):
            theirs = (value for text in operands(definition, resource_type) for value in oracle(text)(resource))
            yield one, ours(one, resource), shown(theirs)


@dataclass(frozen=True, slots=True)
class Portion:
    """What one process compares at a time: a file, of a package each so manieth resource from a place on."""

    file: Path
    step: int = 1
    start: int = 0

    def resources(self) -> Iterator[Json]:
        read = _bundle if self.file.name.endswith(".gz") else _package
        return islice(read(self.file), self.start, None, self.step)


def _bundle(file: Path) -> Iterator[Json]:
    bundle = json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)
    yield from (entry["resource"] for entry in bundle["entry"])


def _package(file: Path) -> Iterator[Json]:
    with tarfile.open(file) as package:
        for member in package:
            stream = package.extractfile(member) if member.name.endswith(".json") else None
            found = json.loads(stream.read(), parse_float=Decimal) if stream is not None else None
            if isinstance(found, dict) and "resourceType" in found:
                yield found


def portions(folder: Path, every: int) -> list[Portion]:
    """All there is to compare, in parts that take about as long; `folder` is that of the reference data."""
    files = [Portion(file, every) for file in sorted(folder.glob("synthea/*/*.json.gz"))]
    core = folder / "packages" / CORE_PACKAGE
    return [*files, *(Portion(core, every * SHARES, every * n) for n in range(SHARES))]


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a portion: resources, comparisons, how many of them found something, and where the two differ."""

    resources: int
    comparisons: int
    found: int
    differing: tuple[str, ...]


def told(some: Portion) -> Told:
    """Compares a portion."""
    seen, count, found, differing = 0, 0, 0, list[str]()
    for resource in some.resources():
        seen += 1
        for one, mine, theirs in compared(resource):
            count, found = count + 1, found + bool(mine)
            if mine != theirs:
                differing.append(f"{resource['resourceType']}/{resource.get('id')} {one.code}")
    return Told(seen, count, found, tuple(differing))


def main(arguments: Sequence[str] = ()) -> int:
    """Compares and tells; 1 where anything differs, 2 where the reference data is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.extraction")
    parser.add_argument("--every", type=int, default=1, help="compare each so manieth resource only")
    every = parser.parse_args(arguments).every
    folder = reference_data()
    if folder is None:
        print("bench: the reference data is missing (MEDICONNECT_REFERENCE_DATA)", file=sys.stderr)
        return 2
    begun, seen, count, found, differing = time.monotonic(), 0, 0, 0, list[str]()
    with ProcessPoolExecutor() as pool:
        for one in pool.map(told, portions(folder.parent, every)):
            seen, count, found = seen + one.resources, count + one.comparisons, found + one.found
            differing += one.differing
            print(f"\r{seen} resources, {count} comparisons, {len(differing)} differ", end="", flush=True)
    print(f"\n{found} of them found something; {time.monotonic() - begun:.0f} s")
    for where in differing[:SHOWN]:
        print(f"  {where}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
