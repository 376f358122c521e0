"""Access tokens of the tests' own, and a server that believes them.

https://www.rfc-editor.org/rfc/rfc9068
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
from joserfc.jwk import ECKey, Key

from fhir_server.app import create_app
from fhir_server.rest.guard import Authority
from fhir_server.settings import Settings
from profiles.definitions import r4
from smart_auth.access_token import AccessToken, Verifier, signed
from smart_auth.scope import parse_scopes
from tests.running import FHIR_JSON, serving

KEY: Key = ECKey.generate_key("P-256", {"kid": "tests"}, private=True)
ISSUER = "https://hospital.example/auth"
AUDIENCE = "https://hospital.example/fhir"
CONFIGURATION = {"authorization_endpoint": f"{ISSUER}/authorize", "token_endpoint": f"{ISSUER}/token"}
NUMBERS = itertools.count(1)


class OneKey:
    """The public half of the tests' key."""

    def public(self, kid: str) -> Key | None:
        return KEY if kid == "tests" else None


def verifier() -> Verifier:
    return Verifier(OneKey(), ISSUER, AUDIENCE, 1, r4().resource_types)


def claims(scope: str, *, roles: tuple[str, ...] = (), patient: str | None = None, **more: Any) -> AccessToken:
    """The claims of a token for an hour; with `system/` scopes it is of no person."""
    number, now = next(NUMBERS), int(time.time())
    account = None if "system/" in scope else "account-1"
    made = AccessToken(
        f"token-{number}", f"grant-{number}", ISSUER, AUDIENCE, 1, "app", account, more.pop("fhir_user", None), roles,
        parse_scopes(scope, r4().resource_types), patient, None, now, now + 3600,
    )  # fmt: skip
    return replace(made, **more)


def bearer(scope: str, **more: Any) -> dict[str, str]:
    """The Authorization header of such a token."""
    return {"authorization": f"Bearer {signed(claims(scope, **more), KEY, 'tests')}"}


@dataclass(frozen=True, slots=True)
class Secured:
    """A running server that asks for tokens; `setup` may do everything."""

    base: str
    setup: httpx.Client

    @contextlib.contextmanager
    def client(self, scope: str, **more: Any) -> Iterator[httpx.Client]:
        headers = {"accept": FHIR_JSON, "content-type": FHIR_JSON, **bearer(scope, **more)}
        with httpx.Client(base_url=self.base, headers=headers, timeout=60) as http:
            yield http


@contextlib.contextmanager
def secured(database_url: str, **settings: Any) -> Iterator[Secured]:
    """A server on the database that believes the tests' tokens."""
    app = create_app(
        Settings(database_url=database_url, base_url=AUDIENCE, **settings),
        authority=Authority(verifier(), CONFIGURATION),
    )
    with serving(app) as base:
        headers = {"accept": FHIR_JSON, "content-type": FHIR_JSON, **bearer("system/*.cruds system/AuditEvent.crs")}
        with httpx.Client(base_url=base, headers=headers, timeout=60) as setup:
            yield Secured(base, setup)
