"""Versions of packages and definitions: which of two is newer, and which ones a dependency means.

https://hl7.org/fhir/R4/packages.html
"""

import re

Order = tuple[int, tuple[tuple[int, int, str], ...], int, tuple[tuple[int, int, str], ...]]


def order(version: str | None) -> Order:
    """A key by which versions sort from old to new: by number, 1.10 after 1.9, 2.0.0-ballot before 2.0.0; none at all first."""
    release, _, label = (version or "").partition("+")[0].partition("-")
    return (1 if version else 0, _parts(release), 0 if label else 1, _parts(label))


def meets(version: str, wanted: str) -> bool:
    """Whether a version is one that a dependency wants: the same, or where it says so any patch (4.0.x) or any (latest)."""
    if wanted in ("latest", "current", "*") or version == wanted:
        return True
    stem, _, last = wanted.rpartition(".")
    return last in ("x", "*") and version.startswith(f"{stem}.")


def _parts(text: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers by their value and before words, as semantic versioning has it."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in re.split(r"[.\-]", text)
        if part
    )
