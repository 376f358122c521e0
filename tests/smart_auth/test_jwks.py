"""Key sets of clients: inline and by address, cached as their owner allows, fetched without being led astray."""

import http.server
import json
import socket
import threading
from dataclasses import replace
from ipaddress import ip_address

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from smart_auth.client import Client
from smart_auth.jwks import KeySets, UnusableKeys, check_inline, key_set, lifetime
from smart_auth.retrieval import Document, Unretrievable, is_public, retrieve
from tests.smart_auth.bureau import EC, RSA, public_set

URL = "https://app.example/jwks"
REMOTE = Client("remote", "Remote", "asymmetric", "system/*.rs", jwks_url=URL)
INLINE = Client("inline", "Inline", "asymmetric", "system/*.rs", jwks=public_set(RSA, EC))


class Owner:
    """What stands at an address, how often it was asked for, and the time."""

    def __init__(self, keys: object, cache_control: str | None = None) -> None:
        self.document, self.cache_control = keys, cache_control
        self.fetched, self.now = 0, 1000.0

    def __call__(self, url: str, *, loopback: bool) -> Document:
        assert (url, loopback) == (URL, False)
        self.fetched += 1
        if isinstance(self.document, Exception):
            raise self.document
        headers = {"cache-control": self.cache_control} if self.cache_control else {}
        return Document(headers, json.dumps(self.document).encode())

    def sets(self) -> KeySets:
        return KeySets(clock=lambda: self.now, fetch=self)


def test_a_key_is_found_inline_and_by_address():
    """S-C4 (@296, @297), S-C3 (@326): without jku the registered URL or set is used."""
    owner = Owner(public_set(RSA, EC))
    for sets, client in ((KeySets(), INLINE), (owner.sets(), REMOTE)):
        assert sets.key(client, "ES384", "ec", None).as_dict()["x"] == EC.as_dict()["x"]
        assert sets.key(client, "RS384", "rsa", None).as_dict()["n"] == RSA.as_dict()["n"]
    assert owner.sets().key(REMOTE, "ES384", "ec", URL)


@pytest.mark.parametrize("client", [REMOTE, INLINE], ids=["by address", "inline"])
def test_a_jku_that_is_not_registered_is_never_fetched(client):
    """S-C3 (@338)."""
    owner = Owner(public_set(EC))
    with pytest.raises(UnusableKeys, match="jku"):
        owner.sets().key(client, "ES384", "ec", "https://evil.example/jwks")
    assert owner.fetched == 0


@pytest.mark.parametrize(
    ("keys", "algorithm", "kid"),
    [
        ([EC], "ES384", "other"),
        ([EC], "RS384", "ec"),
        ([RSA], "ES384", "rsa"),
        ([EC, EC], "ES384", "ec"),
        ([], "ES384", "ec"),
        ([ECKey.generate_key("P-256", {"kid": "ec"})], "ES384", "ec"),
        ([RSAKey.generate_key(2048, {"kid": "rsa", "use": "enc"})], "RS384", "rsa"),
        ([RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256"})], "RS384", "rsa"),
    ],
)
def test_exactly_one_key_must_fit(keys, algorithm, kid):
    """S-C3 (@338): kid and kty; several or none fail."""
    with pytest.raises(UnusableKeys):
        KeySets().key(replace(INLINE, jwks=public_set(*keys)), algorithm, kid, None)


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, 60),
        ("no-store", 0),
        ("private, no-cache", 0),
        ("max-age=120", 120),
        ('public, MAX-AGE = "5"', 5),
        ("max-age=0", 0),
        ("max-age=99999999", 3600),
        ("max-age=-1", 60),
        ("public", 60),
        ("max-age=100, max-age=10", 10),
    ],
)
def test_the_owner_says_how_long_a_set_may_be_kept(cache_control, seconds):
    """S-C5 (@341, @342)."""
    assert lifetime(cache_control) == seconds


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("max-age=120", "100", 20),
        ("max-age=120", "500", 0),
        ("max-age=120", "old", 120),
        ("max-age=9000", "8000", 1000),
        (None, "9", 60),
    ],
)
def test_what_has_lain_in_another_cache_is_kept_for_what_is_left(cache_control, age, seconds):
    """S-C5 (@341): https://www.rfc-editor.org/rfc/rfc9111#section-4.2."""
    assert lifetime(cache_control, age) == seconds


def test_a_set_is_kept_as_long_as_it_may_be_and_no_longer():
    """S-C5 (@341, @342): not longer than Cache-Control says; not fetched anew every time."""
    owner = Owner(public_set(EC), "max-age=120")
    sets = owner.sets()
    for _ in range(3):
        sets.key(REMOTE, "ES384", "ec", None)
    owner.now += 119
    sets.key(REMOTE, "ES384", "ec", None)
    assert owner.fetched == 1
    owner.now += 2
    sets.key(REMOTE, "ES384", "ec", None)
    assert owner.fetched == 2
    unkept = Owner(public_set(EC), "no-store")
    uncached = unkept.sets()
    for _ in range(3):
        uncached.key(REMOTE, "ES384", "ec", None)
    assert unkept.fetched == 3


def test_a_rotated_key_is_looked_for_once_and_not_for_each_request():
    owner = Owner(public_set(EC), "max-age=3600")
    sets = owner.sets()
    sets.key(REMOTE, "ES384", "ec", None)
    new = ECKey.generate_key("P-384", {"kid": "new"})
    owner.document = public_set(new)
    with pytest.raises(UnusableKeys):
        sets.key(REMOTE, "ES384", "new", None)
    assert owner.fetched == 1
    owner.now += 11
    assert sets.key(REMOTE, "ES384", "new", None)
    assert owner.fetched == 2
    for _ in range(5):
        with pytest.raises(UnusableKeys):
            sets.key(REMOTE, "ES384", "guess", None)
    assert owner.fetched == 2


@pytest.mark.parametrize(
    "document", [Unretrievable("nothing there"), "text", [], {"keys": "x"}, {"keys": [1]}, {"keys": [{}] * 30}, {}]
)
def test_an_address_without_a_set_is_not_asked_again_at_once(document):
    owner = Owner(document)
    sets = owner.sets()
    for _ in range(3):
        with pytest.raises(UnusableKeys):
            sets.key(REMOTE, "ES384", "ec", None)
    assert owner.fetched == 1
    owner.document, owner.now = public_set(EC), owner.now + 11
    assert sets.key(REMOTE, "ES384", "ec", None)


def test_a_set_that_tells_a_secret_is_refused():
    """S-C4 (@305): a private key must stay with its owner, a symmetric one proves nothing."""
    for key in (EC.as_dict(private=True), OctKey.generate_key(256).as_dict(private=True)):
        with pytest.raises(UnusableKeys, match="private"):
            key_set({"keys": [key]})


@pytest.mark.parametrize(
    "document",
    [
        {"keys": []},
        public_set(EC, EC),
        {"keys": [{**EC.as_dict(private=False), "kid": None}]},
        {"keys": [{name: value for name, value in EC.as_dict(private=False).items() if name != "kid"}]},
        public_set(ECKey.generate_key("P-256", {"kid": "small"})),
        {"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "broken"}]},
        {"keys": [{"kty": "RSA", "n": 5, "e": "AQAB", "kid": "broken"}]},
    ],
)
def test_a_set_without_a_usable_key_is_not_registered(document):
    with pytest.raises(UnusableKeys):
        check_inline(document)


# --- fetching -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_that_everybody_reaches_are_reached(address, public):
    """S-C3: no way into the network the server stands in."""
    assert is_public(ip_address(address)) is public


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "https://127.0.0.1:1/",
        "https://localhost:1/",
        "https://[::1]:1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "http://93.184.216.34/",
        "ftp://app.example/",
        "file:///etc/passwd",
        "https://user@app.example/",
        "https://app.example:0/",
        "https://app.example:x/",
        "https:///jwks",
        "",
    ],
)
def test_what_must_not_be_fetched_is_not(url):
    """S-C3: https only, and never this machine or its neighbours."""
    with pytest.raises(Unretrievable):
        retrieve(url)


class Pages(http.server.BaseHTTPRequestHandler):
    """A server of the tests' own on this machine."""

    def do_GET(self) -> None:
        body = {"/jwks": b'{"keys": []}', "/long": b"x" * 70_000}.get(self.path, b"")
        self.send_response({"/away": 302, "/none": 404}.get(self.path, 200))
        self.send_header("Location", "/jwks")
        self.send_header("Cache-Control", "max-age=7")
        self.send_header("Cache-Control", "private")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def place():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_where_development_is_allowed_for_this_machine_is_reached_by_plain_http(place):
    """@339: by GET, which is all that the page answers."""
    document = retrieve(f"{place}/jwks", loopback=True)
    assert document.body == b'{"keys": []}'
    assert document.headers["cache-control"] == "max-age=7, private"
    with pytest.raises(Unretrievable):
        retrieve(f"{place}/jwks")


@pytest.mark.parametrize(("path", "reason"), [("/away", "302"), ("/none", "404"), ("/long", "longer")])
def test_redirects_refusals_and_long_documents_are_not_followed(place, path, reason):
    with pytest.raises(Unretrievable, match=reason):
        retrieve(place + path, loopback=True)


def test_a_name_that_stands_for_a_public_and_an_own_address_is_refused(monkeypatch):
    """S-C3: all that a name stands for is judged, so that it cannot change between look and leap."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.216.34", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Unretrievable, match="public internet"):
        retrieve("https://app.example/jwks", loopback=True)
    with pytest.raises(Unretrievable, match="public internet"):
        retrieve("https://app.example/jwks")


def test_a_server_that_dribbles_is_left_in_time(monkeypatch):
    monkeypatch.setattr("smart_auth.retrieval.SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def dribble():
            connection, _ = listening.accept()
            with connection:
                for _ in range(100):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    threading.Event().wait(0.05)

        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        with pytest.raises(Unretrievable):
            retrieve(f"http://127.0.0.1:{listening.getsockname()[1]}/", loopback=True)
        thread.join(timeout=10)
