"""Clients that people use read, write, search and page: fhirclient and fhirpy."""

from typing import Any

import httpx
import pytest

from tests.stories.bundles import by, fresh, identified

fhirclient = pytest.importorskip("fhirclient.client")
Observation = pytest.importorskip("fhirclient.models.observation").Observation
Patient = pytest.importorskip("fhirclient.models.patient").Patient
fhirpy = pytest.importorskip("fhirpy")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def smart(base: str) -> Any:
    """fhirclient, connected: it has read /metadata."""
    client = fhirclient.FHIRClient(settings={"app_id": "stories", "api_base": f"{base}/"})
    assert client.prepare()
    return client


@pytest.fixture(scope="module")
def sync(base: str) -> Any:
    return fhirpy.SyncFHIRClient(base)


def test_fhirclient_understands_metadata(smart: Any, base: str):
    capabilities = smart.server.capabilityStatement
    assert capabilities.fhirVersion == "4.0.1"
    assert capabilities.implementation.url == base
    assert {one.type for one in capabilities.rest[0].resource} >= {"Patient", "Observation"}


def test_fhirclient_creates_reads_updates_and_deletes(smart: Any):
    patient = Patient(identified(fresh(), birthDate="1970-02-03"))
    made = patient.create(smart.server)
    assert made["id"]
    kept = Patient.read(made["id"], smart.server)
    assert kept.birthDate.as_json() == "1970-02-03"
    kept.active = True
    assert kept.update(smart.server)["meta"]["versionId"] == "2"
    assert Patient.read(made["id"], smart.server).active is True
    kept.delete(smart.server)
    with pytest.raises(Exception, match="410"):
        Patient.read(made["id"], smart.server)


def test_fhirclient_searches_and_pages(smart: Any, fhir: httpx.Client):
    value = fresh()
    names = {fhir.post("/Patient", json=identified(value)).json()["id"] for _ in range(7)}
    search = Patient.where({"identifier": f"http://example.org/mrn|{value}", "_count": "3"})
    assert sorted(one.id for one in search.perform_resources_iter(smart.server)) == sorted(names)
    some = names.pop()
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    fhir.post("/Observation", json={**observation, "subject": {"reference": f"Patient/{some}"}})
    found = Observation.where({"subject": f"Patient/{some}"}).include("subject").perform_resources_iter(smart.server)
    assert [one.resource_type for one in found] == ["Observation", "Patient"]


def test_fhirpy_creates_reads_updates_and_deletes(sync: Any):
    patient = sync.resource("Patient", **{k: v for k, v in identified(fresh()).items() if k != "resourceType"})
    patient.save()
    assert patient["meta"]["versionId"] == "1"
    kept = sync.reference("Patient", patient.id).to_resource()
    assert kept == patient
    kept["active"] = True
    kept.save()
    assert kept["meta"]["versionId"] == "2"
    patient.refresh()
    assert patient["active"] is True
    patient.delete()
    with pytest.raises(fhirpy.base.exceptions.ResourceNotFound):
        sync.get("Patient", patient.id)


def test_fhirpy_searches_counts_and_pages(sync: Any, fhir: httpx.Client):
    value = fresh()
    names = {fhir.post("/Patient", json=identified(value)).json()["id"] for _ in range(7)}
    search = sync.resources("Patient").search(identifier=f"http://example.org/mrn|{value}")
    assert {one.id for one in search.limit(3).fetch_all()} == names
    assert len(search.limit(2).fetch()) == 2
    assert search.sort("-_lastUpdated").first().id in names
    assert search.fetch_raw()["total"] == 7


def test_fhirpy_selects_by_criteria(sync: Any):
    value = fresh()
    members = {k: v for k, v in identified(value).items() if k != "resourceType"}
    search = sync.resources("Patient").search(identifier=f"http://example.org/mrn|{value}")
    made, new = search.get_or_create(sync.resource("Patient", **members))
    assert new
    again, new = search.get_or_create(sync.resource("Patient", **members))
    assert (again.id, new) == (made.id, False)
    changed, new = search.update(sync.resource("Patient", **members, active=True))
    assert (changed.id, changed["active"], new) == (made.id, True, False)
    assert search.get().id == made.id
    assert search.delete()[1] == 204
    assert search.first() is None


def test_fhirpy_reads_metadata_and_posts_bundles(sync: Any):
    capabilities = sync.execute("metadata", method="get")
    assert capabilities["fhirVersion"] == "4.0.1"
    value = fresh()
    request = {"method": "POST", "url": "Patient", "ifNoneExist": by(value)}
    entries = [{"resource": identified(value), "request": request} for _ in range(2)]
    answer = sync.execute("", data={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert [one["response"]["status"] for one in answer["entry"]] == ["201 Created", "200 OK"]
