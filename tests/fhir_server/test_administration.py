"""The commands for apps, keys and people, on the database of the settings."""

import json
from pathlib import Path

METADATA = {
    "client_name": "Growth Chart",
    "redirect_uris": ["https://growth.example/back"],
    "token_endpoint_auth_method": "client_secret_basic",
    "scope": "launch/patient openid patient/*.rs",
}


def test_an_app_is_registered_listed_closed_and_approved(run, tmp_path: Path):
    file = tmp_path / "app.json"
    file.write_text(json.dumps(METADATA))
    code, out, _ = run("client", "add", str(file))
    told = json.loads(out)
    assert (code, told["client_name"], told["scope"]) == (0, "Growth Chart", "launch/patient openid patient/*.rs")
    assert len(told["client_secret"]) >= 40
    id_ = told["client_id"]
    assert f"{id_}\tactive\tsymmetric\tGrowth Chart" in run("client", "list")[1]
    assert run("client", "close", id_) == (0, f"{id_} is disabled\n", "")
    assert f"{id_}\tdisabled" in run("client", "list")[1]
    assert run("client", "approve", id_) == (0, f"{id_} is active\n", "")
    assert run("client", "list", "--pending")[1] == ""


def test_metadata_that_are_none_are_refused_in_one_line(run, tmp_path: Path):
    file = tmp_path / "app.json"
    for text, problem in (
        (json.dumps(METADATA | {"redirect_uris": ["http://growth.example/"]}), "redirect URIs are https"),
        ("[]", "holds no JSON object"),
        ("{", "Expecting"),
    ):
        file.write_text(text)
        code, _, errors = run("client", "add", str(file))
        assert code == 1
        assert problem in errors
    assert run("client", "add", str(tmp_path / "none.json"))[0] == 1
    assert run("client", "approve", "nobody") == (1, "", "mediconnect: there is no client nobody\n")


def test_keys_are_rotated(run):
    first, second = (run("keys", "rotate") for _ in range(2))
    assert first[0] == second[0] == 0
    assert first[1] != second[1]


def test_an_account_is_made_and_gets_another_password(run):
    made = run("account", "add", "Otto@example.org", "--name", "Otto Specimen", "--role", "practitioner")
    email, _, password = made[1].strip().partition("  ")
    assert (made[0], email) == (0, "otto@example.org")
    again = run("account", "password", "otto@example.org")
    assert again[0] == 0
    assert password not in again[1]
    for arguments, problem in (
        (("add", "otto@example.org", "--name", "Otto", "--role", "practitioner"), "has an account already"),
        (("add", "otto", "--name", "Otto", "--role", "practitioner"), "is no e-mail address"),
        (("add", "o@example.org", "--name", "Otto", "--role", "king"), "king is no role"),
        (("add", "o@example.org", "--name", "Otto", "--role", "auditor", "--fhir-user", "Robot/1"), "is no Patient"),
        (("password", "nobody@example.org"), "has no account"),
    ):
        code, _, errors = run("account", *arguments)
        assert code == 1
        assert problem in errors
