"""Dynamic registration: what a client is told, what it must not ask for, and who has to agree."""

import json

import pytest

from smart_auth.registration import client_of_metadata
from tests.smart_auth.bureau import BACK, EC, RSA, basic, bureau, public_set

APP = {"client_name": "Growth Chart", "redirect_uris": [BACK], "token_endpoint_auth_method": "none"}
SYSTEM = {
    "client_name": "Nightly Export",
    "grant_types": ["client_credentials"],
    "token_endpoint_auth_method": "private_key_jwt",
    "scope": "system/*.rs",
}
FREE = "DELETE FROM account_attempt WHERE tenant = %(tenant)s"


def desks(registration):
    @pytest.fixture(scope="module")
    def made(module_database_url, tmp_path_factory):
        with bureau(module_database_url, tmp_path_factory.mktemp("data"), registration=registration) as desk:
            yield desk

    return made


waiting, free, shut = desks("approval"), desks("open"), desks("closed")


def register(desk, metadata):
    desk.change(FREE)
    return desk.http.post("/auth/register", json=metadata)


def test_a_public_app_registers_and_is_used_once_it_is_approved(waiting):
    """@24, @316: the client is told its client_id; it waits for approval."""
    answer = register(waiting, {**APP, "scope": "openid patient/*.rs nonsense", "client_uri": "https://app.example/"})
    assert answer.status_code == 201
    told = answer.json()
    assert told["client_id"]
    assert told["status"] == "pending"
    assert told["redirect_uris"] == [BACK]
    assert told["grant_types"] == ["authorization_code", "refresh_token"]
    assert told["scope"] == "openid patient/*.rs"
    assert told["client_uri"] == "https://app.example/"
    assert told["client_id_issued_at"] > 1_700_000_000
    assert "client_secret" not in told
    client = waiting.server.clients.by_id(told["client_id"])
    assert client.self_registered
    assert waiting.redeem(client, waiting.code(client)).json()["error"] == "invalid_client"
    waiting.server.clients.set_status(client.id, "active")
    assert waiting.redeem(client, waiting.code(client)).status_code == 200


def test_where_registration_is_open_an_app_is_used_at_once(free):
    told = register(free, APP).json()
    assert told["status"] == "active"
    client = free.server.clients.by_id(told["client_id"])
    assert free.redeem(client, free.code(client)).status_code == 200
    assert "patient/*.cruds" in told["scope"]
    assert "__" not in told["scope"]


def test_a_secret_is_told_once_and_works(free):
    """RFC 7591, 3.2.1: client_secret and client_secret_expires_at; without a method named it is HTTP Basic."""
    told = register(free, {"redirect_uris": [BACK]}).json()
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert told["client_secret_expires_at"] == 0
    client = free.server.clients.by_id(told["client_id"])
    form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": BACK, "code_verifier": "v" * 43}
    assert free.post("token", form, basic(client.id, told["client_secret"])).json()["error"] == "invalid_grant"
    assert free.post("token", form, basic(client.id, "guess")).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    "keys", [{"jwks": public_set(RSA, EC)}, {"jwks_uri": "https://app.example/jwks"}], ids=("inline", "by address")
)
def test_a_system_registers_its_keys_inline_or_by_address_and_waits_even_where_apps_need_not(free, keys):
    """S-C4 (@296, @297): both ways; one that acts without a person is looked at by somebody first."""
    told = register(free, {**SYSTEM, **keys}).json()
    assert told["status"] == "pending"
    assert told["response_types"] == []
    if "jwks_uri" in keys:
        assert told["jwks_uri"] == "https://app.example/jwks"
        return
    assert {key["kid"] for key in told["jwks"]["keys"]} == {"rsa", "ec"}
    client = free.server.clients.by_id(told["client_id"])
    assert free.system_token(client, "system/*.rs").json()["error"] == "invalid_client"
    free.server.clients.set_status(client.id, "active")
    assert free.system_token(client, "system/*.rs").status_code == 200


def test_nobody_registers_where_that_is_closed(shut):
    answer = register(shut, APP)
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://app.example/"}, "invalid_client_metadata"),
        ({"redirect_uris": [BACK] + [f"https://app.example/{n}" for n in range(30)]}, "invalid_client_metadata"),
        *[
            ({"redirect_uris": [uri]}, "invalid_redirect_uri")
            for uri in (
                "http://app.example/back", "https://app.example/back#part", "https://u:p@app.example/", "javascript:alert(1)",
                "data:text/html,x", "https:///back", "/back", "https://app.example/a b", "https://app.example:x/",
                "app:/back", "https://[::1/", "https://app.example/" + "x" * 2000, "https://app.example/\\evil",
            )
        ],
        ({"token_endpoint_auth_method": "client_secret_post"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": 5}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"], "scope": "system/*.rs"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"scope": "system/*.rs"}, "invalid_client_metadata"),
        ({"scope": "__introspect openid"}, "invalid_client_metadata"),
        ({"scope": "nonsense"}, "invalid_client_metadata"),
        ({"client_name": "x" * 300}, "invalid_client_metadata"),
        ({"client_name": "Bank\u202eexe"}, "invalid_client_metadata"),
        ({"client_name": "\ud800"}, "invalid_client_metadata"),
        ({"client_uri": "http://app.example/"}, "invalid_client_metadata"),
        ({"logo_uri": "javascript:alert(1)"}, "invalid_client_metadata"),
        ({"contacts": "me@app.example"}, "invalid_client_metadata"),
        ({"jwks": public_set(EC)}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/jwks"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": []}}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": "keys"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [EC.as_dict(private=True)]}}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": public_set(EC), "jwks_uri": "https://app.example/jwks"}, "invalid_client_metadata"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else value,
)  # fmt: skip
def test_what_cannot_be_registered_is_told(waiting, changes, code):
    """@18, RFC 7591, 3.2.2: complete redirect URIs, methods and scopes that exist, keys without secrets."""
    before = len(waiting.server.clients.all())
    answer = waiting.http.post("/auth/register", content=json.dumps({**APP, **changes}))
    waiting.change(FREE)
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert len(waiting.server.clients.all()) == before


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example:8443/back?a=1",
        "http://localhost:3000/back",
        "http://127.0.0.1/back",
        "http://[::1]:9/",
        "org.example.app:/back",
    ],
)
def test_redirect_uris_of_the_web_and_of_devices_are_registered_as_they_are(free, uri):
    """@18, RFC 8252."""
    assert register(free, {**APP, "redirect_uris": [uri]}).json()["redirect_uris"] == [uri]


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 10_000, b'{"client_name": ', b"\xff", b'"x"'])
def test_what_is_no_metadata_is_refused(waiting, body):
    answer = waiting.http.post("/auth/register", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


def test_metadata_is_bounded(waiting):
    assert waiting.http.post("/auth/register", content=b" " * 70_000).status_code == 413


def test_of_a_key_only_what_verifies_is_kept(free):
    """S-C4 (@305): nothing else of what was sent ends up in the database."""
    key = {**EC.as_dict(private=False), "note": "\u0000", "more": {"deep": [1]}}
    told = register(free, {**SYSTEM, "jwks": {"keys": [key], "other": 1}}).json()
    assert told["jwks"] == {"keys": [{name: key[name] for name in ("kty", "kid", "crv", "x", "y")}]}
    strange = {**EC.as_dict(private=False), "use": "sig\u0000"}
    assert register(free, {**SYSTEM, "jwks": {"keys": [strange]}}).status_code == 400


def test_nobody_changes_the_keys_of_a_client_by_registering(free):
    """S-C4 (@305): who names a client gets one of their own, and there is no other way in."""
    known = register(free, {**SYSTEM, "jwks": public_set(RSA)}).json()
    told = register(free, {**SYSTEM, "client_id": known["client_id"], "jwks": public_set(EC)}).json()
    assert told["client_id"] != known["client_id"]
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        for path in ("/auth/register", f"/auth/register/{known['client_id']}"):
            assert free.http.request(method, path, json=SYSTEM).status_code in (404, 405)
    kept = free.server.clients.by_id(known["client_id"])
    assert [key["kid"] for key in kept.jwks["keys"]] == ["rsa"]


def test_an_app_that_cannot_refresh_is_not_promised_to_go_on(free):
    told = register(free, {**APP, "grant_types": ["authorization_code"], "scope": "openid offline_access"}).json()
    assert told["scope"] == "openid"


def test_who_registers_again_and_again_is_slowed_down(waiting):
    waiting.change(FREE)
    answers = [waiting.http.post("/auth/register", json=APP) for _ in range(22)]
    waiting.change(FREE)
    assert [answer.status_code for answer in answers[:20]] == [201] * 20
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"]


def test_registrations_are_on_record(waiting):
    waiting.diary.events.clear()
    id_ = register(waiting, APP).json()["client_id"]
    register(waiting, {})
    assert waiting.diary.kinds() == ["register success", "register failure"]
    assert waiting.diary.events[0].client == id_


def test_an_administrator_gives_every_scope(waiting):
    """S-X1 (@217): names of our own begin with two underscores."""
    metadata = {**SYSTEM, "scope": "__introspect", "jwks": public_set(EC)}
    client = client_of_metadata(metadata, waiting.server.configuration, own=True)
    kept, _ = waiting.server.clients.add(client)
    assert (kept.status, kept.self_registered) == ("active", False)
    assert waiting.system_token(kept, "__introspect").json()["scope"] == "__introspect"
