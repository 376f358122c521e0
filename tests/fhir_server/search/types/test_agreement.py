"""SQL and memory give the same answer, for every search type, modifier and prefix.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from fhir_server.search.index import extract
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types import BY_TYPE
from fhir_server.search.types.prefix import PREFIXES
from fhir_server.store.migrate import SCHEMA
from fhir_server.store.rows import Rows
from tests.fhir_server.search.types.asking import BASE, CONTEXT, TENANT, parsed

UCUM, LOINC, LOCAL = "http://unitsofmeasure.org", "http://loinc.org", "http://acme.org/codes"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

Resources = st.SearchStrategy[list[dict[str, Any]]]
INSERTS = {
    "tokens": "INSERT INTO index_token (pk, tenant, key) VALUES (%s, %s, %s)",
    "references": "INSERT INTO index_reference (pk, tenant, key, target) VALUES (%s, %s, %s, %s)",
    "strings": "INSERT INTO index_string (pk, tenant, key, value, full_value, exact) VALUES (%s, %s, %s, %s, %s, %s)",
    "dates": "INSERT INTO index_date (pk, tenant, key, low, high) VALUES (%s, %s, %s, %s, %s)",
    "numbers": "INSERT INTO index_number (pk, tenant, key, low, high) VALUES (%s, %s, %s, %s, %s)",
    "quantities": (
        "INSERT INTO index_quantity (pk, tenant, key, low, high, code, label, canonical_key, canonical_low, canonical_high)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
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
        for field in fields(Rows):
            if field.name in INSERTS:
                lines = [
                    (pk, TENANT, *_columns(row)) for pk, one in enumerate(rows) for row in getattr(one, field.name)
                ]
                cursor.executemany(INSERTS[field.name], lines)


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


# --- what is generated: small pools, so that values meet ---------------------------------------------------------------


def of_type(resource_type: str, **elements: st.SearchStrategy[Any]) -> Resources:
    made = st.fixed_dictionaries({"resourceType": st.just(resource_type)}, optional=elements)
    return st.lists(made, min_size=1, max_size=12)


def queries(*forms: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*forms), min_size=1, max_size=20)


def query(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda text: f"{name}={text}", value)


PREFIX = st.sampled_from(("", *PREFIXES))
DATES = st.sampled_from(
    (
        "2013", "2014", "2013-01", "2013-06", "2013-12", "2013-06-15", "2013-06-30", "2013-07-01", "2013-06-15T10:00:00Z",
        "2013-06-15T10:00:00.000Z", "2013-06-15T12:00:00+02:00", "2013-06-15T09:59:59.9999Z", "2012-06-30T23:59:60Z",
        "2013-06-30T23:30:00-05:00", "0001", "9999", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2024-01-01",
    )
)  # fmt: skip
PERIODS = st.fixed_dictionaries({}, optional={"start": DATES, "end": DATES})
TIMINGS = st.fixed_dictionaries(
    {},
    optional={
        "event": st.lists(DATES, max_size=3),
        "repeat": st.fixed_dictionaries({}, optional={"boundsPeriod": PERIODS}),
    },
)
NUMBERS = st.one_of(
    st.sampled_from([Decimal(text) for text in ("0", "1", "5", "5.0", "5.4", "5.44", "5.45", "5400", "95", "105", "1E+2", "-5", "0.0054")]),
    st.decimals(min_value=-200, max_value=200, places=2, allow_nan=False),
)  # fmt: skip
WRITTEN_NUMBERS = st.one_of(
    st.sampled_from(("0", "5", "5.0", "5.4", "5.40", "1e2", "1.0e2", "100", "100.00", "-5", "5.40e-3", "9E0")),
    NUMBERS.map(str),
)
UNITS = st.sampled_from(
    ((UCUM, "mg"), (UCUM, "g"), (UCUM, "Cel"), (UCUM, "[degF]"), (UCUM, "nonsense"), (LOCAL, "mg"), (UCUM, "/min"))
)


@st.composite
def quantities(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {"value": draw(NUMBERS)}
    unit = draw(st.one_of(st.none(), UNITS))
    if unit:
        made |= {"system": unit[0], "code": unit[1]}
    return made | draw(
        st.fixed_dictionaries(
            {},
            optional={
                "unit": st.sampled_from(("mg", "milligram")),
                "comparator": st.sampled_from(("<", "<=", ">=", ">")),
            },
        )
    )


QUANTITY_TEXT = st.builds(
    lambda prefix, number, unit: prefix + number + unit,
    PREFIX,
    WRITTEN_NUMBERS,
    st.one_of(
        st.just(""),
        st.just("||"),
        st.sampled_from(("||mg", "||milligram")),
        UNITS.map(lambda unit: f"|{unit[0]}|{unit[1]}"),
    ),
)
RANGES = st.fixed_dictionaries({}, optional={"low": quantities(), "high": quantities()})
SAMPLES = st.fixed_dictionaries(
    {"origin": quantities(), "data": st.sampled_from(("1 2 3", "E U L", "-5 E 10.5", ""))},
    optional={"factor": NUMBERS, "upperLimit": NUMBERS},
)
TEXTS = st.one_of(
    st.sampled_from(("Anna", "anna", "Änna", "Anna-Maria", "Anna Maria", "O'Neil", "oneil", "a" * 128, "a" * 129, "A" * 140, "a" * 200 + "b", "%", "_", "ann_")),
    st.text(st.sampled_from("aAbÄß-' .%_\\\ud7ff\ue000\U0010ffff"), max_size=6),
)  # fmt: skip
CODES = st.sampled_from(("a", "A", "b", "B", "AMB", "amb", "x|y"))
SYSTEMS = st.sampled_from((LOINC, V3, LOCAL))
CODINGS = st.fixed_dictionaries({}, optional={"system": SYSTEMS, "code": CODES, "display": TEXTS})
CONCEPTS = st.fixed_dictionaries({}, optional={"coding": st.lists(CODINGS, max_size=3), "text": TEXTS})
IDENTIFIERS = st.fixed_dictionaries({}, optional={"system": SYSTEMS, "value": CODES, "type": CONCEPTS})
TOKEN_TEXT = st.one_of(
    CODES.map(lambda code: code.replace("|", "\\|")),
    st.builds(
        lambda system, code: f"{system}|{code}".replace("x|y", "x\\|y"),
        st.one_of(st.just(""), SYSTEMS),
        st.one_of(st.just(""), CODES),
    ),
)
TARGETS = st.sampled_from(
    (
        "Patient/1",
        "Patient/2",
        "Group/1",
        f"{BASE}/Patient/1",
        "http://other.example/Patient/1",
        "http://other.example/Group/1",
        "Patient/1/_history/2",
        "urn:uuid:1",
        "#1",
    )
)
REFERENCES = st.fixed_dictionaries({}, optional={"reference": TARGETS, "identifier": IDENTIFIERS})
CANONICALS = st.sampled_from(
    (
        "http://q",
        "http://q|1",
        "http://q|1.2",
        "http://q|1.2.3",
        "http://q/r",
        f"{BASE}/Questionnaire/1",
        "http://" + "q" * 150,
    )
)
URIS = st.one_of(
    CANONICALS, st.sampled_from(("http://a/b", "http://a/b/c", "http://a", "urn:oid:1.2", "http://" + "q" * 151))
)
COMPONENTS = st.fixed_dictionaries(
    {}, optional={"code": CONCEPTS, "valueQuantity": quantities(), "valueCodeableConcept": CONCEPTS}
)
DEGREES = st.decimals(min_value=-90, max_value=90, places=3, allow_nan=False)
LONGITUDES = st.one_of(
    st.sampled_from((Decimal(180), Decimal(-180), Decimal("179.99"), Decimal("-179.99"))),
    st.decimals(min_value=-180, max_value=180, places=3),
)
SMALL = st.integers(0, 4)

OBSERVATIONS = {
    "valueQuantity": quantities(),
    "valueSampledData": SAMPLES,
    "valueString": TEXTS,
    "valueCodeableConcept": CONCEPTS,
    "valueDateTime": DATES,
}
CASES: dict[str, tuple[Resources, st.SearchStrategy[list[str]]]] = {
    "date": (
        of_type("Observation", effectiveDateTime=DATES, effectiveInstant=DATES, effectivePeriod=PERIODS, effectiveTiming=TIMINGS),
        queries(query("date", st.builds(str.__add__, PREFIX, DATES))),
    ),
    "number": (
        of_type("RiskAssessment", prediction=st.lists(st.fixed_dictionaries({}, optional={"probabilityDecimal": NUMBERS, "probabilityRange": RANGES}), max_size=2)),
        queries(query("probability", st.builds(str.__add__, PREFIX, WRITTEN_NUMBERS))),
    ),
    "quantity": (of_type("Observation", **OBSERVATIONS), queries(query("value-quantity", QUANTITY_TEXT))),
    "range": (
        of_type("ValueSet", useContext=st.lists(st.fixed_dictionaries({}, optional={"valueRange": RANGES, "valueQuantity": quantities()}), max_size=2)),
        queries(query("context-quantity", QUANTITY_TEXT)),
    ),
    "string": (
        of_type("Patient", name=st.lists(st.fixed_dictionaries({}, optional={"family": TEXTS, "given": st.lists(TEXTS, max_size=2), "text": TEXTS}), max_size=2)),
        queries(*(query(name + modifier, TEXTS) for name in ("name", "family", "given") for modifier in ("", ":exact", ":contains", ":text"))),
    ),
    "token": (
        of_type("Condition", code=CONCEPTS, identifier=st.lists(IDENTIFIERS, max_size=2)),
        queries(
            *(query(name, TOKEN_TEXT) for name in ("code", "identifier", "code:below", "code:above")),
            query("identifier:of-type", st.builds(lambda *parts: "|".join(parts), SYSTEMS, st.sampled_from("abAB"), st.sampled_from("abAB"))),
            query("code:in", st.just("http://vs")),
            *(query(name, TEXTS) for name in ("code:text", "identifier:text")),
        ),
    ),
    "token of a code": (
        of_type("Patient", gender=st.sampled_from(("male", "female", "Male")), active=st.booleans(), telecom=st.lists(
            st.fixed_dictionaries({}, optional={"system": st.sampled_from(("phone", "email")), "use": st.sampled_from(("home", "work")), "value": st.sampled_from(("555 0100", "(555)0100", "a@B.c", "A@b.c"))}), max_size=2)),
        queries(
            query("gender", st.sampled_from(("male", "Male", "|male", "http://hl7.org/fhir/administrative-gender|male", "http://hl7.org/fhir/administrative-gender|", "http://x|male"))),
            query("active", st.sampled_from(("true", "false", "|true", "http://hl7.org/fhir/special-values|", "x|true"))),
            *(query(name, st.sampled_from(("5550100", "a@b.c", "home|5550100", "email|a@b.c", "|5550100", "phone|"))) for name in ("telecom", "phone", "email")),
        ),
    ),
    "reference": (
        of_type("Observation", subject=REFERENCES),
        queries(
            *(query(name, st.one_of(TARGETS, st.sampled_from("12"))) for name in ("subject", "patient", "subject:Patient", "subject:Group")),
            *(query(name, TOKEN_TEXT) for name in ("subject:identifier", "patient:identifier")),
        ),
    ),
    "canonical": (
        of_type("QuestionnaireResponse", questionnaire=CANONICALS),
        queries(*(query(name, st.one_of(CANONICALS, st.sampled_from(("1", "Questionnaire/1")))) for name in ("questionnaire", "questionnaire:below"))),
    ),
    "uri": (
        of_type("ValueSet", url=URIS, version=st.sampled_from(("1", "1.2", "B", "b")), meta=st.fixed_dictionaries({"profile": st.lists(CANONICALS, max_size=2)})),
        queries(*(query(name, st.one_of(URIS, URIS.map(lambda uri: uri + "|b"))) for name in ("url", "url:below", "url:above", "_profile", "_profile:below"))),
    ),
    "composite": (
        of_type("Observation", code=CONCEPTS, component=st.lists(COMPONENTS, max_size=3), **OBSERVATIONS),
        queries(
            *(query(name, st.builds(lambda code, value: f"{code}${value}", TOKEN_TEXT, QUANTITY_TEXT)) for name in ("code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity")),
            *(query(name, st.builds(lambda code, value: f"{code}${value}", TOKEN_TEXT, TOKEN_TEXT)) for name in ("code-value-concept", "component-code-value-concept", "combo-code-value-concept")),
            query("code-value-string", st.builds(lambda code, value: f"{code}${value}", TOKEN_TEXT, TEXTS)),
            query("code-value-date", st.builds(lambda code, prefix, value: f"{code}${prefix}{value}", TOKEN_TEXT, PREFIX, DATES)),
        ),
    ),
    "composite of a reference": (
        of_type("DocumentReference", relatesTo=st.lists(st.fixed_dictionaries({}, optional={"code": st.sampled_from(("replaces", "appends")), "target": st.fixed_dictionaries({"reference": st.sampled_from(("DocumentReference/1", f"{BASE}/DocumentReference/1", "DocumentReference/2"))})}), max_size=3)),
        queries(query("relationship", st.sampled_from(("1$replaces", "DocumentReference/1$appends", "2$replaces", "3$appends", "1$x")))),
    ),
    "composite of numbers": (
        of_type(
            "MolecularSequence",
            referenceSeq=st.fixed_dictionaries({}, optional={"chromosome": CONCEPTS, "windowStart": SMALL, "windowEnd": SMALL}),
            variant=st.lists(st.fixed_dictionaries({}, optional={"start": SMALL, "end": SMALL}), max_size=3),
        ),
        queries(*(query(name, st.builds(lambda code, *ends: f"{code}${ends[0]}{ends[1]}${ends[2]}{ends[3]}", TOKEN_TEXT, PREFIX, SMALL, PREFIX, SMALL)) for name in ("chromosome-variant-coordinate", "chromosome-window-coordinate"))),
    ),
    "near": (
        of_type("Location", position=st.fixed_dictionaries({"latitude": DEGREES, "longitude": LONGITUDES})),
        queries(query("near", st.builds(lambda latitude, longitude, distance: f"{latitude}|{longitude}|{distance}|km", DEGREES, LONGITUDES, st.sampled_from((0, 1, 50, 1000, 9000, 15000, 20100))))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_database_finds_what_memory_matches(name: str, connection: psycopg.Connection[Any]) -> None:
    resources, asked = CASES[name]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
    @given(resources, asked)
    def check(some: list[dict[str, Any]], texts: list[str]) -> None:
        agree(connection, some, texts)

    check()


# --- plans -------------------------------------------------------------------------------------------------------------

FILL: dict[str, LiteralString] = {
    "index_token": "INSERT INTO index_token (key, pk, tenant) SELECT n % 50, n, 1 FROM generate_series(1, 20000) n",
    "index_reference": "INSERT INTO index_reference (key, target, pk, tenant) SELECT n % 7, n % 500, n, 1 FROM generate_series(1, 20000) n",
    "index_string": "INSERT INTO index_string (key, pk, tenant, value) SELECT n % 50, n, 1, 'v' || n FROM generate_series(1, 20000) n",
    "index_date": (
        "INSERT INTO index_date (key, low, high, pk, tenant) SELECT n % 50, d, d + interval '1 day', n, 1"
        " FROM (SELECT n, timestamptz '2000-01-01Z' + n * interval '1 hour' AS d FROM generate_series(1, 20000) n) s"
    ),
    "index_number": "INSERT INTO index_number (key, pk, tenant, low, high) SELECT n % 50, n, 1, n, n FROM generate_series(1, 20000) n",
    "index_quantity": (
        "INSERT INTO index_quantity (key, pk, tenant, low, high, canonical_key, canonical_low, canonical_high)"
        " SELECT n % 50, n, 1, n, n, n % 50, n, n FROM generate_series(1, 20000) n"
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
