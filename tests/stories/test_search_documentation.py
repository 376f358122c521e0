"""Each request that docs/search.md shows does what the page says: https://hl7.org/fhir/R4/search.html."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fhir_server.search.result import OPTIONS, RESULT
from tests.running import client, running
from tests.stories.test_search_examples import RESOURCES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "search.md"
FORM = {"content-type": "application/x-www-form-urlencoded"}
FINDS_NOTHING = frozenset(("GET /fhir/Location?near=41.0|29.0|10|km",))


def shown() -> list[str]:
    """The requests in blocks of their own."""
    blocks = PAGE.read_text(encoding="utf-8").split("```")[1::2]
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def fhir(module_database_url: str) -> Iterator[httpx.Client]:
    with running(module_database_url) as base, client(base) as http:
        for one in RESOURCES:
            answer = http.put(f"/{one['resourceType']}/{one['id']}", json=one)
            assert answer.status_code == 201, answer.text
        yield http


@pytest.mark.parametrize("request_line", shown())
def test_a_request_of_the_page_is_answered(fhir: httpx.Client, request_line: str):
    method, _, rest = request_line.partition(" /fhir")
    url, _, form = rest.partition(" ") if method == "POST" else (rest, "", "")
    answer = fhir.request(method, url, content=form or None, headers=FORM if form else {})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if body["resourceType"] == "Bundle" and request_line not in FINDS_NOTHING:
        assert body.get("entry") or body["total"], request_line


def test_every_parameter_that_shapes_the_answer_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in RESULT | OPTIONS if name not in text} == {"_cursor", "_format", "_pretty"}
    assert "Not yet" not in text
