from typing import Any

import psycopg
import pytest

from fhir_server.store import array

INTEGERS: list[list[int]] = [[], [0], [-(2**63), 2**63 - 1, 7], list(range(-300, 300))]
TEXTS: list[list[str | None]] = [
    [],
    [""],
    [None],
    ["plain", "", None, "two words", "NULL", "null"],
    ['a "quoted" one', "back\\slash", '\\"', "{a,b}", "a,b", "line\nbreak", "tab\t", " x "],
    ["Ünïcödé", "\x01", "\ue000", "\U0001f600"],
    [None, None],
]
BYTES: list[list[bytes | None]] = [[], [b""], [None, b"\x00\xff", None], [b"one", b"two"]]


def sent(url: str, cast: str, parameter: object) -> Any:
    with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as conn:
        array.adapt(conn)
        row = conn.execute(f"SELECT $1::{cast}".encode(), (parameter,)).fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("values", INTEGERS)
def test_integers_arrive_as_they_are(postgres_url: str, values: list[int]) -> None:
    assert sent(postgres_url, "int8[]", array.int8(values)) == values


@pytest.mark.parametrize(
    ("runs", "values"),
    [([], []), ([(1, 0)], []), ([(3, 2)], [3, 3]), ([(1, 2), (-1, 1), (2, 3)], [1, 1, -1, 2, 2, 2])],
)
def test_runs_of_ordinals_arrive_written_out(postgres_url: str, runs: list[tuple[int, int]], values: list[int]) -> None:
    assert sent(postgres_url, "int4[]", array.int4(runs)) == values


@pytest.mark.parametrize("values", TEXTS)
def test_texts_arrive_to_the_letter(postgres_url: str, values: list[str | None]) -> None:
    assert sent(postgres_url, "text[]", array.text(values)) == values


@pytest.mark.parametrize("values", [["a\x00b"], ["\x00"], ["a", "b\x00", None]])
def test_a_text_with_nul_is_refused_and_moves_no_other(values: list[str | None]) -> None:
    with pytest.raises(psycopg.DataError):
        array.text(values)


@pytest.mark.parametrize("values", [["\ud800"], ["\ud800", None], ["a\ud800"]])
def test_half_of_a_surrogate_pair_is_refused_and_is_never_taken_for_null(
    postgres_url: str, values: list[str | None]
) -> None:
    with pytest.raises((UnicodeEncodeError, psycopg.DataError)):
        sent(postgres_url, "text[]", array.text(values))


@pytest.mark.parametrize("values", BYTES)
def test_bytes_arrive_as_they_are(postgres_url: str, values: list[bytes | None]) -> None:
    assert sent(postgres_url, "bytea[]", array.bytea(values)) == values


def test_what_needs_no_quotes_arrives(postgres_url: str) -> None:
    assert sent(postgres_url, "int2[]", array.plain(["1", "NULL", "-3"])) == [1, None, -3]
    instants = ["2020-01-01T00:00:00.000001+00:00", "2020-01-01 00:00:00+02:00", "infinity", "-infinity"]
    text = "SELECT array_agg(t > '2020-01-01Z' ORDER BY o) FROM unnest($1::timestamptz[]) WITH ORDINALITY AS a (t, o)"
    with psycopg.connect(postgres_url, cursor_factory=psycopg.RawCursor) as conn:
        array.adapt(conn)
        row = conn.execute(text.encode(), (array.plain(instants),)).fetchone()
    assert row == ([True, False, True, False],)
