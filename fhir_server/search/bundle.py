"""A page of a search as a searchset Bundle: stored bytes spliced in, nothing parsed.

https://hl7.org/fhir/R4/bundle.html#searchset
"""

from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring

from fhir_server.search.execute import Found, Match

Transform = Callable[[bytes], bytes]


def searchset(
    found: Found, base: str, links: Iterable[tuple[str, str]], outcome: bytes | None, transform: Transform | None = None
) -> bytes:
    """The Bundle's text. `transform` rewrites each resource (_summary, _elements); `outcome` is a resource of its own entry."""
    entries = [_entry(match, base, b"match", transform) for match in found.matches]
    entries.extend(_entry(match, base, b"include", transform) for match in found.included)
    if outcome is not None:
        entries.append(b'{"resource":' + outcome + b',"search":{"mode":"outcome"}}')
    return bundle(b"searchset", links, entries, total=found.total)


def bundle(
    kind: bytes, links: Iterable[tuple[str, str]], entries: Sequence[bytes], *, total: int | None = None
) -> bytes:
    """A Bundle of ready entries."""
    parts = [b'{"resourceType":"Bundle","type":"', kind, b'"']
    if total is not None:
        parts.append(b',"total":%d' % total)
    rendered = b",".join(b'{"relation":%s,"url":%s}' % (quoted(name), quoted(url)) for name, url in links)
    if rendered:
        parts.extend((b',"link":[', rendered, b"]"))
    if entries:
        parts.extend((b',"entry":[', b",".join(entries), b"]"))
    parts.append(b"}")
    return b"".join(parts)


def quoted(text: str) -> bytes:
    """A JSON string."""
    return encode_basestring(text).encode("utf-8", "replace")


def _entry(match: Match, base: str, mode: bytes, transform: Transform | None) -> bytes:
    content = match.content if transform is None else transform(match.content)
    url = f"{base}/{match.type}/{match.id}".encode()
    score = b"" if match.score is None else b',"score":%.4f' % match.score
    return b'{"fullUrl":"' + url + b'","resource":' + content + b',"search":{"mode":"' + mode + b'"' + score + b"}}"
