"""Consents of thousands of patients are a few terms, and hold for one resource as they do for a search.

https://hl7.org/fhir/R4/consent.html
"""

from typing import Any

import pytest

from fhir_server.access.consent import Consents, Rule
from fhir_server.access.criteria import Library
from fhir_server.access.logic import ALL
from fhir_server.outcome import Refusal
from fhir_server.search.match import Matcher
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types.context import Context
from profiles.definitions import r4

BASE = "https://hospital.example/fhir"
LIBRARY = Library(r4(), r4_parameters().copy(BASE), Context(base=BASE))
MANY = 4000


def observation(subject: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o", "subject": {"reference": subject}}


def patient(name: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name}


@pytest.mark.parametrize("otherwise", [True, False])
@pytest.mark.parametrize("permits", [True, False])
def test_thousands_of_patients_are_one_term(otherwise, permits):
    consents = Consents({f"Patient/{n}": (Rule(permits),) for n in range(MANY)}, otherwise=otherwise)
    for kind in ("Patient", "Observation"):
        term = consents.term(LIBRARY, kind)
        if term is None:
            assert not permits
            assert not otherwise
            continue
        for name, decided in (("0", True), (str(MANY - 1), True), ("x", False)):
            named = (
                [patient(name)]
                if kind == "Patient"
                else [observation(f"Patient/{name}"), observation(f"{BASE}/Patient/{name}")]
            )
            expected = permits if decided else otherwise
            assert {Matcher(1, base=BASE).holds(term, one) for one in named} == {expected}
    assert consents.term(LIBRARY, "Practitioner") == ALL


def test_what_cannot_be_kept_to_is_refused_and_not_hidden():
    consents = Consents({}, otherwise=False, refusal="more than can be kept to")
    with pytest.raises(Refusal) as refused:
        consents.term(LIBRARY, "Patient")
    assert (refused.value.status, refused.value.issues[0].diagnostics) == (403, "more than can be kept to")
    assert consents.term(LIBRARY, "Organization") == ALL
