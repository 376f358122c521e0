"""Where the reference data lies that some tests compare with: HL7's packages, Synthea patients, HL7's test cases.

The product runs without it; a test that needs it is skipped, saying so, where the folder is missing.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MEDICONNECT_REFERENCE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def reference(name: str) -> Path:
    """The path of one file or folder of the reference data; skips the calling test where it is missing."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"reference data missing: {path} (set MEDICONNECT_REFERENCE_DATA to the folder that holds it)")
    return path
