"""The token endpoint: what comes out for a code or a system's own authority, and what does not."""

from base64 import b64encode
from functools import partial

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from smart_auth.grant import LaunchContext
from tests.smart_auth.bureau import BACK, EC, VERIFIER, at_once, basic, bureau, claims_of

EXPIRE_CODE = "UPDATE authorization_code SET expires = now() - interval '1 second' WHERE grant_id IN (SELECT id FROM oauth_grant WHERE client = %(client)s)"


@pytest.mark.parametrize("kind", ["public", "symmetric", "asymmetric"])
def test_each_kind_of_client_redeems_a_code(desk, kind):
    """S-T1, S-T4, S-A6 (@31, @73-@78, @84): public clients by name, others by HTTP Basic or a signed assertion."""
    client = desk.client(kind)
    answer = desk.redeem(client, desk.code(client, "patient/Observation.rs patient/Condition.read"))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    reply = answer.json()
    assert reply["token_type"] == "Bearer"
    assert reply["expires_in"] == 900
    assert reply["scope"] == "patient/Observation.rs patient/Condition.read"
    assert "refresh_token" not in reply
    assert "id_token" not in reply
    token = desk.good(reply["access_token"])
    assert (token.client, token.audience, token.patient, token.roles, token.fhir_user) == (
        client.id, "https://hospital.example/fhir", "p0", ("patient",), "Patient/p0",
    )  # fmt: skip
    assert token.expires - token.issued == 900


def test_how_long_a_token_lasts_is_decided_here_and_by_nobody_else(desk, module_database_url, tmp_path):
    """S-T3 (@88): for people and for systems, whatever the client asks for."""
    with bureau(module_database_url, tmp_path, access_seconds=120, system_seconds=60) as short:
        client = short.client()
        reply = short.redeem(client, short.code(client), expires_in="86400").json()
        token = short.good(reply["access_token"])
        assert (reply["expires_in"], token.expires - token.issued) == (120, 120)
        assert short.system_token(short.system(), expires_in="86400").json()["expires_in"] == 60


def test_answers_and_refusals_are_not_cached(desk):
    """S-T2 (@86, @87): Cache-Control no-store and Pragma no-cache, also on errors."""
    client = desk.client()
    answers = [
        desk.redeem(client, desk.code(client)),
        desk.redeem(client, "nonsense"),
        desk.post("token", {"grant_type": "password"}),
        desk.post("introspect", {"token": "x"}),
        desk.post("revoke", {"token": "x", "client_id": client.id}),
        desk.http.post("/auth/register", content=b"{}"),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 400, 401, 200, 400]
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)
    assert all(answer.headers["pragma"] == "no-cache" for answer in answers)


def test_the_answer_carries_the_launch_context_beside_the_token(desk):
    """S-T5, S-T6 (@168-@178): patient, encounter, need_patient_banner, intent, smart_style_url, tenant, fhirContext."""
    context = ({"reference": "ImagingStudy/1"}, {"identifier": {"value": "7"}, "type": "Condition"})
    launch = LaunchContext("p0", "e1", context, banner=False, intent="reconcile-medications")
    reply = desk.granted(client := desk.client(), "patient/*.rs launch", launch=launch)
    assert reply["patient"] == "p0"
    assert reply["encounter"] == "e1"
    assert reply["need_patient_banner"] is False
    assert reply["intent"] == "reconcile-medications"
    assert reply["fhirContext"] == list(context)
    assert reply["tenant"] == "1"
    style = desk.http.get(reply["smart_style_url"])
    assert style.status_code == 200
    assert "color_background" in style.json()
    bare = desk.granted(client, "user/*.rs", launch=LaunchContext())
    assert not {"patient", "encounter", "need_patient_banner", "intent", "fhirContext"} & bare.keys()


def test_the_id_token_says_who_the_person_is(desk):
    """S-O1, S-O2, S-O3 (@198, @200, @207-@210): RS256, verified by the published keys; fhirUser an absolute URL; nonce."""
    person = desk.person()
    client = desk.client()
    reply = desk.granted(client, "openid fhirUser profile patient/*.rs", person=person, nonce="n-1")
    keys = desk.http.get("/auth/jwks").json()["keys"]
    assert not [key for key in keys if "d" in key]
    (key,) = [key for key in keys if key["alg"] == "RS256"]
    told = jwt.decode(reply["id_token"], RSAKey.import_key(key), algorithms=["RS256"])
    assert told.header["kid"] == key["kid"]
    assert told.claims["iss"] == "https://hospital.example/auth"
    assert told.claims["aud"] == client.id
    assert told.claims["sub"] == person.account
    assert told.claims["fhirUser"] == "https://hospital.example/fhir/Patient/p0"
    assert told.claims["nonce"] == "n-1"
    assert told.claims["name"] == "Vera Beispiel"
    assert told.claims["exp"] > told.claims["iat"] >= told.claims["auth_time"]


@pytest.mark.parametrize(
    ("scope", "person", "claims"),
    [
        ("openid patient/*.rs", {}, set()),
        ("openid fhirUser patient/*.rs", {"fhir_user": None, "roles": ("practitioner",)}, set()),
        ("openid fhirUser patient/*.rs", {}, {"fhirUser"}),
        ("openid profile patient/*.rs", {}, {"name"}),
    ],
)
def test_the_id_token_says_no_more_than_was_granted(desk, scope, person, claims):
    """S-O1 (@209): fhirUser only where it was granted and there is one."""
    reply = desk.granted(desk.client(), scope, person=desk.person(**person))
    assert claims_of(reply["id_token"]).keys() & {"fhirUser", "name", "nonce"} == claims


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": VERIFIER[:42]}, "invalid_grant"),
        ({"code_verifier": "é" * 64}, "invalid_grant"),
        ({"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"code": "x" * 5000}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"client_secret": "secret"}, "invalid_client"),
        ({"client_assertion": "a.b.c"}, "invalid_client"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_the_code_of_the_error(desk, changes, code):
    """S-A6, S-C6 (@31, @251, @252): RFC 6749 errors with a description; the code stays good for the right request."""
    client = desk.client()
    issued = desk.code(client)
    answer = desk.redeem(client, **{"code": issued, **changes})
    assert answer.status_code == (401 if code == "invalid_client" else 400)
    assert answer.json()["error"] == code
    assert answer.json()["error_description"]
    assert desk.redeem(client, issued).status_code == 200


def test_a_code_is_good_once_and_its_reuse_ends_what_was_issued_for_it(desk):
    """S-A5 (@58): single use; reuse revokes the tokens that were issued from it."""
    client = desk.client()
    code = desk.code(client, "patient/*.rs offline_access")
    reply = desk.redeem(client, code).json()
    token = desk.good(reply["access_token"])
    assert desk.redeem(client, code).json()["error"] == "invalid_grant"
    assert desk.good(reply["access_token"]) is None
    assert token.grant in desk.revoked
    assert desk.refresh(client, reply["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_code_is_no_use_to_another_client_who_cannot_spoil_it_either(desk):
    """S-A5: bound to the client it was issued to."""
    client, other = desk.client(), desk.client()
    code = desk.code(client)
    assert desk.redeem(other, code).json()["error"] == "invalid_grant"
    reply = desk.redeem(client, code).json()
    assert desk.redeem(other, code).json()["error"] == "invalid_grant"
    assert desk.good(reply["access_token"]) is not None


def test_a_code_expires(desk):
    """S-A5 (@58): a minute at most."""
    client = desk.client()
    code = desk.code(client)
    seconds = desk.database.one("SELECT max(expires) - now() < interval '61 seconds' AS short FROM authorization_code")
    assert seconds["short"]
    desk.change(EXPIRE_CODE, client=client.id)
    assert desk.redeem(client, code).json()["error"] == "invalid_grant"


def test_of_two_who_redeem_a_code_at_once_one_gets_tokens_and_they_are_revoked(desk):
    """S-A5: whoever is second has the code from somewhere it should not be."""
    client = desk.client()
    for _ in range(5):
        call = partial(desk.redeem, client, desk.code(client))
        replies = at_once(call, call)
        assert sorted(reply.status_code for reply in replies) == [200, 400]
        (won,) = [reply.json() for reply in replies if reply.status_code == 200]
        assert desk.good(won["access_token"]) is None


def test_a_withdrawn_grant_gives_nothing_for_its_code(desk):
    client, person = desk.client(), desk.person()
    code = desk.code(client, person=person)
    desk.server.decisions.withdraw(person.account, client.id)
    assert desk.redeem(client, code).json()["error"] == "invalid_grant"


def test_the_code_of_a_closed_account_gives_nothing(desk):
    client, person = desk.client(), desk.person()
    code = desk.code(client, person=person)
    desk.server.accounts.disable(desk.server.accounts.by_id(person.account))
    assert desk.redeem(client, code).json()["error"] == "invalid_grant"


# --- client authentication ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic " + b64encode(b"%ff:x").decode(),
        "Basic " + b64encode(b"a\0b:x").decode(),
        "Basic " + b64encode(b"nobody:secret").decode(),
    ],
)
def test_a_basic_header_that_proves_nothing_is_refused_with_a_challenge(desk, authorization):
    """S-T4: 401 and WWW-Authenticate of the same scheme, whatever is wrong."""
    answer = desk.post("token", {"grant_type": "authorization_code", "code": "x"}, {"authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_wrong_secret_no_secret_and_one_in_the_body_are_refused(desk):
    """S-T4: a confidential client proves itself by HTTP Basic and no other way."""
    client = desk.client("symmetric")
    code = desk.code(client)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    for headers, fields in [
        (basic(client.id, "wrong"), {}),
        (basic(client.id, ""), {}),
        ({}, {"client_id": client.id}),
        ({}, {"client_id": client.id, "client_secret": desk.secrets[client.id]}),
    ]:
        answer = desk.post("token", {**form, **fields}, headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), fields
    assert desk.redeem(client, code, client_id=client.id).status_code == 200


def test_a_client_that_is_public_here_does_not_pass_with_a_secret(desk):
    client = desk.client()
    answer = desk.redeem(client, desk.code(client), basic(client.id, "anything"))
    assert answer.json()["error"] == "invalid_client"


def test_two_proofs_at_once_are_too_many(desk):
    client, other = desk.client("symmetric"), desk.client("asymmetric")
    answer = desk.redeem(client, desk.code(client), **desk.asserted(other))
    assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("status", ["pending", "disabled"])
def test_a_client_that_waits_or_was_closed_gets_nothing(desk, status):
    client = desk.client(status=status)
    assert desk.redeem(client, desk.code(client)).json()["error"] == "invalid_client"


def test_a_client_uses_only_the_grants_it_is_registered_for(desk):
    client = desk.client(grants=("client_credentials",))
    assert desk.redeem(client, desk.code(client)).json()["error"] == "unauthorized_client"


# --- the form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"grant_type": "authorization_code"}', 400),
        ("application/x-www-form-urlencoded", b"grant_type=refresh_token&grant_type=refresh_token", 400),
        ("application/x-www-form-urlencoded", b"grant_type=%ff", 400),
        ("application/x-www-form-urlencoded", b"grant_type=a%00", 400),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(60)), 400),
        ("application/x-www-form-urlencoded", b"grant_type=" + b"x" * 70_000, 413),
        ("application/x-www-form-urlencoded; charset=utf-8", b"grant_type=x", 400),
    ],
)
def test_a_form_that_is_none_is_refused(desk, content_type, body, status):
    """RFC 6749, 3.2: each parameter once, in a form."""
    answer = desk.http.post("/auth/token", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


def test_pages_of_registered_apps_may_read_the_answer_and_others_may_not(desk):
    """S-D11 (@17): CORS for registered origins at the token endpoint, preflight with Authorization included."""
    client = desk.client()
    code = desk.code(client)
    answer = desk.redeem(client, code, {"origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["vary"] == "Origin"
    other = desk.redeem(client, code, {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = desk.http.options("/auth/token", headers={"origin": "https://app.example", **asked})
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert (
        "access-control-allow-origin"
        not in desk.http.options("/auth/token", headers={"origin": "https://evil.example", **asked}).headers
    )


# --- systems --------------------------------------------------------------------------------------------------------------


def test_a_system_gets_what_it_was_authorized_for_beforehand(desk):
    """S-B1, S-B2 (@240, @250, @254-@262): expires_in at most 300, no refresh token, the scope that was granted."""
    client = desk.system("system/Observation.rs system/Patient.read __introspect")
    answer = desk.system_token(client, "system/Observation.cruds system/Patient.read system/Condition.rs __introspect")
    assert answer.status_code == 200
    reply = answer.json()
    assert set(reply) == {"access_token", "token_type", "expires_in", "scope"}
    assert reply["expires_in"] == 300
    assert reply["token_type"] == "Bearer"
    assert set(reply["scope"].split()) == {"__introspect", "system/Observation.rs", "system/Patient.read"}
    token = desk.good(reply["access_token"])
    assert (token.account, token.fhir_user, token.roles, token.patient) == (None, None, (), None)
    assert token.expires - token.issued == 300


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "system/Condition.rs",
        "patient/Observation.rs",
        "user/*.cruds",
        "openid offline_access",
        "nonsense",
        "__launch",
    ],
)
def test_a_system_that_asks_for_nothing_it_may_have_gets_nothing(desk, scope):
    """S-B1, S-B3 (@243, @244, @250): invalid_scope."""
    client = desk.system("system/Observation.rs patient/Observation.rs user/*.cruds openid offline_access __introspect")
    answer = desk.system_token(client, scope)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"


def test_a_client_with_a_secret_cannot_act_as_a_system(desk):
    """S-B2 (@344): backend services need asymmetric authentication."""
    for kind in ("symmetric", "public"):
        client = desk.client(kind, "system/*.rs", grants=("client_credentials",))
        fields, proof = desk.proof(client)
        answer = desk.post("token", {"grant_type": "client_credentials", "scope": "system/*.rs", **fields}, proof)
        assert answer.json()["error"] == "unauthorized_client"


def test_granular_scopes_narrow_what_a_system_asks_for(desk):
    """S-S8, S-B1: what is both asked for and allowed, with the criteria of both."""
    client = desk.system("system/Observation.rs?category=http://c|laboratory system/Patient.rs")
    reply = desk.system_token(client, "system/*.rs").json()
    assert set(reply["scope"].split()) == {"system/Observation.rs?category=http://c|laboratory", "system/Patient.rs"}


# --- what is on record ----------------------------------------------------------------------------------------------------


def test_tokens_and_refusals_are_on_record_without_secrets(desk):
    client = desk.client("symmetric")
    code = desk.code(client)
    desk.diary.events.clear()
    reply = desk.redeem(client, code).json()
    desk.redeem(client, code)
    desk.post("token", {"grant_type": "authorization_code", "code": "x"}, basic(client.id, "guess"))
    assert desk.diary.kinds() == ["token success", "token failure", "token failure"]
    assert {event.client for event in desk.diary.events} == {client.id}
    assert {event.network for event in desk.diary.events} == {"testclient"}
    text = repr(desk.diary.events)
    assert not [secret for secret in (code, reply["access_token"], desk.secrets[client.id], "guess") if secret in text]


def test_no_secret_is_kept_in_plain(desk):
    client = desk.client("symmetric")
    code = desk.code(client, "patient/*.rs offline_access")
    reply = desk.redeem(client, code).json()
    for table in ("authorization_code", "refresh_token", "oauth_client", "oauth_grant"):
        rows = repr(desk.database.all(f"SELECT t.* FROM {table} t"))
        for secret in (code, reply["refresh_token"], reply["access_token"], desk.secrets[client.id]):
            assert secret not in rows


def test_a_key_of_another_algorithm_never_signs_for_us(desk):
    """A token signed by a client's own key, however it is named, is not ours."""
    reply = desk.granted(desk.client())
    claims = claims_of(reply["access_token"])
    kid = desk.server.keys.signing("ES256")[0]
    forged = jwt.encode({"alg": "ES384", "kid": kid, "typ": "at+jwt"}, claims, EC, algorithms=["ES384"])
    assert desk.good(forged) is None
    assert desk.good(reply["id_token"]) is None
