"""docs/settings.md and fhir_server/settings.py say the same."""

import re

import pytest

from fhir_server.settings import Settings
from tests.repository.sources import ROOT

PREFIX = "MEDICONNECT_"
ROW = re.compile(r"^\| `(MEDICONNECT_\w+)` \| (?:`(.*?)`)? ?\| (.+) \|$", re.MULTILINE)
DOCUMENTED = {
    name: (default, meaning) for name, default, meaning in ROW.findall((ROOT / "docs" / "settings.md").read_text())
}
FIELDS = {PREFIX + name.upper(): name for name in Settings.model_fields}


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)


def test_every_setting_is_documented_and_nothing_else_is():
    assert sorted(DOCUMENTED) == sorted(FIELDS)


@pytest.mark.parametrize("variable", sorted(FIELDS))
def test_the_documented_default_is_the_default(variable, monkeypatch):
    default = Settings()
    monkeypatch.setenv(variable, DOCUMENTED[variable][0])
    assert getattr(Settings(), FIELDS[variable]) == getattr(default, FIELDS[variable])


@pytest.mark.parametrize("variable", sorted(FIELDS))
def test_the_documented_meaning_begins_with_the_help_in_the_code(variable):
    description = Settings.model_fields[FIELDS[variable]].description
    assert description, f"{FIELDS[variable]} has no description"
    assert DOCUMENTED[variable][1].startswith(description)


def test_the_container_files_set_only_settings_that_exist():
    for name in ("Dockerfile", "docker-compose.yml", "Makefile"):
        used = set(re.findall(r"\bMEDICONNECT_[A-Z_]*[A-Z]\b", (ROOT / name).read_text()))
        assert used <= set(FIELDS), name
