"""Valid resources, and the ways in which the tests break them."""

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

Resource = dict[str, Any]
XHTML = "http://www.w3.org/1999/xhtml"
REMOVED: Any = object()
"""As a new value: the member or item is taken away."""


class Mutation(NamedTuple):
    """What is done at one place of a valid resource: a new value there. `at` is where the issue has to be."""

    name: str
    resource: Callable[[], Resource]
    keys: tuple[str | int, ...]
    value: Any
    at: str
    code: str

    def mutant(self) -> Resource:
        return changed(self.resource(), self.keys, self.value)


def changed(resource: Resource, keys: tuple[str | int, ...], value: Any) -> Resource:
    made = copy.deepcopy(resource)
    holder: Any = made
    for key in keys[:-1]:
        holder = holder[key]
    if value is REMOVED:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = value
    return made


def patient() -> Resource:
    return {
        "resourceType": "Patient",
        "id": "p-1",
        "meta": {
            "lastUpdated": "2024-02-29T10:00:00.000+01:00",
            "profile": ["http://example.org/fhir/StructureDefinition/p"],
        },
        "text": {"status": "generated", "div": f'<div xmlns="{XHTML}"><p>Quilla Testperson</p></div>'},
        "contained": [{"resourceType": "Organization", "id": "o1", "name": "Imaginary Clinic"}],
        "extension": [
            {"url": "http://example.org/fhir/ext/colour", "valueCode": "blue"},
            {
                "url": "http://example.org/fhir/ext/parts",
                "extension": [{"url": "weight", "valueDecimal": Decimal("1.50")}],
            },
        ],
        "identifier": [
            {"system": "urn:oid:1.2.36.146.595.217.0.1", "value": "12345", "period": {"start": "2001-05-06"}}
        ],
        "active": True,
        "name": [{"use": "official", "family": "Testperson", "given": ["Quilla", "Mavis"]}],
        "telecom": [{"system": "phone", "value": "555 0100", "rank": 1}],
        "gender": "female",
        "birthDate": "1974-12-25",
        "_birthDate": {
            "extension": [{"url": "http://example.org/fhir/ext/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]
        },
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "photo": [{"contentType": "image/png", "data": "iVBORw0KGgo="}],
        "contact": [{"relationship": [{"text": "sister"}], "name": {"family": "Testperson", "given": ["Orla"]}}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "nl"}]}, "preferred": True}],
        "managingOrganization": {"reference": "#o1"},
        "link": [{"other": {"reference": "Patient/p-2"}, "type": "seealso"}],
    }


def observation() -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "15074-8"}], "text": "Glucose"},
        "subject": {"reference": "Patient/p-1", "display": "Quilla Testperson"},
        "effectivePeriod": {"start": "2013-04-02T09:30:10+01:00", "end": "2013-04-02T09:31:10+01:00"},
        "issued": "2013-04-03T15:30:10+01:00",
        "performer": [{"reference": "Practitioner/f005"}],
        "valueQuantity": {
            "value": Decimal("6.30"),
            "unit": "mmol/l",
            "system": "http://unitsofmeasure.org",
            "code": "mmol/L",
        },
        "referenceRange": [{"low": {"value": Decimal("3.1")}, "high": {"value": 6}}],
        "component": [{"code": {"text": "haemolysis"}, "valueString": "none"}],
    }


def basic_inside() -> Resource:
    """An Observation that contains a Basic, which refers to it."""
    basic = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "#"}}
    return {**observation(), "contained": [basic]}


def allergy() -> Resource:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
    return {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {"coding": [{"system": system, "code": "active"}]},
        "patient": {"reference": "Patient/p-1"},
        "reaction": [{"manifestation": [{"text": "hives"}], "severity": "mild"}],
    }


def questionnaire() -> Resource:
    return {
        "resourceType": "Questionnaire",
        "url": "http://example.org/fhir/Questionnaire/q",
        "name": "Smoking",
        "status": "draft",
        "subjectType": ["Patient"],
        "item": [
            {"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "boolean", "text": "Do you smoke?"}]},
            {
                "linkId": "2",
                "type": "choice",
                "enableWhen": [{"question": "1.1", "operator": "exists", "answerBoolean": True}],
                "answerOption": [{"valueString": "often"}, {"valueString": "seldom"}],
            },
        ],
    }


def bundle() -> Resource:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:0b2dd65a-54ac-4a3b-9c5e-5f6e7c3b1f01",
                "resource": {"resourceType": "Practitioner", "name": [{"family": "Madeup"}], "active": True},
                "request": {"method": "POST", "url": "Practitioner"},
            },
            {"request": {"method": "DELETE", "url": "Patient/p-9"}},
        ],
    }


def timing() -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "Medication?code=http://example.org|x"},
        "subject": {"reference": "urn:uuid:0b2dd65a-54ac-4a3b-9c5e-5f6e7c3b1f01"},
        "dosageInstruction": [
            {
                "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "timeOfDay": ["08:00:00"]}},
                "doseAndRate": [{"doseQuantity": {"value": 1}}],
            }
        ],
        "dispenseRequest": {"numberOfRepeatsAllowed": 0, "quantity": {"value": 30}},
    }


VALID = (patient, observation, allergy, questionnaire, bundle, timing)

_DIV = ("text", "div")
_REPEAT = ("dosageInstruction", 0, "timing", "repeat")
_HTML = f'<div xmlns="{XHTML}">'

STRUCTURE = (
    Mutation("unknown resource type", patient, ("resourceType",), "Pateint", "Pateint.resourceType", "structure"),
    Mutation("abstract resource type", patient, ("resourceType",), "DomainResource", "DomainResource.resourceType", "structure"),
    Mutation("resourceType is a number", patient, ("resourceType",), 1, "Resource.resourceType", "structure"),
    Mutation("resourceType is missing", patient, ("resourceType",), REMOVED, "Resource", "structure"),
    Mutation("unknown element", patient, ("brithDate",), "1974-12-25", "Patient.brithDate", "structure"),
    Mutation("unknown element in a data type", patient, ("name", 0, "middle"), "X", "Patient.name[0].middle", "structure"),
    Mutation("unknown element in a backbone", patient, ("contact", 0, "nmae"), {}, "Patient.contact[0].nmae", "structure"),
    Mutation("unknown element with an underscore", patient, ("_brithDate",), {"id": "x"}, "Patient._brithDate", "structure"),
    Mutation("unknown element in an extension", patient, ("extension", 0, "name"), "x", "Patient.extension[0].name", "structure"),
    Mutation("unknown element in a sibling", patient, ("_birthDate", "x"), "x", "Patient.birthDate.x", "structure"),
    Mutation("resourceType in a data type", patient, ("name", 0, "resourceType"), "HumanName", "Patient.name[0].resourceType", "structure"),
    Mutation("a choice without its type", observation, ("value",), "6", "Observation.value", "structure"),
    Mutation("a type that a choice does not have", observation, ("valueMoney",), {"value": 1}, "Observation.valueMoney", "structure"),
    Mutation("a sibling of a complex element", patient, ("_name",), [{"id": "n"}], "Patient.name", "structure"),
    Mutation("a sibling of Element.id", patient, ("name", 0, "_id"), {"id": "n"}, "Patient.name[0].id", "structure"),
    Mutation("an array where one value is due", patient, ("gender",), ["female"], "Patient.gender", "structure"),
    Mutation("one value where an array is due", patient, ("name",), {"family": "X"}, "Patient.name", "structure"),
    Mutation("one string where an array is due", patient, ("name", 0, "given"), "Quilla", "Patient.name[0].given", "structure"),
    Mutation("an array inside an array", patient, ("name", 0), [{"family": "X"}], "Patient.name[0]", "structure"),
    Mutation("an object where a string is due", patient, ("gender",), {"code": "female"}, "Patient.gender", "structure"),
    Mutation("a string where an object is due", patient, ("contact", 0, "name"), "Orla", "Patient.contact[0].name", "structure"),
    Mutation("a number where a string is due", patient, ("identifier", 0, "value"), 12345, "Patient.identifier[0].value", "value"),
    Mutation("a string where a boolean is due", patient, ("active",), "true", "Patient.active", "value"),
    Mutation("a string where an integer is due", patient, ("multipleBirthInteger",), "2", "Patient.multipleBirth", "value"),
    Mutation("a string where a decimal is due", observation, ("valueQuantity", "value"), "6.3", "Observation.value.value", "value"),
    Mutation("a boolean where an integer is due", patient, ("telecom", 0, "rank"), True, "Patient.telecom[0].rank", "value"),
    Mutation("an integer with a point", patient, ("telecom", 0, "rank"), Decimal("1.0"), "Patient.telecom[0].rank", "value"),
    Mutation("null", patient, ("gender",), None, "Patient.gender", "structure"),
    Mutation("null for an object", patient, ("contact", 0, "name"), None, "Patient.contact[0].name", "structure"),
    Mutation("null in an array of objects", patient, ("name",), [None], "Patient.name[0]", "structure"),
    Mutation("null without an extension beside it", patient, ("name", 0, "given", 1), None, "Patient.name[0].given[1]", "structure"),
    Mutation("a sibling longer than its array", patient, ("name", 0, "_given"), [{"id": "g"}, None, {"id": "h"}], "Patient.name[0].given", "structure"),
    Mutation("a sibling that is a string", patient, ("_birthDate",), "x", "Patient.birthDate", "structure"),
    Mutation("a sibling that is an array", patient, ("_birthDate",), [{"id": "x"}], "Patient.birthDate", "structure"),
    Mutation("an empty object", patient, ("contact", 0, "name"), {}, "Patient.contact[0].name", "structure"),
    Mutation("an empty array", patient, ("telecom",), [], "Patient.telecom", "structure"),
    Mutation("an empty string", patient, ("name", 0, "family"), "", "Patient.name[0].family", "value"),
    Mutation("an empty resource in an entry", bundle, ("entry", 0, "resource"), {}, "Bundle.entry[0].resource", "structure"),
    Mutation("an object with an id alone", patient, ("contact", 0, "name"), {"id": "x"}, "Patient.contact[0].name", "structure"),
    Mutation("a day that does not exist", patient, ("birthDate",), "1974-02-30", "Patient.birthDate", "value"),
    Mutation("29 February of a common year", patient, ("birthDate",), "2023-02-29", "Patient.birthDate", "value"),
    Mutation("a date with a time", patient, ("birthDate",), "1974-12-25T10:00:00Z", "Patient.birthDate", "value"),
    Mutation("a dateTime without zone", observation, ("effectivePeriod", "start"), "2013-04-02T09:30:10", "Observation.effective.start", "value"),
    Mutation("an instant without zone", observation, ("issued",), "2013-04-03T15:30:10", "Observation.issued", "value"),
    Mutation("an instant that is a date", patient, ("meta", "lastUpdated"), "2024-02-29", "Patient.meta.lastUpdated", "value"),
    Mutation("hour 24", timing, (*_REPEAT, "timeOfDay", 0), "24:00:00", "MedicationRequest.dosageInstruction[0].timing.repeat.timeOfDay[0]", "value"),
    Mutation("an integer of 33 bits", patient, ("multipleBirthInteger",), 2**31, "Patient.multipleBirth", "value"),
    Mutation("a positiveInt that is 0", patient, ("telecom", 0, "rank"), 0, "Patient.telecom[0].rank", "value"),
    Mutation("an unsignedInt below 0", timing, ("dispenseRequest", "numberOfRepeatsAllowed"), -1, "MedicationRequest.dispenseRequest.numberOfRepeatsAllowed", "value"),
    Mutation("an id with a slash", patient, ("id",), "a/b", "Patient.id", "value"),
    Mutation("an id of 65 characters", patient, ("id",), "x" * 65, "Patient.id", "value"),
    Mutation("a code with a blank at its end", patient, ("gender",), "female ", "Patient.gender", "value"),
    Mutation("a uri with a blank", patient, ("identifier", 0, "system"), "http://example.org/a b", "Patient.identifier[0].system", "value"),
    Mutation("a canonical with a blank", patient, ("meta", "profile", 0), "http://example.org/a b", "Patient.meta.profile[0]", "value"),
    Mutation("base64 that is none", patient, ("photo", 0, "data"), "iVBORw0KGgo", "Patient.photo[0].data", "value"),
    Mutation("a control character", patient, ("name", 0, "family"), "Test\x07person", "Patient.name[0].family", "value"),
    Mutation("two variants of a choice", patient, ("deceasedDateTime",), "2015-01-01", "Patient.deceased", "structure"),
    Mutation("two variants, one by its sibling", patient, ("_deceasedDateTime",), {"extension": [{"url": "http://example.org/x", "valueCode": "x"}]}, "Patient.deceased", "structure"),
    Mutation("two values in an extension", patient, ("extension", 0, "valueString"), "blue", "Patient.extension[0].value", "structure"),
    Mutation("an unknown element behind a content reference", questionnaire, ("item", 0, "item", 0, "txet"), "x", "Questionnaire.item[0].item[0].txet", "structure"),
    Mutation("a required element behind a content reference is missing", questionnaire, ("item", 0, "item", 0, "linkId"), REMOVED, "Questionnaire.item[0].item[0].linkId", "required"),
    Mutation("a required element is missing", observation, ("status",), REMOVED, "Observation.status", "required"),
    Mutation("a required element of a backbone is missing", patient, ("link", 0, "type"), REMOVED, "Patient.link[0].type", "required"),
    Mutation("a required choice is missing", timing, ("medicationReference",), REMOVED, "MedicationRequest.medication", "required"),
    Mutation("an extension without url", patient, ("extension", 1, "extension", 0, "url"), REMOVED, "Patient.extension[1].extension[0].url", "required"),
    Mutation("a contained resource without id", patient, ("contained", 0, "id"), REMOVED, "Patient.contained[0].id", "required"),
    Mutation("a contained resource inside one", patient, ("contained", 0, "contained"), [{"resourceType": "Basic", "id": "b"}], "Patient.contained[0].contained", "structure"),
    Mutation("a contained resource without type", patient, ("contained", 0, "resourceType"), REMOVED, "Patient.contained[0]", "structure"),
    Mutation("a contained resource of an unknown type", patient, ("contained", 0, "resourceType"), "Organisation", "Patient.contained[0].resourceType", "structure"),
    Mutation("an unknown element of a contained resource", patient, ("contained", 0, "nmae"), "x", "Patient.contained[0].nmae", "structure"),
    Mutation("a fault in the resource of an entry", bundle, ("entry", 0, "resource", "active"), 1, "Bundle.entry[0].resource.active", "value"),
    Mutation("a script", patient, _DIV, f"{_HTML}<script>alert(1)</script>x</div>", "Patient.text.div", "value"),
    Mutation("an event handler", patient, _DIV, f'{_HTML}<p onclick="run()">x</p></div>', "Patient.text.div", "value"),
    Mutation("a link that runs", patient, _DIV, f'{_HTML}<a href="java\tscript:run()">x</a></div>', "Patient.text.div", "value"),
    Mutation("XHTML that is not well-formed", patient, _DIV, f"{_HTML}<p>x</div>", "Patient.text.div", "value"),
    Mutation("a narrative with nothing to read", patient, _DIV, f"{_HTML} </div>", "Patient.text.div", "value"),
    Mutation("a narrative without div", patient, _DIV, REMOVED, "Patient.text.div", "required"),
)  # fmt: skip

BASE = (
    Mutation("a code outside its value set", patient, ("gender",), "woman", "Patient.gender", "code-invalid"),
    Mutation("a code outside its value set, in a data type", patient, ("name", 0, "use"), "offical", "Patient.name[0].use", "code-invalid"),
    Mutation("a code outside its value set, in a backbone", patient, ("link", 0, "type"), "see-also", "Patient.link[0].type", "code-invalid"),
    Mutation("a code outside its value set, in an array", questionnaire, ("subjectType", 0), "Human", "Questionnaire.subjectType[0]", "code-invalid"),
    Mutation("a concept outside its value set", allergy, ("clinicalStatus", "coding", 0, "code"), "activ", "AllergyIntolerance.clinicalStatus", "code-invalid"),
    Mutation("a concept of the wrong system", allergy, ("clinicalStatus", "coding", 0, "system"), "http://example.org", "AllergyIntolerance.clinicalStatus", "code-invalid"),
    Mutation("a concept that is text alone", allergy, ("clinicalStatus",), {"text": "active"}, "AllergyIntolerance.clinicalStatus", "code-invalid"),
    Mutation("a reference to the wrong type", observation, ("subject", "reference"), "Practitioner/1", "Observation.subject.reference", "value"),
    Mutation("a reference to an unknown type", observation, ("performer", 0, "reference"), "Doctor/1", "Observation.performer[0].reference", "value"),
    Mutation("a conditional reference to the wrong type", observation, ("subject", "reference"), "Practitioner?identifier=1", "Observation.subject.reference", "value"),
    Mutation("an absolute reference to the wrong type", observation, ("subject", "reference"), "https://example.org/fhir/Practitioner/1", "Observation.subject.reference", "value"),
    Mutation("a stated type that may not stand there", patient, ("link", 0, "other"), {"type": "Practitioner", "display": "x"}, "Patient.link[0].other.type", "value"),
    Mutation("a contained resource of the wrong type", basic_inside, ("subject", "reference"), "#b", "Observation.subject.reference", "value"),
    Mutation("a reference that names no id", patient, ("managingOrganization", "reference"), "Organization", "Patient.managingOrganization.reference", "value"),
    Mutation("a reference that is a name", patient, ("link", 0, "other", "reference"), "the mother", "Patient.link[0].other.reference", "value"),
    Mutation("an extension with a name in place of an address", patient, ("extension", 0, "url"), "colour", "Patient.extension[0].url", "value"),
    Mutation("a modifier extension with a name in place of an address", patient, ("modifierExtension",), [{"url": "not", "valueBoolean": True}], "Patient.modifierExtension[0].url", "value"),
    Mutation("an extension of a primitive with a name in place of an address", patient, ("_birthDate", "extension", 0, "url"), "time", "Patient.birthDate.extension[0].url", "value"),
    Mutation("two contained resources of one id", patient, ("contained",), [{"resourceType": "Organization", "id": "o1", "name": name} for name in "ab"], "Patient.contained[1].id", "duplicate"),
    Mutation("a comparator in a SimpleQuantity", observation, ("referenceRange", 0, "low", "comparator"), "<", "Observation.referenceRange[0].low.comparator", "structure"),
    Mutation("ref-1: a reference to nothing contained", patient, ("managingOrganization", "reference"), "#o2", "Patient.managingOrganization", "invariant"),
    Mutation("dom-3: a contained resource nobody refers to", patient, ("managingOrganization",), REMOVED, "Patient.contained[0]", "invariant"),
    Mutation("dom-4: a contained resource with a version", patient, ("contained", 0, "meta"), {"versionId": "1"}, "Patient", "invariant"),
    Mutation("dom-5: a contained resource with a security label", patient, ("contained", 0, "meta"), {"security": [{"code": "R"}]}, "Patient", "invariant"),
    Mutation("ext-1: an extension with neither value nor extensions", patient, ("extension", 0, "valueCode"), REMOVED, "Patient.extension[0]", "invariant"),
    Mutation("ext-1: an extension with both", patient, ("extension", 1, "valueCode"), "x", "Patient.extension[1]", "invariant"),
    Mutation("ext-1 inside a sibling", patient, ("_birthDate", "extension", 0, "valueDateTime"), REMOVED, "Patient.birthDate.extension[0]", "invariant"),
    Mutation("per-1: an end before its start", patient, ("identifier", 0, "period", "end"), "2000-01-01", "Patient.identifier[0].period", "invariant"),
    Mutation("per-1 between two zones", observation, ("effectivePeriod", "end"), "2013-04-02T09:30:10+02:00", "Observation.effective", "invariant"),
    Mutation("pat-1: a contact without details", patient, ("contact", 0, "name"), REMOVED, "Patient.contact[0]", "invariant"),
    Mutation("cpt-2: a value without a system", patient, ("telecom", 0, "system"), REMOVED, "Patient.telecom[0]", "invariant"),
    Mutation("att-1: data without a content type", patient, ("photo", 0, "contentType"), REMOVED, "Patient.photo[0]", "invariant"),
    Mutation("obs-3: a range without limits", observation, ("referenceRange", 0), {"age": {"low": {"value": 1}}}, "Observation.referenceRange[0]", "invariant"),
    Mutation("obs-6: a value and a reason for its absence", observation, ("dataAbsentReason",), {"text": "unknown"}, "Observation", "invariant"),
    Mutation("obs-7: a component with the code of the whole", observation, ("component", 0, "code"), {"coding": [{"system": "http://loinc.org", "code": "15074-8"}]}, "Observation", "invariant"),
    Mutation("qty-3: a code without a system", observation, ("valueQuantity", "system"), REMOVED, "Observation.value", "invariant"),
    Mutation("rng-2: low above high", observation, ("effectivePeriod",), REMOVED, "Observation.value", "invariant")._replace(
        resource=lambda: changed(observation(), ("valueRange",), {"low": {"value": 2}, "high": {"value": 1}}), keys=("valueQuantity",)
    ),
    Mutation("ait-1: no clinical status", allergy, ("clinicalStatus",), REMOVED, "AllergyIntolerance", "invariant"),
    Mutation("que-1: a group without items", questionnaire, ("item", 0, "item"), REMOVED, "Questionnaire.item[0]", "invariant"),
    Mutation("que-8: an initial value of a group", questionnaire, ("item", 0, "initial"), [{"valueBoolean": True}], "Questionnaire.item[0]", "invariant"),
    Mutation("que-3 behind a content reference: a display with a code", questionnaire, ("item", 0, "item", 0), {"linkId": "1.1", "type": "display", "text": "x", "code": [{"code": "x"}]}, "Questionnaire.item[0].item[0]", "invariant"),
    Mutation("que-2: a linkId that comes twice", questionnaire, ("item", 0, "item", 0, "linkId"), "2", "Questionnaire", "invariant"),
    Mutation("que-4: options and a value set", questionnaire, ("item", 1, "answerValueSet"), "http://example.org/vs", "Questionnaire.item[1]", "invariant"),
    Mutation("que-7: exists asks for a boolean", questionnaire, ("item", 1, "enableWhen", 0), {"question": "1.1", "operator": "exists", "answerString": "x"}, "Questionnaire.item[1].enableWhen[0]", "invariant"),
    Mutation("bdl-1: a total in a transaction", bundle, ("total",), 2, "Bundle", "invariant"),
    Mutation("bdl-3: an entry without a request", bundle, ("entry", 0, "request"), REMOVED, "Bundle", "invariant"),
    Mutation("bdl-5: an entry with nothing", bundle, ("entry", 1), {"fullUrl": "http://example.org/fhir/Patient/1"}, "Bundle.entry[1]", "invariant"),
    Mutation("bdl-8: a version in fullUrl", bundle, ("entry", 0, "fullUrl"), "http://example.org/fhir/Patient/1/_history/1", "Bundle.entry[0]", "invariant"),
    Mutation("tim-2: a period without a unit", timing, (*_REPEAT, "periodUnit"), REMOVED, "MedicationRequest.dosageInstruction[0].timing.repeat", "invariant"),
    Mutation("tim-5: a negative period", timing, (*_REPEAT, "period"), -1, "MedicationRequest.dosageInstruction[0].timing.repeat", "invariant"),
    Mutation("tim-10: a time of day and an event", timing, (*_REPEAT, "when"), ["AC", "HS"], "MedicationRequest.dosageInstruction[0].timing.repeat", "invariant"),
)  # fmt: skip
