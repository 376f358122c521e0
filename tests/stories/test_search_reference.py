"""References to resources of this server, written as URLs below its base: https://hl7.org/fhir/R4/search.html#reference."""

import httpx


def test_a_url_below_the_own_base_is_a_reference_to_a_resource_of_its_own(fhir: httpx.Client, base: str):
    assert (
        fhir.put("/Patient/1", json={"resourceType": "Patient", "id": "1", "name": [{"family": "Anna"}]}).status_code
        == 201
    )
    for name, target in (
        ("absolute", f"{base}/Patient/1"),
        ("relative", "Patient/1"),
        ("elsewhere", "https://other.example/fhir/Patient/1"),
    ):
        one = {
            "resourceType": "Observation",
            "id": name,
            "status": "final",
            "code": {"text": "c"},
            "subject": {"reference": target},
        }
        assert fhir.put(f"/Observation/{name}", json=one).status_code == 201

    def ids(query: str) -> list[str]:
        return sorted(entry["resource"]["id"] for entry in fhir.get(f"/{query}").json().get("entry", []))

    ours = ["absolute", "relative"]
    for query in (
        "subject=Patient/1",
        "subject=1",
        f"subject={base}/Patient/1",
        "subject.name=anna",
        "patient.family=anna",
    ):
        assert ids(f"Observation?{query}") == ours, query
    assert ids("Patient/1/Observation") == ours
    assert ids("Observation?_id=absolute&_include=Observation:subject") == ["1", "absolute"]
    assert ids("Patient?_id=1&_revinclude=Observation:patient") == ["1", *ours]
    assert ids("Patient?_has:Observation:patient:_id=absolute") == ["1"]
