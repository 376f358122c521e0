import pytest

from profiles.binding import fault, required_binding, right_code
from profiles.definitions import Field, r4

CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"


def field(structure: str, name: str) -> Field:
    return r4().structure(structure).fields[name]


GENDER = required_binding(r4(), field("Patient", "gender"))
STATUS = required_binding(r4(), field("AllergyIntolerance", "clinicalStatus"))


def concept(*codes: tuple[str, str]) -> dict:
    return {"coding": [{"system": system, "code": code} for system, code in codes]}


def test_a_required_binding_has_the_codes_of_its_value_set():
    assert GENDER.value_set == "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert GENDER.bare == {"male", "female", "other", "unknown"}
    assert (CLINICAL, "active") in STATUS.codes


@pytest.mark.parametrize(
    ("structure", "name", "why"),
    [
        ("Patient", "maritalStatus", "extensible"),
        ("Patient", "birthDate", "not bound"),
        ("Attachment", "contentType", "media types are not in the definitions"),
        ("Money", "currency", "currencies are not in the definitions"),
    ],
)
def test_other_fields_have_none(structure, name, why):
    assert required_binding(r4(), field(structure, name)) is None, why


@pytest.mark.parametrize(
    "value",
    [
        concept((CLINICAL, "active")),
        concept(("http://example.org", "x"), (CLINICAL, "resolved")),
        {**concept((CLINICAL, "inactive")), "text": "over"},
    ],
)
def test_a_concept_needs_one_coding_of_the_value_set(value):
    assert fault(STATUS, value) is None
    assert right_code(STATUS, "CodeableConcept", bool)(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (concept((CLINICAL, "actve")), f"'{CLINICAL}#actve' is not in the required value set"),
        (concept((CLINICAL, "actve")), "did you mean 'active'?"),
        (concept(("http://example.org", "active")), f"which has this code of {CLINICAL}"),
        ({"coding": [{"code": "active"}]}, "'(no system)#active'"),
        ({"coding": [{"display": "Active"}]}, "'(no system)#(no code)'"),
        (
            {"text": "active"},
            "a code is missing; it has to come from http://hl7.org/fhir/ValueSet/allergyintolerance-clinical: active, ",
        ),
    ],
)
def test_any_other_concept_is_refused_with_a_hint(value, text):
    assert text in fault(STATUS, value)
    assert not right_code(STATUS, "CodeableConcept", bool)(value)


def test_a_coding_is_compared_with_its_system():
    right = right_code(STATUS, "Coding", bool)
    assert right({"system": CLINICAL, "code": "active"})
    assert not right({"code": "active"})
    assert fault(STATUS, {"system": CLINICAL, "code": "active"}) is None
    assert "which has this code of" in fault(STATUS, {"code": "active"})


def test_a_code_is_compared_without_one():
    assert fault(GENDER, "male") is None
    assert right_code(GENDER, "code", bool)("male")
    assert not right_code(GENDER, "code", bool)("Male")
    assert "did you mean 'male'?" in fault(GENDER, "Male")
    assert fault(GENDER, "x").endswith("administrative-gender: female, male, other, unknown")


def test_an_element_with_extensions_alone_is_left_in_peace():
    assert fault(STATUS, {"extension": [{"url": "http://example.org/x", "valueCode": "unknown"}]}) is None


def test_the_codes_of_nearly_all_required_bindings_are_known():
    fields = [one for name in r4().types for one in r4().structure(name).fields.values() if one.strength == "required"]
    unknown = {one.binding.partition("|")[0] for one in fields if required_binding(r4(), one) is None}
    assert len(fields) > 150
    assert unknown == {"http://hl7.org/fhir/ValueSet/mimetypes", "http://hl7.org/fhir/ValueSet/currencies"}
