"""Signing keys: made once, sealed, rotated while what older ones signed stays good."""

import time
from base64 import urlsafe_b64encode
from functools import partial

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from smart_auth.access_token import LONGEST, AccessToken, InvalidToken, Verifier, signed
from smart_auth.cipher import FILE, Cipher, Unsealable, digest, new_secret, same, secret_key
from smart_auth.keys import MAKES, OVERLAP, SigningKeys
from smart_auth.scope import parse_scopes
from tests.smart_auth.bureau import at_once
from tests.smart_auth.persons import KEY

ISSUER, BASE = "https://hospital.example/auth", "https://hospital.example/fhir"


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def claims(**changes):
    now = int(time.time())
    values = {"issuer": ISSUER, "audience": BASE, "tenant": 1, "expires": now + 900, **changes}
    return AccessToken(
        id="t", grant="g", client="app", account="a", fhir_user="Patient/1", roles=("patient",),
        scopes=parse_scopes("patient/*.rs", ["Patient"]), patient="1", encounter=None, issued=now, **values,
    )  # fmt: skip


def verifier(keys):
    return Verifier(keys, ISSUER, BASE, 1, ["Patient"])


def sign(keys, **changes):
    kid, key = keys.signing("ES256")
    return signed(claims(**changes), key, kid)


def test_one_key_is_made_whoever_asks_first(database):
    """Two processes that start at once sign with the same key."""
    stores = [SigningKeys(database, Cipher(KEY)) for _ in range(3)]
    assert len({kid for kid, _ in at_once(*(partial(keys.signing, "ES256") for keys in stores))}) == 1


def test_the_published_keys_are_bare_and_public(database):
    """S-O2 (@207, @210): bare JWKs with a kid, nothing private."""
    keys = {key["alg"]: key for key in SigningKeys(database, Cipher(KEY)).jwks()["keys"]}
    assert set(keys.pop("RS256")) == {"kty", "n", "e", "kid", "use", "alg"}
    key = keys.pop("ES256")
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["kty"], key["crv"], key["use"]) == ("EC", "P-256", "sig")
    assert not keys


def test_access_tokens_and_id_tokens_have_a_key_each(database):
    """Only who asks for one gets it made; what one algorithm signs is not verified by another."""
    keys = SigningKeys(database, Cipher(KEY))
    kid, key = keys.signing("RS256")
    assert [row["algorithm"] for row in database.all("SELECT algorithm FROM signing_key")] == ["RS256"]
    assert verifier(keys).verify(signed(claims(), key, kid), time.time()).id == "t"  # as older builds signed
    other, _ = keys.signing("ES256")
    assert other != kid
    forged = jws.serialize_compact({"alg": "RS256", "kid": other, "typ": "at+jwt"}, "{}", key, algorithms=["RS256"])
    with pytest.raises(InvalidToken, match="signature is wrong"):
        verifier(keys).verify(forged, time.time())


def test_a_rotated_key_leaves_what_the_older_one_signed_good(database):
    """S-O2: key roll-over; both are published for a day, and the new one signs."""
    clock = Clock()
    keys, elsewhere = (SigningKeys(database, Cipher(KEY), clock) for _ in range(2))
    before, old = sign(keys), [keys.signing(algorithm)[0] for algorithm in MAKES]
    assert verifier(elsewhere).verify(before, clock.now).id == "t"
    new = keys.rotate()
    after = sign(keys)
    assert not set(new) & set(old)
    assert {key["kid"] for key in keys.jwks()["keys"]} == {*old, *new}
    clock.now += 2  # another process looks for a key it does not know once a second
    for token in (before, after):
        assert verifier(elsewhere).verify(token, clock.now).client == "app"
    clock.now += OVERLAP + 1
    assert {key["kid"] for key in keys.jwks()["keys"]} == {*new}
    fresh = SigningKeys(database, Cipher(KEY), clock)
    with pytest.raises(InvalidToken, match="not issued by this server"):
        verifier(fresh).verify(before, clock.now)


def test_another_process_signs_with_the_new_key_soon(database):
    clock = Clock()
    keys, elsewhere = (SigningKeys(database, Cipher(KEY), clock) for _ in range(2))
    assert elsewhere.signing("ES256") == keys.signing("ES256")
    new = keys.rotate()
    clock.now += 31
    assert [elsewhere.signing(algorithm)[0] for algorithm in MAKES] == new


def test_a_key_that_is_not_known_is_not_looked_for_again_and_again(database, monkeypatch):
    """Tokens with made-up kids cost a database query a second at most."""
    clock = Clock()
    keys = SigningKeys(database, Cipher(KEY), clock)
    keys.signing("ES256")
    reads = []
    monkeypatch.setattr(database, "all", lambda *_: reads.append(1) or [])
    for _ in range(50):
        clock.now += 0.1
        assert keys.public("made-up") is None
    assert len(reads) <= 5


def test_a_private_key_is_readable_only_under_the_installation_s_own(database):
    keys = SigningKeys(database, Cipher(KEY))
    keys.signing("ES256")
    row = database.one("SELECT sealed FROM signing_key")
    assert b'"d"' not in bytes(row["sealed"])
    with pytest.raises(Unsealable, match="MEDICONNECT_SECRET_KEY"):
        SigningKeys(database, Cipher(bytes(32))).signing("ES256")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://evil.example/auth"}, "another issuer"),
        ({"audience": "https://hospital.example/fhir2"}, "another server"),
        ({"tenant": 2}, "another server"),
        ({"expires": int(time.time()) - 1}, "expired"),
    ],
)
def test_a_token_for_somebody_else_or_another_time_is_refused(database, changes, reason):
    """S-A3, S-S1, S-T3 (@77, @94, @96)."""
    keys = SigningKeys(database, Cipher(KEY))
    with pytest.raises(InvalidToken, match=reason):
        verifier(keys).verify(sign(keys, **changes), time.time())


def test_the_claims_come_back_as_they_were_signed(database):
    keys = SigningKeys(database, Cipher(KEY))
    made = claims()
    kid, key = keys.signing("ES256")
    assert verifier(keys).verify(signed(made, key, kid), time.time()) == made


def test_what_we_did_not_sign_is_refused_whatever_it_is(database):
    """S-S1 (@94)."""
    keys = SigningKeys(database, Cipher(KEY))
    kid, key = keys.signing("ES256")
    good = sign(keys)
    head, payload, signature = good.split(".")
    stranger = RSAKey.generate_key(2048)
    typed = jws.serialize_compact({"alg": "ES256", "kid": kid, "typ": "JWT"}, "{}", key, algorithms=["ES256"])
    listed = urlsafe_b64encode(b'["alg", "kid"]').decode().rstrip("=")
    for token in (
        "", "x", "a.b.c", "é", "\ud800", f"{head}.{payload}.", f"{head}.{payload[:-4]}AAAA.{signature}",
        f"{listed}.{payload}.{signature}", signed(claims(), stranger, kid), typed, "x" * (LONGEST + 1), good + "A" * 100,
    ):  # fmt: skip
        with pytest.raises(InvalidToken):
            verifier(keys).verify(token, time.time())


# --- the cipher -----------------------------------------------------------------------------------------------------------


def test_what_is_sealed_opens_for_its_purpose_alone():
    cipher = Cipher(KEY)
    sealed = cipher.seal(b"secret", "row 1")
    assert cipher.open(sealed, "row 1") == b"secret"
    assert sealed != cipher.seal(b"secret", "row 1")
    for wrong, purpose in ((sealed, "row 2"), (sealed[:-1] + b"x", "row 1"), (b"", "row 1"), (sealed[:5], "row 1")):
        with pytest.raises(Unsealable):
            cipher.open(wrong, purpose)


def test_the_installation_s_key_is_made_once_and_kept_for_its_owner(tmp_path):
    key = secret_key("", tmp_path / "data")
    assert len(key) == 32
    assert secret_key("", tmp_path / "data") == key
    assert (tmp_path / "data" / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [FILE]


def test_the_installation_s_key_may_be_set(tmp_path):
    setting = urlsafe_b64encode(KEY).decode().rstrip("=")
    assert secret_key(setting, tmp_path / "none") == KEY
    assert not (tmp_path / "none").exists()
    with pytest.raises(ValueError, match="32 bytes"):
        secret_key("c2hvcnQ", tmp_path)


def test_random_secrets_have_256_bits_and_are_kept_as_hashes():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) == 43 for secret in secrets)
    assert len(digest("x")) == 32
    assert same(digest("x"), digest("x"))
    assert not same(digest("x"), digest("y"))
