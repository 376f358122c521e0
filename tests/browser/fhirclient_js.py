"""SMART's own JavaScript client as its makers publish it: one pinned package, fetched by npm, kept in pytest's cache.

https://docs.smarthealthit.org/client-js/

The package brings a build for browsers that holds all it needs, so that none of the hundreds of packages it names is fetched.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path

import pytest

VERSION = "2.6.3"
INTEGRITY = "sha512-CirZixcwWelbkIXxpxlNQx5+ZdJirl6F1s4y4yvA1X7hHAkr9n99aVHaMi0wX+97nATjKQ65X6NB5as/wZoJzg=="
BUILD = "package/build/fhir-client.pure.min.js"


def script(folder: Path) -> bytes:
    """The script for browsers, from the package in the folder or else by way of npm; skips the test where there is none."""
    kept = folder / f"fhirclient-{VERSION}.tgz"
    if not kept.exists():
        fetch(kept)
    content = kept.read_bytes()
    found = "sha512-" + b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY:
        kept.unlink()
        raise AssertionError(f"fhirclient {VERSION} is not the package that was looked at: {found}")
    with tarfile.open(kept) as package:
        member = package.extractfile(BUILD)
        assert member is not None
        return member.read()


def fetch(kept: Path) -> None:
    """Has npm fetch the package alone, without running anything of it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which fetches fhirclient")
    with tempfile.TemporaryDirectory() as place:
        command = [npm, "pack", f"fhirclient@{VERSION}", "--ignore-scripts", "--pack-destination", place]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            pytest.skip("npm does not reach a registry within two minutes")
        if done.returncode:
            pytest.skip(f"npm cannot fetch fhirclient {VERSION}: {done.stderr.strip()[-300:]}")
        draft = kept.with_suffix(f".{os.getpid()}")
        shutil.copy(Path(place) / kept.name, draft)
        draft.replace(kept)
