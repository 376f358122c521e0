"""Creating and updating by id: https://hl7.org/fhir/R4/http.html#create, #update and #upsert."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.running import client, running
from tests.stories.bundles import create, fresh, identified, issue, total


def test_a_create_answers_201_with_where_it_is(fhir: httpx.Client, base: str):
    answer = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{base}/Patient/{made['id']}/_history/1"
    assert answer.headers["etag"] == 'W/"1"'
    assert "last-modified" in answer.headers
    assert list(made) == ["resourceType", "id", "meta", "active"]
    assert made["meta"]["versionId"] == "1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["meta"]["lastUpdated"])
    assert fhir.get(answer.headers["location"]).json() == made


def test_a_create_ignores_the_id_version_and_date_of_the_client(fhir: httpx.Client):
    meta = {"versionId": "17", "lastUpdated": "2001-01-01T00:00:00Z", "source": "http://example.org/feed"}
    made = create(fhir, {"resourceType": "Patient", "id": "mine", "meta": meta, "active": True})
    assert made["id"] != "mine"
    assert made["meta"]["versionId"] == "1"
    assert made["meta"]["lastUpdated"] > "2020"
    assert made["meta"]["source"] == "http://example.org/feed"
    assert fhir.get("/Patient/mine").status_code == 404


@pytest.mark.parametrize("own", ["not an id!", "", 7, None, ["x"], {"value": "x"}])
def test_an_id_that_is_none_is_refused_also_where_it_would_be_ignored(fhir: httpx.Client, own: object):
    before = total(fhir, "Patient", "active=false")
    answer = fhir.post("/Patient", json={"resourceType": "Patient", "id": own, "active": False})
    assert answer.status_code == 400
    assert total(fhir, "Patient", "active=false") == before


def test_an_update_makes_the_next_version_and_says_where(fhir: httpx.Client, base: str):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.put(f"/Patient/{made['id']}", json={"resourceType": "Patient", "id": made["id"], "active": True})
    assert answer.status_code == 200
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.headers["content-location"] == f"{base}/Patient/{made['id']}/_history/2"
    assert "location" not in answer.headers
    assert answer.json()["meta"]["lastUpdated"] > made["meta"]["lastUpdated"]


def test_an_update_replaces_the_whole_resource_and_its_tags(fhir: httpx.Client):
    tag = {"system": "http://example.org/tags", "code": "a"}
    made = create(fhir, {"resourceType": "Patient", "meta": {"tag": [tag]}, "active": True})
    after = fhir.put(f"/Patient/{made['id']}", json={"resourceType": "Patient", "id": made["id"]}).json()
    assert set(after) == {"resourceType", "id", "meta"}
    assert set(after["meta"]) == {"versionId", "lastUpdated"}


@pytest.mark.parametrize("name", ["chosen-1", "A.b-9", "x" * 64])
def test_an_update_of_what_is_not_there_creates_it_under_that_id(fhir: httpx.Client, base: str, name: str):
    answer = fhir.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{base}/Patient/{name}/_history/1"
    logged = fhir.get(f"/Patient/{name}/_history").json()["entry"][0]
    assert logged["request"] == {"method": "PUT", "url": f"Patient/{name}"}
    assert logged["response"]["status"] == "201 Created"


@pytest.mark.parametrize(
    ("sent", "code", "says"),
    [
        ({"resourceType": "Patient"}, "invalid", "the resource's id is missing"),
        ({"resourceType": "Patient", "id": "other"}, "invalid", "the resource's id is 'other'"),
        ({"resourceType": "Patient", "id": 5}, "invalid", "the resource's id is '5'"),
        ({"resourceType": "Group", "id": "here", "type": "person", "actual": True}, "invalid", "is of type Group"),
        ({"id": "here"}, "structure", "resourceType is missing"),
        ({"resourceType": "Patience", "id": "here"}, "invalid", "is of type Patience"),
        ({"resourceType": 7, "id": "here"}, "invalid", "is of type 7"),
    ],
)
def test_an_update_that_does_not_fit_its_url_is_400(fhir: httpx.Client, sent: dict, code: str, says: str):
    answer = fhir.put("/Patient/here", json=sent)
    assert answer.status_code == 400
    assert issue(answer)["code"] == code
    assert says in issue(answer)["diagnostics"]
    assert fhir.get("/Patient/here").status_code == 404, "it changed nothing"


@pytest.mark.parametrize("name", ["under_score", "x" * 65, "a b", "ü", "a%2Fb", "%24x"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_id_that_is_none_cannot_be_written(fhir: httpx.Client, method: str, name: str):
    answer = fhir.request(method, f"/Patient/{name}", json={"resourceType": "Patient", "id": name})
    if name == "%24x":  # where operations are
        assert answer.status_code == 404
        return
    assert answer.status_code == 400
    assert "is not an id" in issue(answer)["diagnostics"]


@pytest.mark.parametrize("sent", [{}, {"resourceType": "Group"}, {"resourceType": "Patience"}])
def test_a_create_of_another_type_is_400(fhir: httpx.Client, sent: dict):
    assert fhir.post("/Patient", json=sent).status_code == 400


def test_a_create_at_an_unknown_type_is_404(fhir: httpx.Client):
    answer = fhir.post("/Patience", json={"resourceType": "Patience"})
    assert answer.status_code == 404
    assert "did you mean 'Patient'?" in issue(answer)["diagnostics"]


MATCHES = [
    ('W/"1"', 412),
    ('W/"2"', 200),
    ('"2"', 200),
    ("2", 200),
    ('W/"3"', 412),
    ("*", 200),
    ('W/"1", W/"2"', 200),
    ('W/"1", W/"7"', 412),
    ('W/"', 400),
    ("", 400),
]


@pytest.mark.parametrize(("tag", "status"), MATCHES)
def test_if_match_lets_only_the_version_asked_for_be_changed(fhir: httpx.Client, tag: str, status: int):
    made = create(fhir, {"resourceType": "Patient"})
    current = fhir.put(f"/Patient/{made['id']}", json={**made, "active": True}).json()
    answer = fhir.put(f"/Patient/{made['id']}", json={**current, "gender": "other"}, headers={"if-match": tag})
    assert answer.status_code == status
    if status == 412:
        assert issue(answer)["code"] == "conflict"
        assert "version 2 is current" in issue(answer)["diagnostics"]
    assert ("gender" in fhir.get(f"/Patient/{made['id']}").json()) is (status == 200)


@pytest.mark.parametrize("tag", ['W/"1"', "*"])
def test_if_match_does_not_hold_of_what_is_not_there(fhir: httpx.Client, tag: str):
    name = fresh()
    answer = fhir.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name}, headers={"if-match": tag})
    assert answer.status_code == 412
    assert fhir.get(f"/Patient/{name}").status_code == 404


def test_if_none_match_any_lets_an_update_only_create(fhir: httpx.Client):
    name = fresh()
    sent = {"resourceType": "Patient", "id": name}
    first = fhir.put(f"/Patient/{name}", json=sent, headers={"if-none-match": "*"})
    second = fhir.put(f"/Patient/{name}", json={**sent, "active": True}, headers={"if-none-match": "*"})
    assert (first.status_code, second.status_code) == (201, 412)
    assert fhir.delete(f"/Patient/{name}").status_code == 204
    assert fhir.put(f"/Patient/{name}", json=sent, headers={"if-none-match": "*"}).status_code == 201


def test_an_update_that_changes_nothing_makes_no_version(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient", "name": [{"family": "Linde", "_family": {"id": "f"}}]})
    for sent in (made, {k: v for k, v in made.items() if k != "meta"}, {**made, "meta": {"versionId": "99"}}):
        answer = fhir.put(f"/Patient/{made['id']}", json=sent)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
        assert answer.json() == made
    assert fhir.get(f"/Patient/{made['id']}/_history").json()["total"] == 1


@pytest.fixture(scope="module")
def strict(module_database_url: str) -> Iterator[httpx.Client]:
    """A server on which clients may not choose ids."""
    with running(module_database_url, create_on_update=False) as url, client(url) as http:
        yield http


def test_an_update_that_changes_nothing_makes_no_version_where_the_number_gets_another_digit(fhir: httpx.Client):
    for n in range(9):
        answer = fhir.put("/Patient/nine", json={"resourceType": "Patient", "id": "nine", "language": f"l{n}"})
    again = fhir.put("/Patient/nine", json=answer.json())
    assert again.json() == answer.json()
    assert again.json()["meta"]["versionId"] == "9"
    tenth = fhir.put("/Patient/nine", json={"resourceType": "Patient", "id": "nine", "language": "la"})
    assert tenth.json()["meta"]["versionId"] == "10", "it is as long as the one before"


def test_where_clients_may_not_choose_ids_an_update_of_what_is_not_there_is_405(strict: httpx.Client):
    value = fresh()
    answer = strict.put(f"/Patient/{value}", json=identified(value, id=value))
    assert answer.status_code == 405
    assert "clients may not choose ids" in issue(answer)["diagnostics"]
    assert answer.headers["allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"
    assert strict.put(f"/Patient?identifier={value}", json=identified(value, id=value)).status_code == 405
    assert total(strict, "Patient", f"identifier={value}") == 0
    assert strict.put(f"/Patient?identifier={value}", json=identified(value)).status_code == 201
    stated = [one for one in strict.get("/metadata").json()["rest"][0]["resource"] if one["type"] == "Patient"]
    assert stated[0]["updateCreate"] is False
