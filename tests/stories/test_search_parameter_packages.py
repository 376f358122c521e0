"""SearchParameters as HL7 and its implementation guides publish them: https://hl7.org/fhir/R4/searchparameter.html."""

import tarfile
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.json import dump_json, parse_json
from tests.reference import reference
from tests.running import client, running

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core"
CDC = "urn:oid:2.16.840.1.113883.6.238"


def published(package: str) -> list[dict[str, Any]]:
    """The SearchParameter resources of a package."""
    with tarfile.open(reference(f"packages/{package}.tgz")) as archive:
        files = [archive.extractfile(name) for name in archive.getnames() if "/SearchParameter-" in name]
        return [parse_json(file.read()) for file in files if file is not None]


def request_of(one: dict[str, Any]) -> dict[str, str]:
    """An update, or a create where HL7 published an id that is longer than ids may be."""
    if len(one["id"]) > 64:
        return {"method": "POST", "url": "SearchParameter"}
    return {"method": "PUT", "url": f"SearchParameter/{one['id']}"}


def put_all(fhir: httpx.Client, resources: list[dict[str, Any]]) -> None:
    entries = [{"resource": one, "request": request_of(one)} for one in resources]
    answer = fhir.post("", content=dump_json({"resourceType": "Bundle", "type": "batch", "entry": entries}))
    assert answer.status_code == 200, answer.text
    for one, entry in zip(resources, answer.json()["entry"], strict=True):
        assert entry["response"]["status"][:3] in ("200", "201"), (one["url"], entry)


def wait(fhir: httpx.Client) -> None:
    """Until no job is running."""
    for _ in range(600):
        if "running" not in fhir.get("/$reindex-status").text:
            return
        time.sleep(0.05)
    raise AssertionError("the jobs did not end")


def ids(fhir: httpx.Client, query: str) -> list[str]:
    answer = fhir.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))


def known(fhir: httpx.Client) -> dict[tuple[str, str], str]:
    """The url of each search parameter that the CapabilityStatement lists, by type and code."""
    resources = fhir.get("/metadata").json()["rest"][0]["resource"]
    return {(one["type"], p["name"]): p["definition"] for one in resources for p in one.get("searchParam", ())}


def ombs(name: str, system: str, code: str) -> dict[str, Any]:
    coding = {"url": "ombCategory", "valueCoding": {"system": system, "code": code, "display": code}}
    return {"url": f"{US_CORE}-{name}", "extension": [coding, {"url": "text", "valueString": code}]}


RESOURCES: list[dict[str, Any]] = [
    {
        "resourceType": "Patient", "id": "ann", "name": [{"family": "Ann"}], "birthDate": "1970-01-01", "gender": "female",
        "extension": [
            ombs("race", CDC, "2106-3"), ombs("ethnicity", CDC, "2186-5"),
            {"url": f"{US_CORE}-genderIdentity", "valueCodeableConcept": {"coding": [{"code": "446151000124109"}]}},
        ],
    },
    {"resourceType": "Patient", "id": "bob", "name": [{"family": "Bob"}], "extension": [ombs("race", CDC, "2028-9")]},
    {
        "resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/ann"},
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime": "2020-02-03"}
        ],
    },
    {
        "resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "IMP"}, "subject": {"reference": "Patient/ann"},
        "hospitalization": {"dischargeDisposition": {"coding": [{"code": "home"}]}},
    },
    {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"coding": [{"code": "walk"}]}, "subject": {"reference": "Patient/ann"}},
    {"resourceType": "CareTeam", "id": "t", "participant": [{"role": [{"coding": [{"code": "nurse"}]}]}]},
]  # fmt: skip

OWN = [
    ("Patient?race=2106-3", ["ann"]),
    ("Patient?race=2106-3,2028-9", ["ann", "bob"]),
    ("Patient?ethnicity=2186-5", ["ann"]),
    ("Patient?ethnicity:missing=true", ["bob"]),
    ("Patient?gender-identity=446151000124109", ["ann"]),
    ("Condition?asserted-date=2020-02", ["c"]),
    ("Condition?asserted-date=gt2020-02", []),
    ("Encounter?discharge-disposition=home", ["e"]),
    ("Goal?description=walk", ["g"]),
    ("CareTeam?role=nurse", ["t"]),
    ("Condition?patient.race=2106-3", ["c"]),
    ("Patient?_has:Encounter:patient:discharge-disposition=home", ["ann"]),
    ("Patient?_sort=-race", ["ann", "bob"]),
]
BASE = [
    ("Patient?name=ann", ["ann"]),
    ("Patient?family=bob", ["bob"]),
    ("Patient?birthdate=1970", ["ann"]),
    ("Condition?patient=ann", ["c"]),
    ("Encounter?_id=e&patient=Patient/ann", ["e"]),
]


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url) as base, client(base) as http:
        for one in RESOURCES:
            assert http.put(f"/{one['resourceType']}/{one['id']}", json=one).status_code == 201
        yield http


@pytest.mark.parametrize("package", ["us_core_311", "us_core_610", "us_core_800"])
def test_the_parameters_of_us_core_are_stored_and_those_that_are_new_are_searched_by(fhir: httpx.Client, package: str):
    before = known(fhir)
    parameters = published(package)
    put_all(fhir, parameters)
    wait(fhir)
    time.sleep(1.1)  # a process looks once a second how far they are
    after = known(fhir)
    assert {name: after[name] for name in before} == before, "those that state a parameter of FHIR anew change nothing"
    new = {(base, one["code"]) for one in parameters for base in one["base"]} - set(before)
    assert new <= set(after)
    assert ids(fhir, "Patient?race=2106-3") == ["ann"]
    for query, found in BASE:
        assert ids(fhir, query) == found, query


def test_what_they_add_is_found_for_resources_from_before_and_after(fhir: httpx.Client):
    for package in ("us_core_311", "us_core_610"):
        put_all(fhir, published(package))
    wait(fhir)
    time.sleep(1.1)
    for query, found in OWN:
        assert ids(fhir, query) == found, query
    fhir.put("/Patient/cleo", json={**RESOURCES[1], "id": "cleo"})
    assert ids(fhir, "Patient?race=2028-9") == ["bob", "cleo"]
    fhir.delete("/Patient/cleo")


def test_those_of_fhir_itself_are_stored_and_change_nothing(fhir: httpx.Client):
    before = known(fhir)
    parameters = published("hl7.fhir.r4.core-4.0.1")
    assert len(parameters) > 1300
    jobs = fhir.get("/$reindex-status").text
    put_all(fhir, parameters)
    assert fhir.get("/$reindex-status").text == jobs
    assert known(fhir) == before
    for query, found in BASE:
        assert ids(fhir, query) == found, query
    active = {**next(one for one in parameters if one["id"] == "individual-family"), "status": "active"}
    put_all(fhir, [active])
    assert known(fhir) == before
