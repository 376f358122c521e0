"""Every example query of search.html and search_filter.html, against resources made for them.

https://hl7.org/fhir/R4/search.html and https://hl7.org/fhir/R4/search_filter.html
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running import client, running

UCUM, LOINC, SCT = "http://unitsofmeasure.org", "http://loinc.org", "http://snomed.info/sct"


def coded(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    coding = {"system": system, "code": code}
    return {"coding": [coding | ({"display": display} if display else {})]}


def quantity(value: float, code: str) -> dict[str, Any]:
    return {"value": value, "unit": code, "system": UCUM, "code": code}


def ref(target: str) -> dict[str, str]:
    return {"reference": target}


def told(text: str) -> dict[str, str]:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}


RESOURCES: list[dict[str, Any]] = [
    {
        "resourceType": "Patient", "id": "23", "active": True, "gender": "male", "birthDate": "2010-06-01",
        "name": [{"family": "Chalmers", "given": ["Peter", "Eve"]}], "generalPractitioner": [ref("Practitioner/joe")],
        "identifier": [
            {"system": "http://acme.org/patient", "value": "2345"},
            {"type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"), "value": "446053"},
        ],
        "communication": [{"language": coded("urn:ietf:bcp:47", "FR")}, {"language": coded("urn:ietf:bcp:47", "NL")}],
    },
    {
        "resourceType": "Patient", "id": "42", "active": False, "gender": "female", "birthDate": "1970-01-01",
        "link": [{"other": ref("Patient/23"), "type": "seealso"}],
        "name": [{"family": "Windsor", "given": ["Severine"]}], "communication": [{"language": coded("urn:ietf:bcp:47", "FR")}],
    },
    {"resourceType": "Patient", "id": "nameless", "text": told("liver metastases seen")},
    {"resourceType": "Practitioner", "id": "joe", "name": [{"family": "Joe"}], "address": [{"state": "MN"}]},
    {"resourceType": "List", "id": "42", "status": "current", "mode": "working", "entry": [{"item": ref("Patient/23")}]},
    {"resourceType": "Group", "id": "102", "type": "person", "actual": True, "member": [{"entity": ref("Patient/23")}],
     "characteristic": [{"code": {"text": "gender", "coding": [{"code": "gender"}]}, "valueCodeableConcept": {"coding": [{"code": "mixed"}]}, "exclude": False}]},
    {
        "resourceType": "Observation", "id": "mg", "status": "final", "code": coded(LOINC, "1234-5"), "subject": ref("Patient/23"),
        "effectiveDateTime": "2013-01-14T10:00:00Z", "valueQuantity": quantity(5.4, "mg"),
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "CELEBRITY"}]},
    },
    {
        "resourceType": "Observation", "id": "potassium", "status": "final", "code": coded(LOINC, "2823-3"), "subject": ref("Patient/42"),
        "effectiveDateTime": "2013-03-14", "valueQuantity": quantity(6.2, "mmol/L"),
    },
    {
        "resourceType": "Observation", "id": "pressure", "status": "amended", "code": coded(LOINC, "85354-9"),
        "subject": {"reference": "Patient/42", "identifier": {"system": "http://acme.org/fhir/identifier/mrn", "value": "123456"}},
        "effectiveDateTime": "2015-05",
        "component": [
            {"code": coded(LOINC, "8480-6"), "valueQuantity": quantity(50, "mm[Hg]")},
            {"code": coded(LOINC, "8462-4"), "valueQuantity": quantity(70, "mm[Hg]")},
        ],
    },
    {"resourceType": "DiagnosticReport", "id": "dr", "status": "final", "code": {"text": "lipids"}, "subject": ref("Patient/23"),
     "result": [ref("Observation/potassium")], "meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/lipid"]}},
    {"resourceType": "Condition", "id": "headache", "subject": ref("Patient/23"), "code": coded("http://acme.org/conditions/codes", "ha125", "Headache, severe"),
     "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
     "meta": {"tag": [{"system": "http://acme.org/codes", "code": "needs-review"}]}},
    {"resourceType": "Condition", "id": "cancer", "subject": ref("Patient/42"), "code": coded(SCT, "126851005"),
     "text": told("Metastases in the bone")},
    {"resourceType": "Composition", "id": "c1", "status": "final", "type": {"text": "t"}, "date": "2020", "author": [ref("Practitioner/joe")], "title": "t",
     "section": [{"code": coded(LOINC, "48765-2"), "title": "Allergies", "text": {
         "status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">None known</div>'}}]},
    {"resourceType": "Composition", "id": "c2", "status": "final", "type": {"text": "t"}, "date": "2020", "author": [ref("Practitioner/joe")], "title": "t"},
    {"resourceType": "RiskAssessment", "id": "risk", "status": "final", "subject": ref("Patient/23"), "prediction": [{"probabilityDecimal": 0.85}]},
    {"resourceType": "ValueSet", "id": "vs", "status": "active", "url": "http://acme.org/fhir/ValueSet/123"},
    {"resourceType": "ValueSet", "id": "oid", "status": "active", "url": "urn:oid:1.2.3.4.5"},
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}, "subject": ref("Patient/23")},
    {"resourceType": "AuditEvent", "id": "ae", "type": {"code": "rest"}, "recorded": "2020-01-01T00:00:00Z", "source": {"observer": {"display": "x"}},
     "agent": [{"requestor": True, "who": ref("Practitioner/joe")}], "entity": [{"what": ref("Observation/mg")}]},
    {"resourceType": "MedicationRequest", "id": "mr", "status": "active", "intent": "order", "subject": ref("Patient/23"), "requester": ref("Practitioner/joe"),
     "medicationReference": ref("Medication/m1")},
    {"resourceType": "MedicationRequest", "id": "mr2", "status": "active", "intent": "order", "subject": ref("Patient/42"),
     "contained": [{"resourceType": "Medication", "id": "in", "code": coded(SCT, "777"), "manufacturer": ref("Organization/acme"),
       "ingredient": [{"itemCodeableConcept": coded("http://example.org/medications", "abc")}]}], "medicationReference": ref("#in")},
    {"resourceType": "Organization", "id": "acme", "name": "Acme Pharma"},
    {"resourceType": "MedicationDispense", "id": "md", "status": "completed", "medicationCodeableConcept": coded(SCT, "555"),
     "authorizingPrescription": [ref("MedicationRequest/mr")]},
    {"resourceType": "Medication", "id": "m1", "code": coded(SCT, "555")},
    {"resourceType": "Provenance", "id": "pr", "target": [ref("MedicationRequest/mr")], "recorded": "2020-01-01T00:00:00Z", "agent": [{"who": ref("Practitioner/joe")}]},
    {"resourceType": "Questionnaire", "id": "q", "status": "active", "useContext": [{"code": {"code": "focus"}, "valueCodeableConcept": coded(SCT, "408934002")}]},
    {"resourceType": "Claim", "id": "claim", "status": "active", "type": {"text": "t"}, "use": "claim", "patient": ref("Patient/23"), "created": "2020-01-01",
     "provider": ref("Practitioner/joe"), "priority": {"text": "n"}, "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "c"}}]},
]  # fmt: skip

# Query below the base -> ids found, in any order ("*" for any), or a status.
EXAMPLES: list[tuple[str, Any]] = [
    # parameters of all resources
    ("Patient?_id=23", ["23"]),
    ("Observation?_lastUpdated=gt2010-10-01", ["mg", "potassium", "pressure"]),
    ("Condition?_tag=http://acme.org/codes|needs-review", ["headache"]),
    ("DiagnosticReport?_profile=http://hl7.org/fhir/StructureDefinition/lipid", ["dr"]),
    ("DiagnosticReport?_profile=Profile/lipid", []),
    ("Observation?_security=http://terminology.hl7.org/CodeSystem/v3-ActCode|CELEBRITY", ["mg"]),
    ("Patient?_list=42", ["23"]),
    ("Condition?patient=42&_list=$current-problems", 400),
    ("Condition?_text=(bone OR liver) and metastases", ["cancer"]),
    ("Patient?_text=(bone OR liver) and metastases", ["nameless"]),
    ("Condition?_content=headache", ["headache"]),
    ("?_type=Patient,Condition&_lastUpdated=gt2010", ["23", "42", "nameless", "headache", "cancer"]),
    ("?_id=23", ["23"]),
    ("Patient?_query=current-high-risk&ward=1A", 400),
    # modifiers
    ("Patient?gender:missing=true", ["nameless"]),
    ("Patient?gender:missing=false", ["23", "42"]),
    # number
    ("RiskAssessment?probability=gt0.8", ["risk"]),
    ("RiskAssessment?probability=0.85", ["risk"]),
    ("RiskAssessment?probability=8.5e-1", ["risk"]),
    ("RiskAssessment?probability=0.850", ["risk"]),
    ("RiskAssessment?probability=0.9", ["risk"]),
    ("RiskAssessment?probability=0.80", []),
    ("RiskAssessment?probability=lt0.8", []),
    ("RiskAssessment?probability=ne0.8", ["risk"]),
    # date
    ("Observation?date=eq2013-01-14", ["mg"]),
    ("Observation?date=ne2013-01-14", ["potassium", "pressure"]),
    ("Observation?date=lt2013-01-14T10:00", []),
    ("Observation?date=gt2013-01-14T10:00", ["potassium", "pressure"]),
    ("Observation?date=ge2013-03-14", ["potassium", "pressure"]),
    ("Observation?date=le2013-03-14", ["mg", "potassium"]),
    ("Observation?date=sa2013-03-14", ["pressure"]),
    ("Observation?date=eb2013-03-14", ["mg"]),
    ("Observation?date=ap2013-03-14", "*"),
    ("Patient?birthdate=ge2010-01-01&birthdate=le2011-12-31", ["23"]),
    # string
    ("Patient?given=eve", ["23"]),
    ("Patient?given:contains=eve", ["23", "42"]),
    ("Patient?given:exact=Eve", ["23"]),
    ("Patient?given:exact=eve", []),
    # uri
    ("ValueSet?url=http://acme.org/fhir/ValueSet/123", ["vs"]),
    ("ValueSet?url:below=http://acme.org/fhir/", ["vs"]),
    ("ValueSet?url:above=http://acme.org/fhir/ValueSet/123/_history/5", ["vs"]),
    ("ValueSet?url=urn:oid:1.2.3.4.5", ["oid"]),
    ("ValueSet?url:below=urn:oid:1.2.3", 400),
    # token
    ("Patient?identifier=http://acme.org/patient|2345", ["23"]),
    ("Patient?gender=male", ["23"]),
    ("Patient?gender:not=male", ["42", "nameless"]),
    ("Composition?section=48765-2", ["c1"]),
    ("Composition?section:not=48765-2", ["c2"]),
    ("Patient?active=true", ["23"]),
    ("Condition?code=http://acme.org/conditions/codes|ha125", ["headache"]),
    ("Condition?code=ha125", ["headache"]),
    ("Condition?code=http://acme.org/conditions/codes|", ["headache"]),
    ("Condition?code=|ha125", []),
    ("Condition?code:text=headache", ["headache"]),
    ("Condition?code:in=http%3A%2F%2Fsnomed.info%2Fsct%3Ffhir_vs%3Disa%2F126851005", "terminology"),
    ("Condition?code:below=126851005", "terminology"),
    ("Condition?code:not-in=http://acme.org/unknown", "terminology"),
    ("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|446053", ["23"]),
    # quantity
    (f"Observation?value-quantity=5.4|{UCUM}|mg", ["mg"]),
    (f"Observation?value-quantity=5.40e-3|{UCUM}|g", ["mg"]),
    ("Observation?value-quantity=5.4||mg", ["mg"]),
    ("Observation?value-quantity=5.4", ["mg"]),
    (f"Observation?value-quantity=le5.4|{UCUM}|mg", ["mg"]),
    (f"Observation?value-quantity=ap5.4|{UCUM}|mg", ["mg"]),
    (f"Observation?value-quantity=gt5400|{UCUM}|ug", []),
    # reference
    ("Observation?subject=Patient/23", ["mg"]),
    ("Observation?subject=23", ["mg"]),
    ("Observation?subject:Patient=23", ["mg"]),
    ("Observation?subject=http://acme.org/fhir/Patient/23", []),
    ("Observation?patient=23", ["mg"]),
    ("Observation?subject:identifier=http://acme.org/fhir/identifier/mrn|123456", ["pressure"]),
    # composite
    (f"DiagnosticReport?result.code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L", ["dr"]),
    (f"Observation?component-code-value-quantity={LOINC}|8480-6$lt60", ["pressure"]),
    (f"Observation?component-code-value-quantity={LOINC}|8462-4$lt60", []),
    ("Group?characteristic-value=gender$mixed", ["102"]),
    ("Questionnaire?context-type-value=focus$http://snomed.info/sct|408934002", ["q"]),
    # several values
    ("Patient?language=FR,NL", ["23", "42"]),
    ("Patient?language=FR&language=NL", ["23"]),
    # chains
    ("DiagnosticReport?subject.name=peter", ["dr"]),
    ("DiagnosticReport?subject:Patient.name=peter", ["dr"]),
    ("Patient?general-practitioner.name=Joe&general-practitioner.address-state=MN", ["23"]),
    ("Patient?_has:Observation:patient:code=1234-5", ["23"]),
    ("Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=Practitioner/joe", ["23"]),
    ("Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=joe", ["23"]),
    ("Encounter?patient._has:Group:member:_id=102", ["e1"]),
    # _filter
    (f'Observation?_filter=code eq {LOINC}|1234-5 and subject.name co "peter"', ["mg"]),
    ('Patient?_filter=name co "pet"', ["23"]),
    ('Patient?_filter=given eq "peter" and birthdate ge 2010-05-31', ["23"]),
    (f"Observation?_filter=code eq {LOINC}|1234-5", ["mg"]),
    ('Observation?_filter=subject.name co "pet"', ["mg"]),
    ("Observation?_filter=component-code pr true", ["pressure"]),
    ('Observation?_filter=subject[active eq true].name co "pet"', ["mg"]),
    # the answer
    ("Observation?_sort=status,-date,category", ["pressure", "potassium", "mg"]),
    ("Patient?_elements=identifier,active,link", "*"),
    ("Patient?_summary=text", "*"),
    ("MedicationRequest?_include=MedicationRequest:patient&_id=mr", ["mr", "23"]),
    ("MedicationRequest?_include=MedicationRequest:medication&_revinclude=Provenance:target&_id=mr", ["mr", "m1", "pr"]),
    ("MedicationRequest?_include=MedicationRequest:*&_id=mr", ["mr", "m1", "23", "joe"]),
    ("MedicationRequest?_include=*&_id=mr", ["mr", "m1", "23", "joe"]),
    ("MedicationRequest?_include=MedicationRequest:requester:Practitioner&_id=mr", ["mr", "joe"]),
    ("Observation?_include=Observation:subject&_include:iterate=Patient:general-practitioner&_id=mg", ["mg", "23", "joe"]),
    ("MedicationRequest?medication.code=777", ["mr2"]),
    ("MedicationRequest?medication.code=777,555", ["mr", "mr2"]),
    ("MedicationRequest?medication:Medication.ingredient-code=abc", ["mr2"]),
    ("MedicationRequest?medication.manufacturer.name=acme", ["mr2"]),
    ("Patient?_has:MedicationRequest:patient:medication.code=777", ["42"]),
    ("MedicationDispense?_include=MedicationDispense:prescription&_include:iterate=MedicationRequest:requester", ["md", "mr", "joe"]),
    ("Patient?_id=42&_include=Patient:link&_include:iterate=Patient:link", ["23", "42"]),
    ("AllergyIntolerance?patient=42&_list=$current-allergies", 400),
    ("Medication?code=777", []),
    ("Medication?code=777&_contained=true", ["mr2"]),
    ("Medication?code=777&_contained=true&_containedType=contained", ["in"]),
    ("Medication?code=555,777&_contained=both", ["m1", "mr2"]),
    ("Medication?_contained=both&_containedType=contained", ["m1", "in"]),
    ("Medication?_contained=both&_containedType=container", ["m1", "mr2"]),
    ("Medication?_contained=true&_containedType=container&code=777", ["mr2"]),
    ("Medication?_contained=false", ["m1"]),
    # compartments
    ("Patient/23/Condition", ["headache"]),
    ("Patient/23/Condition?code:in=http://hspc.org/ValueSet/acute-concerns", "terminology"),
    ("Patient/23/*", ["23", "mg", "dr", "headache", "risk", "e1", "mr", "102", "42", "claim", "ae", "pr"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url) as base, client(base) as http:
        for one in RESOURCES:
            answer = http.put(f"/{one['resourceType']}/{one['id']}", json=one)
            assert answer.status_code == 201, answer.text
        yield http


@pytest.mark.parametrize(("example", "expected"), EXAMPLES, ids=[query for query, _ in EXAMPLES])
def test_an_example_of_the_specification_finds_what_it_says(fhir: httpx.Client, example: str, expected: Any):
    answer = fhir.get(f"/{example}" if not example.startswith("?") else example)
    if isinstance(expected, int):
        assert answer.status_code == expected, answer.text
        assert answer.json()["issue"][0]["diagnostics"]
        return
    if expected == "terminology" and answer.status_code == 400:
        assert "at hand" in answer.text or "write system|code" in answer.text
        return
    assert answer.status_code == 200, answer.text
    found = [entry["resource"]["id"] for entry in answer.json().get("entry", [])]
    if isinstance(expected, list) and example.startswith("Patient/23/*"):
        assert {"23", "mg", "headache"} <= set(found) <= set(expected), found
    elif isinstance(expected, list):
        assert sorted(found) == sorted(expected)


def test_post_asks_the_same_as_get(fhir: httpx.Client):
    for query in ("Patient?given=eve", "Observation?date=ge2013-03-14&_sort=-date", "?_id=23"):
        path, _, form = query.partition("?")
        headers = {"content-type": "application/x-www-form-urlencoded"}
        posted = fhir.post(f"/{path}/_search" if path else "/_search", content=form, headers=headers).json()
        got = fhir.get(f"/{path}?{form}" if path else f"?{form}").json()
        assert [e["fullUrl"] for e in posted["entry"]] == [e["fullUrl"] for e in got["entry"]]


def test_a_batch_and_a_transaction_search_as_well(fhir: httpx.Client):
    for kind in ("batch", "transaction"):
        entry = [
            {"request": {"method": "GET", "url": "Patient?given=eve"}},
            {"request": {"method": "GET", "url": "Patient/23/Condition"}},
        ]
        answer = fhir.post("", json={"resourceType": "Bundle", "type": kind, "entry": entry}).json()
        inner = [one["resource"] for one in answer["entry"]]
        assert [one["entry"][0]["resource"]["id"] for one in inner] == ["23", "headache"]
        assert {one["type"] for one in inner} == {"searchset"}
