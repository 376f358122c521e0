"""FHIR JSON in and out, strict about the text and exact about numbers.

https://hl7.org/fhir/R4/json.html
"""

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import chain
from typing import Any, Self

import msgspec

from fhir_server.outcome import Refusal, refuse

MAX_DEPTH = 64
# PostgreSQL's numeric holds 131,072 digits before the point and 16,383 after it; these bounds stay far inside,
# so that a number that was accepted can always be indexed, summed and compared.
MAX_NUMBER_LENGTH = 1_000
MAX_EXPONENT = 400

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\n\r"
_OPENING = b"{["  # counted by taking them away, which is faster than looking for each
_NEGATIVE_ZERO = re.compile(rb"[:,\[ \t\n\r]-0")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_LONG_DIGITS = re.compile(rb"-?[0-9]{%d,}" % (MAX_NUMBER_LENGTH + 1))
_BYTE = re.compile(r"^(?:JSON is malformed: )?(.*?) \(byte (\d+)\)$")


class Verbatim(Decimal):
    """A number that Decimal would print differently from how it was written: 1E2, 0.0000001, -0; `str()` gives the text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.text,)


class OutOfBoundsError(ArithmeticError):
    """A number longer than MAX_NUMBER_LENGTH characters or beyond 10 to the power of MAX_EXPONENT; `text` as written."""

    def __init__(self, text: str) -> None:
        shown = text if len(text) <= 24 else f"{text[:20]}…"
        super().__init__(
            f"the number {shown} is out of bounds: at most {MAX_NUMBER_LENGTH} characters, "
            f"in size between 1e-{MAX_EXPONENT} and 1e{MAX_EXPONENT}"
        )
        self.text = text


@lru_cache(maxsize=4096)  # most are among few: prices, what a scale shows
def number(text: str) -> Decimal:
    """The exact number of a JSON number's text with a point or an exponent; its digits come out as they went in.

    Raises OutOfBoundsError.
    """
    if len(text) > MAX_NUMBER_LENGTH:
        raise OutOfBoundsError(text)
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond what even Decimal holds
        raise OutOfBoundsError(text) from None
    if not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise OutOfBoundsError(text)
    return value if str(value) == text else Verbatim(text)


def _int(text: str) -> int | Decimal:
    return Verbatim(text) if text == "-0" else int(text)


def _raw(value: object) -> msgspec.Raw:
    if isinstance(value, Verbatim):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_CONTAINERS = frozenset((dict, list))
_decode = msgspec.json.Decoder(float_hook=number).decode
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_raw).encode


def parse_json(data: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object of a resource as a dict: member order kept, numbers int or Decimal, never float.

    Raises Refusal (400, structure or value) with line and column for text that is no strict JSON in UTF-8 (a byte
    order mark is ignored), and with the path for duplicate keys, NUL characters and a null that stands for a member;
    null inside an array is FHIR's padding and stays.
    """
    if not data or data.isspace():
        raise refuse("structure", "the body is empty; a FHIR resource as a JSON object is expected")
    value = parse_value(data, max_depth=max_depth)
    if type(value) is not dict:
        raise refuse("structure", f"a FHIR resource is a JSON object; this is {_kind(value)}")
    if b"null" in data:
        for path in _nulls(value, str(value.get("resourceType", "$"))):
            raise refuse("structure", f"{path} is null; in FHIR a member without a value is left out", path)
    return value


def parse_stored(data: bytes) -> dict[str, Any]:
    """The resource of a text that this server has written, as parse_json gave it, but for the sign of a negative zero."""
    resource: dict[str, Any] = _decode(data)
    return resource


def parse_value(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Any strict JSON value (a JSON Patch is an array), with the exactness and the refusals of parse_json."""
    data = data.removeprefix(_BOM)
    try:
        value = _decode(data)
    except (ValueError, RecursionError, OutOfBoundsError) as error:
        raise _malformed(data, error, max_depth) from None
    if len(data) - len(data.translate(None, _OPENING)) > max_depth and _depth(value, max_depth) > max_depth:
        raise _too_deep(data, max_depth)
    if b"\\u0000" in data:
        for path in _nuls(value, "$"):
            raise refuse("value", f"{path} holds a NUL character (\\u0000), which no FHIR string may", path)
    return value if _same_length(_encode(value), data) else _examined(data, value)


def dump_json(value: Any) -> bytes:
    """The JSON text in UTF-8 on one line, each number as it was written."""
    return _encode(value)


def dump_pretty(value: Any) -> bytes:
    """The JSON text in UTF-8, indented by two spaces, each number as it was written."""
    return msgspec.json.format(_encode(value), indent=2)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "a number"


def _depth(root: Any, max_depth: int) -> int:
    """How deep objects and arrays are nested, looking no further than one level too deep."""
    depth = 0
    level = [root] if type(root) is dict or type(root) is list else []
    while level and depth <= max_depth:
        depth += 1
        level = _containers(level)
    return depth


def _containers(level: Iterable[Any]) -> list[Any]:
    """The objects and arrays that stand in some objects and arrays, one level below."""
    members = chain.from_iterable([node.values() if type(node) is dict else node for node in level])
    return [value for value in members if type(value) in _CONTAINERS]


def _same_length(encoded: bytes, data: bytes) -> bool:
    """Whether nothing of the text was lost when it was decoded, judged by encoding it again, white space apart.

    The encoder writes the shortest form of everything, so a duplicate key, the sign of -0 or an unusual escape can only
    make the text shorter; where the lengths agree there was none, and the closer looks can be spared.
    """
    return len(encoded) == len(data) or len(encoded.translate(None, _SPACE)) == len(data.translate(None, _SPACE))


def _examined(data: bytes, value: Any) -> Any:
    """The value of a text that held more than its encoding does: escapes at best, else a fault or a negative zero."""
    if _most_keys(data) != _keys(value):
        _refuse_duplicates(data)
    if _NEGATIVE_ZERO.search(data):
        return json.loads(data, parse_float=number, parse_int=_int)
    return value


def _keys(node: Any) -> int:
    """How many keys the tree has."""
    if type(node) is dict:
        return len(node) + sum(map(_keys, node.values()))
    return sum(map(_keys, node)) if type(node) is list else 0


def _most_keys(data: bytes) -> int:
    """An upper bound of the keys written in the text: every key ends in a quote and a colon, some strings hold both.

    Where it equals the number of keys that were kept, none was given twice.
    """
    return data.translate(None, _SPACE).count(b'":')


class _Members(list[tuple[str, Any]]):
    """An object as it was written: its members, duplicates included."""


def _refuse_duplicates(data: bytes) -> None:
    """The exact check behind `_most_keys`: four times slower, names the key."""
    tree = json.loads(data, object_pairs_hook=_Members, parse_float=str, parse_int=str)
    for path in _duplicates(tree, "$"):
        raise refuse("structure", f"the key {path} is given twice in one JSON object", path)


def _duplicates(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, _Members):
        seen: set[str] = set()
        for key, value in node:
            here = _below(path, key)
            if key in seen:
                yield here
            seen.add(key)
            yield from _duplicates(value, here)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _duplicates(value, f"{path}[{index}]")


def _below(path: str, key: str) -> str:
    return key if path == "$" else f"{path}.{key}"


def _nulls(node: Any, path: str) -> Iterator[str]:
    """The paths of members that are null."""
    if type(node) is dict:
        for key, value in node.items():
            if value is None:
                yield f"{path}.{key}"
            elif type(value) in (dict, list):
                yield from _nulls(value, f"{path}.{key}")
    elif type(node) is list:
        for index, value in enumerate(node):
            yield from _nulls(value, f"{path}[{index}]")


def _nuls(node: Any, path: str) -> Iterator[str]:
    """The paths of strings, and of the objects with keys, that hold a NUL character."""
    if type(node) is str and "\0" in node:
        yield path
    elif type(node) is dict:
        for key, value in node.items():
            if "\0" in key:
                yield path
            yield from _nuls(value, _below(path, key))
    elif type(node) is list:
        for index, value in enumerate(node):
            yield from _nuls(value, f"{path}[{index}]")


def _where(data: bytes, offset: int) -> str:
    """`line 3, column 14` of a byte offset, columns counted in characters from 1."""
    start = data.rfind(b"\n", 0, offset) + 1
    lines = data.count(b"\n", 0, offset) + 1
    column = len(data[start:offset].decode(errors="replace")) + 1
    return f"line {lines}, column {column}"


def _malformed(data: bytes, error: BaseException, max_depth: int) -> Refusal:
    """The refusal of a text that could not be decoded, with the place of the fault."""
    match error:
        case RecursionError():
            return _too_deep(data, max_depth)
        case OutOfBoundsError():
            return refuse("value", f"{error} at {_where(data, data.find(error.text.encode()))}")
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        where = _where(data, wrong.start)
        return refuse("structure", f"the body is not UTF-8: byte 0x{data[wrong.start]:02x} at {where}")
    if long := _LONG_DIGITS.search(data):
        return refuse("value", f"{OutOfBoundsError(long[0].decode())} at {_where(data, long.start())}")
    if found := _BYTE.match(str(error)):
        offset = min(int(found[2]), _fault(data))
        near = data[offset:].decode(errors="ignore")[:12]
        return refuse("structure", f"malformed JSON at {_where(data, offset)}: {found[1]}, near {near!r}")
    return refuse("structure", f"malformed JSON: the text ends too early, at {_where(data, len(data))}")


def _fault(data: bytes) -> int:
    """Where the standard library sees the fault: the decoder puts that of a misspelt true, false or null too late."""
    text = data.decode()
    try:
        json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        return len(text[: error.pos].encode())
    except RecursionError:
        pass
    return len(data)


def _too_deep(data: bytes, max_depth: int) -> Refusal:
    """The refusal of a depth bomb, at the bracket that is one too many."""
    depth = offset = 0
    for token in _TOKEN.finditer(data):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if depth > max_depth:
            offset = token.start()
            break
    return refuse("structure", f"nested deeper than {max_depth} levels at {_where(data, offset)}")
