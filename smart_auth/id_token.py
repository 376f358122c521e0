"""ID tokens: who the person is, told to the client that asked with `openid`.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-identity-data
"""

from typing import Any

from joserfc import jwt

from smart_auth.configuration import Configuration
from smart_auth.grant import Grant
from smart_auth.keys import SigningKeys
from smart_auth.people import SignedIn
from smart_auth.scope import Scopes

SECONDS = 3600


def identity(scopes: Scopes, person: SignedIn, configuration: Configuration) -> dict[str, Any]:
    """The claims about the person that the scopes allow: `fhirUser` as an absolute URL, `name` with `profile`."""
    claims: dict[str, Any] = {"iss": configuration.issuer, "sub": person.account}
    if "fhirUser" in scopes and person.fhir_user is not None:
        claims["fhirUser"] = f"{configuration.fhir_base}/{person.fhir_user}"
    if "profile" in scopes:
        claims["name"] = person.name
    return claims


def id_token(
    keys: SigningKeys, configuration: Configuration, grant: Grant, person: SignedIn, nonce: str | None, now: float
) -> str:
    """The signed ID token of a new grant; `now` in seconds since 1970."""
    claims = identity(grant.scopes, person, configuration)
    claims |= {"aud": grant.client, "iat": int(now), "exp": int(now) + SECONDS}
    if grant.authenticated is not None:
        claims["auth_time"] = int(grant.authenticated)
    if nonce is not None:
        claims["nonce"] = nonce
    kid, key = keys.signing("RS256")
    return jwt.encode({"alg": "RS256", "kid": kid}, claims, key, algorithms=["RS256"])
