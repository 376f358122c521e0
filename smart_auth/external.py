"""Sign-in with an OpenID provider of the organization: there and back with state, nonce and PKCE, and whom it vouches for.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from smart_auth.account import Account
from smart_auth.browser import Browser
from smart_auth.cipher import new_secret, same
from smart_auth.mail import email_address
from smart_auth.store import Database
from smart_auth.ticket import Tickets

SECONDS = 8.0
BYTES = 256 * 1024
LIFETIME = 600
FRESH = 3600.0  # how long what the provider says about itself is kept
LEEWAY = 60
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]

FIND = """
SELECT account FROM account_identity WHERE tenant = %(tenant)s AND issuer = %(issuer)s AND subject = %(subject)s
"""
ADOPT = """
INSERT INTO account_identity (tenant, issuer, subject, account)
VALUES (%(tenant)s, %(issuer)s, %(subject)s, %(account)s) ON CONFLICT (tenant, issuer, subject) DO NOTHING
"""
OF = "SELECT 1 AS found FROM account_identity WHERE tenant = %(tenant)s AND issuer = %(issuer)s AND account = %(account)s"
REMOVE = "DELETE FROM account_identity WHERE tenant = %(tenant)s AND issuer = %(issuer)s AND account = %(account)s"


class ProviderFailed(Exception):
    """The provider said no, cannot be reached or says something that cannot be believed; the message is for the log."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider as it is configured; `name` stands on the button, `secret` is empty for a public client."""

    issuer: str
    client: str
    secret: str = field(repr=False)
    name: str
    scope: str = "openid profile email"


@dataclass(frozen=True, slots=True)
class Voucher:
    """Whom the provider vouches for. `email` is None unless the provider says that it has verified it."""

    issuer: str
    subject: str
    email: str | None
    family: str
    given: str

    def content(self) -> dict[str, str | None]:
        return {
            "issuer": self.issuer,
            "subject": self.subject,
            "email": self.email,
            "family": self.family,
            "given": self.given,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """As much of an HTTP answer as Authlib's client asks for."""

    status_code: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise ProviderFailed(f"answered with status {self.status_code}")


@dataclass(frozen=True, slots=True)
class Wire:
    """The HTTP session of Authlib's client: bounded in time and size, follows no redirect."""

    def get(self, url: str) -> Answer:
        return _exchange("GET", url, {}, "")

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> Answer:
        """A form; `auth` is Authlib's, which adds the client's credentials. Raises ProviderFailed."""
        url, signed, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return _exchange("POST", url, signed, body)


class ExternalSignIn:
    """The way to one provider and back, and which accounts belong to those it vouches for."""

    def __init__(
        self,
        database: Database,
        tickets: Tickets,
        provider: Provider,
        callback: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self._database = database
        self._tickets = tickets
        self._callback = callback
        self._clock = clock
        self._facts: tuple[float, dict[str, Any], KeySet] | None = None

    def begin(self, browser: Browser, carried: dict[str, str]) -> str:
        """Where to send the browser; `carried` comes back from `finish`. Raises ProviderFailed."""
        facts, _ = self._known()
        nonce, verifier = new_secret(), new_secret()
        content = {"nonce": nonce, "verifier": verifier, "browser": browser.hash.hex(), "carried": carried}
        state = self._tickets.issue("provider", None, content, LIFETIME)
        url, _ = self._client().create_authorization_url(
            _text(facts, "authorization_endpoint"), state=state, code_verifier=verifier, nonce=nonce
        )
        return str(url)

    def finish(self, browser: Browser, query: Mapping[str, str]) -> tuple[Voucher, dict[str, str]]:
        """Whom the provider vouches for, and what was carried; `query` is what it sent the browser back with.

        Raises ProviderFailed, also where another browser set out.
        """
        ticket = self._tickets.take("provider", query.get("state", ""))
        if ticket is None or not same(bytes.fromhex(ticket.content["browser"]), browser.hash):
            raise ProviderFailed("the state is unknown, used, expired or of another browser")
        if "error" in query or "code" not in query:
            raise ProviderFailed(f"the provider refused: {_word(query.get('error', 'no code'))}")
        if query.get("iss", self.provider.issuer) != self.provider.issuer:
            raise ProviderFailed("the answer is of another issuer")
        facts, _ = self._known()
        try:
            token = self._client().fetch_token(
                _text(facts, "token_endpoint"),
                grant_type="authorization_code",
                code=query["code"],
                code_verifier=ticket.content["verifier"],
            )
        except (AuthlibBaseError, ValueError) as error:
            raise ProviderFailed(f"no token: {type(error).__name__}") from error
        claims = self._claims(str(token.get("id_token", "")), ticket.content["nonce"])
        return self._voucher(claims), ticket.content["carried"]

    def account_of(self, voucher: Voucher) -> str | None:
        """The id of the account bound to the person, or None."""
        row = self._database.one(FIND, {"issuer": voucher.issuer, "subject": voucher.subject})
        return str(row["account"]) if row else None

    def adopt(self, account: Account, voucher: Voucher) -> bool:
        """Binds the person at the provider to an account that is signed in; False where they are bound to one already."""
        values = {"issuer": voucher.issuer, "subject": voucher.subject, "account": account.id}
        return self._database.run(ADOPT, values) > 0

    def hold(self, voucher: Voucher) -> str:
        """Keeps whom the provider vouches for while the person says which account is theirs; a secret for the form."""
        return self._tickets.issue("adopt", None, voucher.content(), LIFETIME)

    def held(self, secret: str, *, take: bool) -> Voucher | None:
        """Whom the provider has vouched for, once (`take`) or to look at."""
        ticket = self._tickets.take("adopt", secret) if take else self._tickets.peek("adopt", secret)
        return Voucher(**ticket.content) if ticket else None

    def is_bound(self, account: Account) -> bool:
        return self._database.one(OF, {"issuer": self.provider.issuer, "account": account.id}) is not None

    def release(self, account: Account) -> None:
        """Ends the binding of an account to the provider."""
        self._database.run(REMOVE, {"issuer": self.provider.issuer, "account": account.id})

    def _client(self) -> OAuth2Client:
        facts, _ = self._known()
        methods = facts.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        confidential = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return OAuth2Client(
            Wire(),
            client_id=self.provider.client,
            client_secret=self.provider.secret or None,
            token_endpoint_auth_method=confidential if self.provider.secret else "none",
            scope=self.provider.scope,
            redirect_uri=self._callback,
            code_challenge_method="S256",
        )

    def _known(self, *, anew: bool = False) -> tuple[dict[str, Any], KeySet]:
        """The provider's metadata and keys, fetched when they are needed first and when they have grown old."""
        if self._facts is None or anew or self._clock() - self._facts[0] > FRESH:
            issuer = self.provider.issuer
            facts = _object(Wire().get(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
            if facts.get("issuer") != issuer:
                raise ProviderFailed("the provider calls itself something else than MEDICONNECT_OPENID_ISSUER")
            try:
                keys = KeySet.import_key_set(_object(Wire().get(_text(facts, "jwks_uri"))))  # type: ignore[arg-type]  # checked inside
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise ProviderFailed("the provider's keys cannot be read") from error
            self._facts = (self._clock(), facts, keys)
        return self._facts[1], self._facts[2]

    def _claims(self, id_token: str, nonce: str) -> Mapping[str, Any]:
        """What a signed ID token says, of this provider, for this client, for this way there and back."""
        try:
            claims = self._decoded(id_token)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ProviderFailed(f"the ID token cannot be believed: {type(error).__name__}") from error
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        now, expires = self._clock(), claims.get("exp")
        if claims.get("iss") != self.provider.issuer or self.provider.client not in audiences:
            raise ProviderFailed("the ID token is of another issuer or for another client")
        if len(audiences) > 1 and claims.get("azp") != self.provider.client:
            raise ProviderFailed("the ID token is for several clients and names another one")
        if not isinstance(expires, int | float) or now > expires + LEEWAY:
            raise ProviderFailed("the ID token has expired")
        if not same(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise ProviderFailed("the ID token answers another request")
        return claims

    def _decoded(self, id_token: str) -> Mapping[str, Any]:
        _, keys = self._known()
        try:
            return jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        except JoseError:
            _, keys = self._known(anew=True)  # the provider may sign with a key it did not have before
            return jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims

    def _voucher(self, claims: Mapping[str, Any]) -> Voucher:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise ProviderFailed("the ID token names nobody")
        verified = claims.get("email_verified") is True and isinstance(claims.get("email"), str)
        email = email_address(claims["email"]) if verified else None
        family, given = (str(claims.get(name, ""))[:100] for name in ("family_name", "given_name"))
        return Voucher(self.provider.issuer, subject, email, family, given)


def _exchange(method: str, url: str, headers: Mapping[str, str], body: str) -> Answer:
    parts = urlsplit(url)
    host, path = parts.hostname or "", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    if not secure and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ProviderFailed("the provider is to be reached by https")
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=SECONDS, context=ssl.create_default_context())
        if secure
        else http.client.HTTPConnection(host, parts.port, timeout=SECONDS)
    )
    try:
        connection.request(method, path, body or None, {**headers, "accept": "application/json"})
        response = connection.getresponse()
        content = response.read(BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProviderFailed(f"cannot be reached: {type(error).__name__}") from error
    finally:
        connection.close()
    if len(content) > BYTES:
        raise ProviderFailed("the answer is too long")
    return Answer(response.status, content)


def _object(answer: Answer) -> dict[str, Any]:
    answer.raise_for_status()
    try:
        found = answer.json()
    except ValueError as error:
        raise ProviderFailed("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise ProviderFailed("the answer is no JSON object")
    return found


def _word(text: str) -> str:
    """As much of an error code as a log may hold: the browser sent it."""
    return "".join(letter for letter in text[:60] if letter.isascii() and (letter.isalnum() or letter in "_ "))


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str):
        raise ProviderFailed(f"the provider's metadata lack {name}")
    return value
