"""One FHIR package in a compact, seekable container: definitions stay compressed until somebody asks for one.

https://hl7.org/fhir/R4/packages.html

The file is an 8 byte mark, the length and CRC-32 of the header (two big-endian 32 bit numbers), the header (deflated
msgpack of `_Header`), then the blocks, each some 64 KiB of neighbouring bodies deflated together. Definitions of one type
resemble each other, so a block costs a fifth of what its bodies would cost one by one and still inflates in a
fraction of a millisecond.
"""

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

MARK = b"FHIRPAK1"
BLOCK = 64 * 1024
_LENGTHS = struct.Struct(">II")


class PackageError(Exception):
    """A file that is not a package of ours, or a damaged one; the message names the file and what is wrong with it."""


class Span(NamedTuple):
    """Where one body lies: the number of its block, and its first byte and size inside the inflated block."""

    block: int
    start: int
    size: int


class Entry(NamedTuple):
    """One resource of a package, as the header lists it; `kind`, `type` and `derivation` are a StructureDefinition's.

    The last three are a Span, flat because thousands of entries are decoded at each start.
    """

    resource_type: str
    id: str
    url: str | None
    version: str | None
    name: str | None
    kind: str | None
    type: str | None
    derivation: str | None
    block: int
    start: int
    size: int


class _Header(NamedTuple):
    name: str
    version: str
    blocks: tuple[int, ...]
    entries: tuple[Entry, ...]
    tables: dict[str, Span]


_decode_header = msgspec.msgpack.Decoder(_Header).decode
_decode_resource = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode_resource = msgspec.json.Encoder(decimal_format="number").encode


class Package:
    """A package file, opened: the header is in memory, the bodies are mapped and inflated at each reading."""

    __slots__ = ("_content", "_entries", "_offsets", "_tables", "name", "version")

    def __init__(self, content: "mmap.mmap | bytes", header: _Header, start: int) -> None:
        self.name = header.name
        self.version = header.version
        self._content = content
        self._entries = header.entries
        self._tables = header.tables
        self._offsets = [start]
        for size in header.blocks:
            self._offsets.append(self._offsets[-1] + size)

    @classmethod
    def open(cls, path: Path) -> "Package":
        """The package in the file at `path`; raises PackageError where the file is not one, OSError where there is none."""
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
        header, start = _read_header(path, content)
        package = cls(content, header, start)
        if package._offsets[-1] != len(content):
            raise PackageError(f"{path}: {len(content)} bytes where the header promises {package._offsets[-1]}")
        return package

    def entries(self, resource_type: str | None = None) -> Iterator[Entry]:
        """The resources of one type, or all, ordered by type and id."""
        return (entry for entry in self._entries if resource_type is None or entry.resource_type == resource_type)

    def read(self, entry: Entry) -> dict[str, Any]:
        """The resource of an entry, a new dict; numbers with a point are Decimals with the digits of the source."""
        return _decode_resource(self._body(Span(*entry[-3:])))

    def resources(self, resource_type: str | None = None) -> Iterator[dict[str, Any]]:
        """The resources of one type, or all, in the order of `entries`; each block is inflated once."""
        number, block = -1, b""
        for entry in self.entries(resource_type):
            if entry.block != number:
                number, block = entry.block, self._block(entry.block)
            yield _decode_resource(memoryview(block)[entry.start : entry.start + entry.size])

    def tables(self) -> tuple[str, ...]:
        """The names of the tables that were written beside the resources."""
        return tuple(self._tables)

    def table(self, name: str) -> bytes:
        """The bytes of one table; raises KeyError where there is none of that name."""
        return self._body(self._tables[name])

    def _block(self, number: int) -> bytes:
        return zlib.decompress(self._content[self._offsets[number] : self._offsets[number + 1]])

    def _body(self, span: Span) -> bytes:
        return self._block(span.block)[span.start : span.start + span.size]


def _read_header(path: Path, content: "mmap.mmap | bytes") -> tuple[_Header, int]:
    """The header and the offset of the first block."""
    start = len(MARK) + _LENGTHS.size
    if content[: len(MARK)] != MARK or len(content) < start:
        raise PackageError(f"{path}: not a compiled FHIR package")
    size, checksum = _LENGTHS.unpack(content[len(MARK) : start])
    header = content[start : start + size]
    if zlib.crc32(header) != checksum:
        raise PackageError(f"{path}: the header is damaged")
    return _decode_header(zlib.decompress(header)), start + size


def write_package(
    path: Path,
    name: str,
    version: str,
    resources: Iterable[dict[str, Any]],
    tables: Mapping[str, bytes] | None = None,
) -> None:
    """Write resources, and tables computed from them, as a package; the same content gives the same bytes in any order."""
    bodies = sorted(((_describe(resource), _encode_resource(resource)) for resource in resources), key=_order)
    blocks: list[bytes] = []
    spans = _pack([(entry.resource_type, body) for entry, body in bodies], blocks)
    entries = tuple(Entry(*entry[:-3], *span) for (entry, _), span in zip(bodies, spans, strict=True))
    named = sorted((tables or {}).items())
    placed = dict(zip((key for key, _ in named), _pack([("", body) for _, body in named], blocks), strict=True))
    sizes = tuple(len(block) for block in blocks)
    header = zlib.compress(msgspec.msgpack.encode(_Header(name, version, sizes, entries, placed)), 9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((MARK, _LENGTHS.pack(len(header), zlib.crc32(header)), header, *blocks)))


def _order(body: tuple[Entry, bytes]) -> tuple[str, str, bytes]:
    return body[0].resource_type, body[0].id, body[1]


def _describe(resource: Mapping[str, Any]) -> Entry:
    structure = resource if resource["resourceType"] == "StructureDefinition" else {}
    return Entry(
        resource["resourceType"],
        resource.get("id", ""),
        resource.get("url"),
        resource.get("version"),
        resource.get("name") if isinstance(resource.get("name"), str) else None,
        structure.get("kind"),
        structure.get("type"),
        structure.get("derivation"),
        *Span(0, 0, 0),
    )


def _pack(bodies: list[tuple[str, bytes]], blocks: list[bytes]) -> list[Span]:
    """Append the bodies to blocks, never two groups in one, and say where each came to lie."""
    spans: list[Span] = []
    pending: list[bytes] = []
    size, group = 0, ""
    for label, body in bodies:
        if pending and (label != group or size + len(body) > BLOCK):
            blocks.append(zlib.compress(b"".join(pending), 9))
            pending, size = [], 0
        spans.append(Span(len(blocks), size, len(body)))
        pending.append(body)
        size, group = size + len(body), label
    if pending:
        blocks.append(zlib.compress(b"".join(pending), 9))
    return spans
