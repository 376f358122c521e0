"""What there is to load: files and folders, what form each file has, and in which order they go.

https://hl7.org/fhir/R4/http.html#trules: what others refer to by criteria has to be stored before those others.
"""

import gzip
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, cast

from loaders import ndjson
from loaders.unit import Task

SUFFIXES = {".json": "json", ".xml": "xml", ".ndjson": "ndjson", ".jsonl": "ndjson"}
GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
OVERLAP = 200
GROUP_FILES, GROUP_BYTES = 200, 2 << 20

# What stands before a question mark that begins criteria; JSON, and XML with the same names.
_REFERENCE = re.compile(rb"""(?:"reference"\s*:\s*"|<reference value\s*=\s*["'])[A-Z][A-Za-z]*$""")
_REQUEST = re.compile(rb"""(?:"url"\s*:\s*"|<url value\s*=\s*["'])[A-Z][A-Za-z]*$""")
_BUNDLE = re.compile(rb"""["<](?:resourceType"\s*:\s*")?Bundle["\s>]""")


class Stage(IntEnum):
    """When a file is loaded: a stage begins when the one before it is done."""

    CRITERIA = 0  # creates and updates by criteria: what others refer to
    CRITERIA_AND_REFERENCES = 1
    REFERENCES = 2  # conditional references, each to exactly one resource
    REST = 3


@dataclass(frozen=True, slots=True)
class Source:
    """A file to load: its form (json, xml or ndjson), its stage, its size in bytes when unpacked."""

    path: Path
    form: str
    stage: Stage
    size: int
    bundle: bool


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that the paths stand for: themselves, and of folders all with a name we know, in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and _form_by_name(one))
        else:
            yield path


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file for reading, unpacked where it is gzip, whatever it is called."""
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        if not packed:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield cast("BinaryIO", unpacked)


def survey(path: Path) -> Source:
    """Reads the file once, for what decides the order and for its size; raises OSError or EOFError."""
    size, head, before = 0, b"", b""
    criteria = references = False
    with opened(path) as stream:
        while block := stream.read(BLOCK):
            head = head or block[:4000]
            size += len(block)
            text = before + block
            criteria = criteria or b"ifNoneExist" in text
            for end in _question_marks(text):
                start = max(0, end - OVERLAP)
                references = references or _REFERENCE.search(text, start, end) is not None
                criteria = criteria or _REQUEST.search(text, start, end) is not None
                if references and criteria:
                    break
            before = block[-OVERLAP:]
    form = _form_by_name(path) or _form_by_content(head)
    return Source(path, form, _stage(criteria, references), size, _BUNDLE.search(head) is not None)


def tasks(sources: Iterable[Source]) -> Iterator[Task]:
    """The tasks of the sources, read as they are asked for: runs of lines, large files, small files in groups."""
    group: list[Source] = []
    for source in sources:
        if source.form == "ndjson":
            yield from _runs(source)
        elif source.bundle or source.size > GROUP_BYTES:
            yield Task((source.path,), source.size)
        else:
            group.append(source)
            if len(group) == GROUP_FILES or sum(one.size for one in group) > GROUP_BYTES:
                yield _grouped(group)
                group = []
    if group:
        yield _grouped(group)


def _runs(source: Source) -> Iterator[Task]:
    with opened(source.path) as stream:
        for line, data in ndjson.runs(stream):
            yield Task((source.path,), len(data), data, line)


def _grouped(group: list[Source]) -> Task:
    return Task(tuple(one.path for one in group), sum(one.size for one in group))


def _question_marks(text: bytes) -> Iterator[int]:
    at = text.find(b"?")
    while at >= 0:
        yield at
        at = text.find(b"?", at + 1)


def _stage(criteria: bool, references: bool) -> Stage:
    if criteria:
        return Stage.CRITERIA_AND_REFERENCES if references else Stage.CRITERIA
    return Stage.REFERENCES if references else Stage.REST


def _form_by_name(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return next((form for suffix, form in SUFFIXES.items() if name.endswith(suffix)), "")


def _form_by_content(head: bytes) -> str:
    """The form of a file whose name tells nothing; two lines that each begin an object are NDJSON."""
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[0].lstrip().startswith(b"<"):
        return "xml"
    return "ndjson" if len(lines) > 1 and all(line.startswith(b"{") for line in lines[:2]) else "json"
