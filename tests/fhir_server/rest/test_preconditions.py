"""Tests of fhir_server.rest.preconditions."""

from datetime import UTC, datetime

import pytest

from fhir_server.outcome import Refusal
from fhir_server.rest.preconditions import if_match, if_none_match_any, not_modified

WRITTEN = datetime(2026, 1, 31, 10, 0, 0, 500_000, UTC)


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        (None, None),
        ("*", ("*",)),
        ('W/"3"', ("3",)),
        ('"3"', ("3",)),
        ("3", ("3",)),
        (' W/"3" , "4"', ("3", "4")),
    ],
)
def test_if_match_names_the_versions_that_may_be_current(text: str | None, versions: tuple[str, ...] | None):
    assert if_match({} if text is None else {"if-match": text}) == versions


@pytest.mark.parametrize("text", ["", 'W/"', "W/3", '"3', ",", "a b", "é"])
def test_what_is_no_etag_is_refused(text: str):
    with pytest.raises(Refusal) as refused:
        if_match({"if-match": text})
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, False),
        ({"if-none-match": 'W/"2"'}, True),
        ({"if-none-match": 'W/"1"'}, False),
        ({"if-modified-since": "Sat, 31 Jan 2026 10:00:00 GMT"}, True),
        ({"if-modified-since": "Sat, 31 Jan 2026 09:59:59 GMT"}, False),
        ({"if-modified-since": "2026-01-31T10:00:00.500Z"}, True),
        ({"if-modified-since": "2026-01-31T10:00:00.499Z"}, False),
        ({"if-modified-since": "2026-01-31T11:00:00.500+01:00"}, True),
        ({"if-modified-since": "2026-02-30T11:00:00Z"}, False),
        ({"if-modified-since": "Sat, 31 Jan 2026 10:00:00 -0000"}, False),
        ({"if-modified-since": "nonsense"}, False),
        ({"if-modified-since": "Sat, 31 Jan 2026 10:00:00 GMT", "if-none-match": '"1"'}, False),
    ],
)
def test_a_version_is_not_sent_again_to_who_has_it(headers: dict[str, str], answer: bool):
    assert not_modified(headers, 2, WRITTEN) is answer


def test_only_the_asterisk_asks_that_nothing_be_there():
    assert if_none_match_any({"if-none-match": " * "})
    assert not if_none_match_any({"if-none-match": 'W/"1"'})
    assert not if_none_match_any({})
