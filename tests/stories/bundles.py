"""What the stories send: small resources, and Bundles of requests."""

import uuid
from typing import Any

import httpx

Resource = dict[str, Any]


def fresh() -> str:
    """A value that no other story uses."""
    return uuid.uuid4().hex


def identified(value: str, **members: Any) -> Resource:
    """A Patient with an identifier of the stories' own system."""
    return {"resourceType": "Patient", "identifier": [{"system": "http://example.org/mrn", "value": value}], **members}


def by(value: str) -> str:
    """The criteria that select the Patient with that identifier."""
    return f"identifier=http://example.org/mrn|{value}"


def observation(subject: str, **members: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "a measurement"},
        "subject": {"reference": subject},
        **members,
    }


def create(fhir: httpx.Client, resource: Resource) -> Resource:
    """The resource as the server stored it."""
    answer = fhir.post(f"/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def entry(method: str, url: str, resource: Resource | None = None, full_url: str = "", **request: str) -> Resource:
    """A Bundle entry that asks for one interaction; `request` holds its conditions, such as ifNoneExist."""
    made: Resource = {"fullUrl": full_url} if full_url else {}
    if resource is not None:
        made["resource"] = resource
    return {**made, "request": {"method": method, "url": url, **request}}


def bundle(kind: str, *entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def total(fhir: httpx.Client, kind: str, criteria: str) -> int:
    """How many resources the criteria find."""
    answer = fhir.get(f"/{kind}?{criteria}&_summary=count")
    assert answer.status_code == 200, answer.text
    return int(answer.json()["total"])


def issue(answer: httpx.Response) -> Resource:
    """The first issue of the OperationOutcome that an answer is."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", outcome
    return dict(outcome["issue"][0])
