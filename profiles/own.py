"""MediConnect's own package: profiles of the resources as this server writes and expects them; `python -m profiles.own` compiles it.

https://hl7.org/fhir/R4/profiling.html and https://hl7.org/fhir/R4/packages.html
"""

import tempfile
from pathlib import Path

from profiles.install import install
from profiles.registry import OWN, SUFFIX, Manifest

SOURCE = OWN.with_suffix("")
"""The folder of the package as it is written: package.json, and a file for each definition, profiles as differentials."""


def write(target: Path = OWN) -> Manifest:
    """Compile the sources into the container that a Registry opens beside R4's own definitions."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        (done,) = install(SOURCE, Path(name))
        (Path(name) / f"{done.manifest.label}{SUFFIX}").replace(target)
    return done.manifest


if __name__ == "__main__":
    write()
