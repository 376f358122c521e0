"""What may be asked of words, in memory and as PostgreSQL's tsquery: https://hl7.org/fhir/R4/search.html#content."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from fhir_server.search import text, words

RESOURCE = ["bone metastases of the liver", "no brain tumour"]
CASES = [
    ("bone", True), ("BONE", True), ("skin", False), ("bone liver", True), ("bone skin", False), ("bone OR skin", True),
    ("bone or skin", True), ("(bone OR skin) and metastases", True), ("NOT skin", True), ("NOT bone", False),
    ("bone AND NOT skin", True), ('"bone metastases"', True), ('"metastases bone"', False), ('"liver no"', False),
    ("metas*", True), ("zetas*", False), ('"bone meta"*', True), ("tumour,", True), ("brain-tumour", True), ("tumour-brain", False),
    ("NOT (skin OR bone)", False), ("not not bone", True), ("(((bone)))", True),
]  # fmt: skip


@pytest.fixture(scope="module")
def conn(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as opened:
        yield opened


def in_database(conn: psycopg.Connection[Any], texts: list[str], asked: str) -> bool:
    _, vector = words.vectors({"resourceType": "Patient", "note": texts})
    query = text.query(text.parse("_text", asked))
    row = conn.execute("SELECT %s::tsvector @@ %s::tsquery", (vector, query)).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.parametrize(("asked", "expected"), CASES)
def test_memory_and_database_read_a_text_alike(conn, asked, expected):
    assert text.holds(text.parse("_text", asked), words.placed(RESOURCE)) is expected
    assert in_database(conn, RESOURCE, asked) is expected


WORD = st.sampled_from(("bone", "liver", "no", "skin", "li*", '"no brain"', '"brain no"', "Müller", "o'neil"))
ASKED = st.recursive(
    WORD,
    lambda below: st.one_of(
        st.builds("{} AND {}".format, below, below),
        st.builds("({} OR {})".format, below, below),
        st.builds("NOT ({})".format, below),
        st.builds("{} {}".format, below, below),
    ),
    max_leaves=6,
)
TEXTS = st.lists(st.sampled_from(("bone liver", "no brain", "brain no liver", "MULLER", "O'Neil", "x")), max_size=4)


def test_whatever_is_asked_memory_and_database_agree(conn):
    @settings(max_examples=200, deadline=None)
    @given(TEXTS, ASKED)
    def check(texts: list[str], asked: str) -> None:
        assert text.holds(text.parse("_text", asked), words.placed(texts)) == in_database(conn, texts, asked)

    check()


@pytest.mark.parametrize(
    "asked", ["", "()", "(bone", "bone)", "AND bone", "bone OR", "NOT", "'", '""', "OR", "-", "x" + " AND x" * 50]
)
def test_what_has_no_words_or_does_not_close_is_refused(asked):
    with pytest.raises(Refusal):
        text.parse("_text", asked)
