"""Privacy consents over HTTP: what exchange partners see of whom.

https://hl7.org/fhir/R4/consent.html
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bearing import Secured, secured
from tests.stories.bundles import Resource, bundle, entry, observation

SECRET = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
CODES = {"coding": [{"system": "http://s", "code": "hiv"}]}


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url, rate_limit="", exchange_partners="partner:TREAT other") as running:
        yield running


def consent(name: str, provision: Resource, **members: Any) -> Resource:
    return {
        "resourceType": "Consent", "id": name, "status": "active", "patient": {"reference": f"Patient/{name}"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"text": "privacy"}], "policyRule": {"text": "hospital"}, "provision": provision, **members,
    }  # fmt: skip


def actor(name: str) -> list[Resource]:
    return [{"role": {"text": "recipient"}, "reference": {"identifier": {"value": name}}}]


def kinds(*names: str) -> list[Resource]:
    return [{"system": "http://hl7.org/fhir/resource-types", "code": name} for name in names]


PERMIT, DENY = {"type": "permit"}, {"type": "deny"}
ALL = {"Patient", "Condition", "plain", "secret", "hiv"}
CASES: dict[str, tuple[Resource | None, set[str]]] = {
    "silent": (None, set()),
    "open": (PERMIT, ALL),
    "closed": (DENY, set()),
    "named": ({"type": "permit", "actor": actor("partner")}, ALL),
    "another": ({"type": "permit", "actor": actor("other")}, set()),
    "but-one": ({"type": "permit", "provision": [{"type": "deny", "actor": actor("partner")}]}, set()),
    "only-one": ({"type": "deny", "provision": [{"type": "permit", "actor": actor("partner")}]}, ALL),
    "purpose": ({"type": "permit", "purpose": [{"code": "TREAT"}]}, ALL),
    "no-purpose": ({"type": "permit", "purpose": [{"code": "HMARKT"}]}, set()),
    "over": ({"type": "permit", "period": {"end": "2020-01-01"}}, set()),
    "during": ({"type": "permit", "period": {"start": "2020-01-01", "end": "2999-01-01"}}, ALL),
    "class": ({"type": "permit", "class": kinds("Patient", "Condition")}, {"Patient", "Condition"}),
    "label": ({"type": "permit", "provision": [{"type": "deny", "securityLabel": [SECRET]}]}, ALL - {"secret"}),
    "code": ({"type": "permit", "provision": [{"type": "deny", "code": [CODES]}]}, {"plain", "secret", "Condition"}),
    "nested": (
        {"type": "permit", "provision": [{"type": "deny", "class": kinds("Observation"), "provision": [
            {"type": "permit", "securityLabel": [SECRET]}]}]}, {"Patient", "Condition", "secret"}),
    "inactive": (None, set()),
}  # fmt: skip


def record(name: str) -> list[Resource]:
    return [
        {"resourceType": "Patient", "id": name},
        {
            "resourceType": "Condition",
            "id": f"{name}-c",
            "subject": {"reference": f"Patient/{name}"},
            "code": {"text": "c"},
        },
        {**observation(f"Patient/{name}"), "id": f"{name}-plain"},
        {**observation(f"Patient/{name}"), "id": f"{name}-secret", "meta": {"security": [SECRET]}},
        {**observation(f"Patient/{name}"), "id": f"{name}-hiv", "code": CODES},
    ]


def seen(server: Secured, client: str, patient: str | None) -> dict[str, set[str]]:
    """For each patient what the client finds; a read of each finds the same."""
    found: dict[str, set[str]] = {name: set() for name in CASES}
    with server.client("system/*.rs", client=client, patient=patient) as http:
        for name in CASES:
            for resource in record(name):
                path = f"/{resource['resourceType']}"
                answer = http.get(path, params={"_id": resource["id"]})
                read = http.get(f"{path}/{resource['id']}").status_code == 200
                assert read == bool(answer.status_code == 200 and answer.json().get("entry")), (name, resource["id"])
                last = (
                    resource["id"].rpartition("-")[2]
                    if resource["resourceType"] == "Observation"
                    else resource["resourceType"]
                )
                if read:
                    found[name].add(last)
    return found


def test_partners_see_what_consents_permit_and_nothing_else(server):
    for name, (provision, _) in CASES.items():
        status = "inactive" if name == "inactive" else "active"
        wanted = provision if provision is not None or name == "silent" else PERMIT
        consents = [consent(name, wanted, status=status)] if wanted is not None else []
        for resource in [*record(name), *consents]:
            path = f"/{resource['resourceType']}/{resource['id']}"
            assert server.setup.put(path, json=resource).status_code == 201
    expected = {name: wanted for name, (_, wanted) in CASES.items()}
    # A class or code that cannot be asked of a type denies where it denies: a Patient has no code.
    assert seen(server, "partner", None) == expected
    assert seen(server, "not-a-partner", None) == dict.fromkeys(CASES, ALL)
    with server.client("system/*.rs", client="partner") as http:
        found = http.get("/?_type=Patient,Condition,Observation&_count=500&_total=accurate").json()
        assert found["total"] == len(found["entry"]) == sum(map(len, expected.values()))
        assert http.get("/Practitioner").status_code == 200


def test_a_withdrawn_consent_soon_binds(server):
    server.setup.put("/Patient/mind", json={"resourceType": "Patient", "id": "mind"})
    server.setup.put("/Consent/mind", json=consent("mind", PERMIT))
    with server.client("system/*.rs", client="partner") as http:
        assert http.get("/Patient/mind").status_code == 200
        server.setup.put("/Consent/mind", json=consent("mind", DENY))
        time.sleep(2.2)
        assert http.get("/Patient/mind").status_code == 404


def test_consents_of_many_patients_are_kept_to(database_url):
    many = 510
    made = [{"resourceType": "Patient", "id": f"p{n}"} for n in range(many + 1)]
    made += [{**observation(f"Patient/p{n}"), "id": f"o{n}"} for n in range(many + 1)]
    made += [consent(f"p{n}", PERMIT if n % 3 else DENY) for n in range(many)]
    with secured(database_url, rate_limit="", exchange_partners="partner", validation="structure") as server:
        entries = [entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in made]
        assert server.setup.post("/", json=bundle("transaction", *entries)).status_code == 200
        with server.client("system/*.rs", client="partner") as http:
            for kind in ("Patient", "Observation"):
                assert http.get(f"/{kind}?_summary=count").json()["total"] == many * 2 // 3
            status = [http.get(f"/Observation/o{n}").status_code for n in (0, 1, 2, 509, 510)]
            assert status == [404, 200, 200, 200, 404]
    with secured(database_url, rate_limit="", exchange_partners="partner", max_consents=many - 1) as server:
        with server.client("system/*.rs", client="partner") as http:
            for path in ("/Patient", "/Observation/o1", "/?_type=Patient,Practitioner", "/_history"):
                refused = http.get(path)
                assert refused.status_code == 403, path
                assert "ask with a token for one patient" in refused.json()["issue"][0]["diagnostics"]
            assert http.get("/Practitioner").status_code == 200
        with server.client("system/*.rs", client="partner", patient="p1") as http:
            assert http.get("/Observation/o1").status_code == 200


def test_patients_who_decide_in_too_many_ways_are_refused_not_hidden(database_url):
    ways = [{"type": "permit", "dataPeriod": {"start": f"{1800 + n}-01-01"}} for n in range(201)]
    with secured(database_url, rate_limit="", exchange_partners="partner", validation="structure") as server:
        entries = [entry("PUT", f"Consent/p{n}", consent(f"p{n}", one)) for n, one in enumerate(ways)]
        assert server.setup.post("/", json=bundle("transaction", *entries)).status_code == 200
        with server.client("system/*.rs", client="partner") as http:
            assert "more than 200 ways" in http.get("/Patient").json()["issue"][0]["diagnostics"]
            server.setup.delete("/Consent/p200")
            time.sleep(2.2)
            assert http.get("/Observation").status_code == 200


@pytest.mark.parametrize("reference", ["https://hospital.example/fhir/Patient/{}", "Patient/{}/_history/1"])
def test_a_consent_is_of_the_patient_however_that_is_written(server, reference):
    name = f"spelled-{len(reference)}"
    server.setup.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name})
    wanted = {**consent(name, PERMIT), "patient": {"reference": reference.format(name)}}
    assert server.setup.put(f"/Consent/{name}", json=wanted).status_code == 201
    for patient in (None, name):
        with server.client("system/*.rs", client="partner", patient=patient) as http:
            assert http.get(f"/Patient/{name}").status_code == 200
