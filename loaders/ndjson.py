"""NDJSON, one resource a line, as bulk exports have it: in runs of lines that are stored together.

https://hl7.org/fhir/R4/nd-json.html
"""

from collections.abc import Iterator
from typing import BinaryIO

from fhir_server.json import parse_json
from fhir_server.outcome import Refusal
from loaders.bundles import parts_of
from loaders.unit import Part

LINES = 500
BYTES = 4 * 1024 * 1024


def runs(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Runs of at most LINES lines, or of about BYTES where lines are long, each with the number of its first line."""
    first, lines, size = 1, list[bytes](), 0
    for number, line in enumerate(stream, 1):
        lines.append(line)
        size += len(line)
        if len(lines) == LINES or size >= BYTES:
            yield first, b"".join(lines)
            first, lines, size = number + 1, [], 0
    if lines:
        yield first, b"".join(lines)


def parts_of_lines(data: bytes, first: int, max_depth: int) -> list[Part]:
    """The parts of a run of lines; a line that cannot be read is a part with its refusal, an empty line is nothing."""
    parts: list[Part] = []
    for number, line in enumerate(data.split(b"\n"), first):
        if not line or line.isspace():
            continue
        place = f"line {number}"
        try:
            parts += parts_of(parse_json(line, max_depth=max_depth), len(parts), place)
        except Refusal as refusal:
            parts.append(Part(len(parts), place, refusal=refusal))
    return parts
