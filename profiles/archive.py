"""The files of a FHIR npm package, from its .tgz or from a folder, read with mistrust: bounded, flat, and never written to disk.

https://hl7.org/fhir/R4/packages.html
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MIB = 1024 * 1024
MAX_FILE = 64 * MIB
MAX_TOTAL = 1024 * MIB
MAX_FILES = 100_000


class ArchiveError(Exception):
    """A package that cannot be read, or that is not one to be trusted; the message is a sentence."""


def files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the JSON files in the `package` folder of a .tgz or folder, examples and other subfolders left out.

    Raises ArchiveError for what is no archive, for links, devices, names that lead out of the archive or stand twice, and
    for more than MAX_FILE bytes in a file, MAX_TOTAL bytes in all, or MAX_FILES files.
    """
    if source.is_dir():
        return _of_folder(source if (source / "package.json").is_file() else source / "package")
    return _of_archive(source)


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A folder is its owner's, but what links lead to may not be."""
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if len(paths) > MAX_FILES:
        raise ArchiveError(f"{folder}: more than {MAX_FILES:,} files")
    total = 0
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise ArchiveError(f"{path}: a package is made of plain files, not of links or folders named .json")
        total += path.stat().st_size
        _check_size(path.stat().st_size, total, str(path))
        yield path.name, path.read_bytes()


def _of_archive(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.open(source) as unpacked, tarfile.open(fileobj=_Bounded(unpacked, source), mode="r|") as archive:
            yield from _members(archive, source)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"{source}: not a readable .tgz archive: {error}") from error


def _members(archive: tarfile.TarFile, source: Path) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for member in archive:
        _check_member(member, source)
        path = PurePosixPath(member.name)
        if member.isdir():
            continue
        if str(path) in seen:
            raise ArchiveError(f"{source}: '{member.name}' stands in it twice")
        seen.add(str(path))
        if len(seen) > MAX_FILES:
            raise ArchiveError(f"{source}: more than {MAX_FILES:,} files")
        if path.parent == PurePosixPath("package") and path.suffix == ".json" and not path.name.startswith("."):
            content = archive.extractfile(member)
            assert content is not None, "links and devices were refused"
            yield path.name, content.read()


def _check_member(member: tarfile.TarInfo, source: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise ArchiveError(f"{source}: '{member.name}' leads out of the archive")
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"{source}: '{member.name}' is a link or a device; a package is made of plain files")
    _check_size(member.size, 0, f"{source}: {member.name}")


def _check_size(size: int, total: int, name: str) -> None:
    if size > MAX_FILE:
        raise ArchiveError(f"{name}: {size:,} bytes; a file of a package has at most {MAX_FILE:,}")
    if total > MAX_TOTAL:
        raise ArchiveError(f"{name}: the package has more than {MAX_TOTAL:,} bytes")


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after MAX_TOTAL bytes: a small archive may hold an endless one, in its headers too."""

    def __init__(self, stream: gzip.GzipFile, source: Path) -> None:
        super().__init__()
        self._stream = stream
        self._source = source
        self._total = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        content = self._stream.read(size)
        self._total += len(content)
        if self._total > MAX_TOTAL:
            raise ArchiveError(f"{self._source}: it unpacks to more than {MAX_TOTAL:,} bytes")
        return content
