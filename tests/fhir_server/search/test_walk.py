"""Walks find what a statement planned for its values finds, and read no more than their bound, by the plan that is kept.

https://hl7.org/fhir/R4/search.html; docs/performance.md
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest

from fhir_server.search import execute
from fhir_server.search.condition import FEW
from fhir_server.search.execute import Search
from fhir_server.search.explain import Explained, explained
from fhir_server.search.fragment import sql
from fhir_server.search.walk import KNOWN, MOST, MOST_KNOWN, Known, Lead, walk
from fhir_server.store.changes import write
from fhir_server.store.rows import Rows
from tests.fhir_server.search.world import NOW, TENANT, World, query_of, world

COUNT, RARE, PATIENTS, VERSIONS = 2500, 7, 40, 60


def observation(n: int) -> dict[str, Any]:
    """Of `many` there are more than a walk takes; the few are the last, so that a walk over the many does not meet them."""
    return {
        "resourceType": "Observation", "id": f"o{n}", "status": "final", "subject": {"reference": f"Patient/p{n % PATIENTS}"},
        "code": coded(n % 3 > 0 or n >= COUNT - RARE, "few" if n >= COUNT - RARE else "many"),
        "effectiveDateTime": f"2{n % 900:03}-01-01",
        "valueQuantity": {"value": n, "system": "http://unitsofmeasure.org", "code": "mg"},
    } | ({"component": [{"code": coded(n % 4 > 1, "part"), "valueQuantity": {"value": n}}]} if n % 2 else {})  # fmt: skip


def coded(loinc: bool, code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org" if loinc else "http://elsewhere.org", "code": code}]}


def patient(n: int) -> dict[str, Any]:
    name = [{"family": f"Family {n % 4}", "given": [f"Given{n % 3}"]}]
    born = {"birthDate": f"19{n:02}-01-01"} if n % 5 else {}
    return {"resourceType": "Patient", "id": f"p{n}", "gender": "male" if n % 9 else "female", "name": name, **born}


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[World]:
    resources = [*(patient(n) for n in range(PATIENTS)), *(observation(n) for n in range(COUNT))]
    with world(module_database_url) as made, made.of(resources) as here:
        for version in range(2, VERSIONS):
            rewrite(here, "Patient/p0", version)
        here.runner.run(here.conn.commit())
        with psycopg.connect(module_database_url, autocommit=True) as conn:
            conn.execute("SET search_path = mediconnect")
            conn.execute("VACUUM ANALYZE")
        yield here


def rewrite(here: World, name: str, version: int) -> None:
    """One version more of a resource, whose index rows stay."""
    (found,) = here.page(query_of(name.replace("/", "?_id="))).matches
    one = msgspec.structs.replace(
        here._write(here.kept[name], NOW), pk=found.pk, version=version, method="U", added=Rows()
    )
    here.runner.run(write(here.conn, TENANT, [one], here.shapes))


WALKED = [
    "Patient?family=family",
    "Patient?family=fam&given=given1",
    "Patient?gender=female&family=family",
    "Patient?name=given2,family",
    "Patient?name:exact=Given1&gender=male",
    "Observation?patient=p3&code=many&date=ge2100-01-01",
    "Observation?patient=p3&code:not=few",
    "Observation?patient=p3,p4&status=final",
    "Observation?code=many&status=final",
    "Observation?date=ge2895",
    "Observation?date=ge2100",
    "Observation?date=2100-01-01",
    "Observation?value-quantity=gt2480",
    "Observation?value-quantity=gt1",
    "Observation?code-value-quantity=few$gt1",
    "Observation?code-value-quantity=many$gt1",
    "Observation?code-value-quantity=http://loinc.org|few$gt1",
    "Observation?code-value-quantity=http://loinc.org|many$gt1",
    "Observation?code-value-quantity=http://elsewhere.org|few$gt1",
    "Observation?code-value-quantity=http://elsewhere.org|many$gt1",
    "Observation?combo-code-value-quantity=http://loinc.org|few$gt1",
    "Observation?combo-code-value-quantity=http://loinc.org|many$gt1",
    "Observation?combo-code-value-quantity=http://elsewhere.org|many$gt1",
    "Observation?combo-code-value-quantity=http://elsewhere.org|few$gt1",
    "Observation?combo-code-value-quantity=http://loinc.org|part$gt1",
    "Observation?combo-value-quantity=lt5",
    "Observation?code:text=any",
    "Observation?patient=p3&_sort=-date",
    "Observation?patient=p3,p4&status=final&_sort=date",
    "Observation?patient=p3&date=ge2100&_sort=-value-quantity,_id",
    "Observation?patient=p3&_sort=-_lastUpdated",
    "Patient?family=family&_sort=birthdate",
    "Patient?name=fam&gender=male&_sort=-family,given",
]
# What leads is longer than a walk, and the page is not among its first.
CUT = ["Observation?status=final&code=few", "Observation?status=final&value-quantity=gt2490"]
NOT_WALKED = [
    "Patient",
    "Patient?_id=p1",
    "Patient?name:contains=a",
    "Observation?code=many&_sort=date",
    "Observation?patient=p3&_sort=code",
    "Observation?patient=p3&_sort=patient.family",
    "Observation?value-quantity=5|http://unitsofmeasure.org|mg",
    "Observation?patient.gender=male",
    "Observation?patient=p3&_content=a",
    "Observation?code:not=many",
    "Observation?date=ne2100",
    "Observation?date=ge2100&date=lt2200",
]


def plan(here: World, text: str) -> dict[str, Any]:
    """The plan for all values, as it was run for these."""
    found = walk(here.scope(), query_of(text), Known())
    assert found is not None
    return here.kept_plan(found[1])


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from nodes(below)


def rows(node: dict[str, Any], table: str) -> float:
    """The rows that scans of tables gave or passed over, in all their rounds."""
    scans = [n for n in nodes(node) if n.get("Relation Name", "").startswith(table)]
    removed = ("Rows Removed by Filter", "Rows Removed by Join Filter")
    return sum(n["Actual Loops"] * (n["Actual Rows"] + sum(n.get(name, 0) for name in removed)) for n in scans)


@pytest.mark.parametrize("text", [*WALKED, *CUT])
def test_a_walk_finds_what_is_planned_for_the_values_on_every_page_both_ways(filled: World, text: str):
    query = query_of(f"{text}&_count=15")
    assert walk(filled.scope(), query, Known()) is not None
    pages: list[list[str]] = []
    found = filled.page(query)
    while True:
        pages.append([f"{one.type}/{one.id}" for one in found.matches])
        assert pages[-1] == filled.planned(query)
        if found.following is None or len(pages) == 4:
            break
        query = replace(query, page=found.following)
        found = filled.page(query)
    while found.preceding is not None and len(pages) > 1:
        pages.pop()
        found = filled.page(replace(query, page=found.preceding))
        assert [f"{one.type}/{one.id}" for one in found.matches] == pages[-1]
    assert len(pages) == 1


@pytest.mark.parametrize("text", [*WALKED, *CUT])
def test_the_plan_that_is_kept_reads_no_more_than_a_walk_takes(filled: World, text: str):
    made = plan(filled, text)
    assert not [n for n in nodes(made) if n["Node Type"] == "Seq Scan"]
    terms = text.count("=") + 1
    assert rows(made, "index_") <= (MOST + FEW + 2) * terms
    assert rows(made, "version") <= 22


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("Observation?patient=p3&date=lt2800", "index_date"),
        ("Observation?patient=p3&date=ge2001&date=lt2800", "index_date"),
        ("Observation?patient=p3&value-quantity=gt1", "index_quantity"),
        ("Observation?patient=p3&code=many&status=final", "index_token"),
        ("Observation?patient=p3&code:text=a", "index_string"),
    ],
)
def test_what_is_asked_beside_a_patient_is_looked_up_for_his_resources_alone(filled: World, text: str, table: str):
    """Of 2,500 observations 63 are his."""
    assert rows(plan(filled, text), table) <= 2 * (COUNT // PATIENTS + 1)


def test_of_a_resource_with_many_versions_one_is_read(filled: World):
    assert rows(plan(filled, "Patient?family=family 0&given=given0"), "version") <= 22


def test_a_day_is_looked_up_in_the_index_of_beginnings(filled: World):
    """Not among all that ended before."""
    assert rows(plan(filled, "Observation?date=2899-01-01"), "index_date") <= 3


def told(here: World, text: str) -> list[Explained]:
    async def listed() -> list[Explained]:
        search = Search(here.conn, TENANT, here.types, here.parameters)
        return [one async for one in explained(search, query_of(text))]

    return here.runner.run(listed())


def test_what_is_explained_is_the_plan_for_all_values_where_that_is_kept(filled: World):
    """It names the values' places; a plan that is made for the values names these."""
    (settled,) = told(filled, "Observation?code=many")
    assert settled.kept
    assert "$1" in settled.plan
    (planned,) = told(filled, "Observation?code=many&_sort=date")
    assert not planned.kept
    assert "$1" not in planned.plan
    assert (
        str(next(value for value in planned.statement.parameters if isinstance(value, int) and value > TENANT))
        in planned.plan
    )


def test_where_a_walk_is_cut_the_statement_behind_it_is_explained_too(filled: World, monkeypatch: pytest.MonkeyPatch):
    text = CUT[1]
    monkeypatch.setattr(execute, "KNOWN", Known())
    assert [(one.part, one.kept) for one in told(filled, text)] == [("page", True), ("page", False)]
    assert filled.page(query_of(text)).matches
    again = told(filled, f"{text}&_total=accurate")
    assert [(one.part, one.kept) for one in again] == [("page", False), ("count", False)], "it is known now"


@pytest.mark.parametrize("text", CUT)
def test_a_lead_that_was_too_long_is_known_and_tried_no_more(filled: World, text: str):
    found = walk(filled.scope(), query_of(text), Known())
    assert found is not None
    assert filled.page(query_of(text)).matches
    assert found[0] in KNOWN


def test_what_is_known_is_bounded():
    known = Known()
    leads = [Lead((sql("SELECT %s", n),)) for n in range(MOST_KNOWN + 1)]
    for lead in leads:
        known.add(lead)
    assert leads[0] not in known
    assert all(lead in known for lead in leads[1:])


@pytest.mark.parametrize("text", NOT_WALKED)
def test_what_has_no_rows_to_walk_over_is_planned(filled: World, text: str):
    assert walk(filled.scope(), query_of(text), Known()) is None
