"""Whatever is asked of a small world, the database finds what memory matches, on one page or on many.

https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fhir_server.outcome import Refusal
from fhir_server.search.match import Matcher
from tests.fhir_server.search.world import CONTEXT, TENANT, World, query_of, world

LOINC, LOCAL = "http://loinc.org", "http://acme.org/codes"


@pytest.fixture(scope="module")
def empty(module_database_url: str) -> Iterator[World]:
    with world(module_database_url) as made:
        yield made


# --- worlds: few ids and few values, so that they meet -----------------------------------------------------------------

IDS = st.sampled_from("abcd")
NAMES = st.sampled_from(("Anna", "anna", "Änne", "Bo", "Anna Maria", "O'Neil", "x" * 130, "x" * 130 + "y"))
CODES = st.sampled_from("abA")
CODINGS = st.fixed_dictionaries(
    {"code": CODES},
    optional={"system": st.sampled_from((LOINC, LOCAL)), "display": st.sampled_from(("Blood", "blood sugar"))},
)
CONCEPTS = st.fixed_dictionaries({}, optional={"coding": st.lists(CODINGS, max_size=2), "text": NAMES})
DATES = st.sampled_from(("2020", "2020-02", "2020-02-03", "2021-05-05T10:00:00Z", "2019-12-31T23:59:59.5+01:00"))
PERIODS = st.fixed_dictionaries({}, optional={"start": DATES, "end": DATES})
QUANTITIES = st.fixed_dictionaries(
    {"value": st.integers(0, 3)},
    optional={"system": st.just("http://unitsofmeasure.org"), "code": st.sampled_from(("mg", "g"))},
)
META = st.fixed_dictionaries({}, optional={"tag": st.lists(CODINGS, max_size=1), "profile": st.just(["http://p/1|2"])})
NARRATIVES = st.sampled_from(("<div>Blood sugar high</div>", "<div>no <b>blood</b></div>", "<div> </div>"))
TEXT = st.builds(lambda div: {"status": "generated", "div": div}, NARRATIVES)


def references(*kinds: str) -> st.SearchStrategy[Any]:
    literal = st.builds(lambda kind, name: {"reference": f"{kind}/{name}"}, st.sampled_from(kinds), IDS)
    absolute = literal.map(lambda one: {"reference": f"{CONTEXT.base}/{one['reference']}"})
    local = IDS.map(lambda name: {"reference": f"#{name}"})
    odd = (st.just({"reference": "urn:uuid:1"}), st.just({"display": "nobody"}))
    return st.one_of(literal, literal, local, absolute, *odd)


def resources(kind: str, **elements: Any) -> st.SearchStrategy[dict[str, Any]]:
    needed = {"resourceType": st.just(kind), "id": IDS}
    return st.fixed_dictionaries(needed, optional={"meta": META, "text": TEXT, **elements})


INSIDE = st.one_of(
    st.fixed_dictionaries(
        {"resourceType": st.just("Patient"), "id": IDS},
        optional={
            "name": st.lists(st.fixed_dictionaries({"family": NAMES}), max_size=1),
            "active": st.booleans(),
            "generalPractitioner": st.lists(references("Practitioner"), max_size=1),
        },
    ),
    st.fixed_dictionaries(
        {"resourceType": st.just("Observation"), "id": IDS},
        optional={"status": st.just("final"), "code": CONCEPTS, "subject": references("Patient")},
    ),
)
PATIENTS = resources(
    "Patient",
    name=st.lists(
        st.fixed_dictionaries({}, optional={"family": NAMES, "given": st.lists(NAMES, max_size=2)}), max_size=2
    ),
    gender=st.sampled_from(("male", "female")),
    active=st.booleans(),
    birthDate=st.sampled_from(("2020", "2020-02", "2020-02-03")),
    identifier=st.lists(st.fixed_dictionaries({"value": CODES}, optional={"system": st.just(LOCAL)}), max_size=2),
    generalPractitioner=st.lists(references("Practitioner", "Organization"), max_size=2),
)
PRACTITIONERS = resources(
    "Practitioner", name=st.lists(st.fixed_dictionaries({"family": NAMES}), max_size=1), active=st.booleans()
)
ORGANIZATIONS = resources("Organization", name=NAMES, partOf=references("Organization"), active=st.booleans())
OBSERVATIONS = resources(
    "Observation",
    status=st.sampled_from(("final", "amended")),
    code=CONCEPTS,
    subject=references("Patient", "Group"),
    performer=st.lists(references("Practitioner", "Patient"), max_size=2),
    effectiveDateTime=DATES,
    effectivePeriod=PERIODS,
    valueQuantity=QUANTITIES,
    component=st.lists(st.fixed_dictionaries({"code": CONCEPTS}, optional={"valueQuantity": QUANTITIES}), max_size=2),
    derivedFrom=st.lists(references("Observation"), max_size=1),
    contained=st.lists(INSIDE, max_size=2, unique_by=lambda one: one["id"]),
)
LISTS = resources(
    "List", entry=st.lists(st.fixed_dictionaries({"item": references("Patient", "Observation")}), max_size=3)
)
ANY = st.one_of(PATIENTS, OBSERVATIONS, OBSERVATIONS, PRACTITIONERS, ORGANIZATIONS, LISTS)


def once(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(one["resourceType"], one["id"]): one for one in made}.values())


WORLDS = st.lists(ANY, min_size=1, max_size=14).map(once)

# --- questions -----------------------------------------------------------------------------------------------------------

TOKENS = st.sampled_from(("a", "b", "A", f"{LOINC}|a", f"{LOCAL}|", "|a", "a,b", f"{LOINC}|a,{LOCAL}|b", "zz"))
STRINGS = st.sampled_from(("an", "anna", "anna,bo", "O'N", "x" * 130, "zz", "maria"))
PREFIXED = st.builds(
    str.__add__,
    st.sampled_from(("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")),
    st.sampled_from(("2020", "2020-02", "2021-05-05T10:00:00Z")),
)
AMOUNTS = st.builds(
    str.__add__,
    st.sampled_from(("", "gt", "le", "ne")),
    st.sampled_from(("1", "2", "0.001|http://unitsofmeasure.org|g", "1||mg")),
)
TRUTHS = st.sampled_from(("true", "false"))
ASKED_WORDS = st.sampled_from(
    (
        "blood",
        "blood sugar",
        "blood AND NOT high",
        "blood OR anna",
        '"blood sugar"',
        '"sugar blood"',
        "an*",
        "(high OR no) blood",
        "NOT blood",
    )
)


def ask(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return values.map(lambda value: f"{name}={value}")


OF_ALL = [
    ask("_id", st.sampled_from(("a", "a,b", "z"))),
    ask("_id:not", st.sampled_from(("a", "a,b"))),
    ask("_lastUpdated", st.sampled_from(("ge2024-06-01T00:00:00.003Z", "lt2024-06-01T00:00:00.005Z", "2024-06-01T00:00:00.002Z", "ne2024-06-01T00:00:00.001Z", "2024"))),
    ask("_tag", TOKENS),
    ask("_tag:not", TOKENS),
    ask("_profile", st.sampled_from(("http://p/1", "http://p/1|2", "http://p"))),
    ask("_profile:below", st.just("http://p")),
    ask("_text", ASKED_WORDS),
    ask("_content", ASKED_WORDS),
    ask("_list", st.sampled_from(("a", "List/b", "a,b"))),
    ask("_tag:missing", TRUTHS),
]  # fmt: skip
OF_PERSON = [
    ask("name", STRINGS), ask("name:exact", STRINGS), ask("name:contains", STRINGS), ask("family", STRINGS),
    ask("active", TRUTHS), ask("active:not", TRUTHS), ask("name:missing", TRUTHS),
]  # fmt: skip
OF_PATIENT = [
    *OF_ALL, *OF_PERSON,
    ask("birthdate", PREFIXED), ask("gender", st.sampled_from(("male", "female,male"))), ask("gender:not", st.just("male")),
    ask("identifier", TOKENS), ask("general-practitioner", st.sampled_from(("a", "Practitioner/a", "Organization/b,Practitioner/c"))),
    ask("general-practitioner.name", STRINGS), ask("general-practitioner:Organization.name", STRINGS),
    ask("organization:missing", TRUTHS), ask("general-practitioner:missing", TRUTHS),
    ask("general-practitioner:Organization.partof.name", STRINGS),
    ask("_has:Observation:patient:code", TOKENS), ask("_has:Observation:patient:date", PREFIXED),
    ask("_has:Observation:performer:status", st.just("final")), ask("_has:Observation:subject:code:not", TOKENS),
    ask("_has:Observation:patient:_has:Observation:derived-from:status", st.just("final")),
    ask("_has:Observation:patient:performer.name", STRINGS),
    ask("_filter", st.sampled_from((
        'name eq "anna"', 'name co "nn"', 'name sw an', 'name ew "ia"', "birthdate ge 2020-02", "birthdate po 2020-02",
        "not (active eq true) and gender eq male", "gender ne male", "(name sw an or name sw bo) and birthdate lt 2021",
        "general-practitioner.name co an", 'general-practitioner[active eq true].name co "an"', "gender pr true", "name pr false",
        "_id eq a or _id eq b", "identifier eq a and not (identifier eq b)", "general-practitioner re Practitioner/a",
        "general-practitioner:Organization.partof.active eq true", "not (not (active eq false))",
    ))),
]  # fmt: skip
OF_OBSERVATION = [
    *OF_ALL,
    ask("code", TOKENS), ask("code:not", TOKENS), ask("combo-code", TOKENS), ask("component-code", TOKENS), ask("code:text", st.sampled_from(("blood", "an"))),
    ask("date", PREFIXED), ask("date:missing", TRUTHS), ask("status", st.sampled_from(("final", "final,amended"))),
    ask("value-quantity", AMOUNTS), ask("combo-value-quantity", AMOUNTS),
    ask("code-value-quantity", st.sampled_from(("a$gt1", "b$2,a$0", f"{LOINC}|a$le2"))), ask("component-code-value-quantity", st.sampled_from(("a$gt1", "b$1"))),
    ask("combo-code-value-quantity", st.sampled_from(("a$gt1", "b$1"))),
    ask("subject", st.sampled_from(("a", "Patient/a", "Patient/a,Group/b"))), ask("patient", st.sampled_from(("a", "Patient/b"))),
    ask("patient:missing", TRUTHS), ask("subject:missing", TRUTHS), ask("subject:Patient", IDS),
    ask("patient.name", STRINGS), ask("subject:Patient.gender:not", st.just("male")), ask("subject.active", TRUTHS),
    ask("patient.general-practitioner.name", STRINGS), ask("patient._id", IDS), ask("patient._has:Observation:performer:status", st.just("final")),
    ask("derived-from:Observation.code", TOKENS), ask("derived-from.derived-from.status", st.just("final")),
    ask("performer:Practitioner.active:not", TRUTHS), ask("patient._lastUpdated", st.just("ge2024-06-01T00:00:00.003Z")),
    ask("patient.birthdate:missing", TRUTHS), ask("patient._content", ASKED_WORDS),
    ask("_filter", st.sampled_from(("code eq a and date ge 2020-02", "subject.name co an", "not (patient.gender eq male)", "value-quantity gt 1 or status eq amended"))),
]  # fmt: skip
OF_BOTH = [*OF_ALL, *OF_PERSON]


def queries(kinds: str, asked: list[Any]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(asked), min_size=0, max_size=3).map(lambda some: f"{kinds}?{'&'.join(some)}")


QUERIES = st.one_of(
    queries("Patient", OF_PATIENT),
    queries("Observation", OF_OBSERVATION),
    queries("Patient,Practitioner", OF_BOTH),
    queries("", OF_ALL),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORLDS, st.lists(QUERIES, min_size=1, max_size=8), st.integers(1, 4))
def test_the_database_finds_what_memory_matches(empty: World, made: list[Any], asked: list[str], size: int) -> None:
    with empty.of(made) as here:
        for question in asked:
            query = query_of(question)
            expected = here.in_memory(query)
            assert set(here.names(question)) == expected, question
            paged = [name for page in here.pages(query_of(f"{question}&_count={size}")) for name in page]
            assert sorted(paged) == sorted(expected), f"{question} by {size}"
            assert paged[:size] == here.planned(query_of(f"{question}&_count={size}")), f"{question} by {size}, planned"
            assert here.count(question) == len(expected), f"count of {question}"


SORTS = {
    "Patient": ("family", "birthdate", "gender", "active", "identifier", "_id", "_lastUpdated", "general-practitioner", "general-practitioner:Organization.name", "organization.partof.name"),
    "Observation": ("code", "date", "status", "value-quantity", "patient", "patient.family", "subject:Patient.birthdate", "_tag", "combo-value-quantity", "combo-code"),
}  # fmt: skip


@st.composite
def sorted_queries(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(list(SORTS)))
    keys = draw(st.lists(st.sampled_from(SORTS[kind]), min_size=1, max_size=3, unique=True))
    signs = [draw(st.sampled_from(("", "-"))) for _ in keys]
    asked = draw(queries(kind, OF_PATIENT if kind == "Patient" else OF_OBSERVATION))
    return f"{asked}&_sort={','.join(sign + name for sign, name in zip(signs, keys, strict=True))}"


TWO_NAMELESS: list[Any] = [{"resourceType": "Patient", "id": one} for one in "ab"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORLDS, st.lists(sorted_queries(), min_size=1, max_size=6), st.integers(1, 4))
@example(
    TWO_NAMELESS, ["Patient?_sort=family,-_id"], 1
)  # among those without the first value, the second has its own direction
@example(TWO_NAMELESS, ["Patient?_sort=-family,_id"], 1)
def test_pages_in_an_order_are_that_order_cut_forwards_and_backwards(
    empty: World, made: list[Any], asked: list[str], size: int
) -> None:
    with empty.of(made) as here:
        for question in asked:
            whole = here.names(question)
            assert sorted(whole) == sorted(here.in_memory(query_of(question))), question
            query = query_of(f"{question}&_count={size}")
            assert [name for page in here.pages(query) for name in page] == whole, f"{question} by {size}"
            backwards = here.pages_backwards(query)
            assert [name for page in reversed(backwards) for name in page] == whole, f"{question} by {size}, backwards"


def test_no_alternative_matches_nothing_and_alone_no_chain_leads_anywhere():
    patient = {"resourceType": "Patient", "id": "a", "generalPractitioner": [{"reference": "Practitioner/a"}]}
    matcher = Matcher(TENANT)
    assert matcher.matches(query_of("Patient?general-practitioner=Practitioner/a"), patient)
    assert not matcher.matches(query_of("Patient?general-practitioner:Practitioner.name=a"), patient)
    assert not matcher.matches(query_of("Observation?_id=a"), patient)
    with pytest.raises(Refusal):
        query_of("Patient?unknown=1")
