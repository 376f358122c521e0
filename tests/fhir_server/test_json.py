"""JSON on the wire: what is refused and where, and that numbers keep their digits.

https://hl7.org/fhir/R4/json.html
"""

import copy
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.json import OutOfBoundsError, Verbatim, dump_json, dump_pretty, number, parse_json, parse_value
from fhir_server.outcome import Refusal

NUMBERS = [
    "0",
    "1",
    "-1",
    "10",
    "160.50",
    "0.0",
    "0.00",
    "-0",
    "-0.0",
    "1E2",
    "1e2",
    "1.0e+5",
    "1.0E-5",
    "0.0000001",
    "0.000001",
    "100000000000000000000",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789.123456789123456789",
    "1E400",
    "1e-400",
    "2.50",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_keeps_its_digits(text: str) -> None:
    for body in (f'{{"value":{text}}}', f'{{"value":[{text}]}}', f'{{"a":{{"x":"ü","value":[1,{text}]}}}}'):
        assert dump_json(parse_json(body.encode())).decode() == body


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_has_the_value_it_was_written_with(text: str) -> None:
    value = parse_json(f'{{"value": {text}}}'.encode())["value"]
    assert not isinstance(value, float)
    assert value == Decimal(text)
    assert str(value) == text


def test_a_verbatim_number_survives_copying() -> None:
    value = Verbatim("1E2")
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert str(twin) == "1E2"
        assert twin == 100


def test_pretty_json_is_indented_and_exact() -> None:
    assert dump_pretty({"a": [Decimal("1.50"), Verbatim("1E2")], "b": {}}).decode() == (
        '{\n  "a": [\n    1.50,\n    1E2\n  ],\n  "b": {}\n}'
    )


def test_members_keep_their_order_and_nulls_pad_arrays() -> None:
    body = b'{"resourceType":"Patient","z":1,"a":[null,"x"],"_a":[{"id":"1"},null]}'
    assert dump_json(parse_json(body)) == body


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse_json(b'\xef\xbb\xbf{"id":"1"}') == {"id": "1"}


MALFORMED = [
    (b"", "empty"),
    (b" \n ", "empty"),
    (b"\xef\xbb\xbf", "ends too early"),
    (b'{"a":1', "ends too early, at line 1, column 7"),
    (b'{"a":"x', "ends too early"),
    (b'{\n  "a": 1,\n  "b": trx\n}', "line 3, column 8"),
    (b'{"a":trueish}', "line 1, column 10"),
    (b"[nul]", "line 1, column 2"),
    (b'{"a":fals\xc3\xa9}', "line 1, column 6"),
    (b'{\n "\xc3\xa4": x}', "line 2, column 7"),
    (b'{"a":1} x', "line 1, column"),
    (b'{"a":1}{}', "trailing characters"),
    (b'{"a":1,}', "trailing comma"),
    (b'{"a" 1}', "expected ':'"),
    (b"{'a':1}", "keys must be strings"),
    (b'{"a":01}', "invalid number"),
    (b'{"a":1.}', "invalid number"),
    (b'{"a":.5}', "malformed JSON at line 1, column 6"),
    (b'{"a":+5}', "malformed JSON at line 1, column 6"),
    (b'{"a":NaN}', "malformed JSON at line 1, column 6"),
    (b'{"a":Infinity}', "malformed JSON at line 1, column 6"),
    (b'{"a":-Infinity}', "malformed JSON at line 1, column"),
    (b'{"a":/* note */1}', "malformed JSON at line 1, column 6"),
    (b'{"a":"\x01"}', "malformed JSON"),
    (b'{"a":"x\x00y"}', "malformed JSON"),
    (b'{"a":"\\x"}', "invalid escape"),
    (b'{"a":"\xff"}', "not UTF-8: byte 0xff at line 1, column 7"),
    (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
    (b'{"a":"\xc3', "not UTF-8"),
    ('{"a":1}'.encode("utf-16"), "not UTF-8"),
    (b'{"a":"\\ud800"}', "malformed JSON"),
    (b'{"a":"\\ud800\\u0041"}', "surrogate"),
    (b'{"a":"\\udc00"}', "surrogate"),
    (b"[]", "this is an array"),
    (b'"x"', "this is a string"),
    (b"1", "this is a number"),
    (b"true", "this is a boolean"),
    (b"null", "this is null"),
]


@pytest.mark.parametrize(("body", "expected"), MALFORMED)
def test_malformed_json_is_refused_with_its_place(body: bytes, expected: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(body)
    assert expected in str(caught.value)
    assert caught.value.status == 400
    assert caught.value.issues[0].code == "structure"


DUPLICATES = [
    ('{"a":1,"a":1}', "a"),
    ('{"resourceType":"Patient","name":[{"family":"A"},{"family":"B","given":["C"],"family":"D"}]}', "name[1].family"),
    ('{"a":1,"a" :2}', "a"),
    ('{"a":1,"\\u0061":2}', "a"),
    ('{"x":"\\":","a":{"b":1,"b":2}}', "a.b"),
    ('{"x":"\\u0022:","a":1,"a":""}', "a"),
    ('{"a":1,"a":1,"x":-0}', "a"),
    ('{"":1,"":2}', ""),
]


@pytest.mark.parametrize(("body", "path"), DUPLICATES)
def test_a_duplicate_key_is_refused_by_name_and_path(body: str, path: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(body.encode())
    assert f"the key {path} is given twice" in str(caught.value)
    assert caught.value.issues[0].expression == (path,)


NOT_DUPLICATES = [
    '{"a":{"a":1},"b":{"a":1}}',
    '{"x":"\\":\\":","a":":"}',
    '{"x":"\\u0022:\\/","a":"\\u00e9"}',
    '{ "a" : ":" , "b" : "\\" :" }',
    '{"a":[{"b":1},{"b":1}]}',
]


@pytest.mark.parametrize("body", NOT_DUPLICATES)
def test_what_only_looks_like_a_duplicate_key_is_accepted(body: str) -> None:
    assert parse_json(body.encode()) == json.loads(body)


TEXTS = st.text(alphabet='ab":\\ \n{}[]é\x01\x7f/', max_size=6)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False, places=3)),
    lambda below: st.lists(below, max_size=4) | st.lists(st.tuples(TEXTS, below), max_size=4).map(tuple),
    max_leaves=12,
)
SPACES = st.sampled_from(["", " ", "\n", "\t", "\r\n"])


def written(value: object, space: str, ascii_only: bool) -> str:
    """JSON text in which an object is a tuple of pairs, so that a key may stand twice."""
    if isinstance(value, tuple):
        pairs = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}{space}:{space}{written(v, space, ascii_only)}" for k, v in value
        )
        return "{" + f",{space}".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + f"{space},".join(written(v, space, ascii_only) for v in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=ascii_only)


def doubled(value: object) -> bool:
    if isinstance(value, tuple):
        return len({key for key, _ in value}) < len(value) or any(doubled(below) for _, below in value)
    return isinstance(value, list) and any(map(doubled, value))


@given(VALUES, SPACES, st.booleans())
@example((("", 0), ("", "\x01")), "", False)
def test_every_duplicate_key_is_found_and_nothing_else_is_refused(value: object, space: str, ascii_only: bool) -> None:
    data = written(value, space, ascii_only).encode()
    if doubled(value):
        with pytest.raises(Refusal, match="given twice"):
            parse_value(data)
    else:
        assert parse_value(data) == json.loads(data, parse_float=Decimal)


@given(VALUES.filter(lambda value: not doubled(value)))
def test_what_is_parsed_and_written_again_is_the_same_text(value: object) -> None:
    data = dump_json(parse_value(written(value, "", False).encode()))
    assert dump_json(parse_value(data)) == data
    assert parse_value(dump_pretty(parse_value(data))) == parse_value(data)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"resourceType":"Patient","birthDate":null}', "Patient.birthDate"),
        ('{"resourceType":"Patient","name":[{"family":null}]}', "Patient.name[0].family"),
        ('{"a":{"b":[[{"c":null}]]}}', "$.a.b[0][0].c"),
    ],
)
def test_a_null_that_stands_for_a_member_is_refused_with_its_path(body: str, path: str) -> None:
    with pytest.raises(Refusal, match="is null") as caught:
        parse_json(body.encode())
    assert caught.value.issues[0].expression == (path,)


@pytest.mark.parametrize(
    ("body", "path"),
    [('{"a":{"b":["x","\\u0000"]}}', "a.b[1]"), ('{"a":{"b\\u0000":1}}', "a"), ('{"a":"x\\u0000y"}', "a")],
)
def test_a_nul_character_is_refused_with_its_path(body: str, path: str) -> None:
    with pytest.raises(Refusal, match="NUL") as caught:
        parse_json(body.encode())
    assert caught.value.issues[0].expression == (path,)
    assert caught.value.status == 400


def test_an_escaped_backslash_before_u0000_is_no_nul_character() -> None:
    assert parse_json(b'{"a":"\\\\u0000"}') == {"a": "\\u0000"}


def test_a_patch_is_an_array_and_may_hold_null() -> None:
    assert parse_value(b'[{"op":"test","path":"/a","value":null}]') == [{"op": "test", "path": "/a", "value": None}]


@pytest.mark.parametrize("levels", [65, 500, 2_000, 1_000_000])
@pytest.mark.parametrize("unit", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_a_depth_bomb_is_refused(levels: int, unit: tuple[str, str]) -> None:
    bomb = f'{{"x":{unit[0] * levels}1{unit[1] * levels}}}'
    with pytest.raises(Refusal, match="deeper than 64 levels at line 1, column"):
        parse_json(bomb.encode())


def test_a_depth_bomb_that_never_closes_is_refused() -> None:
    with pytest.raises(Refusal):
        parse_json(b'{"a":' * 1_000_000)


def test_the_deepest_allowed_nesting_is_accepted() -> None:
    assert parse_json(('{"a":' * 63 + "[]" + "}" * 63).encode())
    assert parse_json(b'{"a":"' + b"[" * 1_000 + b'"}')


@pytest.mark.parametrize(
    "text", ["1e401", "1e-401", "1e99999999999999999999", "0e999", "9" * 5_000, "0." + "1" * 1_000]
)
def test_a_number_out_of_bounds_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(Refusal, match=r"out of bounds.*at line 2, column 6") as caught:
        parse_json(f'{{\n"a": {text}}}'.encode())
    assert caught.value.issues[0].code == "value"
    assert len(str(caught.value)) < 200


def test_number_refuses_what_is_out_of_bounds() -> None:
    with pytest.raises(OutOfBoundsError):
        number("1e401")


def test_only_json_values_are_written() -> None:
    with pytest.raises(TypeError):
        dump_json({"a": object()})
