"""What the definitions do not know is refused, with its place.

https://hl7.org/fhir/R4/xml.html
"""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.rest.xml_reader import parse_xml

X = 'xmlns="http://hl7.org/fhir"'

REFUSED = [
    ("<Patient/>", "no namespace", "Patient"),
    ('<Patient xmlns="urn:hl7-org:v3"/>', "the namespace urn:hl7-org:v3, not in http://hl7.org/fhir", "Patient"),
    (f"<Patent {X}/>", "did you mean 'Patient'?", "Patent"),
    (f"<Resource {X}/>", "no resource type", "Resource"),
    (f'<div {X}="x"/>', "malformed", ""),
    ('<div xmlns="http://www.w3.org/1999/xhtml">x</div>', "not in http://hl7.org/fhir", "div"),
    (f'<Patient {X} id="1"/>', "<Patient> has no attribute 'id'", "Patient"),
    (
        f'<Patient {X}>\n <birthdate value="1970"/></Patient>',
        "did you mean 'birthDate'?, at line 2, column 2",
        "Patient",
    ),
    (f'<Patient {X}><name><familly value="x"/></name></Patient>', "did you mean 'family'?", "Patient.name[0]"),
    (f'<Patient {X}><birthDate xmlns="urn:x" value="1970"/></Patient>', "the namespace urn:x", "Patient.birthDate"),
    (f'<Patient {X}><birthDate value="1970"/><birthDate value="1971"/></Patient>', "only once", "Patient.birthDate"),
    (f'<Patient {X}><contact><name id="a"/><name id="b"/></contact></Patient>', "only once", "Patient.contact[0].name"),
    (f'<Patient {X}><birthDate value=""/></Patient>', "'value' of <birthDate> is empty", "Patient.birthDate"),
    (f"<Patient {X}><birthDate/></Patient>", "neither a value nor an extension", "Patient.birthDate"),
    (f"<Patient {X}><name/></Patient>", "<name> is empty", "Patient.name[0]"),
    (f'<Patient {X}><name value="x"/></Patient>', "<name> has no attribute 'value'", "Patient.name[0]"),
    (f'<Patient {X}><name id=""/></Patient>', "'id' of <name> is empty", "Patient.name[0]"),
    (f'<Patient {X}><birthDate value="1970" url="x"/></Patient>', "no attribute 'url'", "Patient.birthDate"),
    (f'<Patient {X} xml:lang="en"/>', "attribute 'lang'", "Patient"),
    (f'<Patient {X}><birthDate value="1970" xml:space="preserve"/></Patient>', "'space'", "Patient.birthDate"),
    (
        f'<Patient {X}><birthDate><value value="1970"/></birthDate></Patient>',
        "unknown element <value>",
        "Patient.birthDate",
    ),
    (
        f'<Patient {X}><extension><url value="x"/></extension></Patient>',
        "unknown element <url>",
        "Patient.extension[0]",
    ),
    (f'<Patient {X}><active value="1"/></Patient>', "'1' is not true or false", "Patient.active"),
    (f'<Patient {X}><active value="TRUE"/></Patient>', "is not true or false", "Patient.active"),
    (
        f'<Patient {X}><multipleBirthInteger value="+1"/></Patient>',
        "'+1' is not a number",
        "Patient.multipleBirthInteger",
    ),
    (
        f'<Patient {X}><multipleBirthInteger value="01"/></Patient>',
        "'01' is not a number",
        "Patient.multipleBirthInteger",
    ),
    (f'<Patient {X}><multipleBirthInteger value="1.0"/></Patient>', "'1.0'", "Patient.multipleBirthInteger"),
    (f'<Patient {X}><multipleBirthInteger value="٣"/></Patient>', "is not a number", "Patient.multipleBirthInteger"),
    (f"<Patient {X}><contained/></Patient>", "exactly one resource", "Patient.contained[0]"),
    (f"<Patient {X}><contained><Basic/><Basic/></contained></Patient>", "exactly one resource", "Patient.contained[0]"),
    (f'<Patient {X}><contained id="x"><Basic/></contained></Patient>', "no attributes", "Patient.contained[0]"),
    (f"<Patient {X}><contained><Basics/></contained></Patient>", "did you mean 'Basic'?", "Patient.contained[0]"),
    (f"<Patient {X}><text><div>x</div></text></Patient>", "'x' between elements", ""),
    (f"<Patient {X}><text><div/></text></Patient>", "not in http://www.w3.org/1999/xhtml", "Patient.text.div"),
    (
        f'<Patient {X}><text><p xmlns="http://www.w3.org/1999/xhtml"/></text></Patient>',
        "unknown element <p>",
        "Patient.text",
    ),
    (f'<Patient {X}><resourceType value="x"/></Patient>', "unknown element <resourceType>", "Patient"),
    (f'<Patient {X}><_birthDate value="x"/></Patient>', "unknown element <_birthDate>", "Patient"),
]


@pytest.mark.parametrize(("document", "expected", "path"), REFUSED)
def test_what_the_definitions_do_not_know_is_refused(document: str, expected: str, path: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_xml(document.encode())
    assert expected in str(caught.value)
    assert " line " in str(caught.value)
    assert caught.value.status == 400
    assert caught.value.issues[0].expression == ((path,) if path else ())


@pytest.mark.parametrize(
    "text", ["+1", "1.", ".5", "01", "0x1", "1e", "NaN", "INF", " 1", "1 ", "--1", "1,5", "1e500", "9" * 1_001]
)
def test_a_decimal_that_json_cannot_carry_is_refused(text: str) -> None:
    document = f'<Observation {X}><valueQuantity><value value="{text}"/></valueQuantity></Observation>'
    with pytest.raises(Refusal) as caught:
        parse_xml(document.encode())
    assert caught.value.issues[0].code == "value"
    assert caught.value.issues[0].expression == ("Observation.valueQuantity.value",)


def test_elements_may_come_in_any_order_and_arrays_are_gathered() -> None:
    document = (
        f'<Patient {X}><name><family value="A"/></name><birthDate value="1970"/><name><family value="B"/></name>'
        '<id value="1"/></Patient>'
    )
    resource = parse_xml(document.encode())
    assert resource == {
        "resourceType": "Patient",
        "name": [{"family": "A"}, {"family": "B"}],
        "birthDate": "1970",
        "id": "1",
    }


def test_a_hint_where_the_schema_lies_is_ignored() -> None:
    document = f'<Patient {X} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x.xsd"/>'
    assert parse_xml(document.encode()) == {"resourceType": "Patient"}


def test_a_prefix_for_the_namespace_of_fhir_is_fine() -> None:
    document = '<f:Patient xmlns:f="http://hl7.org/fhir"><f:active value="true"/></f:Patient>'
    assert parse_xml(document.encode()) == {"resourceType": "Patient", "active": True}


def test_values_and_extensions_of_a_repeating_primitive_are_padded() -> None:
    extension = '<extension url="u"><valueCode value="c"/></extension>'
    document = f'<Patient {X}><name><given value="a"/><given id="x">{extension}</given><given value="b" id="y"/></name></Patient>'
    [name] = parse_xml(document.encode())["name"]
    assert name == {
        "given": ["a", None, "b"],
        "_given": [None, {"id": "x", "extension": [{"url": "u", "valueCode": "c"}]}, {"id": "y"}],
    }


def test_line_ends_in_an_attribute_are_kept_where_they_are_written_by_number() -> None:
    document = f'<Patient {X}><id value="a&#13;&#10;&#9;b\nc"/></Patient>'
    assert parse_xml(document.encode())["id"] == "a\r\n\tb c"
