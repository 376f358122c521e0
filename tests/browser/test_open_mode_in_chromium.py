"""A server without access control says so on every page that it shows: docs/smart.md."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import running

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
WARNING = "Open: no access control."
PAGES = ["/", "/docs", "/fhir/metadata", "/fhir/Patient", "/fhir/Patient/none", "/fhir/Nothing?_format=html"]


@pytest.fixture(scope="module")
def open_origin(module_database_url: str) -> Iterator[str]:
    with running(module_database_url) as base:
        yield base.removesuffix("/fhir")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_an_open_server_says_that_it_is_open(open_origin: str, new_page, path: str):
    page = new_page()
    page.goto(f"{open_origin}{path}")
    page.get_by_text(WARNING).first.wait_for()
    assert page.get_by_text(WARNING).first.is_visible()


def test_the_statement_of_an_open_server_says_so_too(open_origin: str):
    security = httpx.get(f"{open_origin}/fhir/metadata", timeout=60).json()["rest"][0]["security"]
    assert "without access control" in security["description"]
    assert "service" not in security
    assert WARNING in httpx.get(f"{open_origin}/openapi.json", timeout=60).json()["info"]["description"]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES[3:])  # the statement of all types is a page of minutes for axe
def test_the_pages_of_resources_pass_axe(open_origin: str, new_page, path: str, colours: str):
    page = new_page()
    page.emulate_media(color_scheme=colours)
    page.goto(f"{open_origin}{path}")
    found = axe.Axe().run(page).response["violations"]
    assert {f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]} == set()
