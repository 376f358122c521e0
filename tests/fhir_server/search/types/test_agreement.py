"""SQL and memory give the same answer, for every search type, modifier and prefix.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from fhir_server.outcome import Refusal
from fhir_server.search.index import extract
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types import BY_TYPE
from fhir_server.search.types.prefix import PREFIXES
from fhir_server.store.migrate import SCHEMA
from tests.fhir_server.search.types.asking import CONTEXT, TENANT, parsed
from tests.fhir_server.search.types.generated import CASES, LOCAL, LOINC, UCUM, V3

INSERTS = {
    "tokens": "INSERT INTO index_token (pk, key) VALUES (%s, %s)",
    "references": "INSERT INTO index_reference (pk, key, target) VALUES (%s, %s, %s)",
    "strings": "INSERT INTO index_string (pk, key, value, full_value, exact) VALUES (%s, %s, %s, %s, %s)",
    "dates": "INSERT INTO index_date (pk, key, low, high) VALUES (%s, %s, %s, %s)",
    "numbers": "INSERT INTO index_number (pk, key, low, high) VALUES (%s, %s, %s, %s)",
    "quantities": (
        "INSERT INTO index_quantity (pk, key, low, high, code, label, canonical_key, canonical_low, canonical_high)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    ),
}
CONTEXT_WITH_TERMINOLOGY = replace(
    CONTEXT,
    codes_of=lambda value_set: {(LOINC, "a"), (V3, "AMB"), (LOCAL, "B")} if value_set == "http://vs" else None,
    subsumed=lambda _, code, direction: {code, "a", "AMB"} if direction == "below" else {code, "b"},
)

# --- the database: one connection, everything of an example rolled back ------------------------------------------------


@pytest.fixture(scope="module")
def connection(module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(module_database_url, options="-c search_path=" + SCHEMA) as opened:
        yield opened


def write(connection: psycopg.Connection[Any], resources: list[dict[str, Any]]) -> None:
    """The index rows of the resources, whose pk is their place in the list."""
    rows = [extract(resource, r4_parameters(), TENANT) for resource in resources]
    with connection.cursor() as cursor:
        for name, statement in INSERTS.items():
            lines = [(pk, *_columns(row)) for pk, one in enumerate(rows) for row in getattr(one, name)]
            cursor.executemany(statement, lines)


def _columns(row: Any) -> tuple[Any, ...]:
    return row if isinstance(row, tuple) else (row,)


def by_sql(connection: psycopg.Connection[Any], resource_type: str, query: str) -> set[int]:
    parameter, modifier, value = parsed(resource_type, query, CONTEXT_WITH_TERMINOLOGY)
    condition = BY_TYPE[parameter.type].condition(parameter, modifier, value, TENANT)
    return {pk for (pk,) in connection.execute(condition.text, condition.parameters)}


def in_memory(resources: list[dict[str, Any]], resource_type: str, query: str) -> set[int]:
    parameter, modifier, value = parsed(resource_type, query, CONTEXT_WITH_TERMINOLOGY)
    matches = BY_TYPE[parameter.type].matches
    return {pk for pk, resource in enumerate(resources) if matches(parameter, modifier, value, resource, TENANT)}


def agree(connection: psycopg.Connection[Any], resources: list[dict[str, Any]], queries: list[str]) -> None:
    resource_type = resources[0]["resourceType"]
    with connection.transaction(force_rollback=True):
        write(connection, resources)
        for query in queries:
            try:
                expected = in_memory(resources, resource_type, query)
            except Refusal:
                continue
            assert by_sql(connection, resource_type, query) == expected, query


@pytest.mark.parametrize("name", CASES)
def test_the_database_finds_what_memory_matches(name: str, connection: psycopg.Connection[Any]) -> None:
    resources, asked = CASES[name]

    @settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink)
    )
    @given(resources, asked)
    def check(some: list[dict[str, Any]], texts: list[str]) -> None:
        agree(connection, some, texts)

    check()


# --- plans -------------------------------------------------------------------------------------------------------------

FILL: dict[str, LiteralString] = {
    "index_token": "INSERT INTO index_token (key, pk) SELECT n % 50, n FROM generate_series(1, 20000) n",
    "index_reference": "INSERT INTO index_reference (key, target, pk) SELECT n % 7, n % 500, n FROM generate_series(1, 20000) n",
    "index_string": "INSERT INTO index_string (key, pk, value) SELECT n % 50, n, 'v' || n FROM generate_series(1, 20000) n",
    "index_date": (
        "INSERT INTO index_date (key, low, high, pk) SELECT n % 50, d, d + interval '1 day', n"
        " FROM (SELECT n, timestamptz '2000-01-01Z' + n * interval '1 hour' AS d FROM generate_series(1, 20000) n) s"
    ),
    "index_number": "INSERT INTO index_number (key, pk, low, high) SELECT n % 50, n, n, n FROM generate_series(1, 20000) n",
    "index_quantity": (
        "INSERT INTO index_quantity (key, pk, low, high, canonical_key, canonical_low, canonical_high)"
        " SELECT n % 50, n, n, n, n % 50, n, n FROM generate_series(1, 20000) n"
    ),
}  # fmt: skip
PLANNED: list[tuple[str, str]] = [
    *(("Observation", f"date={prefix}2001-06") for prefix in PREFIXES),
    *(("RiskAssessment", f"probability={prefix}50") for prefix in PREFIXES),
    *(("Observation", f"value-quantity={prefix}50|{UCUM}|mg") for prefix in PREFIXES),
    *(("Observation", f"value-quantity={prefix}50") for prefix in PREFIXES),
    ("Condition", f"code={LOINC}|1"),
    ("Condition", "code:text=v1"),
    ("Observation", "subject=Patient/1"),
    ("Observation", "subject=1"),
    ("Patient", "family=v1"),
    ("Patient", "family:exact=v1"),
    ("Patient", "family:contains=v1"),
    ("ValueSet", "url=v1"),
    ("ValueSet", "url:below=v1"),
    ("ValueSet", "url:above=v1"),
    ("Observation", "component-code-value-quantity=1$gt5"),
    ("Observation", "combo-code-value-concept=1$2"),
    ("MolecularSequence", "chromosome-variant-coordinate=1$gt5$lt6"),
    ("Location", "near=1|1"),
]


def test_every_condition_is_answered_from_an_index(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        for table, fill in FILL.items():
            connection.execute(fill)
            connection.execute(psycopg.sql.SQL("ANALYZE {}").format(psycopg.sql.Identifier(table)))
        for resource_type, text in PLANNED:
            parameter, modifier, value = parsed(resource_type, text)
            condition = BY_TYPE[parameter.type].condition(parameter, modifier, value, TENANT)
            plan = connection.execute("EXPLAIN " + condition.text, condition.parameters).fetchall()
            assert not any("Seq Scan" in line for (line,) in plan), (text, plan)
