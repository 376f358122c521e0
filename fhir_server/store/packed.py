"""The text of a version as the table keeps it: compressed by zstd, with a dictionary of what resources have in common.

https://datatracker.ietf.org/doc/html/rfc8878; docs/adr/0016-compressed-content.md. A resource of 0.6 KB is too short to repeat much of itself,
but nearly all that it says was said by others: the dictionary is made of HL7's examples, by store/train.py. What older versions of the
server wrote is the text itself, which begins with a brace; a frame never does.
"""

import threading
from functools import cache, partial
from pathlib import Path
from typing import overload

import zstandard

DICTIONARY = Path(__file__).parent / "dictionaries" / "1.zstd"
"""Never changed, for what was packed with it can be read with no other."""
LEVEL = 3
_FRAME = zstandard.FRAME_HEADER


class _Codec(threading.local):
    """The compressor and the decompressor of a thread, neither of which two threads may use at a time."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(LEVEL, dict_data=_dictionary()).compress
        decompress = zstandard.ZstdDecompressor(dict_data=_dictionary()).decompress
        self.unpack = partial(decompress, allow_extra_data=False)


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(DICTIONARY.read_bytes())


_codec = _Codec()


@overload
def packed(content: bytes) -> bytes: ...
@overload
def packed(content: bytes | None) -> bytes | None: ...
def packed(content: bytes | None) -> bytes | None:
    """What is stored of a version's text; None of a deletion."""
    return None if content is None else _codec.pack(content)


@overload
def unpacked(stored: bytes) -> bytes: ...
@overload
def unpacked(stored: bytes | None) -> bytes | None: ...
def unpacked(stored: bytes | None) -> bytes | None:
    """The text of a version from what is stored of it; None of a deletion.

    Raises zstandard.ZstdError where the frame is damaged, or something follows it.
    """
    return _codec.unpack(stored) if stored is not None and stored.startswith(_FRAME) else stored
