"""Reading one resource and its versions: https://hl7.org/fhir/R4/http.html#read, #vread and #cread."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import httpx
import pytest

from tests.stories.bundles import bundle as bundle_of
from tests.stories.bundles import create, entry, issue


@pytest.fixture(scope="module")
def patient(fhir: httpx.Client) -> dict:
    """A Patient in its second version."""
    made = create(fhir, {"resourceType": "Patient", "name": [{"family": "Linde"}], "birthDate": "1970-02"})
    return fhir.put(f"/Patient/{made['id']}", json={**made, "active": True}).json()


def test_a_read_gives_the_current_version_with_its_etag_and_date(fhir: httpx.Client, patient: dict):
    answer = fhir.get(f"/Patient/{patient['id']}")
    assert answer.status_code == 200
    assert answer.json() == patient
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    modified = parsedate_to_datetime(answer.headers["last-modified"])
    assert modified == datetime.fromisoformat(patient["meta"]["lastUpdated"]).replace(microsecond=0)


def test_every_version_can_be_read_and_never_changes(fhir: httpx.Client, patient: dict):
    first = fhir.get(f"/Patient/{patient['id']}/_history/1")
    assert (first.status_code, first.headers["etag"]) == (200, 'W/"1"')
    assert "active" not in first.json()
    assert first.json()["meta"]["versionId"] == "1"
    assert fhir.get(f"/Patient/{patient['id']}/_history/2").json() == patient


@pytest.mark.parametrize("version", ["3", "0", "01", "-1", "one", "2.0", "99999999999999999999", "%00"])
def test_a_version_that_there_is_not_is_not_found(fhir: httpx.Client, patient: dict, version: str):
    answer = fhir.get(f"/Patient/{patient['id']}/_history/{version}")
    assert answer.status_code == (400 if version == "%00" else 404)
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("Patient/never-used", "Patient/never-used is not known"),
        ("Patient/" + "x" * 65, "is not known"),
        ("Patient/under_score", "is not known"),
        ("Patience/1", "did you mean 'Patient'?"),
        ("patient/1", "did you mean 'Patient'?"),
        ("Patient/never-used/_history", "is not known"),
    ],
)
def test_what_is_not_there_is_404_with_a_sentence(fhir: httpx.Client, path: str, says: str):
    answer = fhir.get(f"/{path}")
    assert answer.status_code == 404
    assert says in issue(answer)["diagnostics"]
    assert issue(answer)["code"] in ("not-found", "not-supported")


def dated(patient: dict, seconds: int) -> str:
    written = datetime.fromisoformat(patient["meta"]["lastUpdated"]).astimezone(UTC)
    return format_datetime(written + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": 'W/"2"'}, 304),
        ({"if-none-match": '"2"'}, 304),
        ({"if-none-match": '"7", W/"2"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": 'W/"1"'}, 200),
        ({"if-none-match": 'W/"1"', "if-modified-since": "LATER"}, 200),  # RFC 9110: the ETag decides
        ({"if-modified-since": "LATER"}, 304),
        ({"if-modified-since": "SAME"}, 304),
        ({"if-modified-since": "EARLIER"}, 200),
        ({"if-modified-since": "last Tuesday"}, 200),
        ({"if-modified-since": "Mon, 01 Jan 0001 00:00:00 +9999999999999999"}, 200),
        ({"if-modified-since": "Mon, 01 Jan 99999 00:00:00 GMT"}, 200),
    ],
)
def test_a_conditional_read_sends_only_what_the_client_does_not_have(
    fhir: httpx.Client, patient: dict, headers: dict[str, str], status: int
):
    moments = {"LATER": dated(patient, 3600), "SAME": dated(patient, 0), "EARLIER": dated(patient, -3600)}
    sent = {name: moments.get(value, value) for name, value in headers.items()}
    for path in (f"/Patient/{patient['id']}", f"/Patient/{patient['id']}/_history/2"):
        answer = fhir.get(path, headers=sent)
        assert answer.status_code == status
        assert answer.headers["etag"] == 'W/"2"'
        if status == 304:
            assert answer.content == b""
            assert "content-type" not in answer.headers


def test_an_etag_that_is_none_is_refused(fhir: httpx.Client, patient: dict):
    answer = fhir.get(f"/Patient/{patient['id']}", headers={"if-none-match": 'W/"2'})
    assert answer.status_code == 400
    assert 'write it as W/"3"' in issue(answer)["diagnostics"]


VOLATILE = ("date", "x-request-id")


@pytest.mark.parametrize(
    "path",
    ["/Patient/ID", "/Patient/ID/_history/1", "/Patient/ID/_history", "/Patient?_id=ID", "/metadata", "/Patient/none"],
)
def test_head_is_get_without_the_body(fhir: httpx.Client, patient: dict, path: str):
    url = path.replace("ID", patient["id"])
    got, head = fhir.get(url), fhir.head(url)
    assert head.status_code == got.status_code
    assert head.content == b""
    kept = [{k: v for k, v in answer.headers.items() if k not in VOLATILE} for answer in (got, head)]
    assert kept[0] == kept[1]
    assert "content-length" in head.headers


@pytest.mark.parametrize(
    ("summary", "members"),
    [
        ("true", {"resourceType", "id", "meta", "active", "name", "birthDate"}),
        ("text", {"resourceType", "id", "meta", "text"}),
        ("data", {"resourceType", "id", "meta", "active", "name", "birthDate", "photo"}),
        ("false", {"resourceType", "id", "meta", "text", "active", "name", "birthDate", "photo"}),
    ],
)
def test_summary_leaves_a_part_and_says_so(fhir: httpx.Client, summary: str, members: set[str]):
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Linde</div>'
    made = create(
        fhir,
        {
            "resourceType": "Patient",
            "text": {"status": "generated", "div": div},
            "active": True,
            "name": [{"family": "Linde"}],
            "birthDate": "1970",
            "photo": [{"title": "face"}],
        },
    )
    part = fhir.get(f"/Patient/{made['id']}", params={"_summary": summary}).json()
    assert set(part) == members
    assert subsetted(part) is (summary != "false")
    vread = fhir.get(f"/Patient/{made['id']}/_history/1", params={"_summary": summary}).json()
    assert vread == part
    searched = fhir.get("/Patient", params={"_id": made["id"], "_summary": summary}).json()["entry"][0]["resource"]
    assert searched == part
    logged = fhir.get(f"/Patient/{made['id']}/_history", params={"_summary": summary}).json()["entry"][0]["resource"]
    assert logged == part
    assert fhir.get(f"/Patient/{made['id']}").json() == made, "what is stored stays whole"


def subsetted(resource: dict) -> bool:
    return any(tag["code"] == "SUBSETTED" for tag in resource["meta"].get("tag", ()))


def test_summary_count_counts_and_sends_no_resource(fhir: httpx.Client, patient: dict):
    for path in (f"/Patient?_id={patient['id']}&_summary=count", f"/Patient/{patient['id']}/_history?_summary=count"):
        counted = fhir.get(path).json()
        assert "entry" not in counted
        assert counted["total"] == (1 if "_id" in path else 2)
    answer = fhir.get(f"/Patient/{patient['id']}?_summary=count")
    assert answer.status_code == 400
    assert "search" in issue(answer)["diagnostics"]


@pytest.mark.parametrize("wanted", ["name", "Patient.name", "name,Observation.code", "name.family"])
def test_elements_leaves_what_was_named_and_says_so(fhir: httpx.Client, patient: dict, wanted: str):
    for path in (f"/Patient/{patient['id']}", f"/Patient/{patient['id']}/_history/2"):
        part = fhir.get(path, params={"_elements": wanted}).json()
        # `active` modifies the meaning of the resource and so is never left out
        assert set(part) == {"resourceType", "id", "meta", "name", "active"}
        assert subsetted(part)


@pytest.mark.parametrize(
    "query", ["_summary=yes", "_summary=true&_summary=text", "_format=json&_format=xml", "_pretty=x"]
)
def test_parameters_that_contradict_or_mean_nothing_are_refused(fhir: httpx.Client, patient: dict, query: str):
    assert fhir.get(f"/Patient/{patient['id']}?{query}").status_code == 400
    assert fhir.get(f"/Patient/{patient['id']}?_summary=true&_summary=true").status_code == 200


def test_a_part_cannot_be_written_back_as_the_whole(fhir: httpx.Client, patient: dict):
    part = fhir.get(f"/Patient/{patient['id']}?_elements=name").json()
    answer = fhir.put(f"/Patient/{patient['id']}", json=part)
    assert answer.status_code == 422
    assert issue(answer)["code"] == "business-rule"
    assert issue(answer)["expression"] == ["Patient.meta.tag[0]"]
    again = fhir.put(f"/Patient?_id={patient['id']}", json=part)
    assert again.status_code == 422
    sent = bundle_of("transaction", entry("PUT", f"Patient/{patient['id']}", part))
    assert fhir.post("", json=sent).status_code == 422
    assert fhir.get(f"/Patient/{patient['id']}").json() == patient
