"""Binary, raw and as a resource: https://hl7.org/fhir/R4/binary.html#rest."""

import httpx
import pytest

from tests.stories.bundles import bundle as bundle_of
from tests.stories.bundles import create, entry

PNG = b"\x89PNG\r\n\x1a\n\x00\x01\x02\xff"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image/png", PNG),
        ("text/plain; charset=utf-8", "Grüße".encode()),
        ("application/pdf", b"%PDF-1.4"),
        ("application/json", b'{"some":"json"}'),
        ("application/xml", b"<some/>"),
        ("text/html", b"<script>alert(1)</script>"),
        ("application/octet-stream", bytes(range(256)) * 100),
    ],
)
def test_what_is_sent_raw_comes_back_raw(fhir: httpx.Client, base: str, kind: str, content: bytes):
    made = fhir.post("/Binary", content=content, headers={"content-type": kind})
    assert made.status_code == 201, made.text
    assert made.json()["contentType"] == kind
    url = made.headers["location"].partition("/_history/")[0].removeprefix(base)
    for accept in ("*/*", kind.partition(";")[0] if "json" not in kind and "xml" not in kind else "image/*"):
        answer = fhir.get(url, headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.content == content
        assert answer.headers["content-type"] == kind
        assert answer.headers["etag"] == 'W/"1"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
    head = fhir.head(url, headers={"accept": "*/*", "accept-encoding": "identity"})
    assert int(head.headers["content-length"]) == len(content)


def test_a_fhir_format_gives_the_resource(fhir: httpx.Client):
    made = fhir.post("/Binary", content=PNG, headers={"content-type": "image/png"}).json()
    url = f"/Binary/{made['id']}"
    assert fhir.get(url, headers={"accept": "application/fhir+json"}).json() == made
    assert fhir.get(url, headers={"accept": "application/fhir+xml"}).text.count("<contentType") == 1
    assert fhir.get(f"{url}?_format=json", headers={"accept": "*/*"}).json() == made
    assert fhir.get(f"{url}/_history/1", headers={"accept": "*/*"}).content == PNG
    assert fhir.get(f"/Binary?_id={made['id']}").json()["entry"][0]["resource"] == made


def test_an_update_replaces_the_content(fhir: httpx.Client):
    made = create(fhir, {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="})
    url = f"/Binary/{made['id']}"
    assert fhir.get(url, headers={"accept": "*/*"}).content == b"hello"
    answer = fhir.put(url, content=PNG, headers={"content-type": "image/png", "if-match": 'W/"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    assert fhir.get(url, headers={"accept": "*/*"}).content == PNG
    assert fhir.get(url, headers={"accept": "*/*", "if-none-match": 'W/"2"'}).status_code == 304
    assert fhir.put(url, content=PNG, headers={"content-type": "image/png", "if-match": 'W/"1"'}).status_code == 412
    new = fhir.put("/Binary/by-name", content=PNG, headers={"content-type": "image/png"})
    assert new.status_code == 201


def test_the_security_context_travels_in_a_header(fhir: httpx.Client):
    headers = {"content-type": "image/png", "x-security-context": "Patient/1"}
    made = fhir.post("/Binary", content=PNG, headers=headers).json()
    assert made["securityContext"] == {"reference": "Patient/1"}
    answer = fhir.get(f"/Binary/{made['id']}", headers={"accept": "*/*"})
    assert answer.headers["x-security-context"] == "Patient/1"


def test_a_binary_resource_sent_as_plain_json_is_taken_as_the_resource(fhir: httpx.Client):
    sent = b'{"resourceType":"Binary","contentType":"text/plain","data":"aGVsbG8="}'
    made = fhir.post("/Binary", content=sent, headers={"content-type": "application/json"}).json()
    assert made["contentType"] == "text/plain"


def test_content_that_is_not_there_or_no_content_type_is_told(fhir: httpx.Client):
    assert fhir.post("/Binary", content=PNG, headers={"content-type": ""}).status_code == 415
    assert fhir.post("/Binary", content=PNG, headers={"content-type": "no type"}).status_code == 400
    missing = fhir.get("/Binary/none", headers={"accept": "image/png"})
    assert missing.status_code == 404
    assert missing.json()["resourceType"] == "OperationOutcome"
    made = fhir.post("/Binary", content=PNG, headers={"content-type": "image/png"}).json()
    fhir.delete(f"/Binary/{made['id']}")
    gone = fhir.get(f"/Binary/{made['id']}", headers={"accept": "image/png"})
    assert gone.status_code == 410


def test_references_to_a_binary_of_a_transaction_are_rewritten(fhir: httpx.Client):
    full_url = "urn:uuid:8b0f1c1e-9d2a-4c53-8a35-0f6a52c8c101"
    binary = {"resourceType": "Binary", "contentType": "image/png", "data": "iVBORw=="}
    patient = {"resourceType": "Patient", "photo": [{"url": full_url}]}
    sent = bundle_of(
        "transaction", entry("POST", "Patient", patient), entry("POST", "Binary", binary, full_url=full_url)
    )
    answers = fhir.post("", json=sent).json()["entry"]
    stored = fhir.get(f"/{answers[0]['response']['location']}").json()
    assert stored["photo"][0]["url"] == answers[1]["response"]["location"].partition("/_history/")[0]
