"""Accept, _format and Content-Type, as browsers, libraries and curl send them.

https://hl7.org/fhir/R4/http.html#mime-type
"""

import pytest

from fhir_server.outcome import Refusal
from fhir_server.rest.negotiation import Format, body_format, content_type, wanted_format

JSON, XML, HTML = Format.JSON, Format.XML, Format.HTML
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    ("accept", "named", "expected"),
    [
        (None, None, JSON),
        ("", "", JSON),
        ("*/*", None, JSON),
        ("application/fhir+json", None, JSON),
        ("application/fhir+xml", None, XML),
        ("application/json", None, JSON),
        ("text/json", None, JSON),
        ("application/xml", None, XML),
        ("text/xml", None, XML),
        ("Application/FHIR+XML ; Charset=UTF-8", None, XML),
        ("application/json+fhir", None, JSON),
        ("application/fhir+xml;fhirVersion=4.0", None, XML),
        ('application/fhir+xml; fhirVersion="4.0.1"', None, XML),
        ("application/fhir+json;fhirVersion=5.0, application/fhir+xml", None, XML),
        ("application/fhir+json;q=0.5, application/fhir+xml", None, XML),
        ("application/fhir+json;q=0.5, application/fhir+xml;q=0.4", None, JSON),
        ("application/fhir+xml, application/fhir+json", None, XML),
        ("application/fhir+json, application/fhir+xml", None, JSON),
        ("*/*, application/fhir+xml", None, XML),
        ("application/fhir+xml;q=0.1, */*", None, JSON),
        ("application/pdf, */*;q=0.1", None, JSON),
        ("application/*", None, JSON),
        ("text/*", None, HTML),
        ("text/turtle, application/fhir+xml;q=0.2", None, XML),
        ("application/fhir+json;q=nonsense, application/fhir+xml;q=0.1", None, XML),
        (",, application/fhir+xml ,", None, XML),
        (FIREFOX, None, HTML),
        (CHROME, None, HTML),
        (FIREFOX, "json", JSON),
        (FIREFOX, "xml", XML),
        ("application/fhir+xml", "html", HTML),
        ("nonsense", "json", JSON),
        (None, "application/fhir+xml", XML),
        (None, "application/fhir xml", XML),
        (None, "application/fhir json; fhirVersion=4.0", JSON),
        (None, "text/xml", XML),
        (None, "application/json", JSON),
        (None, "JSON", JSON),
        (None, "text/html", HTML),
        (None, "*/*", JSON),
    ],
)
def test_the_format_of_an_answer(accept: str | None, named: str | None, expected: Format) -> None:
    assert wanted_format(accept, named) is expected


@pytest.mark.parametrize(
    ("accept", "named"),
    [
        ("application/pdf", None),
        ("text/turtle", None),
        ("application/fhir+json;fhirVersion=3.0", None),
        ("application/fhir+json;charset=utf-16", None),
        ("application/fhir+json;q=0", None),
        ("application/fhir+json;q=0, */*", None),
        ("*/*;q=0", None),
        (None, "ttl"),
        ("application/fhir+json", "application/pdf"),
        (None, "application/fhir+json;fhirVersion=5.0"),
    ],
)
def test_a_format_that_is_not_supported_is_406_and_the_answer_names_those_that_are(
    accept: str | None, named: str | None
) -> None:
    with pytest.raises(Refusal, match=r"application/fhir\+json, application/fhir\+xml") as caught:
        wanted_format(accept, named)
    assert caught.value.status == 406
    assert caught.value.issues[0].code == "not-supported"


def test_a_long_header_is_not_repeated_at_length() -> None:
    with pytest.raises(Refusal) as caught:
        wanted_format("x" * 60_000, None)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("accept", "named", "expected"),
    [
        (None, None, "application/fhir+json; charset=utf-8"),
        ("*/*", None, "application/fhir+json; charset=utf-8"),
        ("application/fhir+xml", None, "application/fhir+xml; charset=utf-8"),
        ("application/json", None, "application/json; charset=utf-8"),
        ("text/xml;q=0.5", None, "text/xml; charset=utf-8"),
        ("application/json", "xml", "application/fhir+xml; charset=utf-8"),
        (FIREFOX, None, "text/html; charset=utf-8"),
    ],
)
def test_a_generic_type_is_answered_in_kind(accept: str | None, named: str | None, expected: str) -> None:
    assert content_type(wanted_format(accept, named), accept, named) == expected


def test_the_content_type_of_a_format_alone_is_the_one_of_fhir() -> None:
    assert content_type(JSON) == "application/fhir+json; charset=utf-8"
    assert content_type(JSON, "application/xml") == "application/fhir+json; charset=utf-8"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/fhir+json", JSON),
        ("application/fhir+json;charset=UTF-8", JSON),
        ('application/fhir+json; charset="utf-8"; fhirVersion=4.0', JSON),
        ("APPLICATION/JSON", JSON),
        ("text/json", JSON),
        ("application/json+fhir", JSON),
        ("application/fhir+xml", XML),
        ("application/xml", XML),
        ("text/xml; charset=utf-8", XML),
    ],
)
def test_the_format_of_a_body(header: str, expected: Format) -> None:
    assert body_format(header) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "missing"),
        ("", "missing"),
        ("text/plain", "text/plain"),
        ("text/html", "text/html"),
        ("application/x-www-form-urlencoded", "urlencoded"),
        ("application/json-patch+json", "json-patch"),
        ("application/fhir+json; charset=iso-8859-1", "charset 'iso-8859-1'"),
        ("application/fhir+xml; charset=utf-16", "charset 'utf-16'"),
        ("application/fhir+json; fhirVersion=3.0", "fhirVersion=3.0"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_body_of_another_type_is_415(header: str | None, expected: str) -> None:
    with pytest.raises(Refusal, match="supported") as caught:
        body_format(header)
    assert expected in str(caught.value)
    assert caught.value.status == 415
