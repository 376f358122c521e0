"""Batches: every entry a request of its own: https://hl7.org/fhir/R4/http.html#transaction."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.stories.bundles import bundle, by, create, entry, fresh, identified, total

PATIENT = {"resourceType": "Patient"}


def batch(fhir: httpx.Client, *entries: dict, **headers: str) -> list[dict]:
    """The entries of the batch-response."""
    answer = fhir.post("", json=bundle("batch", *entries), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "batch-response"
    return list(answer.json().get("entry", []))


def statuses(entries: list[dict]) -> list[str]:
    return [one["response"]["status"].split()[0] for one in entries]


def test_every_interaction_works_inside_and_answers_stand_in_request_order(fhir: httpx.Client, base: str):
    value = fresh()
    made = create(fhir, identified(value))
    name = made["id"]
    patch = b64encode(b'[{"op":"add","path":"/gender","value":"other"}]').decode()
    carrier = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    answers = batch(
        fhir,
        entry("GET", f"Patient/{name}"),
        entry("HEAD", f"Patient/{name}"),
        entry("POST", "Patient", PATIENT),
        entry("PUT", f"Patient/{name}", {**made, "active": True}),
        entry("PATCH", f"Patient/{name}", carrier),
        entry("GET", f"Patient?{by(value)}"),
        entry("GET", f"Patient/{name}/_history/1"),
        entry("GET", f"Patient/{name}/_history"),
        entry("GET", "metadata"),
        entry("POST", f"Patient/_search?{by(value)}"),
        entry("DELETE", f"Patient/{name}"),
        entry("GET", f"/Patient/{name}"),
        entry("GET", f"{base}/Patient/{name}/_history/1"),
    )
    assert statuses(answers) == "200 200 201 200 200 200 200 200 200 200 204 410 200".split()
    assert answers[0]["resource"] == made
    assert answers[0]["response"]["etag"] == 'W/"1"'
    assert answers[0]["response"]["lastModified"] == made["meta"]["lastUpdated"]
    assert "resource" not in answers[1]
    assert answers[2]["response"]["location"].startswith("Patient/")
    assert answers[2]["response"]["location"].endswith("/_history/1")
    assert answers[3]["response"]["location"] == f"Patient/{name}/_history/2"
    assert answers[4]["response"]["etag"] == 'W/"3"'
    for found in (answers[5], answers[9]):
        assert found["resource"]["type"] == "searchset"
        assert found["resource"]["entry"][0]["resource"]["gender"] == "other"
    assert answers[6]["resource"] == made
    assert answers[7]["resource"]["total"] == 3
    assert answers[8]["resource"]["resourceType"] == "CapabilityStatement"
    assert answers[10]["response"]["etag"] == 'W/"4"'
    assert answers[11]["response"]["outcome"]["issue"][0]["code"] == "deleted"
    assert answers[11]["response"]["etag"] == 'W/"4"'


def test_an_entry_that_fails_leaves_the_others_alone(fhir: httpx.Client):
    value = fresh()
    answers = batch(
        fhir,
        entry("POST", "Patient", identified(value)),
        entry("POST", "Patient", {"resourceType": "Group"}),
        entry("POST", "Patient", {**PATIENT, "nonsense": 1}),
        entry("GET", "Patient/never-was"),
        entry("GET", "Patience"),
        entry("GET", "Patient?nmae=x"),
        entry("DELETE", "Patient"),
        entry("FROB", "Patient"),
        {"resource": PATIENT},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "GET"}},
        "not even an object",
        entry("GET", "http://elsewhere.example.org/fhir/Patient/1"),
        entry("GET", "Patient?name=%zz"),
        entry("PUT", "Patient/x", {**PATIENT, "id": "x"}, ifMatch=7),  # type: ignore[arg-type]  # what the story is about
        entry("POST", "Patient", identified(value)),
    )
    assert statuses(answers) == "201 400 400 404 404 400 412 400 400 400 400 400 400 400 400 201".split()
    assert all(one["response"]["outcome"]["issue"][0]["diagnostics"] for one in answers[1:-1])
    assert "did you mean 'name'" in answers[5]["response"]["outcome"]["issue"][0]["diagnostics"]
    assert total(fhir, "Patient", by(value)) == 2


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_inside_a_bundle_is_not_processed(fhir: httpx.Client, kind: str):
    inner = bundle("batch", entry("POST", "Patient", PATIENT))
    assert statuses(batch(fhir, entry("POST", "/", inner))) == ["405"]
    outer = fhir.post("", json=bundle("transaction", entry("POST", "/", inner)))
    assert outer.status_code in (404, 405)
    assert statuses(batch(fhir, entry("POST", "Bundle", bundle(kind, *inner["entry"])))) == ["201"], (
        "but it can be stored"
    )


def test_an_empty_batch_has_an_empty_answer(fhir: httpx.Client):
    assert batch(fhir) == []
    assert fhir.post("", json={"resourceType": "Bundle", "type": "batch"}).json() == {
        "resourceType": "Bundle",
        "type": "batch-response",
    }


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_write_entries_answer_with_what_prefer_asks_for(fhir: httpx.Client, kind: str):
    def answers(**headers: str) -> list[dict]:
        made = create(fhir, PATIENT)
        entries = (
            entry("POST", "Patient", PATIENT),
            entry("PUT", f"Patient/{made['id']}", {**made, "active": True}),
            entry("DELETE", f"Patient/{create(fhir, PATIENT)['id']}"),
        )
        answer = fhir.post("", json=bundle(kind, *entries), headers=headers)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["entry"])

    for headers in ({}, {"prefer": "return=minimal"}):
        silent = answers(**headers)
        assert statuses(silent) == ["201", "200", "204"]
        assert all("resource" not in one and "outcome" not in one["response"] for one in silent)
        assert all(one["response"]["etag"] and one["response"]["lastModified"] for one in silent)
    whole = answers(prefer="return=representation")
    assert [one.get("resource", {}).get("resourceType") for one in whole] == ["Patient", "Patient", None]
    told = answers(prefer="return=OperationOutcome")
    assert statuses(told) == ["201", "200", "200"]
    words = [one["response"]["outcome"]["issue"][0]["diagnostics"].split()[1] for one in told]
    assert words == ["created,", "updated,", "deleted,"]


def instant(text: str, milliseconds: int) -> str:
    moment = datetime.fromisoformat(text) + timedelta(milliseconds=milliseconds)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_conditions_of_entries_that_read_hold(fhir: httpx.Client, kind: str):
    made = create(fhir, PATIENT)
    written, url = made["meta"]["lastUpdated"], f"Patient/{made['id']}"
    entries = (
        entry("GET", url, ifNoneMatch='W/"1"'),
        entry("GET", url, ifNoneMatch='W/"2"'),
        entry("GET", url, ifModifiedSince=instant(written, 0)),
        entry("GET", url, ifModifiedSince=instant(written, -1)),
        entry("GET", url, ifModifiedSince=instant(written, 1)),
    )
    answers = fhir.post("", json=bundle(kind, *entries)).json()["entry"]
    assert statuses(answers) == ["304", "200", "304", "200", "304"]
    assert ["resource" in one for one in answers] == [False, True, False, True, False]


def test_conditions_of_entries_that_write_hold(fhir: httpx.Client):
    value = fresh()
    made = create(fhir, identified(value))
    url = f"Patient/{made['id']}"
    answers = batch(
        fhir,
        entry("PUT", url, {**made, "active": True}, ifMatch='W/"9"'),
        entry("PUT", url, {**made, "active": True}, ifMatch='W/"1"'),
        entry("PUT", url, {**made, "active": False}, ifNoneMatch="*"),
        entry("POST", "Patient", identified(value), ifNoneExist=by(value)),
        entry("POST", "Patient", identified(value), ifNoneExist=by(fresh())),
        entry("DELETE", url, ifMatch='W/"1"'),
        entry("GET", url, ifModifiedSince="yesterday"),
    )
    assert statuses(answers) == ["412", "200", "412", "200", "201", "412", "400"]
    assert answers[3]["response"]["location"] == f"{url}/_history/2"


def test_criteria_with_letters_of_any_script_work_in_entries(fhir: httpx.Client):
    value = "Ж-Ωμέγα-東"
    answers = batch(fhir, *[entry("POST", "Patient", identified(value), ifNoneExist=by(value)) for _ in range(2)])
    assert statuses(answers) == ["201", "200"]
    assert batch(fhir, entry("GET", f"Patient?{by(value)}"))[0]["resource"]["total"] == 1


def test_a_binary_is_read_as_a_resource(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="})
    assert batch(fhir, entry("GET", f"Binary/{made['id']}"))[0]["resource"] == made


def test_leniency_reaches_the_entries(fhir: httpx.Client):
    asked = entry("GET", "Patient?nonsense=1&_count=1")
    assert statuses(batch(fhir, asked)) == ["400"]
    assert statuses(batch(fhir, asked, prefer="handling=lenient")) == ["200"]


def test_summary_and_elements_reach_the_entries(fhir: httpx.Client):
    made = create(fhir, {**PATIENT, "name": [{"family": "Linde"}], "photo": [{"title": "face"}]})
    url = f"Patient/{made['id']}"
    answers = batch(fhir, entry("GET", f"{url}?_summary=true"), entry("GET", f"{url}?_elements=photo"))
    assert ["name" in one["resource"] for one in answers] == [True, False]
    assert ["photo" in one["resource"] for one in answers] == [False, True]


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        ({"resourceType": "Bundle", "type": "transactoin"}, 400, "did you mean 'transaction'?"),
        ({"resourceType": "Bundle", "type": "collection"}, 400, "batch and transaction"),
        ({"resourceType": "Bundle"}, 400, "batch and transaction"),
        (PATIENT, 400, "POST it to Patient"),
        ({"resourceType": "Patience"}, 400, "this is Patience"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, 400, "array"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": 7}, 400, "array"),
    ],
)
def test_what_is_no_batch_or_transaction_is_refused(fhir: httpx.Client, sent: dict, status: int, says: str):
    answer = fhir.post("", json=sent)
    assert answer.status_code == status
    assert says in answer.json()["issue"][0]["diagnostics"]
