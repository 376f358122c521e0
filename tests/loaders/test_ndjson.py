"""Lines of NDJSON, in runs.

https://hl7.org/fhir/R4/nd-json.html
"""

from io import BytesIO

import pytest

from loaders import ndjson
from loaders.ndjson import parts_of_lines, runs

LINES = b'{"resourceType":"Patient","id":"a"}\n\n{"resourceType":"Patient"}\r\n{"resourceType":\n{"id":"x"}\n'


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [(1, 1)]),
        (ndjson.LINES, [(1, ndjson.LINES)]),
        (ndjson.LINES + 2, [(1, ndjson.LINES), (ndjson.LINES + 1, 2)]),
    ],
)
def test_runs_have_a_bound_and_know_their_first_line(count, expected):
    found = list(runs(BytesIO(b"{}\n" * count)))
    assert [(first, data.count(b"\n")) for first, data in found] == expected


def test_long_lines_make_short_runs(monkeypatch):
    monkeypatch.setattr(ndjson, "BYTES", 10)
    assert list(runs(BytesIO(b"123456\n789012\n3\n"))) == [(1, b"123456\n789012\n"), (3, b"3\n")]


def test_a_last_line_needs_no_end():
    assert list(runs(BytesIO(b"1\n2"))) == [(1, b"1\n2")]


def test_lines_that_cannot_be_read_are_refused_alone_and_empty_lines_are_nothing():
    parts = parts_of_lines(LINES, 10, 64)
    assert [part.place for part in parts] == ["line 10", "line 12", "line 13", "line 14"]
    assert [part.ordinal for part in parts] == [0, 1, 2, 3]
    assert [part.refusal is None for part in parts] == [True, True, False, False]
    assert [entry["request"]["method"] for part in parts[:2] for entry in part.entries] == ["PUT", "POST"]


def test_a_line_may_hold_a_bundle():
    transaction = b'{"resourceType":"Bundle","type":"transaction","entry":[]}'
    batch = b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % b",".join(
        [b'{"request":{"method":"DELETE","url":"Patient/a"}}'] * 2
    )
    parts = parts_of_lines(transaction + b"\n" + batch, 1, 64)
    assert [(part.place, part.linked) for part in parts] == [
        ("line 1", True),
        ("line 2 Bundle.entry[0]", False),
        ("line 2 Bundle.entry[1]", False),
    ]
