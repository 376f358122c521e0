"""The authorization server without its pages: clients, people who have consented, and requests to its endpoints."""

import contextlib
import itertools
import json
import threading
import time
import uuid
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from smart_auth.access_token import AccessToken
from smart_auth.assertion import TYPE
from smart_auth.client import Client
from smart_auth.code import Approval, s256
from smart_auth.configuration import Configuration
from smart_auth.grant import LaunchContext
from smart_auth.pages.site import House
from smart_auth.people import SignedIn
from smart_auth.router import auth_router
from smart_auth.server import AuthorizationServer, Surroundings, authorization_server
from smart_auth.store import Database
from tests.smart_auth.persons import KEY, Diary, Village, anna, cheap_passwords, village

ORIGIN = "https://hospital.example"
TYPES = ("Patient", "Observation", "Condition", "Encounter", "Practitioner")
BACK = "https://app.example/back"
VERIFIER = "v" * 64
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-384", {"kid": "ec"})
NUMBERS = itertools.count(1)
T = TypeVar("T")
ALL = "openid fhirUser profile launch/patient offline_access online_access patient/*.cruds user/*.cruds"


def public_set(*keys: Key) -> dict[str, Any]:
    """The JWK Set a client registers."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def basic(id_: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{id_}:{secret}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, whoever signed it."""
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def at_once(*calls: Callable[[], T]) -> list[T]:
    """What calls give that begin at the same moment, each in a thread of its own."""
    gate = threading.Barrier(len(calls))

    def begun(call: Callable[[], T]) -> T:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(begun, calls))


@dataclass
class Bureau:
    """A running authorization server with what stands around it. `revoked` is what the resource server was told."""

    server: AuthorizationServer
    http: TestClient
    database: Database
    village: Village
    diary: Diary
    revoked: dict[str, float]
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def token_url(self) -> str:
        return self.server.configuration.endpoint("token")

    def client(self, kind: str = "public", scope: str = ALL, **changes: Any) -> Client:
        """A registered client; a symmetric one authenticates by its kept secret, an asymmetric one has both test keys."""
        keys = {"jwks": public_set(RSA, EC)} if kind == "asymmetric" and "jwks_url" not in changes else {}
        values = {"redirect_uris": (BACK,), **keys, **changes}
        made = Client(f"client-{next(NUMBERS)}", "An app", kind, scope, **values)  # type: ignore[arg-type]  # one of three
        kept, secret = self.server.clients.add(made)
        if secret:
            self.secrets[kept.id] = secret
        return kept

    def system(self, scope: str = "system/*.cruds", **changes: Any) -> Client:
        """A client that acts for itself."""
        return self.client("asymmetric", scope, grants=("client_credentials",), redirect_uris=(), **changes)

    def person(self, **changes: Any) -> SignedIn:
        """Somebody who is signed in."""
        account = anna(self.server.accounts, f"{uuid.uuid4().hex}@example.org", **changes)
        _, cookie = self.server.accounts.sessions.start(account.id, ("pwd",), "", "192.0.2.1")
        session = self.server.accounts.sessions.by_cookie(cookie)
        assert session is not None
        signed_in = self.server.accounts.by_account(account.id)
        assert signed_in is not None
        return replace(signed_in, session=session.id, authenticated=session.proved.timestamp())

    def code(self, client: Client, scope: str = "openid fhirUser patient/*.rs", **changes: Any) -> str:
        """A code as a person's consent gives it; `person`, `launch` and `nonce` may be given."""
        person = changes.pop("person", None) or self.person()
        launch = changes.pop("launch", LaunchContext(patient="p0", banner=True))
        scopes = self.server.configuration.scopes(scope)
        approval = Approval(client, person, scopes, launch, BACK, s256(VERIFIER), **changes)
        with self.database.transaction() as connection:
            return self.server.decisions.codes.issue(connection, approval)

    def post(
        self, path: str, form: Mapping[str, str | None], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = {name: value for name, value in form.items() if value is not None}
        return self.http.post(f"/auth/{path}", data=sent, headers=dict(headers or {}))

    def proof(self, client: Client) -> tuple[dict[str, str], dict[str, str]]:
        """How the client authenticates: fields of the form and headers."""
        match client.kind:
            case "public":
                return {"client_id": client.id}, {}
            case "symmetric":
                return {}, basic(client.id, self.secrets[client.id])
            case _:
                return self.asserted(client), {}

    def asserted(self, client: Client, key: Key = EC, algorithm: str = "ES384", **changes: Any) -> dict[str, str]:
        """The fields of a client assertion; claims set to None are left out."""
        return {"client_assertion_type": TYPE, "client_assertion": self.assertion(client, key, algorithm, **changes)}

    def assertion(self, client: Client, key: Key = EC, algorithm: str = "ES384", **changes: Any) -> str:
        header = {"alg": algorithm, "kid": key.kid, **changes.pop("header", {})}
        claims = {"iss": client.id, "sub": client.id, "aud": self.token_url, "exp": int(time.time()) + 240}
        claims = {**claims, "jti": uuid.uuid4().hex, **changes}
        kept = {name: value for name, value in header.items() if value is not None}
        sent = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, sent, key, algorithms=[algorithm])

    def redeem(
        self, client: Client, code: str, headers: Mapping[str, str] | None = None, **changes: Any
    ) -> httpx.Response:
        fields, proof = self.proof(client)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return self.post("token", {**form, **fields, **changes}, {**proof, **(headers or {})})

    def refresh(self, client: Client, token: str, scope: str | None = None) -> httpx.Response:
        fields, proof = self.proof(client)
        return self.post(
            "token", {"grant_type": "refresh_token", "refresh_token": token, "scope": scope, **fields}, proof
        )

    def granted(self, client: Client, scope: str = "openid fhirUser patient/*.rs", **changes: Any) -> dict[str, Any]:
        """The answer to a code that was just issued."""
        answer = self.redeem(client, self.code(client, scope, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def system_token(self, client: Client, scope: str = "system/*.cruds", **changes: Any) -> httpx.Response:
        form = {"grant_type": "client_credentials", "scope": scope or None}
        return self.post("token", {**form, **self.asserted(client), **changes})

    def good(self, token: str) -> AccessToken | None:
        """What the authorization server makes of an access token."""
        return self.server.introspection.tokens.good(token)

    def change(self, statement: str, **values: Any) -> int:
        """What time or an administrator would do."""
        return self.database.run(statement, values)


@contextlib.contextmanager
def bureau(database_url: str, data_dir: Path, **facts: Any) -> Iterator[Bureau]:
    """An authorization server on a migrated database, with cheap passwords; `facts` go to its configuration."""
    database = Database(database_url, 1)
    database.open()
    people, diary, revoked = village(), Diary(), {}
    configuration = Configuration(ORIGIN, f"{ORIGIN}/fhir", 1, TYPES, **facts)
    around = Surroundings(configuration, database, KEY, House(data_dir), people, diary, revoked.__setitem__)
    server = authorization_server(around)
    app = FastAPI()
    app.include_router(auth_router(server))
    try:
        with pytest.MonkeyPatch.context() as patch, TestClient(app, base_url=ORIGIN) as http:
            cheap_passwords(patch)
            yield Bureau(server, http, database, people, diary, revoked)
    finally:
        database.close()
