"""One running server for the stories of a module."""

from collections.abc import Iterator

import httpx
import pytest

from tests.running import client, running


@pytest.fixture(scope="module")
def base(module_database_url: str) -> Iterator[str]:
    """The FHIR base of a server whose database the stories of a module share."""
    with running(module_database_url) as url:
        yield url


@pytest.fixture(scope="module")
def fhir(base: str) -> Iterator[httpx.Client]:
    """A client of that server."""
    with client(base) as http:
        yield http
