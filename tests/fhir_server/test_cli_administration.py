"""The commands for apps and accounts: what is asked for by options, and what ends when one is closed."""

import json
import socket
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from fhir_server.settings import Settings
from fhir_server.smart import configuration_of, database_of, key_of
from fhir_server.terminal import operator
from smart_auth.registration import client_of_metadata
from smart_auth.server import signing_keys, verifier_of
from tests.smart_auth.bureau import RSA, bureau, public_set
from tests.smart_auth.persons import anna

OFFLINE = "offline_access patient/*.rs"


@pytest.fixture
def desk(database_url: str, tmp_path: Path):
    """An authorization server that runs beside the commands, on the same database."""
    with bureau(database_url, tmp_path) as made:
        yield made


def add(run, *options: str) -> dict[str, object]:
    code, out, errors = run("client", "add", *options)
    assert (code, errors) == (0, "")
    return json.loads(out)


def test_apps_of_each_kind_are_registered_by_options(run, tmp_path: Path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(public_set(RSA)))
    back = ("--redirect-uri", "https://growth.example/back")
    public = add(run, "--name", "Growth Chart", *back)
    assert (public["token_endpoint_auth_method"], "client_secret" in public) == ("none", False)
    secret = add(run, "--name", "Desk", *back, "--kind", "symmetric", "--scope", "openid user/*.rs")
    assert (len(secret["client_secret"]) >= 40, secret["scope"]) == (True, "openid user/*.rs")
    system = ("--name", "Laboratory", "--kind", "asymmetric", "--scope", "system/*.rs")
    inline = add(run, *system, "--jwks", str(keys))
    assert (inline["grant_types"], inline["jwks"]["keys"][0]["kid"]) == (["client_credentials"], "rsa")
    assert add(run, *system, "--jwks-url", "https://lab.example/jwks")["jwks_uri"] == "https://lab.example/jwks"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "a file of metadata or a --name"),
        (("--name", "A", "--kind", "secret"), "secret is no kind"),
        (("--name", "A"), "redirect_uris are needed"),
        (("--name", "A", "--kind", "asymmetric", "--scope", "system/*.rs"), "either jwks or jwks_uri"),
        (("app.json", "--name", "A"), "not both"),
        (("--name", "A", "--kind", "asymmetric", "--jwks", "none.json"), "No such file"),
    ],
)
def test_options_that_make_no_app_are_refused_in_one_line(run, options, problem):
    code, out, errors = run("client", "add", *options)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert problem in errors


def test_a_disabled_app_loses_what_it_holds_in_a_server_that_runs(run, desk):
    client = desk.client()
    reply = desk.granted(client, OFFLINE)
    assert run("client", "disable", client.id) == (0, f"{client.id} is disabled\n", "")
    assert desk.good(reply["access_token"]) is None
    assert desk.refresh(client, reply["refresh_token"]).json()["error"] == "invalid_client"


def test_a_disabled_account_is_closed_at_once_and_can_be_opened_again(run, desk):
    person, client = desk.person(), desk.client()
    reply = desk.granted(client, OFFLINE, person=person)
    assert run("account", "disable", person.email.upper()) == (0, f"{person.email} is disabled\n", "")
    assert desk.good(reply["access_token"]) is None
    assert desk.refresh(client, reply["refresh_token"]).json()["error"] == "invalid_grant"
    assert not desk.server.accounts.is_alive(person.session)
    assert f"{person.email}\tdisabled\tpatient\tPatient/p0\t" in run("account", "list")[1]
    assert run("account", "enable", person.email) == (0, f"{person.email} is active\n", "")
    assert desk.refresh(client, reply["refresh_token"]).json()["error"] == "invalid_grant"
    assert run("account", "disable", "nobody@example.org")[0] == 1


def test_a_new_password_ends_sessions_and_what_lasts_as_long(run, desk):
    person, client = desk.person(), desk.client()
    online = desk.granted(client, "online_access patient/*.rs", person=person)
    offline = desk.granted(client, OFFLINE, person=person)
    assert run("account", "password", person.email)[0] == 0
    assert not desk.server.accounts.is_alive(person.session)
    assert desk.good(online["access_token"]) is None
    assert desk.good(offline["access_token"]) is not None


def test_accounts_are_listed_with_who_they_are(run, desk):
    anna(desk.server.accounts)
    assert run("account", "list") == (0, "anna@example.org\tactive\tpatient\tPatient/p0\tVera Beispiel\n", "")


def test_a_database_that_is_not_ready_is_said_in_one_line_and_none_is_made(
    run, empty_database_url, monkeypatch, tmp_path
):
    monkeypatch.setenv("MEDICONNECT_DATABASE_URL", empty_database_url)
    code, _, errors = run("client", "list")
    assert (code, errors.count("\n")) == (1, 1)
    assert "run `mediconnect migrate`" in errors
    monkeypatch.setenv("MEDICONNECT_DATABASE_URL", "")
    code, _, errors = run("account", "list")
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"mediconnect: there is no database in {tmp_path} yet")
    assert not (tmp_path / "postgres").exists()


def test_keys_are_not_rotated_under_another_secret_than_the_servers(run, tmp_path):
    assert run("keys", "rotate")[0] == 0
    (tmp_path / "secret.key").unlink()
    code, _, errors = run("keys", "rotate")
    assert (code, errors.count("\n")) == (1, 1)
    assert "restore the data directory's secret.key" in errors


def test_commands_work_beside_a_server_that_holds_the_embedded_database(data_dir: Path, monkeypatch):
    from fhir_server.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - only this test starts one of its own

    monkeypatch.setenv("MEDICONNECT_DATABASE_URL", "")
    monkeypatch.setenv("MEDICONNECT_DATA_DIR", str(data_dir))
    held = EmbeddedPostgres(data_dir)
    held.start()
    try:
        assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
        began = time.monotonic()
        assert CliRunner().invoke(app, ["keys", "rotate"]).exit_code == 0
        assert CliRunner().invoke(app, ["account", "list"]).stdout == ""
        assert time.monotonic() - began < 30
        assert held.alive()
    finally:
        held.stop()


def test_a_removed_app_loses_what_it_holds_and_is_not_known_any_more(run, desk):
    client = desk.client()
    reply = desk.granted(client, OFFLINE)
    assert run("client", "remove", client.id) == (0, f"{client.id} is removed\n", "")
    assert desk.good(reply["access_token"]) is None
    assert desk.server.clients.by_id(client.id) is None
    assert run("client", "remove", client.id) == (1, "", f"mediconnect: there is no client {client.id}\n")


def test_an_account_gets_other_roles_and_another_person(run, desk):
    person = desk.person()
    done = run(
        "account", "bind", person.email, "--role", "practitioner", "--role", "auditor", "--fhir-user", "Practitioner/1"
    )
    assert done == (0, f"{person.email} is Practitioner/1 as practitioner, auditor\n", "")
    bound = desk.server.accounts.by_id(person.account)
    assert (bound.fhir_user, bound.roles) == ("Practitioner/1", ("practitioner", "auditor"))
    assert run("account", "bind", person.email, "--role", "king")[0] == 1


def test_no_id_of_a_client_looks_like_an_option(desk):
    metadata = {"client_name": "Growth Chart", "redirect_uris": ["https://growth.example/back"]}
    facts = desk.server.configuration
    ids = {client_of_metadata(metadata, facts, own=True).id for _ in range(400)}
    assert len(ids) == 400
    assert not [one for one in ids if one.startswith("-")]


def test_every_command_that_changes_something_is_on_the_audit_trail(run, desk):
    """By whom of the operating system, without addresses or passwords; what only looks leaves no trace."""
    added = add(run, "--name", "Growth Chart", "--redirect-uri", "https://growth.example/back")["client_id"]
    for command in ("disable", "approve", "remove"):
        run("client", command, added)
    run("keys", "rotate")
    run("account", "add", "eve@example.org", "--name", "Eve Example", "--role", "auditor")
    account = desk.server.accounts.by_email("eve@example.org").id
    run("account", "bind", "eve@example.org", "--role", "administrator")
    for command in ("password", "token", "disable", "enable", "list"):
        run("account", command, *(["eve@example.org"] if command != "list" else []))
    run("client", "list")
    run("client", "approve", "nobody")
    rows = [note for row in desk.database.all("SELECT notes FROM audit ORDER BY seq") for note in row["notes"]]
    signing = desk.database.all("SELECT kid FROM signing_key WHERE retired IS NULL ORDER BY algorithm")
    keys = " and ".join(row["kid"] for row in signing)
    assert [(row["subtype"], row["detail"]) for row in rows] == [
        ("register", f"mediconnect client add {added}"),
        ("register", f"mediconnect client disable {added}"),
        ("register", f"mediconnect client approve {added}"),
        ("register", f"mediconnect client remove {added}"),
        ("keys", f"mediconnect keys rotate {keys}"),
        ("account", f"mediconnect account add {account} as auditor"),
        ("account", f"mediconnect account bind {account} to nobody as administrator"),
        ("account", f"mediconnect account password {account}"),
        ("token", f"mediconnect account token {account} for user/*.cruds user/AuditEvent.rs"),
        ("account", f"mediconnect account disable {account}"),
        ("account", f"mediconnect account enable {account}"),
    ]
    assert {(row["outcome"], row["operator"], row["network"]) for row in rows} == {
        (0, operator(), socket.gethostname())
    }
    assert not any("client" in row or "account" in row for row in rows)


def test_a_server_without_an_audit_trail_keeps_none_of_commands_either(run, desk, monkeypatch):
    monkeypatch.setenv("MEDICONNECT_AUDIT", "0")
    assert run("keys", "rotate")[0] == 0
    assert desk.database.all("SELECT seq FROM audit") == []


def test_a_terminal_gets_a_token_that_the_server_believes(run, database_url: str, tmp_path: Path):
    run("account", "add", "eve@example.org", "--name", "Eve Example", "--role", "auditor")
    code, out, errors = run("account", "token", "eve@example.org", "--scope", "user/AuditEvent.rs")
    assert (code, errors) == (0, "")
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    database = database_of(settings)
    database.open()
    try:
        facts = configuration_of(settings, database.tenant, ("AuditEvent",))
        token = verifier_of(facts, signing_keys(database, key_of(settings))).verify(out.strip(), time.time())
    finally:
        database.close()
    assert (token.client, token.roles, token.scopes.text()) == ("terminal", ("auditor",), "user/AuditEvent.rs")
