"""What is asked to do harm is bounded, with an answer that says so: https://hl7.org/fhir/R4/http.html#Status-Codes."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running import client, running

FORM = {"content-type": "application/x-www-form-urlencoded"}
SECONDS = 10  # on a machine that others use; none of them takes a tenth of it alone


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url) as base, client(base) as http:
        ring = [
            {
                "resourceType": "Organization",
                "id": f"o{n}",
                "name": "O",
                "partOf": {"reference": f"Organization/o{(n + 1) % 50}"},
            }
            for n in range(50)
        ]
        crowd = [
            {"resourceType": "Patient", "id": f"p{n}", "managingOrganization": {"reference": "Organization/o0"}}
            for n in range(1100)
        ]
        entry = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in ring + crowd
        ]
        answer = http.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entry}).json()
        assert {one["response"]["status"] for one in answer["entry"]} == {"201 Created"}, answer["entry"][0]
        yield http


def ask(fhir: httpx.Client, query: str) -> httpx.Response:
    """The answer to a query of any length, as a form."""
    kind, _, form = query.partition("?")
    begun = time.monotonic()
    answer = fhir.post(f"/{kind}/_search", content=form, headers=FORM)
    assert time.monotonic() - begun < SECONDS, query[:80]
    return answer


REFUSED: dict[str, tuple[str, str]] = {
    "10,000 values": ("Patient?name=" + ",".join(["a"] * 10_000), "at most 1000 values"),
    "10,000 lists": ("Patient?_list=" + ",".join(["1"] * 10_000), "at most 1000 values"),
    "10,000 texts": ("Patient?_content=" + ",".join(["a"] * 10_000), "at most 20 values"),
    "1,500 parameters": ("Patient?" + "&".join(["name=a"] * 1500), "at most 100 parameters"),
    "1,500 includes": ("Patient?" + "&".join(["_include=*"] * 1500), "at most 100 parameters"),
    "200 reverse chains": ("Patient?" + "_has:Observation:patient:" + "_has:Observation:has-member:" * 200 + "code=1", "8 links"),
    "200 links": ("Organization?" + "partof." * 200 + "name=a", "8 links"),
    "200 links of a sort key": ("Organization?_sort=" + "partof." * 200 + "name", "8 links"),
    "links to every type": ("Basic?" + "subject." * 8 + "_id=1", "name the type of each link"),
    "a filter of such links": ("Basic?_filter=" + "subject." * 8 + "_id eq 1", "name the type of each link"),
    "a filter of 900 links": ("Organization?_filter=" + "partof." * 900 + "name eq a", "16 links"),
    "a filter of 2000 nots": ("Patient?_filter=" + "not " * 1900 + "active eq true", "16 parentheses"),
    "a filter of 1000 parentheses": ("Patient?_filter=" + "(" * 1000 + "active eq true" + ")" * 1000, "16 parentheses"),
    "a long filter": ("Patient?_filter=" + " or ".join(["_id eq a"] * 2000), "8000 characters"),
    "a filter of 500 comparisons": ("Patient?_filter=" + " and ".join(["name co a"] * 500), "100 comparisons"),
    "10,000 values in ten parameters": ("Patient?" + "&".join(["name=" + ",".join("a" * 1000)] * 10), "2000 values"),
    "1000 ids of any type": ("Provenance?target=" + ",".join(["a"] * 1000), "2000 values"),
    "words in 1000 parentheses": ("Patient?_content=" + "(" * 1000 + "a" + ")" * 1000, "40 words"),
    "2000 times NOT": ("Patient?_text=" + "NOT " * 2000 + "a", "40 words"),
    "a long URI": ("ValueSet?url:above=http://a/" + "b/" * 5000, "2000 characters"),
    "a long number": ("RiskAssessment?probability=" + "9" * 100_000, "no number"),
    "a large exponent": ("RiskAssessment?probability=1e9999", "no number"),
    "a year far away": ("Patient?birthdate=99999", "no date"),
    "another year far away": ("Patient?birthdate=0000-01-01", "no date"),
    "a distance beyond all": ("Location?near=0|0|1e999|km", "no distance"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_cost_too_much_is_refused_with_its_bound(fhir: httpx.Client, name: str):
    query, told = REFUSED[name]
    answer = ask(fhir, query)
    assert answer.status_code == 400, answer.text[:300]
    issue = answer.json()["issue"][0]
    assert told in issue["diagnostics"], issue["diagnostics"][:300]
    assert len(answer.content) < 300_000


ANSWERED = [
    "Patient?name=" + ",".join(f"a{n}" for n in range(1000)),
    "Patient?_id=" + ",".join(f"p{n}" for n in range(1000)) + "&_count=1000",
    "Provenance?target=" + ",".join(f"p{n}" for n in range(100)),
    "Patient?" + "&".join(f"name=a{n}" for n in range(100)),
    "Patient?" + "&".join(f"gender:not=a{n}" for n in range(100)),
    "Provenance?target._id=1",
    "Basic?subject.subject._id=1",
    "Patient?_filter=" + " or ".join(["_id eq a"] * 100),
    "Patient?_filter=" + " and ".join(["name co a"] * 100),
    "Patient?telecom=" + "1" * 100_000 + "x",
    "Patient?telecom=" + "." * 100_000 + "x",
    "Patient?name=" + "x" * 100_000,
    "Patient?identifier=" + "\\|" * 50_000,
    "Location?near=0|0|1e200|km",
]


@pytest.mark.parametrize("query", ANSWERED, ids=[query[:40] for query in ANSWERED])
def test_what_is_just_within_the_bounds_is_answered_or_ended(fhir: httpx.Client, query: str):
    answer = ask(fhir, query)
    assert answer.status_code in (200, 503), answer.text[:300]
    assert answer.json()["resourceType"] in ("Bundle", "OperationOutcome")


def entries(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text[:300]
    listed: list[dict[str, Any]] = answer.json()["entry"]
    return listed


def test_everything_around_a_cycle_is_included_once_and_no_more_than_a_thousand(fhir: httpx.Client):
    around = "Organization?_id=o0&_include=*&_include:iterate=*"
    found = [e["resource"]["id"] for e in entries(ask(fhir, around))]
    assert len(found) == len(set(found)) == 9, "eight rounds, a step each"
    both_ways = entries(ask(fhir, around + "&_revinclude=*&_revinclude:iterate=*"))
    urls = [e["fullUrl"] for e in both_ways if e["search"]["mode"] == "include"]
    assert len(urls) == len(set(urls)) == 1000
    assert both_ways[-1]["search"]["mode"] == "outcome"
    assert "the rest was left out" in both_ways[-1]["resource"]["issue"][0]["diagnostics"]


@pytest.mark.parametrize("count", ["1000", "999999999", "9" * 18, "9" * 5000])
def test_no_page_is_larger_than_the_largest(fhir: httpx.Client, count: str):
    answer = ask(fhir, f"Patient?_count={count}")
    assert len(entries(answer)) == 1000
    assert any(link["relation"] == "next" for link in answer.json()["link"])


def test_a_narrative_of_brackets_is_indexed_in_time(fhir: httpx.Client):
    for div in ("<" * 300_000, "<!--" * 100_000, "<!-- a -->" * 50_000):
        resource = {"resourceType": "Patient", "id": "odd", "text": {"status": "generated", "div": div}}
        begun = time.monotonic()
        assert fhir.put("/Patient/odd", json=resource).status_code in (200, 201, 400, 422)
        assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 3000 + "Patient.name" + ")" * 3000,
        "Patient.name.where(" * 300 + "x" + ")" * 300,
        "Patient" + ".name" * 5000,
        "not(" * 500 + "Patient.active" + ")" * 500,
    ],
    ids=["parentheses", "where", "members", "not"],
)
def test_an_expression_without_a_bottom_is_refused(fhir: httpx.Client, expression: str):
    answer = fhir.put("/SearchParameter/deep", json={
        "resourceType": "SearchParameter", "id": "deep", "url": "http://h.example/SearchParameter/deep", "name": "deep",
        "status": "active", "description": "d", "code": "deep", "base": ["Patient"], "type": "string", "expression": expression,
    })  # fmt: skip
    assert answer.status_code == 422, answer.text[:300]
    assert "unusable expression" in answer.text
