"""The values of primitive types: their formats, and the ranges that a format alone does not catch.

https://hl7.org/fhir/R4/datatypes.html#primitive
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiles.issue import kind_of, shown

MAX_STRING = 1_048_576
"""Characters in a string, code, uri or markdown; base64Binary and xhtml have no limit of their own."""

_YEAR = r"(?!0000)[0-9]{4}"
# A leap year has a 29 February: every fourth, not the centuries, but every fourth of those.
_LEAP_DAY = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_MONTH_DAY = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
_DAY = rf"(?:{_YEAR}-{_MONTH_DAY}|(?!0000){_LEAP_DAY})"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_PARTIAL = rf"{_DAY}|{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"

_date = re.compile(_PARTIAL).fullmatch
_datetime = re.compile(rf"{_DAY}T{_TIME}{_ZONE}|{_PARTIAL}").fullmatch
_instant = re.compile(rf"{_DAY}T{_TIME}{_ZONE}").fullmatch
_time = re.compile(_TIME).fullmatch
_id = re.compile(r"[A-Za-z0-9.\-]{1,64}").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch
_WITHOUT_SPACE = dict.fromkeys(map(ord, " \t\r\n"))
_control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_uri_fault = re.compile(r"[\x00-\x20]").search
_code_fault = re.compile(r"[\x00-\x1f]|^ | $|  ").search
_looks_like_a_date = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?:T|$)").match
_looks_without_zone = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_TIME}").fullmatch


@dataclass(frozen=True, slots=True)
class Primitive:
    """What the JSON value of a primitive type has to be.

    `kind` is the type of the value in Python; `right` is true for a value of that kind that is fine, and cheap; `fault`
    says what is wrong with one that is not, as the end of a sentence that begins with the value.
    """

    name: str
    kind: type
    right: Callable[[Any], object]
    fault: Callable[[Any], str]


def fault(primitive: Primitive, value: Any) -> str | None:
    """What is wrong with a JSON value as the value of this type: a sentence; None where nothing is."""
    if primitive.kind is Decimal:
        return (
            None if is_number(value) else f"{_quoted(value)} is {kind_of(value)}; a {primitive.name} is a JSON number"
        )
    if type(value) is not primitive.kind:
        return f"{_quoted(value)} is {kind_of(value)}; a {primitive.name} is a JSON {_JSON[primitive.kind]}"
    return None if primitive.right(value) else f"{_quoted(value)} {primitive.fault(value)}"


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; in Python a boolean is one, in JSON it is not."""
    return isinstance(value, Decimal | int | float) and type(value) is not bool


_JSON: Mapping[type, str] = {str: "string", bool: "boolean", int: "number without a point or exponent"}


def _quoted(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return "this"
    return (
        shown(value)
        if isinstance(value, str)
        else str(value).lower()
        if type(value) is bool
        else shown(str(value)).strip("'")
    )


def _string(value: str) -> bool:
    return (value.isprintable() and 0 < len(value) <= MAX_STRING) or _any_text(value)


def _any_text(value: str) -> bool:
    return 0 < len(value) <= MAX_STRING and not _control(value)


def _uri(value: str) -> bool:
    return 0 < len(value) <= MAX_STRING and not _uri_fault(value)


def _code(value: str) -> bool:
    return 0 < len(value) <= MAX_STRING and not _code_fault(value)


class _Known(dict[str, bool]):
    """Texts that were found right before: systems, canonicals and codes come again and again.

    Looking one up costs a fifth of looking at it. It takes short texts and stops at a number of them.
    """

    __slots__ = ("_right",)
    MOST, LONGEST = 4096, 128

    def __init__(self, right: Callable[[str], bool]) -> None:
        self._right = right

    def __missing__(self, text: str) -> bool:
        right = self._right(text)
        if right and len(text) <= self.LONGEST and len(self) < self.MOST:
            self[text] = True
        return right


def _base64_right(value: str) -> bool:
    """Groups of four characters, padded at the end; white space may stand anywhere, as XML tools break lines."""
    if not (len(value) % 4 == 0 and _base64(value)):
        value = value.translate(_WITHOUT_SPACE)
    return bool(value) and len(value) % 4 == 0 and _base64(value) is not None


def _text_fault(value: str) -> str:
    if not value:
        return "is an empty string; leave the element out"
    if len(value) > MAX_STRING:
        return f"has {len(value)} characters; at most {MAX_STRING} are allowed"
    if found := _control(value):
        return f"holds the control character U+{ord(found[0]):04X}"
    return "has white space where none is allowed"


def _uri_text(value: str) -> str:
    return _text_fault(value).replace("where none is allowed", "inside, which a uri never has")


def _code_text(value: str) -> str:
    return _text_fault(value).replace(
        "has white space where none is allowed",
        "is no code: it has white space at its start or end, or other than single spaces inside",
    )


def _date_text(form: str, *, zoned: bool) -> Callable[[str], str]:
    def explain(value: str) -> str:
        if zoned and _looks_without_zone(value):
            return "has a time without a time zone: add Z or an offset such as +02:00"
        if _looks_like_a_date(value) and not _date(value[:10]):
            return f"is no date: {value[:10]} does not exist"
        return f"is not of the form {form}" if value else "is an empty string; leave the element out"

    return explain


def _form(form: str) -> Callable[[str], str]:
    return lambda value: f"is not of the form {form}" if value else "is an empty string; leave the element out"


def _text(name: str, right: Callable[[Any], object], explain: Callable[[Any], str]) -> Primitive:
    return Primitive(name, str, right, explain)


def _between(name: str, least: int, most: int) -> Primitive:
    return Primitive(name, int, range(least, most + 1).__contains__, lambda _: f"is not between {least} and {most}")


def _always(_: Any) -> bool:
    return True


def _nothing(_: Any) -> str:
    return ""


_DATE_FORMS = "YYYY, YYYY-MM or YYYY-MM-DD"
_INSTANT_FORM = "YYYY-MM-DDThh:mm:ss(.sss) with Z or an offset"
_LARGEST = 2**31 - 1

PRIMITIVES: Mapping[str, Primitive] = {
    primitive.name: primitive
    for primitive in (
        Primitive("boolean", bool, _always, _nothing),
        Primitive("decimal", Decimal, _always, _nothing),
        _between("integer", -_LARGEST - 1, _LARGEST),
        _between("unsignedInt", 0, _LARGEST),
        _between("positiveInt", 1, _LARGEST),
        _text("string", _string, _text_fault),
        _text("markdown", _string, _text_fault),
        _text("uri", _Known(_uri).__getitem__, _uri_text),
        _text("url", _uri, _uri_text),
        _text("canonical", _Known(_uri).__getitem__, _uri_text),
        _text("code", _Known(_code).__getitem__, _code_text),
        _text("id", _id, _form("1 to 64 of A-Z a-z 0-9 - and .")),
        _text("oid", _oid, _form("urn:oid:1.2.3")),
        _text("uuid", _uuid, _form("urn:uuid:c757873d-ec9a-4326-a141-556f43239520, in lower case")),
        _text("base64Binary", _base64_right, _form("base64: groups of four of A-Z a-z 0-9 + and /, padded with =")),
        _text("date", _date, _date_text(_DATE_FORMS, zoned=False)),
        _text("dateTime", _datetime, _date_text(f"{_DATE_FORMS}, or {_INSTANT_FORM}", zoned=True)),
        _text("instant", _instant, _date_text(_INSTANT_FORM, zoned=True)),
        _text("time", _time, _form("hh:mm:ss or hh:mm:ss.sss")),
    )
}
"""By the name of the type; xhtml is not among them, its rules are profiles.narrative."""
