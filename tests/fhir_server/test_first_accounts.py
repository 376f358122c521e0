"""The accounts of a first start are made once, and bound to people of the hospital."""

import stat
from pathlib import Path

import pytest

from fhir_server.first_accounts import FILE, first_accounts
from fhir_server.serve import check_openness
from fhir_server.settings import Settings
from fhir_server.store.lock import CannotStart
from loaders.demonstration.account import bindings
from loaders.demonstration.hospital import generate
from smart_auth.account import ROLES
from tests.smart_auth.persons import cheap_passwords


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch):
    cheap_passwords(monkeypatch)


def test_the_administrators_password_is_shown_once_and_the_others_are_kept(database_url: str, tmp_path: Path):
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    told = "\n".join(first_accounts(settings, bindings(6, 7)))
    kept = (tmp_path / FILE).read_text(encoding="utf-8")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert all(line in told for line in kept.splitlines())
    assert "admin@mediconnect.example" in told
    assert "admin@" not in kept
    again = "\n".join(first_accounts(settings, bindings(6, 7)))
    assert "admin@" not in again
    assert str(tmp_path / FILE) in again


def test_a_server_without_the_hospital_has_an_administrator_alone(database_url: str, tmp_path: Path):
    told = first_accounts(Settings(database_url=database_url, data_dir=tmp_path), None)
    assert sum("@" in line for line in told) == 1
    assert not (tmp_path / FILE).exists()


def test_the_hospital_has_an_account_of_each_role_bound_to_its_people():
    made = list(bindings(20, 7))
    people = {f"{one['resourceType']}/{one['id']}" for one in generate(20, 7)}
    assert all(one.fhir_user in people for one in made if one.fhir_user)
    assert {role for one in made for role in one.roles} | {"administrator", "super-administrator"} == set(ROLES)
    assert sum(one.fhir_user is not None for one in made) == 4


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "hospital.example"])
def test_a_server_without_security_is_not_reached_from_elsewhere(host: str):
    with pytest.raises(CannotStart, match="MEDICONNECT_SECURITY=open"):
        check_openness(Settings(host=host, security="open"))
    check_openness(Settings(host=host, security="smart"))
    check_openness(Settings(host="127.0.0.1", security="open"))
