"""Access tokens: JWTs that this server signs, and what a verified one says.

https://www.rfc-editor.org/rfc/rfc9068
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import extract_compact

from smart_auth.scope import Scopes, parse_scopes

TYPE = "at+jwt"
ALGORITHMS = ("RS256", "ES256")
LONGEST = 32_768


class InvalidToken(Exception):
    """A token that is not accepted; `description` says why and may be shown to its bearer."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The claims of an access token; times are seconds since 1970, `patient` and `encounter` are ids.

    `audience` is the FHIR base the token is for, `fhir_user` relative to it, as in "Practitioner/1". `grant` is what the
    token was issued under: revoking the grant revokes the token.
    """

    id: str
    grant: str
    issuer: str
    audience: str
    tenant: int
    client: str
    account: str | None
    fhir_user: str | None
    roles: tuple[str, ...]
    scopes: Scopes
    patient: str | None
    encounter: str | None
    issued: int
    expires: int

    def claims(self) -> dict[str, Any]:
        """What is signed; a claim that has no value is left out."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.account or self.client,
            "client_id": self.client,
            "iat": self.issued,
            "exp": self.expires,
            "jti": self.id,
            "grant": self.grant,
            "tenant": self.tenant,
            "scope": self.scopes.text(),
            "account": self.account,
            "fhirUser": self.fhir_user,
            "roles": list(self.roles) or None,
            "patient": self.patient,
            "encounter": self.encounter,
        }
        return {name: value for name, value in claims.items() if value is not None}


class Keys(Protocol):
    """The public keys that tokens may be signed with, by their `kid`."""

    def public(self, kid: str) -> Key | None: ...


@dataclass(frozen=True, slots=True)
class Verifier:
    """Tells which tokens are ours, for one issuer, one FHIR base and one tenant."""

    keys: Keys
    issuer: str
    audience: str
    tenant: int
    types: Collection[str]

    def verify(self, token: str, now: float) -> AccessToken:
        """The claims of a token that this server signed, for this FHIR base, and that has not expired at `now`.

        Raises InvalidToken. Does not know of revocations. Reads the database only where the key is not known yet, at most
        once a second: call it from a worker thread where that must not be waited for.
        """
        if len(token) > LONGEST:
            raise InvalidToken("The token is too long")
        claims = self._signed(token)
        if claims.get("iss") != self.issuer:
            raise InvalidToken("The token is of another issuer")
        if claims.get("aud") != self.audience or claims.get("tenant") != self.tenant:
            raise InvalidToken("The token is for another server")
        read = access_token_of(claims, self.types)
        if now >= read.expires:
            raise InvalidToken("The token has expired")
        return read

    def _signed(self, token: str) -> Mapping[str, Any]:
        try:
            header = extract_compact(token.encode("ascii")).headers()
            key = self.keys.public(header["kid"]) if isinstance(header.get("kid"), str) else None
            if key is None or header.get("typ") != TYPE:
                raise InvalidToken("The token was not issued by this server")
            return jwt.decode(token, key, algorithms=[key_algorithm(key)]).claims
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:  # a header may be any JSON
            raise InvalidToken("The token is malformed or its signature is wrong") from error


def key_algorithm(key: Key) -> str:
    """The one algorithm a key of ours signs with."""
    return "ES256" if key.key_type == "EC" else "RS256"


def access_token_of(claims: Mapping[str, Any], types: Collection[str]) -> AccessToken:
    """The claims of a token of ours, whose signature is proven already. Raises InvalidToken where they are not ours."""
    try:
        return AccessToken(
            id=claims["jti"],
            grant=claims["grant"],
            issuer=claims["iss"],
            audience=claims["aud"],
            tenant=claims["tenant"],
            client=claims["client_id"],
            account=claims.get("account"),
            fhir_user=claims.get("fhirUser"),
            roles=tuple(claims.get("roles", ())),
            scopes=parse_scopes(claims["scope"], types),
            patient=claims.get("patient"),
            encounter=claims.get("encounter"),
            issued=int(claims["iat"]),
            expires=int(claims["exp"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidToken("The token lacks a claim") from error


def signed(token: AccessToken, key: Key, kid: str) -> str:
    """The compact form of a token."""
    algorithm = key_algorithm(key)
    return jwt.encode({"alg": algorithm, "kid": kid, "typ": TYPE}, token.claims(), key, algorithms=[algorithm])
