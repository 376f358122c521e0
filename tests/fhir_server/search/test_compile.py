"""Statements and their plans: a page costs the page, nothing reads a table from end to end.

https://hl7.org/fhir/R4/search.html; docs/implementation/index.md
"""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from fhir_server.search.compile import Compiler
from fhir_server.search.condition import FEW
from tests.fhir_server.search.world import TENANT, World, query_of, world

COUNT = 4000


def observation(n: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": f"o{n}", "status": "final", "subject": {"reference": f"Patient/p{n % 40}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": f"c{n % 2}"}], "text": f"Test {n % 50}"},
        "category": [{"coding": [{"code": "vital-signs" if n % 3 else "laboratory"}]}],
        "effectiveDateTime": f"20{n % 24:02}-{1 + n % 12:02}-{1 + n % 28:02}",
        "valueQuantity": {"value": n % 300, "system": "http://unitsofmeasure.org", "code": "mg"},
    }  # fmt: skip


def patient(n: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"p{n}",
        "name": [{"family": f"Fam{n}"}],
        "gender": "male" if n % 2 else "female",
    }


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[World]:
    resources = [*(patient(n) for n in range(40)), *(observation(n) for n in range(COUNT))]
    with world(module_database_url) as made, made.of(resources) as here:
        here.runner.run(here.conn.commit())
        with psycopg.connect(module_database_url, autocommit=True) as conn:
            conn.execute("SET search_path = mediconnect")
            conn.execute("VACUUM ANALYZE")
        yield here


def plan(here: World, text: str) -> dict[str, Any]:
    """The plan of a page as it was run."""
    fragment = Compiler(TENANT, here.types.code).page(query_of(text))
    cursor = psycopg.AsyncCursor(here.conn)
    here.runner.run(cursor.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + fragment.text.encode(), fragment.parameters))
    row = here.runner.run(cursor.fetchone())
    assert row is not None
    return (json.loads(row[0]) if isinstance(row[0], str) else row[0])[0]["Plan"]


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes(below)


PAGES = [
    "Observation?_count=20",
    "Observation?code=c1",
    "Observation?code=http://loinc.org|c1",
    "Observation?code=c0,c1",
    "Observation?category=vital-signs,laboratory&status=final",
    "Observation?patient=p3",
    "Observation?patient=p3&code=c1",
    "Observation?date=ge2001",
    "Observation?value-quantity=gt5",
    "Observation?code:not=c1",
    "Observation?date:missing=false",
    "Observation?_sort=-date",
    "Observation?_sort=date",
    "Observation?code=c1&_sort=-date",
    "Observation?_sort=code",
    "Observation?_sort=value-quantity",
    "Observation?_sort=-_lastUpdated",
    "Observation?_lastUpdated=gt2020",
    "Observation?_lastUpdated=lt2020",
    "Observation?_id=o5,o6",
    "Patient,Observation?_lastUpdated=gt2020",
]


@pytest.mark.parametrize("text", PAGES)
def test_a_page_costs_the_page_and_not_the_hits(filled: World, text: str):
    read = [
        n for n in nodes(plan(filled, text)) if "Scan" in n["Node Type"] and n.get("Relation Name", "shape") != "shape"
    ]
    assert not [n for n in read if n["Node Type"] == "Seq Scan"]
    rows = sum(
        n["Actual Rows"] * n["Actual Loops"] + n.get("Rows Removed by Filter", 0) * n["Actual Loops"] for n in read
    )
    assert rows < 700 + FEW, f"{rows} rows were read for 20"


WHOLE = [
    "Observation?patient.name=fam3",
    "Observation?patient.gender=male&code=c1",
    "Patient?_has:Observation:patient:code=c1",
    "Patient?name:contains=am3",
    "Observation?_content=test",
    "Observation?code:text=test",
    "Observation?_filter=code eq c1 and (date ge 2010 or value-quantity lt 5)",
    "Observation?_sort=patient.family",
    "Observation?_sort=patient",
    "Observation?code-value-quantity=c1$gt50",
    "Observation?code-value-quantity=http://loinc.org|c1$gt50",
    "Observation?combo-code-value-quantity=c1$gt50",
    "Observation?_list=x",
]


@pytest.mark.parametrize("text", [*PAGES, *WHOLE])
def test_no_statement_reads_a_table_of_the_index_from_end_to_end(filled: World, text: str):
    for line in filled.plan(text):
        assert "Seq Scan on index_" not in line
        assert "Seq Scan on resource" not in line
        assert "Seq Scan on version" not in line


def test_the_numbers_and_words_are_looked_up_in_their_indexes_although_tenants_are_kept_apart(filled: World):
    assert any(
        "index_quantity_value" in line or "index_quantity_source" in line
        for line in filled.plan("Observation?value-quantity=299")
    )
    conditions = [line for line in filled.plan("Observation?value-quantity=299") if "Index Cond" in line]
    assert any("low >=" in line for line in conditions)
    assert any("index_text_content" in line for line in filled.plan("Observation?_content=zebra"))


def test_statements_hold_no_value_and_no_offset(filled: World):
    compiler = Compiler(TENANT, filled.types.code)
    for text in (*PAGES, *WHOLE, "Patient?name=O'Neil%s&_count=3"):
        for fragment in (
            compiler.page(query_of(text)),
            compiler.count(query_of(text)),
            compiler.matches(query_of(text), 2),
        ):
            assert fragment.text.count("%s") == len(fragment.parameters)
            assert "O'Neil" not in fragment.text
            assert " OFFSET 0)" in fragment.text or "OFFSET" not in fragment.text
