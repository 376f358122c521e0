"""Paths and parameters as they stand in a URL, undone of their percent-encoding, strictly.

https://hl7.org/fhir/R4/http.html#general and https://www.rfc-editor.org/rfc/rfc3986#section-2.1
"""

import re
from urllib.parse import unquote_to_bytes

from fhir_server.outcome import refuse

Pairs = list[tuple[str, str]]

BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MOST_PARAMETERS = 2000


def split_path(raw: bytes) -> tuple[str, ...]:
    """The path's segments, each decoded; slashes at either end do not count. Raises Refusal (400, invalid)."""
    parts = raw.strip(b"/").split(b"/")
    return tuple(_decoded(part) for part in parts) if parts != [b""] else ()


def split_query(raw: bytes) -> Pairs:
    """The parameters in order, names and values decoded. Raises Refusal (400) for what is no valid encoding."""
    if not raw:
        return []
    parts = raw.split(b"&")
    if len(parts) > MOST_PARAMETERS:
        raise refuse("too-long", f"more than {MOST_PARAMETERS} parameters", status=400)
    pairs = []
    for part in parts:
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(raw: bytes) -> str:
    if b"%" in raw:
        if BAD_PERCENT.search(raw):
            raise refuse("invalid", "the URL has a '%' that is not followed by two hexadecimal digits")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse("invalid", "the URL is not UTF-8 once its percent-encoding is undone") from None
    if "\x00" in text:
        raise refuse("invalid", "the URL has a NUL character")
    return text
