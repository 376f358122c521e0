"""Client assertions: JWTs by which a client proves that it has the private key to a public key it registered.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#signature-verification
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from smart_auth.cipher import digest
from smart_auth.client import Client
from smart_auth.error import OAuthError, invalid_client
from smart_auth.jwks import ALGORITHMS, KeySets, UnusableKeys
from smart_auth.store import Database

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 8 * 1024
LONGEST_HEADER = 4 * 1024
LONGEST_ID = 255
LIFETIME = 300
# By how much the clocks of client and server may differ.
SKEW = 10

ACCEPT = """
INSERT INTO client_assertion (tenant, client, id_hash, expires)
VALUES (%(tenant)s, %(client)s, %(hash)s, to_timestamp(%(expires)s)) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion as it was sent; nothing of it is proven yet."""

    signature: CompactSignature
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The client it says it is of, or empty."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) and issuer.isprintable() else ""


def read_assertion(text: str) -> Assertion:
    """The parts of an assertion. Raises OAuthError where it is none."""
    if len(text) > LONGEST:
        raise invalid_client(f"the client assertion is longer than {LONGEST} characters")
    try:
        signature = extract_compact(text.encode("ascii"), registry=_registry())
        # Whatever JSON stands there, whatever the library's types say.
        header: Any = signature.headers()
        claims: Any = json.loads(signature.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise invalid_client("the client assertion is no signed JWT") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise invalid_client("the client assertion is no signed JWT")
    return Assertion(signature, header, claims)


def _registry() -> JWSRegistry:
    """What stands in a header beside the known names is ignored, as RFC 7515 asks."""
    registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    registry.max_header_length = LONGEST_HEADER
    return registry


@dataclass(frozen=True, slots=True)
class Assertions:
    """Judges assertions for one authorization server; `audience` is its token endpoint."""

    database: Database
    key_sets: KeySets
    audience: str
    clock: Callable[[], float] = time.time

    def check(self, assertion: Assertion, client: Client) -> None:
        """Raises OAuthError unless the assertion proves, for the first time, that the client is who it says."""
        self._check_signature(assertion, client)
        now = self.clock()
        expires = _check_claims(assertion.claims, client, self.audience, now)
        self._accept(client, assertion.claims["jti"], expires)

    def _check_signature(self, assertion: Assertion, client: Client) -> None:
        header = assertion.header
        algorithm, kid, jku = header.get("alg"), header.get("kid"), header.get("jku")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise invalid_client(f"the client assertion is to be signed with {' or '.join(ALGORITHMS)}")
        if not isinstance(kid, str) or not isinstance(jku, str | None):
            raise invalid_client("the header of the client assertion needs a kid; a jku is a string")
        if str(header.get("typ", "JWT")).upper() != "JWT" or header.keys() & {"crit", "b64"}:
            raise invalid_client("the client assertion is not of type JWT, or asks for an extension that is unknown")
        try:
            key = self.key_sets.key(client, algorithm, kid, jku)
            proven = validate_compact(assertion.signature, key, registry=_registry())
        except UnusableKeys as error:
            raise invalid_client(f"No key for the client assertion: {error}") from error
        except (JoseError, ValueError, TypeError) as error:
            raise invalid_client("the signature of the client assertion cannot be verified") from error
        if not proven:
            raise invalid_client("the signature of the client assertion is wrong")

    def _accept(self, client: Client, id_: str, expires: float) -> None:
        """Keeps the id until no assertion with it can be good; all processes share the table."""
        values = {"client": client.id, "hash": digest(id_), "expires": expires + SKEW}
        if not self.database.run(ACCEPT, values):
            raise invalid_client("the client assertion was used before: each needs a jti of its own")


def _check_claims(claims: Mapping[str, Any], client: Client, audience: str, now: float) -> float:
    """Until when the assertion is good. Raises OAuthError for the first claim that is wrong."""
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise _wrong("iss and sub are both to be the client_id")
    named = claims.get("aud")
    if audience not in (named if isinstance(named, list) else [named]):
        raise _wrong(f"aud is to be {audience}")
    expires = _time(claims, "exp")
    if expires is None or expires <= now:
        raise _wrong("exp is missing or past")
    if expires > now + LIFETIME + SKEW:
        raise _wrong(f"exp is more than {LIFETIME} seconds ahead")
    for name in ("nbf", "iat"):
        if (_time(claims, name) or 0.0) > now + SKEW:
            raise _wrong(f"{name} is in the future")
    id_ = claims.get("jti")
    if not isinstance(id_, str) or not 0 < len(id_) <= LONGEST_ID or not id_.isprintable():
        raise _wrong(f"jti is to be a string of at most {LONGEST_ID} characters")
    return expires


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim in seconds since 1970, None where it is absent. Raises OAuthError."""
    value = claims.get(name)
    if value is None:
        return None
    # Neither true nor NaN nor a number that no clock reaches.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise _wrong(f"{name} is to be a number of seconds since 1970")
    return float(value)


def _wrong(what: str) -> OAuthError:
    return invalid_client(f"the client assertion is not good: {what}")
