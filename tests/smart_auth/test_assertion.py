"""Client assertions: one test for each thing that can be wrong with one."""

import hmac
import json
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from functools import partial

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from smart_auth.assertion import Assertions, read_assertion
from smart_auth.error import OAuthError
from smart_auth.jwks import KeySets
from smart_auth.store import Database
from tests.smart_auth.bureau import EC, RSA, at_once, public_set

STRANGER = ECKey.generate_key("P-384", {"kid": "ec"})
SMALL = ECKey.generate_key("P-256", {"kid": "small"})


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS384"), (EC, "ES384")])
def test_rs384_and_es384_are_accepted(desk, key, algorithm):
    """S-C1 (@310): both algorithms of SMART."""
    client = desk.system()
    answer = desk.system_token(client, **desk.asserted(client, key, algorithm))
    assert answer.status_code == 200


def test_the_audience_may_be_one_of_several(desk):
    """RFC 7519: aud is a string or an array of them."""
    client = desk.system()
    assert desk.system_token(client, **desk.asserted(client, aud=["https://x.example", desk.token_url])).is_success


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "somebody-else"},
        {"iss": 7},
        {"iss": "\ud800"},
        {"iss": "a\0b"},
        {"sub": None},
        {"sub": "somebody-else"},
        {"aud": None},
        {"aud": "https://hospital.example/auth"},
        {"aud": ["https://evil.example/token"]},
        {"aud": {"https://hospital.example/auth/token": 1}},
        {"exp": None},
        {"exp": int(time.time()) - 1},
        {"exp": int(time.time()) + 900},
        {"exp": str(int(time.time()) + 60)},
        {"exp": True},
        {"exp": 10**400},
        {"exp": float("nan")},
        {"nbf": int(time.time()) + 600},
        {"nbf": "soon"},
        {"iat": int(time.time()) + 600},
        {"jti": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 300},
        {"jti": "\ud800"},
    ],
    ids=lambda value: (
        ",".join(value) if isinstance(value, dict) else str(value)[:60]
    ),  # no key, no time: ids are the same in each process
)
def test_each_claim_is_checked(desk, claims):
    """S-C1, S-C6 (@335, @337, @340): iss = sub = client_id, aud = token URL, exp at most five minutes ahead, jti."""
    client = desk.system()
    claims = {
        "iss": client.id,
        "sub": client.id,
        "aud": desk.token_url,
        "exp": int(time.time()) + 60,
        "jti": "1",
        **claims,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    text = jws.serialize_compact(
        {"alg": "ES384", "kid": "ec", "typ": "JWT"}, json.dumps(kept), EC, algorithms=["ES384"]
    )
    refused(desk.system_token(client, client_assertion=text))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": None},
        {"kid": "rsa"},  # there, but of another type: kid and kty must both fit
        {"kid": "unknown"},
        {"typ": "at+jwt"},
        {"crit": ["b64"], "b64": True},
        {"jku": "https://evil.example/jwks"},
    ],
    ids=lambda value: (
        ",".join(value) if isinstance(value, dict) else str(value)[:60]
    ),  # no key, no time: ids are the same in each process
)
def test_each_header_is_checked(desk, header):
    """S-C3 (@338): exactly one key fits kid and kty; a jku that is not registered is refused."""
    client = desk.system()
    refused(desk.system_token(client, **desk.asserted(client, header=header)))


def test_the_key_of_somebody_else_does_not_prove_anything(desk):
    """S-C1 (@335): the signature is verified."""
    client = desk.system()
    refused(desk.system_token(client, **desk.asserted(client, STRANGER)))


def test_the_assertion_of_another_client_does_not_prove_anything(desk):
    """S-C1 (@337): client_id, where it is sent too, is that of the assertion."""
    client, other = desk.system(), desk.system(jwks=public_set(STRANGER))
    refused(desk.system_token(other, **desk.asserted(other, EC)))
    refused(desk.system_token(client, client_id=other.id))
    assert desk.system_token(client, client_id=client.id).is_success


def unsigned(header: object, claims: object = None) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims or {})]
    return ".".join([*parts, ""])


def test_no_algorithm_but_those_of_smart_is_accepted(desk):
    """S-C1: neither none nor a secret made of the public key, nor a weaker one."""
    client = desk.system(jwks=public_set(EC, SMALL))
    claims = {"iss": client.id, "sub": client.id, "aud": desk.token_url, "exp": int(time.time()) + 60, "jti": "2"}
    named = unsigned({"alg": "HS384", "kid": "ec"}, claims).removesuffix(".")
    mac = hmac.new(EC.as_pem(private=False), named.encode(), "sha384").digest()
    for text in (
        unsigned({"alg": "none", "kid": "ec"}, claims),
        f"{named}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        desk.assertion(client, SMALL, "ES256"),
    ):
        refused(desk.system_token(client, client_assertion=text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no jwt",
        "a.b.c",
        "é.é.é",
        unsigned(["alg", "kid"]),
        unsigned({"alg": ["ES384"], "kid": "ec"}),
        unsigned({"alg": "ES384", "kid": "ec", "jku": 1}),
        unsigned({"alg": "ES384", "kid": "ec"}, [1]),
        "." * 3,
        "x" * 10_000,
        urlsafe_b64encode(b'{"alg":"ES384"}').decode() + "." + urlsafe_b64encode(b"[" * 5000).decode() + ".AA",
    ],
    ids=lambda text: str(len(text)),
)
def test_what_is_no_assertion_is_refused(desk, text):
    """S-C6 (@340): invalid_client, whatever was sent."""
    refused(desk.system_token(desk.system(), client_assertion=text))


def test_the_type_of_the_assertion_must_be_told(desk):
    """S-C6: 401 for a bad client_assertion_type; 400 for a bad grant_type."""
    client = desk.system()
    refused(desk.system_token(client, client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"))
    refused(desk.system_token(client, client_assertion_type=None))
    answer = desk.system_token(client, grant_type="not_a_grant_type")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_an_assertion_is_good_once(desk):
    """S-C2 (@336): its jti is not accepted again from the same client; another client's is another matter."""
    client, other = desk.system(), desk.system()
    fields = desk.asserted(client, jti="the-same")
    assert desk.system_token(client, **fields).is_success
    refused(desk.system_token(client, **fields))
    refused(desk.system_token(client, **desk.asserted(client, jti="the-same", exp=int(time.time()) + 100)))
    assert desk.system_token(other, **desk.asserted(other, jti="the-same")).is_success


def test_an_assertion_that_was_refused_does_not_use_up_its_id(desk):
    client = desk.system()
    refused(desk.system_token(client, **desk.asserted(client, STRANGER, jti="kept")))
    assert desk.system_token(client, **desk.asserted(client, jti="kept")).is_success


def test_of_many_processes_one_accepts_an_assertion(desk, module_database_url):
    """S-C2 (@336): the table is shared, so that a replay at another process is seen, also at the same moment."""
    client = desk.system()
    assertion = read_assertion(desk.assertion(client))
    stores = [Database(module_database_url, 1) for _ in range(4)]

    def check(store):
        store.open()
        try:
            Assertions(store, KeySets(), desk.token_url).check(assertion, client)
        except OAuthError as error:
            return error.code
        finally:
            store.close()
        return "accepted"

    outcomes = at_once(*(partial(check, store) for store in stores))
    assert sorted(outcomes) == ["accepted", *["invalid_client"] * 3]


ELSEWHERE = """
import sys
from smart_auth.assertion import Assertions, read_assertion
from smart_auth.client import Clients
from smart_auth.error import OAuthError
from smart_auth.jwks import KeySets
from smart_auth.store import Database
url, audience, client, text = sys.argv[1:]
database = Database(url, 1)
database.open()
try:
    Assertions(database, KeySets(), audience).check(read_assertion(text), Clients(database).by_id(client))
    print("accepted")
except OAuthError as error:
    print(error.code)
finally:
    database.close()
"""


def elsewhere(url, desk, client, assertion):
    """What another process says of an assertion."""
    command = [sys.executable, "-c", ELSEWHERE, url, desk.token_url, client.id, assertion]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_what_one_process_has_accepted_another_refuses(desk, module_database_url):
    """S-C2 (@336): in both directions."""
    client = desk.system()
    here, there = desk.asserted(client), desk.asserted(client)
    assert desk.system_token(client, **here).is_success
    assert elsewhere(module_database_url, desk, client, here["client_assertion"]) == "invalid_client"
    assert elsewhere(module_database_url, desk, client, there["client_assertion"]) == "accepted"
    refused(desk.system_token(client, **there))


def test_the_clock_decides(desk, module_database_url):
    """S-C1: exp to the second, five minutes and a little for clocks that differ."""
    client, now = desk.system(), time.time()
    for ahead, code in [(1, None), (300, None), (309, None), (320, "invalid_client"), (0, "invalid_client")]:
        assertion = read_assertion(desk.assertion(client, exp=int(now) + ahead))
        judge = Assertions(desk.database, KeySets(), desk.token_url, lambda: float(int(now)))
        try:
            judge.check(assertion, client)
            found = None
        except OAuthError as error:
            found = error.code
        assert found == code, ahead


def test_an_unusual_header_is_ignored(desk):
    """RFC 7515: what is not understood and not critical does not matter."""
    client = desk.system(jwks=public_set(RSAKey.generate_key(2048, {"kid": "other"}), EC))
    text = jws.serialize_compact(
        {"alg": "ES384", "kid": "ec", "x-note": "n" * 600},
        json.dumps(
            {"iss": client.id, "sub": client.id, "aud": desk.token_url, "exp": int(time.time()) + 60, "jti": "3"}
        ),
        EC,
        registry=jws.JWSRegistry(algorithms=["ES384"], strict_check_header=False),
    )
    assert desk.system_token(client, client_assertion=text).is_success


def refused(answer) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == "invalid_client"
    assert answer.json()["error_description"]
