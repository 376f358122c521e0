"""What a search refuses, ignores, counts and tells: https://hl7.org/fhir/R4/search.html#errors and #self."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.running import client, running


def observation(n: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": f"o{n:02}", "status": "final" if n % 3 else "amended", "subject": {"reference": f"Patient/p{n % 4}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": f"c{n % 5}", "display": f"Blood {'sugar' if n % 2 else 'pressure'}"}]},
        "note": [{"text": "seen on the ward, not at home"}],
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url) as base, client(base) as http:
        entries: list[dict[str, Any]] = [
            {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": f"Fam,ily{n}", "given": ["A$b|c\\d"]}], "managingOrganization": {"reference": "Organization/a"}}
            for n in range(4)
        ]  # fmt: skip
        entries += [{"resourceType": "Organization", "id": "a", "name": "A", "partOf": {"reference": "Organization/b"}}]
        entries += [{"resourceType": "Organization", "id": "b", "name": "B", "partOf": {"reference": "Organization/a"}}]
        entries += [observation(n) for n in range(30)]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in entries
        ]}  # fmt: skip
        answer = http.post("", json=bundle)
        assert answer.status_code == 200, answer.text
        yield http


def ids(answer: httpx.Response, mode: str = "match") -> list[str]:
    assert answer.status_code == 200, answer.text
    return [e["resource"]["id"] for e in answer.json().get("entry", []) if e["search"]["mode"] == mode]


REFUSED = [
    ("Patient?nmae=x", "did you mean 'name'"),
    ("Patient?_summry=true", "did you mean '_summary'"),
    ("Observation?code:nott=x", "did you mean 'not'"),
    ("Patient?name:below=x", ":contains"),
    ("Patient?birthdate=xx2010", "supported are eq, ne"),
    ("Patient?birthdate=2010-13", "no date"),
    ("Patient?active=maybe", "true or false"),
    ("Patient?_id:exact=1", "modifiers :not, :missing"),
    ("Patient?_lastUpdated:not=2020", "modifiers :missing"),
    ("Patient?name:missing=perhaps", "true"),
    ("Observation?value-quantity=abc", "abc"),
    ("Observation?code-value-quantity=a", "code"),
    ("Observation?subject=Patientt/1", "did you mean 'Patient'"),
    ("Observation?subject:Organization=1", "never refers to Organization"),
    ("Observation?subject:Practitioner.name=x", "never refers to Practitioner"),
    ("Observation?code.name=x", "only references can be followed"),
    ("Observation?subject.nmae=x", "unknown search parameter 'nmae'"),
    ("Patient?_has:Observation:patient=1", "_has:Type:reference:parameter"),
    ("Patient?_has:Observation:performr:code=1", "did you mean 'performer'"),
    ("Organization?_has:Observation:patient:code=1", "never refers to Organization"),
    ("Patient?_include=Patient", "Type:parameter"),
    ("Patient?_include=Patient:nonsense", "unknown search parameter"),
    ("Patient?_include:exact=Patient:link", ":iterate"),
    ("Patient?_include=Patient:general-practitioner:Patient", "never refers to Patient"),
    ("Patient?_sort=nonsense", "unknown search parameter"),
    ("Observation?_sort=code-value-quantity", "no order"),
    ("Patient?_sort=_score", "_text or _content"),
    ("Patient?_count=-1", "whole number"),
    ("Patient?_count=ten", "whole number"),
    ("Patient?_total=maybe", "none, estimate, accurate"),
    ("Patient?_summary=short", "supported are"),
    ("Patient?_elements:exact=name", "takes no modifier"),
    ("Patient?_contained=perhaps", "supported are"),
    ("Patient?_contained=true&_sort=name", "no order"),
    ("Patient?_contained=true&general-practitioner.name=x", "no chain"),
    ("Patient?_type=Patient", "at the base"),
    ("Patient?_query=x", "no named queries"),
    ("Patient?_text=(a", "parentheses"),
    ("Patient?_text=,", "words"),
    ("Patient?_list=$current-problems", "List"),
    ("Patient?_filter=name", "one of"),
    ("Patient?_filter=name eq", "a value is expected"),
    ("Patient?_filter=name qq x", "one of"),
    ("Patient?_filter=(name eq x", "')' is expected"),
    ("Patient?_filter=name eq x y", "'and', 'or'"),
    ('Patient?_filter=name eq "a', "a JSON string"),
    ('Patient?_filter=name eq "a\\', "a JSON string"),
    ("Patient?_totalMethod=all", "supported are count"),
    ("?_contained=true&_type=Patient,Basic&_list=1", "no chain"),
    ("Patient?_filter=gender co male", "takes eq"),
    ("Patient?_filter=nmae eq x", "did you mean"),
    ("Patient?_cursor=abc", "first page"),
    ("Patient?_explain=perhaps", "true or false"),
    ("?_type=Patientt", "did you mean 'Patient'"),
    ("?name=x", "not a parameter of all types"),
    ("?_type=Patient,Observation&name=x", "unknown search parameter 'name' on Observation"),
    ("?_type=Composition,CarePlan&context=x", "unknown search parameter"),
    ("", "needs parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "told"), REFUSED, ids=[query for query, _ in REFUSED])
def test_what_is_not_understood_is_refused_and_says_what_is(fhir: httpx.Client, query: str, told: str):
    answer = fhir.get(f"/{query}" if not query.startswith("?") else query)
    assert answer.status_code == 400, answer.text
    issue = answer.json()["issue"][0]
    assert told in issue["diagnostics"], issue["diagnostics"]


def test_a_lenient_search_ignores_it_says_so_and_leaves_it_out_of_the_self_link(fhir: httpx.Client):
    answer = fhir.get("/Patient?nmae=x&name=fam&birthdate=nonsense&_sort=none", headers={"prefer": "handling=lenient"})
    assert len(ids(answer)) == 4
    (outcome,) = [e["resource"] for e in answer.json()["entry"] if e["search"]["mode"] == "outcome"]
    assert [issue["severity"] for issue in outcome["issue"]] == ["warning"] * 3
    assert "did you mean 'name'" in outcome["issue"][0]["diagnostics"]
    link = next(one["url"] for one in answer.json()["link"] if one["relation"] == "self")
    assert parse_qsl(urlsplit(link).query) == [("name", "fam")]
    assert answer.json()["total"] == 4, "an outcome is not counted"


ESCAPES = [
    ("name=Fam\\,ily1", ["p1"]),
    ("family:exact=Fam\\,ily1", ["p1"]),
    ("family:exact=Fam,ily1", []),
    ("given:exact=A\\$b\\|c\\\\d", ["p0", "p1", "p2", "p3"]),
    ("given:exact=A$b|c\\\\d", ["p0", "p1", "p2", "p3"]),
    ("_id=p0,p3", ["p0", "p3"]),
    ("_id=p0\\,p3", []),
]


@pytest.mark.parametrize(("query", "found"), ESCAPES)
def test_a_backslash_takes_a_separator_for_itself(fhir: httpx.Client, query: str, found: list[str]):
    assert sorted(ids(fhir.get(f"/Patient?{query}"))) == found


def test_the_total_is_told_where_asked_and_where_it_is_free(fhir: httpx.Client):
    def total(query: str) -> Any:
        return fhir.get(f"/Observation?{query}").json().get("total")

    assert total("_count=5") is None
    assert total("_count=5&_total=none") is None
    assert total("_count=5&_total=accurate") == 30
    assert total("_count=5&_total=estimate") >= 5
    assert total("_count=50") == 30
    assert total("_summary=count") == 30
    assert total("_count=0") == 30
    assert total("status=amended&_summary=count") == 10
    assert total("status=amended,final&_count=0") == 30
    assert total("code:not=c1&_count=0") == 24
    assert total("_count=5&_totalMethod=count") == 30
    assert total("_count=5&_totalMethod=none") is None
    assert total("_count=5&_totalMethod=estimate") >= 5
    assert total("status=amended&_include=Observation:patient&_count=2&_total=accurate") == 10
    counted = fhir.get("/Observation?_count=0&_include=Observation:patient").json()
    assert "entry" not in counted
    assert [link["relation"] for link in counted["link"]] == ["self"]


def test_includes_come_once_are_marked_and_go_round_no_cycle(fhir: httpx.Client):
    answer = fhir.get("/Observation?_count=8&_include=Observation:patient")
    assert len(ids(answer)) == 8
    assert sorted(ids(answer, "include")) == ["p0", "p1", "p2", "p3"]
    around = fhir.get(
        "/Patient?_id=p0&_include=Patient:organization&_include:iterate=Organization:partof&_revinclude:iterate=Organization:partof"
    )
    assert sorted(ids(around, "include")) == ["a", "b"]
    once = fhir.get("/Patient?_id=p0&_include=Patient:organization&_include=Organization:partof")
    assert ids(once, "include") == ["a"]
    backwards = fhir.get("/Patient?_id=p1&_revinclude=Observation:patient")
    assert len(ids(backwards, "include")) == 8
    everything = fhir.get("/Patient?_id=p1&_revinclude=*")
    assert sorted(ids(everything, "include")) == sorted(ids(backwards, "include"))
    assert fhir.get("/Observation?_id=o01&_include=Observation:subject:Group").json()["total"] == 1


def test_full_text_finds_words_phrases_and_what_does_not_have_them(fhir: httpx.Client):
    def count(query: str) -> int:
        return int(fhir.get("/Observation", params={"_content": query, "_summary": "count"}).json()["total"])

    assert count("sugar") == 15
    assert count("blood sugar") == 15
    assert count('"blood sugar"') == 15
    assert count('"sugar blood"') == 0
    assert count("sugar OR pressure") == 30
    assert count("blood NOT sugar") == 15
    assert count("sug*") == 15
    assert count("WARD") == 30
    assert count("sugar,pressure") == 30
    assert count("amended") == 0, "codes are for machines"
    answer = fhir.get("/Observation?_content=sugar&_count=3").json()
    assert all(0 < entry["search"]["score"] <= 1 for entry in answer["entry"])
    assert "score" not in fhir.get("/Observation?_content=sugar&_count=3&_score=false").json()["entry"][0]["search"]
    assert len(ids(fhir.get("/Observation?_content=sugar&_sort=-_score&_count=50"))) == 15


def test_a_compartment_has_what_refers_to_its_patient_and_the_patient(fhir: httpx.Client):
    inside = fhir.get("/Patient/p2/Observation?_count=50")
    assert sorted(ids(inside)) == [f"o{n:02}" for n in range(30) if n % 4 == 2]
    whole = fhir.get("/Patient/p2/*?_count=50")
    assert sorted(ids(whole)) == sorted([*ids(inside), "p2"])
    assert ids(fhir.get("/Patient/p2/Observation?status=amended&code=c0")) == [
        f"o{n:02}" for n in range(30) if n % 4 == 2 and n % 15 == 0
    ]
    assert ids(fhir.get("/Patient/nobody/Observation")) == []
    assert fhir.get("/Patient/p2/Organization").status_code == 404
    assert fhir.get("/Organization/a/Observation").status_code == 404
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert ids(fhir.post("/Patient/p2/Observation/_search", content="status=amended", headers=form)) == ids(
        fhir.get("/Patient/p2/Observation?status=amended")
    )


def test_several_types_are_searched_by_what_they_have_in_common(fhir: httpx.Client):
    both = fhir.get("?_type=Patient,Organization&_count=50")
    assert sorted(ids(both)) == ["a", "b", "p0", "p1", "p2", "p3"]
    named = fhir.get("?_type=Patient,Organization&name=a")
    assert sorted(ids(named)) == ["a", "p0", "p1", "p2", "p3"]
    assert len(ids(fhir.get("?_lastUpdated=gt2020&_count=100"))) == 36
    link = next(one["url"] for one in both.json()["link"] if one["relation"] == "self")
    assert "_type=Patient,Organization" in link


def test_an_explanation_shows_query_sql_and_plan(fhir: httpx.Client):
    answer = fhir.get("/Observation?patient.name=fam&code=c1&_sort=-date&_explain=true")
    assert answer.status_code == 200, answer.text
    parts = {one["name"]: one for one in answer.json()["parameter"]}
    assert "index_token" in parts["sql"]["valueString"]
    assert "Seq Scan on index" not in parts["plan"]["valueString"]
    assert "actual" in parts["plan"]["valueString"]
    assert {"name": "is", "valueString": "Query"} in parts["query"]["part"]
    assert parts["kept"]["valueBoolean"] is False
    total = fhir.get("/Observation?patient=p1&code=c1&_count=1&_total=accurate&_explain=true").json()["parameter"]
    assert [one["name"] for one in total] == ["query", *["sql", "values", "kept", "plan"] * 2], (
        "the page, and the count"
    )
    assert [one["valueBoolean"] for one in total if one["name"] == "kept"] == [True, False]


def test_contained_resources_are_counted_each_once(fhir: httpx.Client):
    strength = {"coding": [{"code": "strong"}]}
    inner = {"resourceType": "Medication", "id": "in", "code": strength}
    for name, code in (("solo", None), ("twice", strength)):
        outer: dict[str, Any] = {"resourceType": "Medication", "id": name, "contained": [inner], "ingredient": [
            {"itemReference": {"reference": "#in"}}
        ]}  # fmt: skip
        assert fhir.put(f"/Medication/{name}", json=outer | ({"code": code} if code else {})).status_code == 201
    asked = "/Medication?code=strong&_contained="
    assert ids(fhir.get(f"{asked}both")) == ["twice", "solo"], "the one that is found for itself does not come again"
    assert sorted(ids(fhir.get(f"{asked}both&_containedType=contained"))) == ["in", "in", "twice"]
    assert sorted(ids(fhir.get(f"{asked}true"))) == ["solo", "twice"]
    for more in ("_summary=count", "_count=0", "_count=1&_total=accurate", "_count=1&_total=estimate"):
        assert fhir.get(f"{asked}both&{more}").json()["total"] == 2, more
        assert fhir.get(f"{asked}true&_containedType=contained&{more}").json()["total"] == 2, more
    assert "entry" not in fhir.get(f"{asked}both&_count=0").json()
    assert "index_token" in fhir.get(f"{asked}true&_explain=true").text
    for name in ("solo", "twice"):
        fhir.delete(f"/Medication/{name}")


def test_the_count_of_fhirpy_is_the_number_of_all_that_is_found(fhir: httpx.Client):
    fhirpy = pytest.importorskip("fhirpy")
    search = fhirpy.SyncFHIRClient(str(fhir.base_url).rstrip("/")).resources("Observation")
    assert search.search(status="amended").count() == 10
    assert search.count() == 30
