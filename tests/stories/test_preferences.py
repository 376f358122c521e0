"""Prefer: https://hl7.org/fhir/R4/http.html#ops and https://hl7.org/fhir/R4/search.html#errors."""

import httpx
import pytest

from tests.stories.bundles import create, issue

PATIENT = {"resourceType": "Patient", "active": True}


@pytest.mark.parametrize(
    ("prefer", "kind"),
    [
        ("", "Patient"),
        ("return=representation", "Patient"),
        ('return="representation"', "Patient"),
        ("return=minimal", None),
        ("handling=strict, return=minimal", None),
        ("return=minimal; handling=strict", None),
        ("RETURN=minimal", None),
        ("return=OperationOutcome", "OperationOutcome"),
        ("return=everything", "Patient"),  # a preference that is not understood is no preference
        ("respond-async-or-whatever", "Patient"),
    ],
)
def test_writes_answer_with_what_is_preferred(fhir: httpx.Client, prefer: str, kind: str | None):
    made = create(fhir, PATIENT)
    headers = {"prefer": prefer} if prefer else {}
    patch = [{"op": "replace", "path": "/active", "value": False}]
    patched = {**headers, "content-type": "application/json-patch+json"}
    answers = [
        fhir.post("/Patient", json=PATIENT, headers=headers),
        fhir.put(f"/Patient/{made['id']}", json={**made, "gender": "other"}, headers=headers),
        fhir.patch(f"/Patient/{made['id']}", json=patch, headers=patched),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    for answer in answers:
        assert answer.headers["etag"]
        assert "last-modified" in answer.headers
        if kind is None:
            assert answer.content == b""
            assert answer.headers["content-length"] == "0"
        else:
            assert answer.json()["resourceType"] == kind


def test_an_outcome_tells_what_was_done(fhir: httpx.Client):
    made = create(fhir, PATIENT)
    url, headers = f"/Patient/{made['id']}", {"prefer": "return=OperationOutcome"}
    assert issue(fhir.put(url, json=made, headers=headers))["diagnostics"].endswith("unchanged, version 1")
    told = issue(fhir.put(url, json={**made, "gender": "other"}, headers=headers))
    assert told["diagnostics"] == f"Patient/{made['id']} updated, version 2"
    assert told["severity"] == "information"
    xml = fhir.put(url, json=made, headers={**headers, "accept": "application/fhir+xml"})
    assert "<OperationOutcome" in xml.text


def test_summary_and_elements_shape_what_a_write_answers_and_not_what_it_stores(fhir: httpx.Client):
    answer = fhir.post("/Patient?_elements=gender", json={**PATIENT, "birthDate": "1970"})
    assert "birthDate" not in answer.json()
    assert answer.json()["meta"]["tag"][0]["code"] == "SUBSETTED"
    whole = fhir.get(f"/Patient/{answer.json()['id']}").json()
    assert whole["birthDate"] == "1970"
    assert "tag" not in whole["meta"]


def test_searches_are_strict_unless_leniency_is_preferred(fhir: httpx.Client):
    strict = fhir.get("/Patient?nmae=x&active=true")
    assert strict.status_code == 400
    assert issue(strict)["diagnostics"] == "unknown search parameter 'nmae' on Patient; did you mean 'name'?"
    assert fhir.get("/Patient?nmae=x", headers={"prefer": "handling=strict"}).status_code == 400
    lenient = fhir.get("/Patient?nmae=x&active=true", headers={"prefer": "handling=lenient"}).json()
    told = [one["resource"] for one in lenient["entry"] if one["search"]["mode"] == "outcome"]
    assert "did you mean 'name'?" in told[0]["issue"][0]["diagnostics"]
    own = next(link["url"] for link in lenient["link"] if link["relation"] == "self")
    assert "active=true" in own
    assert "nmae" not in own
