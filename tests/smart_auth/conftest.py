"""What most tests of the authorization server begin with: cheap passwords, its database, and the whole of it at a desk."""

from collections.abc import Iterator

import pytest

from smart_auth.store import Database
from tests.smart_auth.bureau import Bureau, bureau
from tests.smart_auth.persons import cheap_passwords


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost next to nothing: for modules that make many of them."""
    cheap_passwords(monkeypatch)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of the test's own, as the authorization server is connected to it."""
    made = Database(database_url, 1)
    made.open()
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    """An authorization server that the tests of a module share."""
    with bureau(module_database_url, tmp_path_factory.mktemp("data")) as made:
        yield made
