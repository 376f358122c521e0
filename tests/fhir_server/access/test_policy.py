"""Policies are read strictly, and one that cannot be understood grants nothing.

https://hl7.org/fhir/R4/security.html#6.1.0.4
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from fhir_server.access.policy import ROLES, Policy, UnusablePolicy, defaults, load, policy_of, store
from fhir_server.store.pool import Pool

ROOT = Path(__file__).resolve().parents[3]
GRANT = {"letters": "rs", "types": ["Patient"]}


def test_every_role_has_a_default_that_grants_something():
    assert tuple(defaults()) == ROLES
    assert all(policy.grants for policy in defaults().values())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"grant": [GRANT]}, "'grant' is not known; did you mean 'grants'?"),
        ({"grants": GRANT}, "an array is needed"),
        ({"grants": ["Patient"]}, "an object is needed"),
        ({"grants": [{**GRANT, "letters": "sr"}]}, "are not letters"),
        ({"grants": [{**GRANT, "letters": ""}]}, "are not letters"),
        ({"grants": [{**GRANT, "letters": 1}]}, "a string is needed"),
        ({"grants": [{**GRANT, "types": []}]}, "there is none"),
        ({"grants": [{**GRANT, "types": ["Pateint"]}]}, "did you mean 'Patient'?"),
        ({"grants": [{**GRANT, "where": "name={fhirUsr}"}]}, "{fhirUsr} is no placeholder"),
        ({"grants": [{**GRANT, "where": "name="}]}, "a parameter has no value"),
        ({"grants": [{**GRANT, "criteria": "name=a"}]}, "'criteria' is not known"),
        ({"grants": [GRANT], "hidden": ["Patient.nmae"]}, "is no element"),
        ({"grants": [GRANT], "hidden": ["Patient.name.family"]}, "is no element"),
        ({"grants": [GRANT], "read_only": ["name"]}, "is no element"),
        ({"grants": [GRANT], "conditions": [{"types": ["*"]}]}, "neither 'before' nor 'after'"),
        ({"role": "patient", "grants": [GRANT]}, "says that it is of the role 'patient'"),
    ],
)
def test_what_is_not_understood_is_refused(content, problem):
    with pytest.raises(UnusablePolicy, match="practitioner") as caught:
        policy_of("practitioner", content)
    assert problem in str(caught.value)


def test_there_are_no_other_roles():
    with pytest.raises(UnusablePolicy, match="'nurse' is no role"):
        policy_of("nurse", {"grants": [GRANT]})


def test_a_choice_of_types_is_hidden_under_all_its_names():
    hidden = policy_of("auditor", {"hidden": ["Observation.value[x]"]}).hidden["Observation"]
    assert {"valueQuantity", "valueString", "value"} <= hidden


def test_the_database_replaces_defaults_and_what_is_unusable_grants_nothing(database_url):
    async def run() -> dict[str, Policy]:
        pool = Pool(database_url, size=1)
        await pool.open()
        try:
            async with pool.connection() as conn:
                await store(conn, 1, "auditor", json.dumps({"grants": [GRANT]}))
                await conn.execute(
                    "INSERT INTO access_policy (tenant, role, policy) VALUES (1, 'pharmacist', '{\"grants\": 1}')"
                )
                return dict(await load(conn, 1))
        finally:
            await pool.close()

    found = asyncio.run(run())
    assert found["auditor"].grants[0].types == ("Patient",)
    assert found["pharmacist"] == Policy("pharmacist")
    assert found["patient"] == defaults()["patient"]


def test_the_command_shows_sets_and_resets(database_url, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"MEDICONNECT_DATABASE_URL": database_url}
        command = [sys.executable, "-m", "fhir_server", "policy", *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)

    shown = run("show", "auditor")
    assert json.loads(shown.stdout)["role"] == "auditor"
    file = tmp_path / "auditor.json"
    file.write_text(json.dumps({"grants": [GRANT]}))
    assert run("set", "auditor", str(file)).returncode == 0
    assert json.loads(run("show", "auditor").stdout) == {"grants": [GRANT]}
    file.write_text("{}x")
    refused = run("set", "auditor", str(file))
    assert refused.returncode == 1
    assert refused.stderr.startswith("mediconnect: ")
    assert run("reset", "auditor").returncode == 0
    assert run("show", "auditor").stdout == shown.stdout
    with psycopg.connect(database_url) as conn:
        rows = conn.execute("SELECT notes FROM mediconnect.audit ORDER BY seq").fetchall()
    kept = [note for (notes,) in rows for note in notes]
    assert [(note["subtype"], note["detail"]) for note in kept] == [
        ("policy", "mediconnect policy set auditor"), ("policy", "mediconnect policy reset auditor"),
    ]  # fmt: skip
    assert all(note["operator"] for note in kept)
