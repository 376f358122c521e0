"""How large a query may be: https://hl7.org/fhir/R4/search.html#Introduction."""

import pytest

from fhir_server.outcome import Refusal
from tests.fhir_server.search.world import query_of

COSTLY = [
    ("Patient?name=" + ",".join("a" * 1001), "1000 values"),
    ("Patient?_list=" + ",".join("a" * 1001), "1000 values"),
    ("Patient?_text=" + ",".join("a" * 21), "20 values"),
    ("Patient?_content=" + ",".join("a" * 21), "20 values"),
    ("Patient?" + "&".join(["name=a"] * 101), "100 parameters"),
    ("Organization?" + "partof." * 9 + "name=a", "8 links"),
    ("Organization?_sort=" + "partof." * 9 + "name", "8 links"),
    ("Patient?_has:Observation:patient:" + "_has:Observation:has-member:" * 8 + "code=a", "8 links"),
    ("Basic?subject.subject.subject._id=1", "2000 terms"),
    ("Basic?_filter=subject.subject.subject._id eq 1", "2000 terms"),
    ("Organization?_filter=" + "partof." * 20 + "name eq a", "16 links"),
]


@pytest.mark.parametrize(("query", "told"), COSTLY, ids=[query[:40] for query, _ in COSTLY])
def test_a_query_that_is_too_large_is_refused_with_its_bound(query: str, told: str):
    with pytest.raises(Refusal, match=told) as caught:
        query_of(query)
    assert caught.value.status == 400
    assert caught.value.issues[0].code == "too-costly"


ALLOWED = [
    "Patient?name=" + ",".join("a" * 1000),
    "Patient?" + "&".join(["name=a"] * 100),
    "Organization?" + "partof." * 8 + "name=a",
    "Basic?subject.subject._id=1",
    "Provenance?target.subject.name=a",
]


@pytest.mark.parametrize("query", ALLOWED, ids=[query[:40] for query in ALLOWED])
def test_up_to_the_bound_it_is_read(query: str):
    assert query_of(query).terms


def test_an_include_that_is_asked_for_twice_is_one():
    assert len(query_of("Patient?_include=*&_include=*&_include=Patient:link").includes) == 2


@pytest.mark.parametrize(
    ("word", "total"),
    [("count", "accurate"), ("countEstimate", "estimate"), ("estimate", "estimate"), ("none", "none")],
)
def test_the_total_is_also_asked_for_by_another_servers_word(word: str, total: str):
    assert query_of(f"Patient?_totalMethod={word}").total == total


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("7", 7), ("0007", 7), ("999999999", 1000), ("9" * 5000, 1000)])
def test_a_page_has_what_is_asked_for_and_no_more_than_the_largest(text: str, count: int):
    assert query_of(f"Patient?_count={text}").count == count
