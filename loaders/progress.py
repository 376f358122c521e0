"""What a load says while it runs, and the report of everything that was refused.

docs/loading.md; on a terminal a bar, elsewhere a line every few seconds.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from loaders.unit import Failure

EVERY = 5.0
LINE = re.compile(r"line (\d+)(?: (.+))?")


class Report:
    """The file with one JSON object for each refused part: file, line or entry, status, diagnostics, expression."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._out: TextIO | None = None

    def add(self, failures: Iterable[Failure]) -> None:
        """Appends the failures; the file is made with the first of them, for its owner only, as it may quote patients' data."""
        for failure in failures:
            if self._out is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                self._out = os.fdopen(descriptor, "w", encoding="utf-8")
            self._out.write(json.dumps(_as_dict(failure), ensure_ascii=False) + "\n")
            self.count += 1
        if self._out is not None:
            self._out.flush()

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._out is not None:
            self._out.close()


def _as_dict(failure: Failure) -> dict[str, object]:
    row: dict[str, object] = {"file": failure.file}
    if line := LINE.fullmatch(failure.place):
        row["line"] = int(line[1])
    if entry := line[2] if line else failure.place:
        row["entry"] = entry
    row |= {"status": failure.status, "diagnostics": failure.diagnostics}
    return row | ({"expression": list(failure.expression)} if failure.expression else {})


class Display:
    """How far the load is: files, resources, rate, refusals and the time left, by the bytes that are done."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._begun = self._shown = time.monotonic()
        self._total = self._done = self._all_files = self._files = self.resources = self.refused = 0

    def __enter__(self) -> Self:
        if self._out.isatty():
            columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=self._out), transient=True)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since the first task was given."""
        return time.monotonic() - self._begun

    def begin(self, total: int, files: int) -> None:
        """So many bytes in so many files are to be loaded."""
        self._total, self._all_files = total, files
        self._begun = self._shown = time.monotonic()
        if self._bar is not None:
            self._task = self._bar.add_task(self._text(), total=total)

    def stored(self, resources: int, refused: int) -> None:
        """So much more was stored and refused."""
        self.resources += resources
        self.refused += refused
        self._show()

    def finished(self, weight: int, files: int) -> None:
        """So many more bytes, and files, are done."""
        self._done += weight
        self._files += files
        self._show()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self._out, flush=True)

    def _show(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=self._text())
        elif time.monotonic() - self._shown > EVERY:
            self._shown = time.monotonic()
            self.say(f"  {self._text()}{self._left()}")

    def _text(self) -> str:
        rate = self.resources / max(self.seconds, 0.001)
        text = f"{self._files:,} of {self._all_files:,} files, {self.resources:,} resources, {rate:,.0f}/s"
        return f"{text}, {self.refused:,} refused" if self.refused else text

    def _left(self) -> str:
        if not self._done:
            return ""
        seconds = self.seconds * (self._total - self._done) / self._done
        return f", {int(seconds // 60)}:{int(seconds % 60):02} left"
