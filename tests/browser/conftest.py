"""The browser that the tests of this folder share: https://playwright.dev/python/docs/intro."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def new_page() -> Iterator[Callable[[], Any]]:
    """Makes pages of a browser that nobody has used yet; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as engine:
        # Chromium's own sandbox needs rights that containers and root do not have; the pages are ours.
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def made() -> Any:
            page = browser.new_context(locale="en-US").new_page()
            page.set_default_timeout(30_000)
            return page

        yield made
        browser.close()
