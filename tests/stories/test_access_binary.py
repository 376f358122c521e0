"""Binaries are seen and written by those who may see and write what they belong to.

https://hl7.org/fhir/R4/binary.html#rest
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.bearing import Secured, secured
from tests.stories.bundles import Resource, bundle, entry, observation

ANN: dict[str, Any] = {"patient": "ann", "roles": ("patient",), "fhir_user": "Patient/ann"}
DOCTOR: dict[str, Any] = {"roles": ("practitioner",), "fhir_user": "Practitioner/doc"}
DESK: dict[str, Any] = {"roles": ("front-desk",), "fhir_user": "Practitioner/desk"}


def binary(name: str, context: str | None) -> Resource:
    made: Resource = {"resourceType": "Binary", "id": name, "contentType": "text/plain", "data": "YQ=="}
    return made if context is None else {**made, "securityContext": {"reference": context}}


CONTEXTS = {
    "alone": None, "of-ann": "Patient/ann", "of-bob": "Patient/bob", "lab-of-ann": "Observation/ann-lab", "of-doc": "Practitioner/doc",
    "old-ann": "Patient/ann/_history/1", "of-nobody": "Patient/nobody", "elsewhere": "https://other.example/Patient/ann",
    "full": "https://hospital.example/fhir/Patient/ann", "of-binary": "Binary/of-ann", "of-trail": "Encounter/1",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Secured]:
    with secured(module_database_url, rate_limit="") as running:
        world = [
            {"resourceType": "Patient", "id": "ann"}, {"resourceType": "Patient", "id": "bob"}, {"resourceType": "Patient", "id": "1"},
            {"resourceType": "Practitioner", "id": "doc"}, {**observation("Patient/ann"), "id": "ann-lab"},
            *(binary(name, context) for name, context in CONTEXTS.items()),
        ]  # fmt: skip
        for resource in world:
            answer = running.setup.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
            assert answer.status_code == 201, answer.text
        yield running


def seen(http: httpx.Client) -> set[str]:
    """The Binaries that are read, in whatever way: each way shows the same."""
    found = set()
    for name in CONTEXTS:
        ways = [
            http.get(f"/Binary/{name}", headers={"accept": "*/*"}),
            http.get(f"/Binary/{name}"),
            http.get(f"/Binary/{name}/_history/1"),
            http.get(f"/Binary/{name}/_history"),
        ]
        told = {one.status_code for one in ways}
        assert len(told) == 1, (name, told)
        assert told <= {200, 403, 404}
        found |= {name} if told == {200} else set()
    return found


OF_ANN = {"of-ann", "lab-of-ann", "of-doc", "full", "old-ann"}


@pytest.mark.parametrize(
    ("scope", "who", "expected"),
    [
        ("patient/*.rs", ANN, OF_ANN),
        ("patient/Binary.r patient/Patient.r", ANN, {"of-ann", "full", "old-ann"}),
        ("patient/Patient.rs patient/Observation.rs", ANN, set()),
        ("patient/Binary.rs", ANN, set()),
        ("user/*.rs", DOCTOR, set(CONTEXTS)),
        ("user/Binary.r", DOCTOR, {"alone"}),
        ("user/Binary.r user/Observation.rs", DOCTOR, {"alone", "lab-of-ann"}),
        ("user/*.rs", DESK, set()),
        ("system/Binary.r system/Patient.rs?_id=bob", {}, {"alone", "of-bob"}),
        ("system/Binary.r system/Patient.rs?_id=1", {}, {"alone"}),  # a version's number is nobody's id
        ("system/*.rs", {}, set(CONTEXTS)),
    ],
)
def test_a_binary_is_read_by_whom_its_context_is(server, scope, who, expected):
    with server.client(scope, **who) as http:
        assert seen(http) == expected


def test_binaries_are_searched_by_those_only_who_read_everything(server):
    for scope, who in (("patient/*.rs", ANN), ("user/Binary.rs user/Patient.rs", DOCTOR)):
        with server.client(scope, **who) as http:
            assert http.get("/Binary").status_code == 403
            assert http.get("/Binary/_history").status_code == 403
            assert http.get("/Patient?_has:Binary:security-context:_id=of-ann").status_code in (400, 403)
            assert '"resourceType":"Binary"' not in http.get("/?_type=Binary,Patient").text
    with server.client("user/*.rs", **DOCTOR) as http:
        assert len(http.get("/Binary?_count=50").json()["entry"]) == len(CONTEXTS)


def test_no_include_leads_to_a_binary_whose_context_is_not_seen(server):
    made = {"resourceType": "Provenance", "id": "p", "recorded": "2024-01-01T00:00:00Z", "agent": [{"who": {"reference": "Patient/ann"}}],
            "target": [{"reference": "Binary/of-bob"}, {"reference": "Patient/ann"}]}  # fmt: skip
    assert server.setup.put("/Provenance/p", json=made).status_code == 201
    with server.client("patient/*.rs", **ANN) as http:
        for include in ("Provenance:target", "Provenance:target:Binary", "*"):
            found = http.get(f"/Provenance?_include={include}")
            assert found.status_code in (200, 403)
            assert '"resourceType":"Binary"' not in found.text


def test_a_binary_is_written_by_whom_its_context_may_be_updated(server):
    text = {"content-type": "text/plain"}
    with server.client("user/*.cruds", **DOCTOR) as http:
        assert http.post("/Binary", content=b"x", headers=text).status_code == 201
        for context, status in (
            ("Patient/ann", 201),
            ("Observation/ann-lab", 201),
            ("Practitioner/doc", 403),
            ("Patient/nobody", 403),
            ("AuditEvent/1", 403),
            ("Binary/alone", 403),
        ):
            raw = http.post("/Binary", content=b"x", headers={**text, "x-security-context": context})
            assert raw.status_code == status, context
            assert http.post("/Binary", json=binary("x", context)).status_code == status, context
        assert http.put("/Binary/of-ann", json=binary("of-ann", "Patient/bob")).status_code == 200
        assert http.put("/Binary/of-ann", json=binary("of-ann", "Practitioner/doc")).status_code == 403
        assert http.put("/Binary/of-doc", json=binary("of-doc", "Patient/ann")).status_code == 403, "nor taken away"
        assert http.put("/Binary/of-ann", json=binary("of-ann", "Patient/ann")).status_code == 200


def test_a_binary_and_its_context_are_written_together(server):
    document = {"resourceType": "DocumentReference", "status": "current", "subject": {"reference": "Patient/ann"},
                "content": [{"attachment": {"url": "urn:uuid:6a2f6f2e-0000-4000-8000-000000000002"}}]}  # fmt: skip
    held = {**binary("b", "urn:uuid:6a2f6f2e-0000-4000-8000-000000000001")}
    del held["id"]
    entries = [
        {**entry("POST", "DocumentReference", document), "fullUrl": "urn:uuid:6a2f6f2e-0000-4000-8000-000000000001"},
        {**entry("POST", "Binary", held), "fullUrl": "urn:uuid:6a2f6f2e-0000-4000-8000-000000000002"},
    ]
    with server.client("user/*.cruds", **DOCTOR) as http:
        answer = http.post("/", json=bundle("transaction", *entries))
        assert answer.status_code == 200, answer.text
        where = answer.json()["entry"][1]["response"]["location"]
    with server.client("patient/*.rs", **ANN) as http:
        read = http.get("/" + where.partition("/_history")[0], headers={"accept": "*/*"})
        assert (read.status_code, read.content) == (200, b"a")
    with server.client("patient/*.rs", patient="bob", roles=("patient",), fhir_user="Patient/bob") as http:
        assert http.get("/" + where.partition("/_history")[0]).status_code == 404
