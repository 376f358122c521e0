"""A hospital searches by its own value sets and code hierarchies, and by R4's: https://hl7.org/fhir/R4/search.html#token."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.running import client, running

WARDS, KINDS = "http://hospital.example/CodeSystem/wards", "http://hospital.example/ValueSet/kinds"
SCT = "http://snomed.info/sct"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
STATUSES = "http://hl7.org/fhir/ValueSet/observation-status"


def code_system(version: str, *codes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem", "id": f"wards-{version}", "url": WARDS, "version": version, "status": "active",
        "content": "complete", "caseSensitive": True, "concept": list(codes),
    } | more  # fmt: skip


def value_set(name: str, include: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet", "id": name, "url": f"http://hospital.example/ValueSet/{name}", "status": "active",
        "compose": {"include": include},
    } | more  # fmt: skip


def condition(name: str, *codings: tuple[str, str], **more: Any) -> dict[str, Any]:
    code = {"coding": [{"system": system, "code": code} for system, code in codings]}
    return {
        "resourceType": "Condition", "id": name, "subject": {"reference": "Patient/otto"},
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
    } | ({"code": code} if codings else {}) | more  # fmt: skip


def observation(name: str, status: str, code: str) -> dict[str, Any]:
    coding = [{"system": WARDS, "code": code}]
    return {
        "resourceType": "Observation", "id": name, "status": status, "code": {"coding": coding},
        "subject": {"reference": "Patient/otto"},
    }  # fmt: skip


HEART = {
    "code": "heart",
    "concept": [{"code": "valve"}, {"code": "rhythm", "property": [{"code": "child", "valueCode": "flutter"}]}],
}
FLAT = [
    {"code": "flutter"},
    {"code": "brain"},
    {"code": "stroke", "property": [{"code": "parent", "valueCode": "brain"}]},
]

RESOURCES = [
    code_system("1", {"code": "heart"}),
    code_system("2", HEART, *FLAT),
    value_set("kinds", [{"system": WARDS, "filter": [{"property": "concept", "op": "is-a", "value": "heart"}]}]),
    value_set("old", [{"system": WARDS, "version": "1"}]),
    value_set("both", [{"valueSet": [KINDS]}, {"system": SCT, "concept": [{"code": "22298006"}]}]),
    value_set("versioned-1", [{"system": WARDS, "concept": [{"code": "brain"}]}], url="http://hospital.example/v", version="1.9"),
    value_set("versioned-2", [{"system": WARDS, "concept": [{"code": "valve"}]}], url="http://hospital.example/v", version="1.10"),
    value_set("versioned-3", [{"system": WARDS}], url="http://hospital.example/v", version="2", status="draft"),
    value_set("snomed", [{"system": SCT, "filter": [{"property": "concept", "op": "is-a", "value": "22298006"}]}]),
    value_set("expanded", [{"system": SCT, "filter": [{"property": "concept", "op": "is-a", "value": "22298006"}]}],
              expansion={"timestamp": "2024-01-01T00:00:00Z", "total": 1, "contains": [{"system": SCT, "code": "22298006"}]}),
    value_set("cut", [{"system": SCT, "filter": [{"property": "concept", "op": "is-a", "value": "22298006"}]}],
              expansion={"timestamp": "2024-01-01T00:00:00Z", "total": 2, "contains": [{"system": SCT, "code": "22298006"}]}),
    value_set("circle", [{"valueSet": ["http://hospital.example/ValueSet/circle"]}]),
    value_set("many", [{"system": WARDS, "concept": [{"code": f"c{n}"} for n in range(60)]}]),
    code_system("parts", {"code": "arm", "concept": [{"code": "hand"}]}, url="http://hospital.example/parts", hierarchyMeaning="part-of"),
    {"resourceType": "Patient", "id": "otto", "gender": "male"},
    condition("valve", (WARDS, "valve")),
    condition("flutter", (WARDS, "flutter")),
    condition("stroke", (WARDS, "stroke"), clinicalStatus={"coding": [{"system": CLINICAL, "code": "relapse"}]}),
    condition("infarction", (SCT, "22298006")),
    condition("elsewhere", ("http://other.example", "valve")),
    condition("uncoded"),
    observation("o-final", "final", "valve"),
    observation("o-amended", "amended", "brain"),
    observation("o-cancelled", "cancelled", "flutter"),
]  # fmt: skip


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url, max_search_codes=50) as base, client(base) as http:
        for one in RESOURCES:
            answer = http.put(f"/{one['resourceType']}/{one['id']}", json=one)
            assert answer.status_code == 201, answer.text
        yield http


def names(fhir: httpx.Client, query: str) -> set[str]:
    answer = fhir.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return {entry["resource"]["id"] for entry in answer.json().get("entry", [])}


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["issue"][0]["diagnostics"])


FOUND = [
    # value sets that are stored here: by canonical, with a version, by place
    (f"Condition?code:in={KINDS}", "valve flutter"),
    (f"Condition?code:not-in={KINDS}", "stroke infarction elsewhere uncoded"),
    ("Condition?code:in=ValueSet/kinds", "valve flutter"),
    ("Condition?code:in=http://hospital.example/ValueSet/both", "valve flutter infarction"),
    (f"Condition?code:in={KINDS},http://hospital.example/ValueSet/expanded", "valve flutter infarction"),
    ("Condition?code:in=http://hospital.example/ValueSet/old", ""),
    ("Condition?code:in=http://hospital.example/v", "valve"),
    ("Condition?code:in=http://hospital.example/v|1.9", ""),
    ("Condition?code:in=http://hospital.example/v|2", "valve flutter stroke"),
    ("Condition?code:in=ValueSet/versioned-3", "valve flutter stroke"),
    # a value set that comes with its codes
    ("Condition?code:in=http://hospital.example/ValueSet/expanded", "infarction"),
    # hierarchies
    (f"Condition?code:below={WARDS}|heart", "valve flutter"),
    (f"Condition?code:below={WARDS}|brain", "stroke"),
    (f"Condition?code:above={WARDS}|stroke", "stroke"),
    (f"Observation?code:above={WARDS}|stroke", "o-amended"),
    (f"Condition?code:below={WARDS}|nowhere", ""),
    # R4's own
    (f"Observation?status:in={STATUSES}", "o-final o-amended o-cancelled"),
    (f"Observation?status:not-in={STATUSES}|4.0.1", ""),
    ("Condition?clinical-status:below=active", "valve flutter stroke infarction elsewhere uncoded"),
    ("Condition?clinical-status:above=relapse", "valve flutter stroke infarction elsewhere uncoded"),
    ("Condition?clinical-status:below=relapse", "stroke"),
    ("Condition?clinical-status:in=http://hl7.org/fhir/ValueSet/condition-clinical&code:in=ValueSet/kinds", "valve flutter"),
    # among other parameters, over references, and in _filter
    (f"Patient?_has:Condition:patient:code:in={KINDS}", "otto"),
    (f"Patient?_has:Condition:patient:code:below={WARDS}|nowhere", ""),
    ("Condition?subject:Patient.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender&code=valve", "valve elsewhere"),
    ("Condition?subject.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender&code=valve", "valve elsewhere"),
    (f'Condition?_filter=code in "{KINDS}"', "valve flutter"),
    (f'Condition?_filter=code ni "{KINDS}" and not (code in http://hospital.example/ValueSet/expanded)', "stroke elsewhere uncoded"),
    (f'Condition?_filter=code ss "{WARDS}|heart" or code sb "{WARDS}|stroke"', "valve flutter stroke"),
    (f"?_type=Condition,Observation&code:in={KINDS}", "valve flutter o-final o-cancelled"),
    (f"Patient/otto/Condition?code:in={KINDS}", "valve flutter"),
    (f"Condition?code:in={KINDS}&_sort=-_id&_count=1", "valve"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FOUND)
def test_codes_are_found_by_value_set_and_hierarchy(fhir: httpx.Client, query: str, expected: str):
    assert names(fhir, query) == set(expected.split())


def test_an_absolute_url_below_the_base_is_a_place_here(fhir: httpx.Client):
    assert names(fhir, f"Condition?code:in={fhir.base_url}ValueSet/kinds") == {"valve", "flutter"}


NOT_TOLD = [
    ("Condition?code:in=http://hospital.example/ValueSet/snomed", f"the code system {SCT} is not at hand"),
    ("Condition?code:in=http://hospital.example/ValueSet/cut", f"the code system {SCT} is not at hand"),
    ("Condition?code:not-in=http://hospital.example/ValueSet/snomed", SCT),
    ("Condition?code:in=http://hl7.org/fhir/ValueSet/condition-code", f"the code system {SCT} is not at hand"),
    ("Observation?code:in=http://hl7.org/fhir/ValueSet/observation-codes", "http://loinc.org"),
    ("Condition?code:in=" + quote(f"{SCT}?fhir_vs=ecl/<<73211009"), f"the code system {SCT} is not at hand"),
    ("Observation?code:in=http://loinc.org/vs/LL715-4", "the code system http://loinc.org is not at hand"),
    ("Condition?code:in=http://nowhere.example/vs", "the value set http://nowhere.example/vs is not at hand"),
    ("Condition?code:in=ValueSet/nowhere", "the value set ValueSet/nowhere is not at hand"),
    ("Condition?code:in=http://hospital.example/v|9", "is not at hand"),
    ("Condition?code:in=http://hospital.example/ValueSet/circle", "includes itself"),
    (f"Condition?code:below={SCT}|73211009", f"the code system {SCT} is not at hand with all its codes; store it"),
    ("Condition?code:below=http://hospital.example/parts|arm", "means part-of"),
    ("Condition?code:below=73211009", "write system|code"),
    ("Condition?code:in=http://hospital.example/ValueSet/many", "one search may look for 50 (MEDICONNECT_MAX_SEARCH_CODES)"),
    ("Patient?_has:Condition:patient:code:in=http://nowhere.example/vs", "not at hand"),
    ("Condition?subject.gender:in=http://nowhere.example/vs", "not at hand"),
    ("Condition?_filter=code in http://nowhere.example/vs", "not at hand"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "said"), NOT_TOLD)
def test_codes_that_cannot_be_told_are_refused_with_what_is_missing(fhir: httpx.Client, query: str, said: str):
    assert said in refused(fhir.get(f"/{query}"))


def test_a_lenient_search_says_what_it_left_out(fhir: httpx.Client):
    lenient = {"prefer": "handling=lenient"}
    answer = fhir.get("/Condition?code:in=http://nowhere.example/vs&_id=valve", headers=lenient).json()
    told = answer["entry"][-1]["resource"]
    assert told["resourceType"] == "OperationOutcome"
    assert "http://nowhere.example/vs is not at hand" in told["issue"][0]["diagnostics"]


def test_the_next_search_sees_what_was_stored_meanwhile_in_every_process(fhir: httpx.Client, module_database_url: str):
    url = "http://hospital.example/ValueSet/growing"
    with running(module_database_url) as base, client(base) as other:
        assert "not at hand" in refused(other.get(f"/Condition?code:in={url}"))
        fhir.put("/ValueSet/growing", json=value_set("growing", [{"system": WARDS, "concept": [{"code": "stroke"}]}]))
        assert names(other, f"Condition?code:in={url}") == {"stroke"}
        fhir.put("/ValueSet/growing", json=value_set("growing", [{"system": WARDS, "concept": [{"code": "valve"}]}]))
        assert names(other, f"Condition?code:in={url}") == {"valve"}
        fhir.delete("/ValueSet/growing")
        assert "not at hand" in refused(other.get(f"/Condition?code:in={url}"))


def test_what_is_stored_here_wins_over_what_packages_have(fhir: httpx.Client):
    ours = value_set(
        "statuses", [{"system": "http://hl7.org/fhir/observation-status", "concept": [{"code": "final"}]}], url=STATUSES
    )
    fhir.put("/ValueSet/statuses", json=ours)
    assert names(fhir, f"Observation?status:in={STATUSES}") == {"o-final"}
    assert names(fhir, f"Observation?status:in={STATUSES}|4.0.1") == {"o-final", "o-amended", "o-cancelled"}
    fhir.put("/ValueSet/statuses", json=ours | {"status": "retired"})
    assert names(fhir, f"Observation?status:in={STATUSES}") == {"o-final", "o-amended", "o-cancelled"}
    fhir.delete("/ValueSet/statuses")


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **more: str) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, **more}} | ({"resource": resource} if resource else {})


def posted(fhir: httpx.Client, kind: str, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    answer = fhir.post("", json={"resourceType": "Bundle", "type": kind, "entry": list(entries)})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entry"])


def test_batch_entries_and_forms_search_alike(fhir: httpx.Client):
    well, ill = posted(
        fhir, "batch", entry("GET", f"Condition?code:in={KINDS}"), entry("GET", "Condition?code:in=http://nowhere.example/vs")
    )  # fmt: skip
    assert {one["resource"]["id"] for one in well["resource"]["entry"]} == {"valve", "flutter"}
    assert ill["response"]["status"].startswith("400")
    form = fhir.post(
        "/Condition/_search", data={"code:in": KINDS}, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert {one["resource"]["id"] for one in form.json()["entry"]} == {"valve", "flutter"}


def test_a_transaction_searches_by_the_value_set_that_it_stores(fhir: httpx.Client):
    url = "http://hospital.example/ValueSet/inside"
    made = value_set("inside", [{"system": WARDS, "concept": [{"code": "stroke"}]}])
    _, page = posted(
        fhir, "transaction", entry("PUT", "ValueSet/inside", made), entry("GET", f"Condition?code:in={url}")
    )
    assert {one["resource"]["id"] for one in page["resource"]["entry"]} == {"stroke"}


def test_conditional_interactions_take_value_sets_as_criteria(fhir: httpx.Client):
    fhir.put("/Condition/lone", json=condition("lone", (WARDS, "brain")))
    brain = "code:in=http://hospital.example/v|1.9"
    unless = fhir.post("/Condition", json=condition("x", (WARDS, "brain")), headers={"if-none-exist": brain})
    assert (unless.status_code, unless.json()["id"]) == (200, "lone")
    updated = fhir.put(f"/Condition?{brain}", json=condition("lone", (WARDS, "brain"), recordedDate="2024-01-01"))
    assert (updated.status_code, updated.json()["id"]) == (200, "lone")
    flag = {
        "resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "focus": [{"reference": f"Condition?{brain}"}],
    }  # fmt: skip
    first, second = posted(
        fhir, "transaction", entry("POST", "Observation", flag), entry("POST", "Condition", condition("y"), ifNoneExist=brain)
    )  # fmt: skip
    stored = fhir.get("/" + first["response"]["location"].partition("/_history")[0]).json()
    assert stored["focus"] == [{"reference": "Condition/lone"}]
    assert second["response"]["location"].startswith("Condition/lone/")
    fhir.delete("/" + first["response"]["location"].partition("/_history")[0])
    refusal = fhir.delete("/Condition?code:in=http://nowhere.example/vs")
    assert "not at hand" in refused(refusal)
    assert fhir.delete(f"/Condition?{brain}").status_code in (200, 204)
    assert fhir.get("/Condition/lone").status_code == 410
