"""What a page reads of the index, in rows and pages: by what is different or near, not by all that there is.

https://hl7.org/fhir/R4/search.html; docs/performance.md
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fhir_server.search.compile import Compiler, is_settled
from fhir_server.search.condition import FEW
from fhir_server.search.execute import Search
from fhir_server.search.walk import Known, walk
from tests.fhir_server.search.world import TENANT, World, query_of, world

PATIENTS, EACH = 400, 10
RARE, COMMON = 7, PATIENTS * EACH


def observation(n: int) -> dict[str, Any]:
    """Of c0 there are many, of c9 few; every value is a point but for some with a comparator."""
    value = {"value": n % 1000, "system": "http://unitsofmeasure.org", "code": "mg"}
    return {
        "resourceType": "Observation", "id": f"o{n}", "status": "final", "subject": {"reference": f"Patient/p{n % PATIENTS}"},
        "identifier": [{"system": "urn:oid:1.2.3", "value": f"{n}"}],  # as in life most keys are of one resource alone
        "code": {"coding": [{"system": "http://loinc.org", "code": "c9" if n < RARE else "c0"}]},
        "effectivePeriod": {"start": f"2{n % 900:03}-01-01", "end": f"2{n % 900:03}-01-02"},
        "valueQuantity": {**value, "comparator": ">"} if n % 500 == 3 else value,
    }  # fmt: skip


def patient(n: int) -> dict[str, Any]:
    """Of a few families, three of them male."""
    return {
        "resourceType": "Patient", "id": f"p{n}", "gender": "male" if n % 150 == 5 else "female",
        "name": [{"family": f"Family{n % 5}", "given": [f"Given{n % 3}"]}],
        "birthDate": f"{1930 + n % 90}-03-03",
    }  # fmt: skip


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[World]:
    resources = [*(patient(n) for n in range(PATIENTS)), *(observation(n) for n in range(COMMON))]
    with world(module_database_url) as made, made.of(resources) as here:
        here.runner.run(here.conn.commit())
        with psycopg.connect(module_database_url, autocommit=True) as conn:
            conn.execute("SET search_path = mediconnect")
            conn.execute("VACUUM ANALYZE")
        yield here


def plan(here: World, text: str) -> dict[str, Any]:
    """The plan of a page as it was run, with its buffers."""
    fragment = Compiler(TENANT, here.types.code).page(query_of(text))
    cursor = psycopg.AsyncCursor(here.conn)
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + fragment.text.encode()
    here.runner.run(cursor.execute(explain, fragment.parameters))
    row = here.runner.run(cursor.fetchone())
    assert row is not None
    return (json.loads(row[0]) if isinstance(row[0], str) else row[0])[0]["Plan"]


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes(below)


def rows(node: dict[str, Any]) -> float:
    """The rows that scans of the index gave or passed over, in all their rounds."""
    scans = [n for n in nodes(node) if n.get("Relation Name", "").startswith("index_")]
    return sum(n["Actual Loops"] * (n["Actual Rows"] + n.get("Rows Removed by Filter", 0)) for n in scans)


def pages(node: dict[str, Any]) -> int:
    return node["Shared Hit Blocks"] + node["Shared Read Blocks"]


@pytest.mark.parametrize(
    ("text", "most_rows", "most_pages"),
    [
        ("Observation?value-quantity=gt990", 200, 400),  # what lies above, and the eight with a comparator
        ("Observation?value-quantity=ge998|http://unitsofmeasure.org|mg", 200, 400),
        ("Observation?value-quantity=gt5", FEW + 100, FEW + 200),  # a page of the many
        ("Observation?value-quantity=ge500", FEW + 600, FEW + 200),  # the first 500 passed over are below
        ("Observation?value-quantity=ge5000", 10, 100),  # only those with a comparator
        ("Observation?code-value-quantity=c9$gt100", 1, 100),  # of the many with such a value one has the code
        ("Observation?code-value-quantity=c9$lt5", 15, 200),
        ("Observation?combo-code-value-quantity=http://loinc.org|c9$gt100", 2, 100),  # and its code in that system
        ("Observation?combo-code-value-quantity=c0$gt5", FEW + 100, FEW + 200),
        ("Observation?date=gt2950", 1, 100),
        ("Observation?value-quantity=eb1", 100, 300),
        ("Observation?value-quantity=ap3000", 100, 100),  # only those with a comparator
        ("Observation?date=ge2895", 300, 400),
        ("Patient?gender=female&family=family1", 500, 500),  # once each, not one for every row of the other
        ("Patient?family=family1&gender=male", 500, 500),
        ("Patient?birthdate=ge1931", 300, 400),
        ("Observation?patient.gender=male&code=c0", COMMON, 400),  # not once for each of the many
        ("Patient?_has:Observation:patient:code=c9", 100, 300),
    ],
)
def test_a_page_reads_what_it_needs(filled: World, text: str, most_rows: int, most_pages: int):
    made = plan(filled, text)
    assert rows(made) <= most_rows, f"{rows(made)} rows"
    assert pages(made) <= most_pages, f"{pages(made)} pages"


@pytest.mark.parametrize(
    "text", ["Patient?name:contains=nothing", "Patient?family:text=nothing", "Patient?name:contains=b"]
)
def test_what_is_contained_is_looked_for_in_each_different_text_once(filled: World, text: str):
    """Of 64 at a time: 8 different names of 400 patients are few steps over one index."""
    made = plan(filled, text)
    walked = [n for n in nodes(made) if n.get("Index Name") == "index_string_value" and n.get("Alias") != "i"]
    assert rows(made) <= 64 * (8 + 2)
    assert pages(made) <= 150, f"{pages(made)} pages"
    assert walked
    assert all(n["Node Type"] == "Index Only Scan" for n in walked)


@pytest.mark.parametrize(
    "text", ["Patient?_id=p3&name:contains=famil", "Patient?_id=p3&_has:Observation:patient:status=final"]
)
def test_the_resources_of_one_patient_are_asked_one_by_one(filled: World, text: str):
    assert rows(plan(filled, text)) <= 60


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("Observation?code=c0", True),
        ("Observation?code=c0,c9", True),
        ("Observation?patient=p3", True),
        ("Observation?_count=3", True),
        ("Observation?code=" + ",".join(f"c{n}" for n in range(9)), False),
        ("Observation?code=c0&patient=p3", False),
        ("Observation?code=c0&_sort=-date", False),
        ("Observation?code:not=c0", False),
        ("Observation?code:text=c0", False),
        ("Observation?date=2010", False),
        ("Patient?name=a", False),
        ("Patient?name:contains=a", True),
        ("?_lastUpdated=gt2010", False),
    ],
)
def test_only_where_values_make_no_difference_a_plan_is_kept(text: str, settled: bool):
    assert is_settled(query_of(text)) is settled


@pytest.mark.parametrize(
    "text", ["Observation?code=c0", "Observation?code=c9", "Observation?patient=p3", "Observation"]
)
def test_a_plan_that_is_kept_reads_no_more_than_the_page(filled: World, text: str):
    made = filled.kept_plan(Compiler(TENANT, filled.types.code).page(query_of(text)))
    assert rows(made) <= 21


@pytest.mark.parametrize("sort", ["date", "-date", "-date,value-quantity", "_id"])
def test_what_a_patient_has_is_sorted_by_values_that_are_looked_up_once(filled: World, sort: str):
    """Not once for each of the others: that would be a hundred for the ten."""
    query = query_of(f"Observation?patient=p3&status=final&_sort={sort}")
    walked = walk(Compiler(TENANT, filled.types.code).scope, query, Known())
    assert walked is not None
    assert rows(filled.kept_plan(walked[1])) <= (2 + len(sort.split(","))) * EACH


@pytest.mark.parametrize(
    "text",
    [
        "Observation?value-quantity=gt5",
        "Observation?combo-code-value-quantity=c0$gt5",
        "Observation?date=lt2800",
        "Observation?value-quantity=gt990,lt5",
    ],
)
def test_the_pages_of_many_and_of_few_are_all_there_is_each_once_and_lead_back(filled: World, text: str):
    query = query_of(f"{text}&_count=400")
    total = filled.runner.run(Search(filled.conn, TENANT, filled.types, filled.parameters).count(query))
    pages_: list[list[int]] = []
    found = filled.page(query)
    while True:
        pages_.append([match.pk for match in found.matches])
        if found.following is None:
            break
        found = filled.page(replace(query, page=found.following))
    pks = [pk for page in pages_ for pk in page]
    assert pks == sorted(set(pks))
    assert len(pks) == total
    while found.preceding is not None and len(pages_) > 1:
        pages_.pop()
        found = filled.page(replace(query, page=found.preceding))
        assert [match.pk for match in found.matches] == pages_[-1]
    assert len(pages_) == 1


@pytest.fixture
def unknown(filled: World, module_database_url: str) -> Iterator[World]:
    """As just loaded: nothing has been analysed."""
    with psycopg.connect(module_database_url, autocommit=True) as conn:
        conn.execute("SET search_path = mediconnect")
        conn.execute("DELETE FROM pg_statistic WHERE starelid IN ('version'::regclass, 'resource'::regclass)")
        conn.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid IN ('version'::regclass, 'resource'::regclass)"
        )
        yield filled
        conn.execute("VACUUM ANALYZE")


def test_without_statistics_each_content_is_looked_up_by_its_key_alone(unknown: World):
    """Not by the feed of the tenant, which has all that there is."""
    made = plan(unknown, "Patient?family=family1")
    used = [n["Index Name"] for n in nodes(made) if n.get("Index Name", "").startswith("version")]
    assert used == ["version_pkey"]
    assert pages(made) <= 600, f"{pages(made)} pages"
