"""Resources and queries for the search types, from small pools, so that values meet.

https://hypothesis.readthedocs.io/en/latest/reference/strategies.html
"""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from fhir_server.search.types.prefix import PREFIXES
from tests.fhir_server.search.types.asking import BASE

UCUM, LOINC, LOCAL = "http://unitsofmeasure.org", "http://loinc.org", "http://acme.org/codes"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

Resources = st.SearchStrategy[list[dict[str, Any]]]


def of_type(resource_type: str, **elements: st.SearchStrategy[Any]) -> Resources:
    made = st.fixed_dictionaries({"resourceType": st.just(resource_type)}, optional=elements)
    return st.lists(made, min_size=1, max_size=12)


def queries(*forms: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*forms), min_size=1, max_size=20)


def query(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda text: f"{name}={text}", value)


def pairs(name: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return query(name, st.builds(lambda code, text: f"{code}${text}", FEW_TOKENS, value))


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
FEW_CODES = st.sampled_from(("a", "b"))
FEW_CONCEPTS = st.fixed_dictionaries(
    {
        "coding": st.lists(
            st.fixed_dictionaries({"code": FEW_CODES}, optional={"system": st.just(LOINC)}), min_size=1, max_size=2
        )
    }
)
FEW_TOKENS = st.one_of(FEW_CODES, FEW_CODES.map(lambda code: f"{LOINC}|{code}"), FEW_CODES.map(lambda code: f"|{code}"))
IDENTIFIERS = st.one_of(
    st.fixed_dictionaries({}, optional={"system": SYSTEMS, "value": CODES, "type": CONCEPTS}),
    st.fixed_dictionaries({"value": FEW_CODES, "type": FEW_CONCEPTS}),
)
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
    {}, optional={"code": FEW_CONCEPTS, "valueQuantity": quantities(), "valueCodeableConcept": FEW_CONCEPTS}
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
    "valueCodeableConcept": FEW_CONCEPTS,
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
            query("identifier:of-type", st.builds(lambda *parts: "|".join(parts), st.just(LOINC), FEW_CODES, FEW_CODES)),
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
        of_type("Observation", code=FEW_CONCEPTS, component=st.lists(COMPONENTS, max_size=3), **OBSERVATIONS),
        queries(
            *(pairs(name, QUANTITY_TEXT) for name in ("code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity")),
            *(pairs(name, FEW_TOKENS) for name in ("code-value-concept", "component-code-value-concept", "combo-code-value-concept")),
            pairs("code-value-string", TEXTS),
            pairs("code-value-date", st.builds(str.__add__, PREFIX, DATES)),
        ),
    ),
    "composite of a reference": (
        of_type("DocumentReference", relatesTo=st.lists(st.fixed_dictionaries({}, optional={"code": st.sampled_from(("replaces", "appends")), "target": st.fixed_dictionaries({"reference": st.sampled_from(("DocumentReference/1", f"{BASE}/DocumentReference/1", "DocumentReference/2"))})}), max_size=3)),
        queries(query("relationship", st.sampled_from(("1$replaces", "DocumentReference/1$appends", "2$replaces", "3$appends", "1$x")))),
    ),
    "composite of numbers": (
        of_type(
            "MolecularSequence",
            referenceSeq=st.fixed_dictionaries({}, optional={"chromosome": FEW_CONCEPTS, "windowStart": SMALL, "windowEnd": SMALL}),
            variant=st.lists(st.fixed_dictionaries({}, optional={"start": SMALL, "end": SMALL}), max_size=3),
        ),
        queries(*(query(name, st.builds(lambda code, *ends: f"{code}${ends[0]}{ends[1]}${ends[2]}{ends[3]}", FEW_TOKENS, PREFIX, SMALL, PREFIX, SMALL)) for name in ("chromosome-variant-coordinate", "chromosome-window-coordinate"))),
    ),
    "near": (
        of_type("Location", position=st.fixed_dictionaries({"latitude": DEGREES, "longitude": LONGITUDES})),
        queries(query("near", st.builds(lambda latitude, longitude, distance: f"{latitude}|{longitude}|{distance}|km", DEGREES, LONGITUDES, st.sampled_from((0, 1, 50, 1000, 9000, 15000, 20100))))),
    ),
}  # fmt: skip
