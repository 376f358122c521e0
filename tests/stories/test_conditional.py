"""Criteria in place of an id: https://hl7.org/fhir/R4/http.html#ccreate, #cond-update and #cond-delete."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import client, running
from tests.stories.bundles import bundle, by, create, entry, fresh, identified, issue, total


@pytest.mark.parametrize("form", ["{}", "Patient?{}", "BASE/Patient?{}", "?{}"])
def test_a_conditional_create_finds_what_is_there_in_every_form_of_the_header(fhir: httpx.Client, base: str, form: str):
    value = fresh()
    header = {"if-none-exist": form.replace("BASE", base).format(by(value))}
    first = fhir.post("/Patient", json=identified(value), headers=header)
    second = fhir.post("/Patient", json=identified(value, active=True), headers=header)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json(), "what is there is given back, unchanged"
    assert second.headers["etag"] == 'W/"1"'
    assert second.headers["content-location"] == first.headers["location"]
    assert total(fhir, "Patient", by(value)) == 1


def test_criteria_in_the_url_of_a_create_mean_the_same(fhir: httpx.Client):
    value = fresh()
    answers = [fhir.post(f"/Patient?{by(value)}&_format=json", json=identified(value)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    sent = bundle("transaction", entry("POST", f"Patient?{by(value)}", identified(value)))
    assert fhir.post("", json=sent).json()["entry"][0]["response"]["status"] == "200 OK"
    assert fhir.post("/Patient?nonsense=1", json=identified(value)).status_code == 400
    assert total(fhir, "Patient", by(value)) == 1


def test_a_conditional_create_with_several_matches_is_412(fhir: httpx.Client):
    value = fresh()
    for _ in range(2):
        create(fhir, identified(value))
    answer = fhir.post("/Patient", json=identified(value), headers={"if-none-exist": by(value)})
    assert (answer.status_code, issue(answer)["code"]) == (412, "multiple-matches")
    assert total(fhir, "Patient", by(value)) == 2


CRITERIA = [
    ("", 412),
    ("identifier=", 412),
    ("_format=json", 412),
    ("active=true&identifier=", 400),  # without its value the parameter would select more than was meant
    ("nmae=Linde", 400),
    ("active=perhaps", 400),
    ("active=true&_count=1", 400),
    ("active=true&_sort=name", 400),
    ("active=true&_include=Patient:link", 400),
    ("name=%zz", 400),
    ("name=%00", 400),
    ("name=%FF", 400),
    ("name:exactly=x", 400),
    ("birthdate=yesterday", 400),
]


@pytest.mark.parametrize(("criteria", "status"), CRITERIA)
def test_criteria_that_do_not_select_are_refused_everywhere_and_change_nothing(
    fhir: httpx.Client, criteria: str, status: int
):
    create(fhir, identified(fresh()))
    before = fhir.get("/Patient/_history?_count=1").json()["entry"]
    patient = {"resourceType": "Patient"}
    patch = [{"op": "add", "path": "/active", "value": True}]
    answers = [
        fhir.post("/Patient", json=patient, headers={"if-none-exist": criteria}),
        fhir.put(f"/Patient?{criteria}", json=patient),
        fhir.patch(f"/Patient?{criteria}", json=patch, headers={"content-type": "application/json-patch+json"}),
        fhir.delete(f"/Patient?{criteria}"),
    ]
    assert [answer.status_code for answer in answers] == [status] * 4
    assert all(answer.json()["resourceType"] == "OperationOutcome" for answer in answers)
    assert fhir.get("/Patient/_history?_count=1").json()["entry"] == before


def test_criteria_of_another_type_are_refused(fhir: httpx.Client):
    answer = fhir.post("/Patient", json={"resourceType": "Patient"}, headers={"if-none-exist": "Group?code=x"})
    assert answer.status_code == 400
    assert "for Group" in issue(answer)["diagnostics"]


def test_a_conditional_update_creates_then_updates(fhir: httpx.Client, base: str):
    value = fresh()
    first = fhir.put(f"/Patient?{by(value)}", json=identified(value))
    assert first.status_code == 201
    assert first.headers["location"] == f"{base}/Patient/{first.json()['id']}/_history/1"
    second = fhir.put(f"/Patient?{by(value)}", json=identified(value, active=True))
    assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"')
    assert second.json()["id"] == first.json()["id"]
    third = fhir.put(f"/Patient?{by(value)}", json=identified(value, active=False, id=first.json()["id"]))
    assert (third.status_code, third.headers["etag"]) == (200, 'W/"3"')
    assert total(fhir, "Patient", by(value)) == 1


def test_a_conditional_update_of_several_is_412(fhir: httpx.Client):
    value = fresh()
    for _ in range(2):
        create(fhir, identified(value))
    assert fhir.put(f"/Patient?{by(value)}", json=identified(value, active=True)).status_code == 412
    assert total(fhir, "Patient", f"{by(value)}&active=true") == 0


def test_the_id_in_the_body_of_a_conditional_update(fhir: httpx.Client):
    value, name = fresh(), fresh()
    created = fhir.put(f"/Patient?{by(value)}", json=identified(value, id=name))
    assert (created.status_code, created.json()["id"]) == (201, name)
    other = fhir.put(f"/Patient?{by(value)}", json=identified(value, id=fresh()))
    assert other.status_code == 400
    assert f"select Patient/{name}" in issue(other)["diagnostics"]
    overwrites = fhir.put(f"/Patient?{by(fresh())}", json=identified(value, id=name, active=True))
    assert overwrites.status_code == 409, "the criteria did not select the resource that would be overwritten"
    assert "active" not in fhir.get(f"/Patient/{name}").json()
    assert fhir.put(f"/Patient?{by(fresh())}", json=identified(value, id="no id")).status_code == 400


def test_a_conditional_update_heeds_preconditions(fhir: httpx.Client):
    value = fresh()
    url, sent = f"/Patient?{by(value)}", identified(value)
    assert fhir.put(url, json=sent, headers={"if-match": "*"}).status_code == 412
    assert fhir.put(url, json=sent, headers={"if-none-match": "*"}).status_code == 201
    assert fhir.put(url, json=sent, headers={"if-none-match": "*"}).status_code == 412
    assert fhir.put(url, json={**sent, "active": True}, headers={"if-match": 'W/"1"'}).status_code == 200
    assert fhir.put(url, json={**sent, "active": False}, headers={"if-match": 'W/"1"'}).status_code == 412


def test_a_conditional_delete_removes_all_that_is_selected(fhir: httpx.Client):
    value = fresh()
    names = [create(fhir, identified(value))["id"] for _ in range(3)]
    kept = create(fhir, identified(fresh()))
    told = fhir.delete(f"/Patient?{by(value)}", headers={"prefer": "return=OperationOutcome"})
    assert told.status_code == 200
    assert all(f"Patient/{name} deleted" in issue(told)["diagnostics"] for name in names)
    assert [fhir.get(f"/Patient/{name}").status_code for name in names] == [410] * 3
    assert fhir.get(f"/Patient/{kept['id']}").status_code == 200
    assert fhir.delete(f"/Patient?{by(value)}").status_code == 204


def test_a_conditional_delete_of_one_tells_its_version_and_heeds_if_match(fhir: httpx.Client):
    value = fresh()
    made = create(fhir, identified(value))
    assert fhir.delete(f"/Patient?{by(value)}", headers={"if-match": 'W/"4"'}).status_code == 412
    assert fhir.get(f"/Patient/{made['id']}").status_code == 200
    answer = fhir.delete(f"/Patient?{by(value)}", headers={"if-match": 'W/"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (204, 'W/"2"')


@pytest.fixture(scope="module", params=["single", "not-supported"])
def bounded(module_database_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, httpx.Client]]:
    """Servers that restrict conditional delete."""
    with running(module_database_url, conditional_delete=request.param) as url, client(url) as http:
        yield request.param, http


def test_the_setting_bounds_conditional_deletes(bounded: tuple[str, httpx.Client]):
    setting, fhir = bounded
    value = fresh()
    for _ in range(2):
        create(fhir, identified(value))
    answer = fhir.delete(f"/Patient?{by(value)}")
    if setting == "single":
        assert (answer.status_code, issue(answer)["code"]) == (412, "multiple-matches")
    else:
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, PUT, PATCH, HEAD, OPTIONS")
    assert total(fhir, "Patient", by(value)) == 2
    stated = fhir.get("/metadata").json()["rest"][0]["resource"][0]
    assert stated["conditionalDelete"] == setting


def test_more_than_the_most_conditional_deletes_are_refused(module_database_url: str):
    value = fresh()
    with running(module_database_url, max_conditional_deletes=2) as url, client(url) as fhir:
        for _ in range(3):
            create(fhir, identified(value))
        answer = fhir.delete(f"/Patient?{by(value)}")
        assert (answer.status_code, issue(answer)["code"]) == (412, "too-costly")
        assert total(fhir, "Patient", by(value)) == 3
