"""What a client stores it gets back: https://hl7.org/fhir/R4/http.html#create and json.html."""

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reference import reference
from tests.stories.bundles import create

NUMBERS = [
    "160.50", "1.00", "1", "0.0000001", "1E2", "1e2", "1.0E+2", "-0", "-0.0", "0.10", "100000000000000000000.5",
    "3.14159265358979323846264338327950288419716939937510", "-1.20e-7", "12345678901234567890",
]  # fmt: skip


def sent(value: str, member: str = "valueQuantity") -> str:
    """The text of an Observation with a number as it is written."""
    return (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},"' + member + '":{"value":' + value + "}}"
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_keep_their_digits_everywhere(fhir: httpx.Client, number: str):
    made = fhir.post("/Observation", content=sent(number))
    assert made.status_code == 201, made.text
    written = f'"value":{number}}}'
    name = made.json()["id"]
    url = f"/Observation/{name}"
    answers = [
        made.text,
        fhir.get(url).text,
        fhir.get(f"{url}/_history/1").text,
        fhir.get(f"{url}/_history").text,
        fhir.get(f"/Observation?_id={name}").text,
        fhir.get(f"{url}?_elements=value").text,
    ]
    assert all(written in answer for answer in answers)
    assert f'"value": {number}\n' in fhir.get(f"{url}?_pretty=true").text
    xml = fhir.get(f"{url}?_format=xml").text
    assert f'<value value="{number}"/>' in xml
    again = fhir.put(url, content=xml, headers={"content-type": "application/fhir+xml"})
    assert again.headers["etag"] == 'W/"1"', "the way through XML and back changed nothing"


@pytest.mark.parametrize(("before", "after"), [("1.0", "1.00"), ("1E2", "100"), ("0", "-0"), ("1", "1.0")])
def test_a_number_of_other_precision_is_a_change(fhir: httpx.Client, before: str, after: str):
    made = fhir.post("/Observation", content=sent(before)).json()
    changed = sent(after).replace('"Observation",', f'"Observation","id":"{made["id"]}",')
    answer = fhir.put(f"/Observation/{made['id']}", content=changed)
    assert answer.headers["etag"] == 'W/"2"'
    assert f'"value":{after}}}' in answer.text


def test_members_keep_their_order_and_another_order_is_a_change(fhir: httpx.Client):
    text = '{"birthDate":"1970","resourceType":"Patient","name":[{"given":["Ida"],"family":"Linde"}],"active":true}'
    made = fhir.post("/Patient", content=text)
    name = made.json()["id"]
    assert list(made.json()) == ["birthDate", "resourceType", "id", "meta", "name", "active"]
    assert list(fhir.get(f"/Patient/{name}").json()["name"][0]) == ["given", "family"]
    turned = dict(reversed(made.json().items()))
    answer = fhir.put(f"/Patient/{name}", json=turned)
    assert answer.headers["etag"] == 'W/"2"'
    assert list(answer.json()) == list(turned)


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("the precision of dates", {"birthDate": "1970", "deceasedDateTime": "2020-01-01T00:00:00.000+02:00"}),
    ("fractions of a second", {"deceasedDateTime": "2020-01-01T00:00:00.123456789Z"}),
    ("a zone of half an hour", {"deceasedDateTime": "2020-01-01T23:00:00+05:30"}),
    ("an extension nobody has defined", {"extension": [{"url": "http://example.org/own", "valueDecimal": 1}]}),
    ("extensions in extensions",
     {"extension": [{"url": "http://example.org/own", "extension": [{"url": "a", "valueBoolean": False}]}]}),
    ("a primitive with an extension",
     {"birthDate": "1970", "_birthDate": {"extension": [{"url": "http://example.org/t", "valueTime": "12:00:00.000"}]}}),
    ("a primitive that is only an extension",
     {"_birthDate": {"id": "b1", "extension": [{"url": "http://example.org/absent", "valueCode": "unknown"}]}}),
    ("nulls in arrays of primitives",
     {"name": [{"given": ["Ida", None, "Marie"],
                "_given": [None, {"extension": [{"url": "http://example.org/x", "valueBoolean": True}]}, None]}]}),
    ("arrays with an extension on one value", {"name": [{"given": ["Ida", "Marie"], "_given": [None, {"id": "g2"}]}]}),
    ("contained resources",
     {"contained": [{"resourceType": "Organization", "id": "o", "name": "Birkenhof"}],
      "managingOrganization": {"reference": "#o"}}),
    ("ids of elements", {"name": [{"id": "n1", "family": "Linde"}]}),
    ("meta of the client's",
     {"meta": {"profile": ["http://example.org/p|1"], "security": [{"code": "R"}], "source": "#x",
               "tag": [{"system": "http://example.org/t", "code": "a", "display": "A"}]}}),
    ("letters beyond the first plane", {"name": [{"family": "𝔊𝔬𝔢𝔱𝔥𝔢 😀 👩‍⚕️"}]}),
    ("right to left", {"name": [{"family": "\u202bמרים\u202c عائشة"}]}),
    ("combining and composed letters apart", {"name": [{"family": "e\u0301"}, {"family": "\u00e9"}]}),
    ("line and paragraph separators", {"name": [{"family": "a\u2028b\u2029c\u0085d"}]}),
    ("tabs and line ends", {"name": [{"text": "a\tb\r\nc\nd"}]}),
    ("what other languages escape", {"name": [{"text": "</script> &amp; \\u0041 \\ / \" ' ${x} %s {0}"}]}),
    ("a zero-width space and a byte order mark inside", {"name": [{"text": "a\u200bb\ufeffc"}]}),
    ("narrative",
     {"text": {"status": "generated",
               "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b &#xe9; &#160;<br/>c</p>\n</div>'}}),
    ("long texts", {"name": [{"text": "ä" * 100_000}]}),
]  # fmt: skip


@pytest.mark.parametrize("members", [case[1] for case in KEPT], ids=[case[0] for case in KEPT])
def test_content_comes_back_as_it_went_in(fhir: httpx.Client, members: dict[str, Any]):
    made = create(fhir, {"resourceType": "Patient", **members})
    kept = fhir.get(f"/Patient/{made['id']}").json()
    assert kept == made
    meta = {name: value for name, value in kept.pop("meta").items() if name not in ("versionId", "lastUpdated")}
    expected = {"resourceType": "Patient", "id": made["id"], **members}
    assert meta == expected.pop("meta", {})
    assert kept == expected
    assert fhir.get(f"/Patient?_id={made['id']}").json()["entry"][0]["resource"] == made


def escaped(members: dict[str, Any]) -> str:
    return json.dumps({"resourceType": "Patient", **members}, ensure_ascii=True)


@pytest.mark.parametrize("members", [case[1] for case in KEPT], ids=[case[0] for case in KEPT])
def test_content_means_the_same_escaped_or_through_xml(fhir: httpx.Client, members: dict[str, Any]):
    made = fhir.post("/Patient", content=escaped(members)).json()
    xml = fhir.get(f"/Patient/{made['id']}", headers={"accept": "application/fhir+xml"}).text
    other = fhir.post("/Patient", content=xml.encode(), headers={"content-type": "application/fhir+xml"})
    assert other.status_code == 201, other.text
    varying = ("id", "meta")
    assert {k: v for k, v in other.json().items() if k not in varying} == {
        k: v for k, v in made.items() if k not in varying
    }


def test_only_id_version_and_date_are_the_servers(fhir: httpx.Client):
    meta = {"lastUpdated": "2001-01-01T00:00:00Z", "versionId": "77", "_versionId": {"id": "v"}, "source": "#x"}
    made = create(fhir, {"resourceType": "Patient", "meta": meta})
    assert list(made["meta"]) == list(meta)
    assert made["meta"]["_versionId"] == {"id": "v"}
    assert (made["meta"]["versionId"], made["meta"]["source"]) == ("1", "#x")


def definitions() -> Iterator[dict[str, Any]]:
    """One definition of each type in the core package, the longest of each: the richest there are."""
    best: dict[str, bytes] = {}
    with tarfile.open(reference("packages/hl7.fhir.r4.core-4.0.1.tgz")) as package:
        for member in package:
            kind = Path(member.name).name.partition("-")[0]
            if member.isfile() and kind[:1].isupper() and 20_000 < member.size < 400_000:
                file = package.extractfile(member)
                assert file is not None
                content = file.read()
                if len(content) > len(best.get(kind, b"")):
                    best[kind] = content
    for content in best.values():
        yield json.loads(content, parse_float=str)


def test_definitions_come_back_equal_through_create_update_and_xml(fhir: httpx.Client):
    for definition in definitions():
        kind, name = definition["resourceType"], definition["id"]
        stored = fhir.put(f"/{kind}/{name}", content=gzip.compress(json.dumps(definition).encode()),
                          headers={"content-encoding": "gzip"})  # fmt: skip
        assert stored.status_code == 201, (name, stored.text[:500])
        kept = json.loads(fhir.get(f"/{kind}/{name}").content, parse_float=str)
        assert without_meta(kept) == without_meta(definition), name
        xml = fhir.get(f"/{kind}/{name}?_format=xml").content
        back = fhir.put(f"/{kind}/{name}", content=xml, headers={"content-type": "application/fhir+xml"})
        assert back.status_code == 200, (name, back.text[:500])
        kept = json.loads(fhir.get(f"/{kind}/{name}").content, parse_float=str)
        assert without_meta(kept) == without_meta(definition), name


def without_meta(resource: dict[str, Any]) -> dict[str, Any]:
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in ("versionId", "lastUpdated")}
    return {**{k: v for k, v in resource.items() if k != "meta"}, **({"meta": meta} if meta else {})}
