"""Makes a dictionary for store/packed.py: `python -m fhir_server.store.train FILE PACKAGE.tgz…` of the examples in FHIR packages.

https://github.com/facebook/zstd#the-case-for-small-data-compression. For a dictionary of another number: one that was released stays as it is.
Definitions are left out, and so are narratives, which in practice say something else each time.
"""

import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

SIZE = 64 * 1024
NUMBER = 0x4D43_0001  # what each frame says that it was made with
LEVEL = 3  # that of store/packed.py
LONGEST = 8000
DEFINITIONS = frozenset((
    "CapabilityStatement", "CodeSystem", "CompartmentDefinition", "ConceptMap", "ImplementationGuide", "NamingSystem",
    "OperationDefinition", "SearchParameter", "StructureDefinition", "ValueSet",
))  # fmt: skip


def trained(packages: Sequence[Path]) -> bytes:
    """The dictionary; the same packages give the same."""
    samples = sorted({sample for package in packages for sample in _samples(package)})
    return zstandard.train_dictionary(SIZE, [*samples], dict_id=NUMBER, level=LEVEL).as_bytes()


def _samples(package: Path) -> Iterator[bytes]:
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            found = json.load(file) if file is not None else None
            for resource in _resources(found) if isinstance(found, dict) else ():
                text = json.dumps(resource, separators=(",", ":"), ensure_ascii=False).encode()
                if len(text) < LONGEST:
                    yield text


def _resources(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The resource, or those of the Bundle, that are no definitions."""
    entries = found.get("entry", ()) if found.get("resourceType") == "Bundle" else ({"resource": found},)
    for entry in entries:
        resource = entry.get("resource", {})
        if resource.get("resourceType", "CodeSystem") not in DEFINITIONS:
            yield {name: value for name, value in resource.items() if name != "text"}


if __name__ == "__main__":
    _, file, *packages = sys.argv
    Path(file).write_bytes(trained([Path(package) for package in packages]))
