"""Sign-in with an OpenID provider: a provider of the test's own, over HTTP, honest or not."""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from smart_auth.external import Provider
from tests.smart_auth.hall import hall
from tests.smart_auth.persons import anna
from tests.smart_auth.test_pages import CSRF, TICKET, Browser

KEY = RSAKey.generate_key(2048, parameters={"kid": "k1"})
OTHER_KEY = RSAKey.generate_key(2048, parameters={"kid": "k2"})


class OtherHospital:
    """An OpenID provider; `person` is who signs in there, `lie` changes what it says."""

    def __init__(self):
        self.person = {"sub": "u1", "email": "anna@other.example", "email_verified": True, "given_name": "Anna"}
        self.lie = {}
        self.keys = [KEY]
        self.signing = KEY
        self.codes = {}
        self.asked = []
        provider = self

        class Wire(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(provider.document(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self.answer(provider.token(parse_qs(body), self.headers.get("authorization", "")))

            def answer(self, found):
                content = json.dumps(found or {"error": "invalid_grant"}).encode()
                self.send_response(200 if found else 400)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def document(self, path):
        if path.endswith("/.well-known/openid-configuration"):
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                **self.lie.get("metadata", {}),
            }
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def sign_in(self, url):
        """What the person's browser is sent back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def token(self, form, authorization):
        self.asked.append((form, authorization))
        asked = self.codes.pop(form["code"][0], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest())
        if asked is None or challenge.decode().rstrip("=") != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "mediconnect", "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        claims |= self.person | self.lie.get("claims", {})
        header = {"alg": "RS256", "kid": self.signing.kid}
        return {"access_token": "x", "token_type": "Bearer", "id_token": jwt.encode(header, claims, self.signing)}


pytestmark = pytest.mark.usefixtures("cheap")


@contextlib.contextmanager
def other_hospital():
    """A provider that listens."""
    provider = OtherHospital()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def provider():
    with other_hospital() as running:
        yield running


@pytest.fixture
def here(database_url, tmp_path, provider):
    with hall(database_url, tmp_path, Provider(provider.issuer, "mediconnect", "s3cret", "Other Hospital")) as running:
        yield running


@pytest.fixture
def browser(here):
    with Browser(here.origin) as browser:
        yield browser


def there_and_back(browser, provider, page="/auth/login", **fields):
    onward = browser.send_form(page, "/auth/external", **fields)
    url = re.search(r'<a class="button" href="([^"]+)"', onward.text)[1].replace("&amp;", "&")
    return browser.get("/auth/external/callback", params=provider.sign_in(url))


def test_one_who_is_bound_comes_in(here, browser, provider):
    account = anna(here.site.accounts)
    browser.sign_in()
    answer = there_and_back(browser, provider, "/auth/account", to="/auth/account")
    assert answer.headers["location"] == "/auth/account?done=connected"
    assert here.site.external.is_bound(account)
    with Browser(here.origin) as other:
        assert there_and_back(other, provider).headers["location"] == "/auth/account"
        assert "Vera Beispiel" in other.get("/auth/account").text


def test_the_way_there_carries_state_nonce_and_pkce_and_the_way_back_the_client_s_secret(browser, provider):
    there_and_back(browser, provider)
    form, authorization = provider.asked[0]
    assert form["grant_type"] == ["authorization_code"]
    assert len(form["code_verifier"][0]) >= 43
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"mediconnect:s3cret"
    onward = browser.send_form("/auth/login", "/auth/external")
    query = parse_qs(urlsplit(re.search(r'class="button" href="([^"]+)"', onward.text)[1].replace("&amp;", "&")).query)
    assert query["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge", "client_id", "redirect_uri"} <= query.keys()


def test_one_who_is_new_makes_an_account_under_the_verified_address(here, browser, provider):
    asked = there_and_back(browser, provider)
    assert "anna@other.example" in asked.text
    form = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
    form |= {"given": "Anna", "family": "Other", "birth_date": "1980-01-02"}
    assert browser.post("/auth/external/new", data={**form, "birth_date": ""}).status_code == 422
    assert browser.post("/auth/external/new", data=form).headers["location"] == "/auth/account"
    account = here.site.accounts.by_email("anna@other.example")
    assert (account.name, account.fhir_user, account.has_password) == ("Anna Other", "Patient/new-4", False)


def test_an_address_the_provider_has_not_verified_makes_no_account(browser, provider):
    provider.person["email_verified"] = False
    asked = there_and_back(browser, provider)
    assert "anna@other.example" not in asked.text
    form = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
    form |= {"given": "Anna", "family": "Other", "birth_date": "1980-01-02"}
    assert browser.post("/auth/external/new", data=form).status_code == 410


def test_an_equal_address_opens_no_account_until_its_owner_has_signed_in_to_it(here, browser, provider):
    account = anna(here.site.accounts, "anna@other.example")
    asked = there_and_back(browser, provider)
    assert asked.status_code == 200
    assert browser.get("/auth/account").status_code == 401
    connect = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
    form = browser.post("/auth/external/connect", data=connect)
    adopt = re.search(r'name="adopt" value="([\w-]+)"', form.text)[1]
    assert browser.sign_in("anna@other.example", adopt=adopt).status_code == 303
    assert here.site.external.is_bound(account)


def test_a_way_begun_in_one_browser_does_not_end_in_another(here, browser, provider):
    """Else a link could sign somebody in to the account of whoever sent it."""
    onward = browser.send_form("/auth/login", "/auth/external")
    back = provider.sign_in(re.search(r'class="button" href="([^"]+)"', onward.text)[1].replace("&amp;", "&"))
    with Browser(here.origin) as other:
        assert other.get("/auth/external/callback", params=back).status_code == 502


def test_a_way_back_is_gone_once(here, browser, provider):
    onward = browser.send_form("/auth/login", "/auth/external")
    back = provider.sign_in(re.search(r'class="button" href="([^"]+)"', onward.text)[1].replace("&amp;", "&"))
    assert browser.get("/auth/external/callback", params=back).status_code == 200
    assert browser.get("/auth/external/callback", params=back).status_code == 502


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "somebody-else"},
        {"aud": ["mediconnect", "somebody-else"]},
        {"exp": 1_000_000_000},
        {"nonce": "another"},
        {"sub": ""},
        {"sub": "x" * 300},
        {"sub": None},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_an_id_token_that_is_not_for_this_is_refused(here, browser, provider, claims):
    provider.lie = {"claims": claims}
    assert there_and_back(browser, provider).status_code == 502
    assert "login failure" in here.diary.kinds()


def test_an_id_token_signed_by_somebody_else_is_refused(browser, provider):
    provider.signing = OTHER_KEY
    assert there_and_back(browser, provider).status_code == 502


def test_a_new_key_of_the_provider_is_fetched_when_it_is_met(here, browser, provider):
    assert there_and_back(browser, provider).status_code == 200
    provider.keys, provider.signing = [KEY, OTHER_KEY], OTHER_KEY
    assert there_and_back(browser, provider).status_code == 200


@pytest.mark.parametrize("metadata", [{"issuer": "https://evil.example"}, {"jwks_uri": None}, {"jwks_uri": "ftp://x"}])
def test_metadata_that_cannot_be_believed_end_the_way(browser, provider, metadata):
    provider.lie = {"metadata": metadata}
    assert browser.send_form("/auth/login", "/auth/external").status_code == 502


def test_a_provider_that_says_no_is_told_in_plain_words(browser, provider):
    onward = browser.send_form("/auth/login", "/auth/external")
    back = provider.sign_in(re.search(r'class="button" href="([^"]+)"', onward.text)[1].replace("&amp;", "&"))
    query = {"error": "access_denied", "state": back["state"]}
    answer = browser.get("/auth/external/callback", params=query)
    assert answer.status_code == 502
    assert "Other Hospital did not sign you in" in answer.text


def test_the_last_way_in_is_not_taken_away(here, browser, provider):
    asked = there_and_back(browser, provider)
    form = {"csrf": CSRF.search(asked.text)[1], "ticket": TICKET.search(asked.text)[1]}
    browser.post("/auth/external/new", data={**form, "given": "A", "family": "B", "birth_date": "1980-01-02"})
    account = here.site.accounts.by_email("anna@other.example")
    browser.send_form("/auth/account", "/auth/account/external/release")
    assert here.site.external.is_bound(account)
    page = "/auth/account/password"
    browser.send_form(page, page, password="eight blue bicycles")
    browser.send_form("/auth/account", "/auth/account/external/release")
    assert not here.site.external.is_bound(account)


def test_where_no_provider_is_set_up_there_is_no_such_page(database_url, tmp_path):
    with hall(database_url, tmp_path) as here, Browser(here.origin) as browser:
        assert "Sign in with" not in browser.get("/auth/login").text.replace("Sign in with a passkey", "")
        assert browser.send_form("/auth/login", "/auth/external").status_code == 404
