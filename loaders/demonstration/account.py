"""Who may sign in at the demonstration hospital: somebody for each role, bound to one of its resources.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#fhir-user
"""

from collections.abc import Callable, Iterator

from loaders.demonstration.datatypes import Resource
from loaders.demonstration.hospital import generate
from smart_auth.first_start import Binding

DOMAIN = "mediconnect.example"
ADULT = "2000-01-01"  # born before


def bindings(patients: int, seed: int) -> Iterator[Binding]:
    """An account for each role; those of the hospital with so many patients have its resources, found from the seed."""
    wanted: dict[str, Callable[[Resource], bool]] = {
        "practitioner": lambda one: one["resourceType"] == "Practitioner" and _has_degree(one, "MD"),
        "pharmacist": lambda one: one["resourceType"] == "Practitioner" and _has_degree(one, "RPH"),
        "patient": lambda one: one["resourceType"] == "Patient" and one["birthDate"] < ADULT,
        "related-person": lambda one: one["resourceType"] == "RelatedPerson",
    }
    for resource in generate(patients, seed):
        for role in [role for role, fits in wanted.items() if fits(resource)][:1]:
            del wanted[role]
            reference = f"{resource['resourceType']}/{resource['id']}"
            yield Binding(f"{role}@{DOMAIN}", resource["name"][0]["text"], (role,), reference)
        if not wanted:
            break
    yield Binding(f"front-desk@{DOMAIN}", "Front Desk", ("front-desk",))
    yield Binding(f"auditor@{DOMAIN}", "Auditor", ("auditor",))


def _has_degree(practitioner: Resource, code: str) -> bool:
    codings = (coding for one in practitioner.get("qualification", []) for coding in one["code"].get("coding", []))
    return any(coding.get("code") == code for coding in codings)
