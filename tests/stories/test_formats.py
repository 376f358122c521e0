"""JSON, XML and pages, compressed or not: https://hl7.org/fhir/R4/http.html#mime-type and #parameters."""

import gzip
import json
import zlib

import httpx
import pytest

from tests.stories.bundles import create, issue

JSON, XML = "application/fhir+json; charset=utf-8", "application/fhir+xml; charset=utf-8"
PATIENT_XML = '<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>'


@pytest.fixture(scope="module")
def patient(fhir: httpx.Client) -> dict:
    return create(
        fhir, {"resourceType": "Patient", "name": [{"family": "Lindström"}], "photo": [{"title": "x" * 4000}]}
    )


ACCEPTS = [
    ("application/fhir+json", JSON),
    ("application/json", "application/json; charset=utf-8"),
    ("text/json", "text/json; charset=utf-8"),
    ("application/fhir+xml", XML),
    ("application/xml", "application/xml; charset=utf-8"),
    ("text/xml", "text/xml; charset=utf-8"),
    ("*/*", JSON),
    ("", JSON),
    ("application/*", JSON),
    ("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", JSON),
    ("application/fhir+xml, application/fhir+json", XML),
    ("application/pdf, application/fhir+xml;q=0.1", XML),
    ("application/fhir+json;fhirVersion=4.0", JSON),
    ("application/fhir+json; charset=utf-8", JSON),
    ("APPLICATION/FHIR+XML", XML),
    ("application/json+fhir", JSON),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ("text/html", "text/html; charset=utf-8"),
]


@pytest.mark.parametrize(("accept", "kind"), ACCEPTS)
def test_accept_chooses_the_format(fhir: httpx.Client, patient: dict, accept: str, kind: str):
    for path in (f"/Patient/{patient['id']}", f"/Patient?_id={patient['id']}", f"/Patient/{patient['id']}/_history"):
        answer = fhir.get(path, headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == kind
        assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("json", JSON),
        ("xml", XML),
        ("html", "text/html; charset=utf-8"),
        ("application/fhir+json", JSON),
        ("application/fhir%2Bxml", XML),
        ("application/fhir+xml", XML),  # the plus sign not encoded, as most people write it
        ("text/xml", "text/xml; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
    ],
)
def test_format_in_the_url_goes_before_accept(fhir: httpx.Client, patient: dict, named: str, kind: str):
    answer = fhir.get(f"/Patient/{patient['id']}?_format={named}", headers={"accept": "application/pdf"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize(
    ("accept", "query"),
    [
        ("application/pdf", ""),
        ("text/turtle", ""),
        ("application/fhir+json;q=0", ""),
        ("application/fhir+json; fhirVersion=5.0", ""),
        ("application/fhir+json; charset=utf-16", ""),
        ("*/*", "?_format=ttl"),
    ],
)
def test_a_format_there_is_not_is_406_told_in_json(fhir: httpx.Client, patient: dict, accept: str, query: str):
    answer = fhir.get(f"/Patient/{patient['id']}{query}", headers={"accept": accept})
    assert answer.status_code == 406
    assert issue(answer)["code"] == "not-supported"
    assert "application/fhir+xml" in issue(answer)["diagnostics"]


def test_a_write_that_could_not_be_answered_writes_nothing(fhir: httpx.Client):
    before = fhir.get("/Patient/_history?_summary=count").json()
    for query, accept, status in (
        ("", "application/pdf", 406),
        ("?_format=ttl", "*/*", 406),
        ("?_summary=x", "*/*", 400),
    ):
        answer = fhir.post(f"/Patient{query}", json={"resourceType": "Patient"}, headers={"accept": accept})
        assert answer.status_code == status
    assert fhir.get("/Patient/_history?_summary=count").json() == before


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/fhir+json", 201),
        ("application/json", 201),
        ("text/json", 201),
        ("application/fhir+json; charset=UTF-8", 201),
        ('application/fhir+json; charset="utf-8"; fhirVersion=4.0', 201),
        ("application/fhir+json; charset=iso-8859-1", 415),
        ("application/fhir+json; fhirVersion=3.0", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("nonsense", 415),
        ("", 415),
    ],
)
def test_the_content_type_of_a_body_must_be_one_of_fhirs(fhir: httpx.Client, kind: str, status: int):
    answer = fhir.post("/Patient", content=b'{"resourceType":"Patient"}', headers={"content-type": kind})
    assert answer.status_code == status
    if status == 415:
        assert issue(answer)["code"] == "not-supported"
        assert "supported" in issue(answer)["diagnostics"]


@pytest.mark.parametrize("kind", ["application/fhir+xml", "application/xml", "text/xml"])
def test_xml_comes_in_and_goes_out(fhir: httpx.Client, kind: str):
    made = fhir.post("/Patient", content=PATIENT_XML, headers={"content-type": kind})
    assert made.status_code == 201
    assert made.json()["active"] is True
    url = f"/Patient/{made.json()['id']}"
    as_xml = fhir.get(url, headers={"accept": kind}).text
    changed = as_xml.replace('<active value="true"/>', '<active value="false"/>')
    answer = fhir.put(url, content=changed, headers={"content-type": kind, "accept": kind})
    assert answer.status_code == 200
    assert '<active value="false"/>' in answer.text
    assert fhir.get(url).json()["active"] is False
    same = fhir.put(url, content=answer.text, headers={"content-type": kind})
    assert same.headers["etag"] == 'W/"2"', "what came out as XML says the same when it comes back"


def test_errors_come_in_the_format_that_was_asked_for(fhir: httpx.Client):
    for path in ("/Patient/none", "/Patience", "/Patient?nmae=x", "/Patient?name=%zz", "/Patient?" + "x" * 20_000):
        answer = fhir.get(path, headers={"accept": "application/fhir+xml"})
        assert answer.headers["content-type"] == XML
        assert answer.text.startswith("<OperationOutcome") or "<OperationOutcome" in answer.text[:100]
    page = fhir.get("/Patient/none", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "is not known" in page.text


@pytest.mark.parametrize(("pretty", "lines"), [("true", True), ("false", False), ("", False)])
@pytest.mark.parametrize("kind", ["json", "xml"])
def test_pretty_is_for_people(fhir: httpx.Client, patient: dict, kind: str, pretty: str, lines: bool):
    query = f"_format={kind}" + (f"&_pretty={pretty}" if pretty else "")
    text = fhir.get(f"/Patient/{patient['id']}?{query}").text
    assert (text.count("\n") > 5) is lines


def test_a_browser_gets_a_page_that_runs_nothing(fhir: httpx.Client):
    nasty = {"resourceType": "Patient", "name": [{"family": "<script>alert(1)</script>", "given": ['"><img src=x>']}]}
    made = create(fhir, nasty)
    page = fhir.get(f"/Patient/{made['id']}", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "<img src=x" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert f"/Patient/{made['id']}/_history" in page.text


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("gzip;q=0.5", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("identity", False),
        ("br", False),
        ("", False),
    ],
)
def test_answers_are_compressed_for_those_who_can_read_it(
    fhir: httpx.Client, patient: dict, accepted: str, compressed: bool
):
    answer = fhir.get(f"/Patient/{patient['id']}", headers={"accept-encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.json() == patient
    assert (int(answer.headers["content-length"]) < 2000) is compressed


BODY = json.dumps({"resourceType": "Patient", "active": True}).encode()


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(BODY), 201),
        ("x-gzip", gzip.compress(BODY), 201),
        ("GZIP", gzip.compress(BODY), 201),
        ("deflate", zlib.compress(BODY), 201),
        ("identity", BODY, 201),
        ("gzip", gzip.compress(BODY)[:-6], 400),
        ("gzip", gzip.compress(BODY) + b"more", 400),
        ("gzip", BODY, 400),
        ("gzip", b"", 400),
        ("br", BODY, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415),
    ],
)
def test_bodies_may_come_compressed(fhir: httpx.Client, encoding: str, body: bytes, status: int):
    answer = fhir.post("/Patient", content=body, headers={"content-encoding": encoding})
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == ("Patient" if status == 201 else "OperationOutcome")
