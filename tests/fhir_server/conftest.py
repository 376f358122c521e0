"""Fixtures for tests of the server's own modules."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from tests.smart_auth.persons import cheap_passwords


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of `mediconnect` on a database of its own; its exit code, output and errors."""
    monkeypatch.setenv("MEDICONNECT_DATABASE_URL", database_url)
    monkeypatch.setenv("MEDICONNECT_DATA_DIR", str(tmp_path))
    cheap_passwords(monkeypatch)

    def command(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, arguments)
        return done.exit_code, done.stdout, done.stderr

    return command
