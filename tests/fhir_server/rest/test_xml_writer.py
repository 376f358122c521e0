"""The XML that is written: order, escaping, and what XML cannot carry.

https://hl7.org/fhir/R4/xml.html
"""

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.outcome import Refusal
from fhir_server.rest.xml_writer import to_xml


def test_elements_come_in_the_order_of_the_definition() -> None:
    resource = {
        "birthDate": "1970-01-01",
        "_birthDate": {"extension": [{"valueDecimal": Decimal("1.50"), "url": "http://example.org/x"}], "id": "b"},
        "name": [{"given": ["Ada", "Bo"], "family": "X", "id": "n"}],
        "id": "1",
        "resourceType": "Patient",
    }
    assert to_xml(resource).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="1"/>'
        '<name id="n"><family value="X"/><given value="Ada"/><given value="Bo"/></name>'
        '<birthDate value="1970-01-01" id="b"><extension url="http://example.org/x"><valueDecimal value="1.50"/>'
        "</extension></birthDate></Patient>"
    )


def test_pretty_xml_is_indented_and_leaves_the_narrative_alone() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p>\n</div>'
    resource = {
        "resourceType": "Patient",
        "text": {"status": "empty", "div": div},
        "contained": [{"resourceType": "Basic"}],
    }
    assert to_xml(resource, pretty=True).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Patient xmlns="http://hl7.org/fhir">\n  <text>\n'
        f'    <status value="empty"/>\n    {div}\n  </text>\n  <contained>\n    <Basic/>\n  </contained>\n</Patient>'
    )


def test_what_means_something_to_xml_is_escaped() -> None:
    xml = to_xml({"resourceType": "Basic", "id": '<a href="x">&amp;\'\t\n\r'}).decode()
    assert '<id value="&lt;a href=&quot;x&quot;&gt;&amp;amp;\'&#9;&#10;&#13;"/>' in xml


@pytest.mark.parametrize(
    ("resource", "path", "expected"),
    [
        ({"resourceType": "Patient", "id": "a\x01"}, "Patient.id", "U+0001"),
        ({"resourceType": "Patient", "id": "a\ufffe"}, "Patient.id", "U+FFFE"),
        ({"resourceType": "Patient", "id": "\ud800"}, "Patient.id", "U+D800"),
        ({"resourceType": "Patient", "nick": "x"}, "Patient.nick", "not defined"),
        ({"resourceType": "Patient", "_name": [{}]}, "Patient._name", "not defined"),
        ({"resourceType": "Patient", "name": ["x"]}, "Patient.name", "not an object"),
        ({"resourceType": "Patient", "id": {"a": 1}}, "Patient.id", "not a single value"),
        ({"resourceType": "Patient", "_id": "x"}, "Patient.id", "not an object"),
        ({"resourceType": "Patient", "contained": [{"id": "x"}]}, "Patient.contained", "no resource"),
        ({"resourceType": "Nothing"}, "Nothing", "no resource"),
        ({"resourceType": "Patient", "text": {"div": "<div>"}}, "Patient.text.div", "not well-formed"),
        ({"resourceType": "Patient", "text": {"div": 5}}, "Patient.text.div", "not well-formed"),
        ({"resourceType": "Patient", "text": {"div": "<div/></text><evil/>"}}, "Patient.text.div", "not well-formed"),
        ({"resourceType": "Patient", "extension": [{"url": "\x02"}]}, "Patient.extension.url", "U+0002"),
    ],
)
def test_what_xml_cannot_carry_is_refused(resource: dict[str, Any], path: str, expected: str) -> None:
    with pytest.raises(Refusal, match="ask for JSON") as caught:
        to_xml(resource)
    assert expected in str(caught.value)
    assert caught.value.status == 422
    assert caught.value.issues[0].code == "not-supported"
    assert caught.value.issues[0].expression == (path,)
