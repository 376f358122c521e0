"""https://hl7.org/fhir/R4/search.html#composite"""

from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.types.composite import _shape
from profiles.definitions import r4
from tests.fhir_server.search.types.asking import BASE, found, parsed

LOINC, UCUM, SNOMED = "http://loinc.org", "http://unitsofmeasure.org", "http://snomed.info/sct"


def concept(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def millimetres(value: int) -> dict[str, Any]:
    return {"value": value, "system": UCUM, "code": "mm[Hg]", "unit": "mmHg"}


PRESSURE = {
    "resourceType": "Observation",
    "code": concept("85354-9"),
    "component": [
        {"code": concept("8480-6"), "valueQuantity": millimetres(107)},
        {"code": concept("8462-4"), "valueQuantity": millimetres(60)},
        {"code": concept("8361-8"), "valueCodeableConcept": concept("33586001", SNOMED)},
    ],
}
POTASSIUM = {
    "resourceType": "Observation",
    "code": concept("2823-3"),
    "valueQuantity": {"value": 6, "system": UCUM, "code": "mmol/L"},
}
GROUP = {
    "resourceType": "Group",
    "characteristic": [
        {"code": {"coding": [{"code": "gender"}]}, "valueCodeableConcept": {"coding": [{"code": "mixed"}]}},
        {"code": {"coding": [{"code": "pregnant"}]}, "valueBoolean": True},
    ],
}  # fmt: skip
CONTEXTS = {
    "resourceType": "Questionnaire",
    "useContext": [
        {"code": {"code": "focus"}, "valueCodeableConcept": concept("408934002", SNOMED)},
        {"code": {"code": "age"}, "valueRange": {"low": {"value": 18, "system": UCUM, "code": "a"}}},
    ],
}
DOCUMENT = {
    "resourceType": "DocumentReference",
    "relatesTo": [
        {"code": "replaces", "target": {"reference": "DocumentReference/a"}},
        {"code": "appends", "target": {"reference": f"{BASE}/DocumentReference/b"}},
    ],
}
SEQUENCE = {
    "resourceType": "MolecularSequence",
    "referenceSeq": {"chromosome": concept("1", "http://c"), "referenceSeqId": concept("NC_000001.11", "http://n"), "windowStart": 100, "windowEnd": 200},
    "variant": [{"start": 10, "end": 20}, {"start": 30, "end": 40}],
}  # fmt: skip

CASES: list[tuple[dict[str, Any], str, bool]] = [
    (POTASSIUM, f"code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L", True),
    (POTASSIUM, f"code-value-quantity={LOINC}|2823-3$gt6|{UCUM}|mmol/L", False),
    (POTASSIUM, f"code-value-quantity={LOINC}|2823-4$gt5.4|{UCUM}|mmol/L", False),
    (POTASSIUM, f"combo-code-value-quantity={LOINC}|2823-3$gt5.4", True),
    (PRESSURE, f"component-code-value-quantity={LOINC}|8480-6$lt60", False),
    (PRESSURE, f"component-code-value-quantity={LOINC}|8480-6$lt110", True),
    (PRESSURE, "component-code-value-quantity=8462-4$60||mmHg", True),
    (PRESSURE, f"component-code-value-quantity={LOINC}|8462-4$60|{UCUM}|mm[Hg]", True),
    (PRESSURE, f"component-code-value-quantity={LOINC}|8462-4$107|{UCUM}|mm[Hg]", False),
    (PRESSURE, f"component-code-value-quantity={LOINC}|8480-6$gt14|{UCUM}|kPa", True),
    (PRESSURE, f"combo-code-value-quantity={LOINC}|8480-6$gt100", True),
    (PRESSURE, f"combo-code-value-quantity={LOINC}|85354-9$gt100", False),
    (PRESSURE, f"component-code-value-concept=8361-8${SNOMED}|33586001", True),
    (PRESSURE, f"component-code-value-concept=8361-8${SNOMED}|", True),
    (PRESSURE, f"component-code-value-concept=8480-6${SNOMED}|33586001", False),
    (GROUP, "characteristic-value=gender$mixed", True),
    (GROUP, "characteristic-value=gender$true", False),
    (GROUP, "characteristic-value=pregnant$true", True),
    (CONTEXTS, f"context-type-value=focus${SNOMED}|408934002", True),
    (CONTEXTS, f"context-type-value=age${SNOMED}|408934002", False),
    (CONTEXTS, f"context-type-quantity=age$gt20|{UCUM}|a", True),
    (CONTEXTS, f"context-type-quantity=age$lt200|{UCUM}|mo", False),
    (DOCUMENT, "relationship=DocumentReference/a$replaces", True),
    (DOCUMENT, "relationship=a$appends", False),
    (DOCUMENT, "relationship=b$appends", True),
    (SEQUENCE, "chromosome-variant-coordinate=1$gt25$lt50", True),
    (SEQUENCE, "chromosome-variant-coordinate=1$lt15$gt35", False),
    (SEQUENCE, "chromosome-variant-coordinate=1$30$40", True),
    (SEQUENCE, "chromosome-variant-coordinate=2$30$40", False),
    (SEQUENCE, "chromosome-window-coordinate=1$ge100$le200", True),
    (SEQUENCE, r"referenceseqid-window-coordinate=http://n|NC_000001.11$ge100$gt200", False),
]


@pytest.mark.parametrize(("resource", "query", "expected"), CASES)
def test_the_components_hold_within_one_element(resource: dict[str, Any], query: str, expected: bool) -> None:
    assert found(resource, query) is expected


def test_every_composite_of_r4_can_be_indexed() -> None:
    parameters = r4_parameters()
    composites = [
        one for name in r4().resource_types for one in parameters.of(name).values() if one.type == "composite"
    ]
    assert len(composites) >= 46
    assert all(_shape(one) is not None for one in composites)


@pytest.mark.parametrize(
    "text", ["8480-6", "8480-6$", "$5", "8480-6$5$6", "8480-6$xx5", f"{LOINC}|$5"]
)  # fmt: skip
def test_what_is_no_composite_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed("Observation", "component-code-value-quantity=" + text)
    assert refused.value.status == 400
