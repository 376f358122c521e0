"""The command line: each command does its work or says in one line why it cannot.

https://typer.tiangolo.com/tutorial/testing/
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def mediconnect(*arguments: str, **settings: str) -> tuple[int, str, str]:
    environment = os.environ | {f"MEDICONNECT_{name}": text for name, text in settings.items()}
    command = [sys.executable, "-m", "fhir_server", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_version_names_the_server_and_the_specification() -> None:
    code, out, errors = mediconnect("version")
    assert (code, errors) == (0, "")
    assert out.startswith("mediconnect ")
    assert out.endswith(", FHIR 4.0.1\n")


def test_a_setting_that_makes_no_sense_stops_the_start_with_a_sentence() -> None:
    code, _, errors = mediconnect("serve", VALIDATION_TYPES="Patint=profiles")
    assert (code, errors) == (1, "mediconnect: MEDICONNECT_VALIDATION_TYPES: Patint is no R4 resource type\n")
    code, _, errors = mediconnect("serve", VALIDATION="strict")
    assert code == 1
    assert errors.startswith("mediconnect: MEDICONNECT_VALIDATION: Input should be 'structure', 'base' or 'profiles'")


def test_migrate_brings_a_database_to_the_schema_once(empty_database_url: str) -> None:
    code, out, _ = mediconnect("migrate", "--check", DATABASE_URL=empty_database_url)
    assert code == 1
    assert out.startswith("migrations not applied: 0001")
    code, out, _ = mediconnect("migrate", DATABASE_URL=empty_database_url)
    assert code == 0
    assert out.startswith("applied 0001")
    for arguments in (("migrate",), ("migrate", "--check")):
        assert mediconnect(*arguments, DATABASE_URL=empty_database_url) == (0, "the schema is up to date\n", "")


def test_migrate_check_makes_no_database(data_dir: Path) -> None:
    code, out, _ = mediconnect("migrate", "--check", DATA_DIR=str(data_dir), DATABASE_URL="")
    assert code == 1
    assert out.startswith(f"there is no database in {data_dir} yet")
    assert not (data_dir / "postgres").exists()


def test_migrate_uses_the_embedded_database_and_stops_it(data_dir: Path) -> None:
    assert mediconnect("migrate", DATA_DIR=str(data_dir), DATABASE_URL="")[0] == 0
    assert (data_dir / "postgres").is_dir()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_data_directory_that_cannot_be_used_is_said_in_one_line(data_dir: Path, command: str) -> None:
    (data_dir / "file").touch()
    code, _, errors = mediconnect(command, DATA_DIR=str(data_dir / "file" / "data"), DATABASE_URL="", PORT="0")
    assert code == 1
    assert errors.startswith("mediconnect: cannot use the data directory")
    assert errors.count("\n") == 1
