"""Operations as a whole: routes, CapabilityStatement, OpenAPI. https://hl7.org/fhir/R4/operations.html."""

import httpx
import pytest

from fhir_server.operations.registry import OPERATIONS
from fhir_server.validation import base_issues

OWN = [one for one in OPERATIONS if one.own]


def diagnostics(answer: httpx.Response) -> str:
    return answer.json()["issue"][0]["diagnostics"]


def test_the_capability_statement_lists_them_where_they_can_be_called(fhir: httpx.Client):
    rest = fhir.get("/metadata").json()["rest"][0]
    assert {one["name"] for one in rest["operation"]} == {"fhirpath", "reindex", "reindex-status"}
    for resource in rest["resource"]:
        assert {one["name"] for one in resource["operation"]} == {"validate", "fhirpath"}
    named = {one["name"]: one["definition"] for one in rest["resource"][0]["operation"]}
    assert named["validate"] == "http://hl7.org/fhir/OperationDefinition/Resource-validate"


@pytest.mark.parametrize("operation", OWN, ids=lambda one: one.code)
def test_a_definition_of_our_own_can_be_read_and_is_valid(fhir: httpx.Client, operation):
    definition = fhir.get(f"/OperationDefinition/{operation.definition['id']}").json()
    assert definition["url"] == operation.url
    assert base_issues(definition) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/$reindex-status", 200, ""),
        ("POST", "/$reindex-status", 200, ""),
        ("GET", "/$reindex", 405, "POST"),
        ("PUT", "/$reindex", 405, "POST"),
        ("GET", "/$fhirpth?expression=1", 404, "did you mean '$fhirpath'?"),
        ("GET", "/$validate", 404, "call [base]/[type]/$validate"),
        ("GET", "/Patient/$reindex", 404, "call [base]/$reindex"),
        ("GET", "/Patint/$validate", 404, "did you mean 'Patient'?"),
        ("GET", "/Patint/$nothing", 404, "did you mean 'Patient'?"),
        ("GET", "/Patient/a_b/$validate", 400, "is not an id"),
        ("GET", "/Patient/a/_history/$validate", 404, ""),
        ("GET", "/$reindex-status?verbose=1", 400, "unknown parameter 'verbose'"),
        ("GET", "/$fhirpath?expression=1&expression=2", 400, "more than once"),
        ("GET", "/$fhirpath?expression=1&validate=yes", 400, "validate: "),
        ("GET", "/$fhirpath?expression=1&resource=x", 400, "cannot be given in the URL"),
    ],
)
def test_paths_and_methods(fhir: httpx.Client, method: str, path: str, status: int, text: str):
    answer = fhir.request(method, path)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert text in diagnostics(answer)
    if status == 405:
        assert answer.headers["allow"] == "POST, OPTIONS"


def test_options_names_the_methods(fhir: httpx.Client):
    assert fhir.options("/Patient/1/$validate").headers["allow"] == "GET, POST, HEAD, OPTIONS"
    assert fhir.options("/$reindex").headers["allow"] == "POST, OPTIONS"


def test_entries_of_a_batch_and_of_a_transaction_call_operations(fhir: httpx.Client):
    entries = [
        {"request": {"method": "GET", "url": "$fhirpath?expression=1+%2B+1"}},
        {"request": {"method": "GET", "url": "Patient/new/$fhirpath?expression=active"}},
        {"request": {"method": "POST", "url": "$reindex"}},
        {"resource": {"resourceType": "Patient", "id": "new", "active": True},
         "request": {"method": "PUT", "url": "Patient/new"}},
    ]  # fmt: skip
    for kind, status in (("batch", "404 Not Found"), ("transaction", "200 OK")):
        fhir.delete("/Patient/new")
        bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
        answers = fhir.post("/", json=bundle).json()["entry"]
        found = [answer["response"]["status"] for answer in answers]
        assert found[0] == found[2] == "200 OK"
        assert found[1] in (status, "410 Gone")
    (active,) = answers[1]["resource"]["parameter"][1]["part"]
    assert active["valueBoolean"] is True


def test_the_openapi_document_has_them(fhir: httpx.Client, base: str):
    paths = httpx.get(base.removesuffix("/fhir") + "/openapi.json").json()["paths"]
    assert paths["/fhir/$reindex"].keys() == {"post"}
    assert paths["/fhir/{type}/{id}/$validate"].keys() == {"get", "post"}
    assert paths["/fhir/{type}/$validate"]["post"]["tags"] == ["type"]
    assert paths["/fhir/$fhirpath"]["get"]["summary"].startswith("operation: Evaluates a FHIRPath expression")
