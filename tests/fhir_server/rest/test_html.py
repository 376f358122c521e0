"""The page for people: everything is shown, nothing of it is executed.

https://hl7.org/fhir/R4/security.html#narrative
"""

import base64
import hashlib
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.json import Verbatim, dump_json, parse_json
from fhir_server.rest.html import HEADERS, page
from tests.reference import reference

BASE = "http://127.0.0.1:8080/fhir"
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "main",
        "nav",
        "section",
        "h1",
        "h2",
        "a",
        "span",
        "dl",
    ),
    *("div", "dt", "dd", "details", "summary", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "strong"),
}
ATTRIBUTES = {
    "lang",
    "charset",
    "name",
    "content",
    "class",
    "href",
    "rel",
    "aria-label",
    "aria-hidden",
    "open",
    "scope",
}


class Page(HTMLParser):
    """What a browser would make of a page: tags, attributes, links, and the text of the JSON."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.links: dict[str, str] = {}
        self.text = ""
        self.open: list[str] = []
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)
        if tag == "a":
            self.link = dict(attrs)["href"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "a":
            self.links[data] = self.link


def shown(resource: dict[str, Any], url: str = f"{BASE}/Patient/1") -> Page:
    seen = Page(page(resource, base=BASE, url=url))
    assert not seen.open
    assert set(seen.tags) <= TAGS
    assert seen.names <= ATTRIBUTES
    assert all(link.startswith(("http://", "https://")) for link in seen.links.values())
    return seen


EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    'http://example.org/"onmouseover="alert(1)',
    "http://example.org/' onmouseover='alert(1)",
    "https://example.org/<script>",
    'Patient/1" onclick="alert(1)',
    "Patient/../../x",
    "//example.org",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<!-- ",
    "]]>",
    "&lt;script&gt;",
    "\u2028\u202e\x00\x1b",
    "\ud800",
]


@pytest.mark.parametrize("evil", EVIL)
def test_no_string_of_a_resource_becomes_markup(evil: str) -> None:
    resources: list[dict[str, Any]] = [
        {"resourceType": evil, "id": evil},
        {
            "resourceType": "Patient",
            "id": evil,
            evil: evil,
            "meta": {"versionId": evil, "lastUpdated": evil, "source": evil},
        },
        {"resourceType": "Patient", "name": [{"family": evil, "given": [evil]}], "text": {"status": evil, "div": evil}},
        {"resourceType": "Observation", "code": {"text": evil}, "subject": {"reference": evil}},
        {"resourceType": "OperationOutcome", "issue": [{"severity": evil, "code": evil, "diagnostics": evil}]},
        {
            "resourceType": "Bundle",
            "type": evil,
            "link": [{"relation": "next", "url": evil}, {"relation": evil, "url": evil}],
            "entry": [{"fullUrl": evil, "resource": {"resourceType": evil, "id": evil, "meta": {"lastUpdated": evil}}}],
        },
    ]
    for resource in resources:
        for url in (f"{BASE}/Patient/1", f"{BASE}/{evil}?x={evil}"):
            seen = shown(resource, url)
            assert "script" not in seen.tags


@given(
    st.recursive(
        st.text(max_size=8) | st.none() | st.booleans() | st.integers(),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
        max_leaves=10,
    )
)
def test_any_json_gives_a_sound_page(value: Any) -> None:
    shown({"resourceType": "Basic", "extension": value, "meta": value, "name": value, "link": value, "entry": value})
    shown({"resourceType": "Bundle", "meta": value, "link": value, "entry": value, "type": value, "total": value})
    shown({"resourceType": "OperationOutcome", "issue": value})


def test_references_and_addresses_are_links() -> None:
    links = shown(
        {
            "resourceType": "Observation",
            "id": "o",
            "meta": {"profile": ["http://example.org/StructureDefinition/x|1.0"]} | {"versionId": "2"},
            "subject": {"reference": "Patient/1"},
            "focus": [{"reference": "Patient/1/_history/2"}, {"reference": "#contained"}, {"reference": "urn:uuid:1"}],
            "performer": [{"reference": "http://example.org/fhir/Practitioner/2"}],
        },
        f"{BASE}/Observation/o",
    ).links
    assert links["Patient/1"] == f"{BASE}/Patient/1"
    assert links["Patient/1/_history/2"] == f"{BASE}/Patient/1/_history/2"
    assert links["http://example.org/fhir/Practitioner/2"] == "http://example.org/fhir/Practitioner/2"
    assert links["History"] == f"{BASE}/Observation/o/_history"
    assert links["JSON"] == f"{BASE}/Observation/o?_format=json&_pretty=true"
    assert links["Observation"] == f"{BASE}/Observation"
    assert "#contained" not in links


def test_the_links_to_other_formats_keep_the_query() -> None:
    url = f"{BASE}/Patient?name=a%26b&_format=html&_count=5"
    assert (
        shown({"resourceType": "Bundle"}, url).links["XML"]
        == f"{BASE}/Patient?name=a%26b&_count=5&_format=xml&_pretty=true"
    )


def test_a_bundle_has_a_table_of_its_entries_and_links_to_its_pages() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 12,
        "link": [
            {"relation": "self", "url": f"{BASE}/Patient"},
            {"relation": "next", "url": f"{BASE}/Patient?_page=2"},
        ],
        "entry": [
            {"resource": {"resourceType": "Patient", "id": "7", "name": [{"family": "Muster", "given": ["Ada"]}]}}
        ],
    }
    seen = shown(bundle, f"{BASE}/Patient")
    assert seen.links["Next page"] == f"{BASE}/Patient?_page=2"
    assert seen.links["Patient/7"] == f"{BASE}/Patient/7"
    assert "Ada Muster" in seen.text
    assert "12" in seen.text


def test_numbers_are_shown_with_their_digits() -> None:
    text = shown(
        {"resourceType": "Observation", "valueQuantity": {"value": Decimal("160.50"), "x": Verbatim("1E2")}}
    ).text
    assert "160.50" in text
    assert "1E2" in text


def test_the_narrative_is_text() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><b>bold</b></div>'
    assert div in shown({"resourceType": "Patient", "text": {"status": "generated", "div": div}}).text


def test_a_very_long_string_is_cut() -> None:
    data = page({"resourceType": "Binary", "data": "A" * 1_000_000}, base=BASE, url=f"{BASE}/Binary/1")
    assert len(data) < 20_000
    assert b"(1000000 characters)" in data


def test_the_page_of_an_open_server_says_that_it_is_open() -> None:
    for is_open in (True, False):
        text = page({"resourceType": "Basic"}, base=BASE, url=BASE, is_open=is_open).decode()
        assert ("Open: no access control." in text) is is_open


def test_the_policy_allows_the_style_of_the_page_and_nothing_else() -> None:
    policy = dict(HEADERS)["content-security-policy"]
    [style] = re.findall(
        r"<style>(.*?)</style>", page({"resourceType": "Basic"}, base=BASE, url=BASE).decode(), re.DOTALL
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


def test_every_example_gives_a_page_that_shows_all_its_strings() -> None:
    for path in sorted((reference("fhir-test-cases/r4") / "examples").glob("*.json"))[::4]:
        resource = parse_json(path.read_bytes())
        text = shown(resource, f"{BASE}/{resource['resourceType']}/{resource.get('id', 'x')}").text
        for string in re.findall(r'"id":"([^"\\]+)"', dump_json(resource).decode()):
            assert string in text
