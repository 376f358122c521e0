"""The record of a load over HTTP: a local file of what is done, as the database of another server cannot keep it.

docs/loading.md
"""

import json
import os
from pathlib import Path

from loaders.unit import Outcome


class Record:
    """DATA_DIR/loads/DIGEST.ndjson: a line for each unit, written after the server acknowledged it."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.done: dict[str, tuple[int, ...]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.exists():
            self._read(path)
        self._out = path.open("a" if resume else "w", encoding="utf-8")
        if resume:
            self._out.write("\n")  # what a killed load wrote last may be half a line

    def add(self, outcomes: list[Outcome]) -> None:
        """Puts the units on record, durably."""
        for outcome in outcomes:
            self._out.write(json.dumps([outcome.unit, outcome.failed]) + "\n")
        self._out.flush()
        os.fsync(self._out.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._out.close()

    def _read(self, path: Path) -> None:
        for line in path.read_text("utf-8").splitlines():
            try:
                unit, failed = json.loads(line)
            except ValueError:
                continue
            self.done[unit] = tuple(failed)
