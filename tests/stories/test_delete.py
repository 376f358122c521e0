"""Deleting, and what is left of what was deleted: https://hl7.org/fhir/R4/http.html#delete."""

import httpx
import pytest

from tests.stories.bundles import create, fresh, identified, issue, total


@pytest.fixture
def gone(fhir: httpx.Client) -> str:
    """The id of a Patient that was created and deleted."""
    made = create(fhir, identified("gone-1"))
    assert fhir.delete(f"/Patient/{made['id']}").status_code == 204
    return str(made["id"])


def test_a_delete_answers_204_with_the_version_it_made(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    answer = fhir.delete(f"/Patient/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["etag"] == 'W/"2"'
    assert "content-length" not in answer.headers


def test_what_was_deleted_is_410_with_its_etag_and_found_no_more(fhir: httpx.Client, gone: str):
    for answer in (fhir.get(f"/Patient/{gone}"), fhir.get(f"/Patient/{gone}/_history/2")):
        assert answer.status_code == 410
        assert answer.headers["etag"] == 'W/"2"'
        assert issue(answer)["code"] == "deleted"
        assert "was deleted" in issue(answer)["diagnostics"]
    assert fhir.head(f"/Patient/{gone}").status_code == 410
    assert fhir.get(f"/Patient/{gone}", headers={"if-none-match": 'W/"2"'}).status_code == 410
    assert fhir.get(f"/Patient/{gone}/_history/1").status_code == 200, "history is truth"
    assert total(fhir, "Patient", f"_id={gone}") == 0
    assert total(fhir, "Patient", "identifier=gone-1") == 0


def test_deleting_again_or_what_never_was_is_204_and_makes_no_version(fhir: httpx.Client, gone: str):
    again = fhir.delete(f"/Patient/{gone}")
    assert (again.status_code, again.headers["etag"]) == (204, 'W/"2"')
    assert fhir.get(f"/Patient/{gone}/_history").json()["total"] == 2
    never = fhir.delete("/Patient/never-was")
    assert never.status_code == 204
    assert "etag" not in never.headers
    assert fhir.get("/Patient/never-was").status_code == 404
    assert fhir.get("/Patient/never-was/_history").status_code == 404


@pytest.mark.parametrize(("tag", "status"), [('W/"1"', 204), ("*", 204), ('W/"9"', 412)])
def test_a_delete_heeds_if_match(fhir: httpx.Client, tag: str, status: int):
    made = create(fhir, {"resourceType": "Patient"})
    assert fhir.delete(f"/Patient/{made['id']}", headers={"if-match": tag}).status_code == status
    assert fhir.get(f"/Patient/{made['id']}").status_code == (410 if status == 204 else 200)


def test_a_delete_with_if_match_of_what_is_not_there_is_412(fhir: httpx.Client, gone: str):
    for path, tag in ((f"/Patient/{gone}", "*"), (f"/Patient/{fresh()}", "*"), (f"/Patient/{fresh()}", 'W/"1"')):
        assert fhir.delete(path, headers={"if-match": tag}).status_code == 412


def test_what_was_deleted_comes_back_by_an_update_in_one_line_of_versions(fhir: httpx.Client, gone: str, base: str):
    answer = fhir.put(f"/Patient/{gone}", json=identified("gone-1", id=gone))
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"3"')
    assert answer.headers["location"] == f"{base}/Patient/{gone}/_history/3"
    log = fhir.get(f"/Patient/{gone}/_history").json()["entry"]
    assert [one["request"]["method"] for one in log] == ["PUT", "DELETE", "POST"]
    assert [one["response"]["status"] for one in log] == ["201 Created", "204 No Content", "201 Created"]
    assert [one["response"]["etag"] for one in log] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert total(fhir, "Patient", f"_id={gone}") == 1
    assert fhir.get(f"/Patient/{gone}/_history/2").status_code == 410


def test_a_delete_can_be_told_as_an_outcome(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Patient"})
    told = fhir.delete(f"/Patient/{made['id']}", headers={"prefer": "return=OperationOutcome"})
    assert told.status_code == 200
    assert issue(told) == {
        "severity": "information",
        "code": "informational",
        "diagnostics": f"Patient/{made['id']} deleted, version 2",
    }
    again = fhir.delete(f"/Patient/{made['id']}", headers={"prefer": "return=OperationOutcome"})
    assert "nothing to delete" in issue(again)["diagnostics"]


@pytest.mark.parametrize("path", ["Patient/x/_history", "Patient/x/_history/1", "metadata", ""])
def test_what_has_no_delete_is_405(fhir: httpx.Client, path: str):
    answer = fhir.delete(f"/{path}" if path else "")
    assert answer.status_code == 405
    assert "DELETE" not in answer.headers["allow"]
