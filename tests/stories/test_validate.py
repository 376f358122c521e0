"""Validation on the way in, and $validate: https://hl7.org/fhir/R4/validation.html."""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.outcome import ERRORS
from profiles.install import install
from tests.profiles.npm import npm, profile
from tests.running import client, running

E = "http://example.org/fhir/StructureDefinition/"
NAMED, FEMALE = f"{E}named-patient", f"{E}female-patient"
IDA: dict[str, Any] = {"resourceType": "Patient", "id": "ida", "name": [{"family": "Linde"}], "gender": "female"}
NAMELESS = {"resourceType": "Patient", "gender": "female"}
XHTML = "http://www.w3.org/1999/xhtml"


def published(folder: Path) -> Path:
    """A package with two profiles of Patient, as its publisher would send it."""
    named = profile("named-patient", "Patient", {"path": "Patient.name", "min": 1})
    female = profile("female-patient", "Patient", {"path": "Patient.gender", "min": 1, "patternCode": "female"})
    return npm(folder, named, female)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    install(published(tmp_path_factory.mktemp("package")), folder / "packages")
    return folder


@pytest.fixture(scope="module")
def fhir(module_database_url: str, data_dir: Path) -> Iterator[httpx.Client]:
    with running(module_database_url, data_dir=data_dir) as url, client(url) as http:
        yield http


@pytest.fixture(scope="module")
def demanding(module_database_url: str, data_dir: Path) -> Iterator[httpx.Client]:
    """A server that validates profiles, wants a name of every Patient, and lets clients ask for less."""
    settings = {
        "validation": "profiles",
        "validation_types": "Observation=structure, Basic=base",
        "required_profiles": f"Patient={NAMED}|1.0.0",
        "validation_relax": True,
    }
    with running(module_database_url, data_dir=data_dir, **settings) as url, client(url) as http:
        yield http


def claiming(resource: dict[str, Any], *profiles: str) -> dict[str, Any]:
    return {**resource, "meta": {"profile": list(profiles)}}


def issues(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """Severity, code and place of the issues."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", answer.text
    return [(one["severity"], one["code"], one.get("expression", [""])[0]) for one in outcome["issue"]]


def texts(answer: httpx.Response) -> str:
    return " ".join(one["diagnostics"] for one in answer.json()["issue"])


def validate(fhir: httpx.Client, resource: Any, path: str = "/Patient/$validate", **parameters: Any) -> httpx.Response:
    """The answer to a resource in Parameters, which is 200 whatever was found."""
    listed = [{"name": "resource", "resource": resource}] if resource is not None else []
    listed += [{"name": name, value[0]: value[1]} for name, value in parameters.items()]
    answer = fhir.post(path, json={"resourceType": "Parameters", "parameter": listed})
    assert answer.status_code == 200, answer.text
    return answer


# Levels on the way in.


@pytest.mark.parametrize(
    ("resource", "status", "found"),
    [
        ({**IDA, "contact": [{"gender": "male"}]}, 422, ("error", "invariant", "Patient.contact[0]")),
        ({**IDA, "gender": "fem"}, 422, ("error", "code-invalid", "Patient.gender")),
        ({**IDA, "brithDate": "1970"}, 400, ("error", "structure", "Patient.brithDate")),
        ({**IDA, "managingOrganization": {"reference": "Practitioner/1"}}, 400, None),
    ],
)
def test_what_is_not_r4_is_not_stored(fhir: httpx.Client, resource: dict, status: int, found: tuple | None):
    for answer in (fhir.put("/Patient/ida", json=resource), fhir.post("/Patient", json=resource)):
        assert answer.status_code == status, answer.text
        assert found is None or found in issues(answer)
    entry = {"resource": resource, "request": {"method": "PUT", "url": "Patient/ida"}}
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    assert answer.json()["entry"][0]["response"]["status"].startswith(str(status))
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == status
    assert issues(answer)[0][2].startswith("Bundle.entry[0].resource")


def test_a_patch_that_leads_to_what_is_not_r4_is_refused(fhir: httpx.Client):
    fhir.put("/Patient/patched", json={**IDA, "id": "patched"}).raise_for_status()
    patch = [{"op": "add", "path": "/contact", "value": [{"gender": "male"}]}]
    answer = fhir.patch("/Patient/patched", json=patch, headers={"content-type": "application/json-patch+json"})
    assert (answer.status_code, issues(answer)) == (422, [("error", "invariant", "Patient.contact[0]")])


def test_at_base_a_profile_that_nobody_knows_is_a_warning_for_who_wants_to_hear_it(fhir: httpx.Client):
    resource = claiming(NAMELESS, f"{E}unknown", NAMED)
    answer = fhir.post("/Patient", json=resource, headers={"prefer": "return=OperationOutcome"})
    assert answer.status_code == 201
    assert issues(answer)[1:] == [("warning", "not-found", "Patient.meta.profile")]
    assert fhir.post("/Patient", json=resource).json()["meta"]["profile"] == [f"{E}unknown", NAMED]


def test_remarks_on_the_entries_of_a_transaction_are_in_their_outcomes(fhir: httpx.Client):
    entry = {"resource": claiming(IDA, f"{E}unknown"), "request": {"method": "PUT", "url": "Patient/ida"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answer = fhir.post("/", json=bundle, headers={"prefer": "return=OperationOutcome"}).json()
    assert [one["severity"] for one in answer["entry"][0]["response"]["outcome"]["issue"]] == ["information", "warning"]


def test_a_client_may_ask_for_a_higher_level(fhir: httpx.Client):
    resource = claiming(NAMELESS, NAMED)
    assert fhir.post("/Patient", json=resource).status_code == 201
    answer = fhir.post("/Patient", json=resource, headers={"prefer": "validation=profiles"})
    assert answer.status_code == 422
    assert issues(answer) == [("error", "required", "Patient.name")]
    entry = {"resource": resource, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert fhir.post("/", json=bundle).status_code == 200
    assert fhir.post("/", json=bundle, headers={"prefer": "validation=profiles"}).status_code == 422


def test_a_lower_level_is_not_granted_unless_the_settings_say_so(fhir: httpx.Client, demanding: httpx.Client):
    broken = {**IDA, "contact": [{"gender": "male"}]}
    answer = fhir.put("/Patient/ida", json=broken, headers={"prefer": "validation=structure"})
    assert answer.status_code == 422
    assert "this server validates at the level base" in texts(answer)
    answer = fhir.put("/Patient/ida", json=IDA, headers={"prefer": "validation=structure"})
    assert answer.status_code in (200, 201)
    answer = fhir.put("/Patient/ida", json=IDA, headers={"prefer": "validation=structure, handling=strict"})
    assert answer.status_code == 400
    assert demanding.put("/Patient/ida", json=broken, headers={"prefer": "validation=structure"}).status_code == 200


def test_a_level_that_there_is_not_is_no_preference_but_an_error_for_the_strict(fhir: httpx.Client):
    assert fhir.put("/Patient/ida", json=IDA, headers={"prefer": "validation=profile"}).status_code == 200
    answer = fhir.put("/Patient/ida", json=IDA, headers={"prefer": "validation=profile, handling=strict"})
    assert (answer.status_code, "did you mean 'profiles'?" in texts(answer)) == (400, True)


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        (IDA, 201),
        (NAMELESS, 422),
        (claiming(IDA, FEMALE), 201),
        (claiming({**IDA, "gender": "male"}, FEMALE), 422),
        (claiming(IDA, f"{E}unknown"), 422),
        ({"resourceType": "Basic", "code": {"text": "x"}, "meta": {"profile": [f"{E}unknown"]}}, 201),
        ({"resourceType": "Observation", "status": "unheard of", "code": {"text": "x"}}, 201),
    ],
)
def test_the_settings_say_which_level_a_type_is_held_to(demanding: httpx.Client, resource: dict, status: int):
    answer = demanding.post(f"/{resource['resourceType']}", json=resource)
    assert answer.status_code == status, answer.text


def test_a_package_installed_meanwhile_is_seen_without_a_restart(
    module_database_url: str, tmp_path: Path, data_dir: Path
):
    with running(module_database_url, data_dir=tmp_path / "data") as url, client(url) as http:
        resource, strict = claiming(NAMELESS, NAMED), {"prefer": "validation=profiles"}
        assert "not installed" in texts(http.post("/Patient", json=resource, headers=strict))
        assert not supported(http)
        install(published(tmp_path), tmp_path / "data" / "packages")
        deadline = time.monotonic() + 10
        while "not installed" in (found := texts(http.post("/Patient", json=resource, headers=strict))):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "name" in found
        assert supported(http) == [FEMALE, NAMED]


def supported(http: httpx.Client) -> list[str]:
    resources = http.get("/metadata").json()["rest"][0]["resource"]
    own = next(one for one in resources if one["type"] == "Patient").get("supportedProfile", [])
    return [one for one in own if one.startswith(E)]


def test_the_capability_statement_names_the_profiles_that_are_supported(fhir: httpx.Client):
    assert supported(fhir) == [FEMALE, NAMED]


# $validate.


def test_all_is_well_is_said_in_a_sentence_and_a_narrative(fhir: httpx.Client):
    for answer in (validate(fhir, IDA), fhir.post("/Patient/$validate", json=IDA)):
        assert issues(answer) == [("information", "informational", "")]
        assert texts(answer).startswith("All is well: this Patient is valid FHIR R4.")
        assert answer.json()["text"]["div"].startswith(f'<div xmlns="{XHTML}">')


def test_every_issue_is_told_at_once_and_nothing_is_stored(fhir: httpx.Client):
    broken = {**IDA, "id": "never", "gender": "fem", "birthDate": "1970-13", "brithDate": "x"}
    answer = validate(fhir, broken)
    assert {place for _, _, place in issues(answer)} == {"Patient.gender", "Patient.birthDate", "Patient.brithDate"}
    assert fhir.get("/Patient/never").status_code == 404


@pytest.mark.parametrize(
    ("resource", "profile", "found"),
    [
        (claiming(NAMELESS, NAMED), None, ("error", "required", "Patient.name")),
        (NAMELESS, NAMED, ("error", "required", "Patient.name")),
        (NAMELESS, f"{NAMED}|1.0.0", ("error", "required", "Patient.name")),
        (NAMELESS, f"{NAMED}|2.0.0", ("error", "not-found", "")),
        (NAMELESS, f"{E}namd-patient", ("error", "not-found", "")),
        (claiming(NAMELESS, f"{E}unknown"), None, ("warning", "not-found", "Patient.meta.profile")),
        (IDA, NAMED, None),
        (IDA, "http://hl7.org/fhir/StructureDefinition/Patient", None),
    ],
)
def test_profiles_claimed_and_named_are_compared_with(
    fhir: httpx.Client, resource: dict, profile: str | None, found: tuple | None
):
    named = {} if profile is None else {"profile": ("valueUri", profile)}
    answer = validate(fhir, resource, **named)
    if found is None:
        assert issues(answer) == [("information", "informational", "")]
        assert profile is not None
        assert profile in texts(answer)
    else:
        assert found in issues(answer)


def test_a_profile_with_a_slip_of_the_pen_is_answered_with_the_one_that_there_is(fhir: httpx.Client):
    answer = validate(fhir, IDA, profile=("valueCanonical", f"{E}namd-patient"))
    assert f"did you mean '{NAMED}'?" in texts(answer)


def test_the_stored_resource_is_validated_where_none_is_sent(fhir: httpx.Client):
    fhir.put("/Patient/stored", json={**NAMELESS, "id": "stored"}).raise_for_status()
    assert issues(fhir.get("/Patient/stored/$validate")) == [("information", "informational", "")]
    answer = fhir.get("/Patient/stored/$validate", params={"mode": "profile", "profile": NAMED})
    assert issues(answer) == [("error", "required", "Patient.name")]
    assert fhir.get("/Patient/never-was/$validate").status_code == 404


@pytest.mark.parametrize(
    ("path", "mode", "resource", "found"),
    [
        ("/Patient/$validate", "create", IDA, "information"),
        ("/Patient/$validate", "create", {**IDA, "gender": "x"}, "error"),
        ("/Patient/$validate", "create", {**IDA, "meta": {"tag": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]}}, "error"),
        ("/Patient/ida/$validate", "update", IDA, "information"),
        ("/Patient/other/$validate", "update", IDA, "error"),
        ("/Observation/$validate", "create", IDA, "error"),
        ("/Patient/ida/$validate", "delete", None, "information"),
        ("/Patient/never-was/$validate", "delete", None, "error"),
    ],
)  # fmt: skip
def test_modes_say_what_the_interaction_would(fhir: httpx.Client, path: str, mode: str, resource: Any, found: str):
    fhir.put("/Patient/ida", json=IDA).raise_for_status()
    answer = validate(fhir, resource, path, mode=("valueCode", mode))
    assert issues(answer)[0][0] == found, answer.text


@pytest.mark.parametrize(
    ("url", "body", "hint"),
    [
        ("/Patient/$validate?mode=crete", IDA, "did you mean 'create'?"),
        ("/Patient/$validate?mode=update", IDA, "[id]/$validate"),
        ("/Patient/$validate?mode=profile", IDA, "needs the parameter profile"),
        ("/Patient/$validate?profil=x", IDA, "did you mean 'profile'?"),
        ("/Patient/$validate", {"resourceType": "Parameters"}, "no resource to validate"),
    ],
)
def test_a_call_that_makes_no_sense_is_400(fhir: httpx.Client, url: str, body: Any, hint: str):
    answer = fhir.post(url, json=body)
    assert (answer.status_code, hint in texts(answer)) == (400, True), answer.text


def test_xml_in_and_out_work_as_everywhere(fhir: httpx.Client):
    xml = '<Patient xmlns="http://hl7.org/fhir"><gender value="fem"/></Patient>'
    headers = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    answer = fhir.post("/Patient/$validate", content=xml, headers=headers)
    assert (answer.status_code, '<expression value="Patient.gender"/>' in answer.text) == (200, True)


def test_validate_works_in_a_batch(fhir: httpx.Client):
    entry = {"resource": {**IDA, "gender": "fem"}, "request": {"method": "POST", "url": "Patient/$validate"}}
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [entry, entry]})
    (first, _) = answer.json()["entry"]
    assert first["response"]["status"] == "200 OK"
    assert first["resource"]["issue"][0]["code"] == "code-invalid"


def test_profiles_are_looked_for_in_the_entries_of_a_bundle_too(fhir: httpx.Client):
    resource = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": claiming(NAMELESS, NAMED)}]}
    resource["entry"][0]["fullUrl"] = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    answer = validate(fhir, resource, "/Bundle/$validate")
    assert ("error", "required", "Bundle.entry[0].resource.name") in issues(answer)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "extension": [{"url": "http://example.org/x", "extension": None}]},
        {"resourceType": "Patient", "meta": {"profile": {"a": 1}}},
        {"resourceType": "Patient", "meta": {"profile": [f"{E}{n}" for n in range(5000)]}},
        {"resourceType": "Patient", "meta": {"profile": ["http://example.org/" + "x" * 100_000]}},
        {"resourceType": "Patient", "name": [{"given": ["x"] * 50_000}], "meta": {"profile": [NAMED]}},
        {"resourceType": "Nothing"},
        {"resourceType": 7},
    ],
    ids=lambda resource: str(resource)[:60],
)
def test_hostile_resources_end_in_issues_soon(fhir: httpx.Client, resource: Any):
    begun = time.monotonic()
    answer = fhir.post("/Patient/$validate", json=resource)
    assert answer.status_code in (200, 400), answer.text[:500]
    stored = fhir.post("/Patient", json=resource, headers={"prefer": "validation=profiles, return=minimal"})
    assert stored.status_code < 500
    assert time.monotonic() - begun < 10


def test_a_stored_profile_claim_is_never_changed(fhir: httpx.Client):
    sent = claiming(copy.deepcopy(IDA), f"{NAMED}|1.0.0")
    sent["id"] = "claims"
    answer = fhir.put("/Patient/claims", json=sent, headers={"prefer": "validation=profiles"})
    assert answer.json()["meta"]["profile"] == [f"{NAMED}|1.0.0"]
    assert not {severity for severity, _, _ in issues(fhir.get("/Patient/claims/$validate"))} & ERRORS
