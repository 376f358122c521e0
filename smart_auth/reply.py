"""The answer of the token endpoint: an access token, what it is good for, and the context it comes with.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#response-5
"""

import secrets
from dataclasses import dataclass
from typing import Any

from smart_auth.access_token import AccessToken, signed
from smart_auth.configuration import Configuration
from smart_auth.context import told
from smart_auth.grant import LONGEST_TOKEN, Grant
from smart_auth.keys import SigningKeys
from smart_auth.people import SignedIn
from smart_auth.scope import Scopes


@dataclass(frozen=True, slots=True)
class Replies:
    """Signs access tokens for grants."""

    keys: SigningKeys
    configuration: Configuration

    def reply(self, grant: Grant, scopes: Scopes, person: SignedIn | None, now: float) -> dict[str, Any]:
        """The members of an answer with a new access token; `person` is whose grant it is, None for a system's.

        `now` in seconds since 1970. The token is for the FHIR base alone and names the roles the person has now.
        """
        facts = self.configuration
        seconds = min(facts.access_seconds if person else facts.system_seconds, LONGEST_TOKEN)
        token = AccessToken(
            id=secrets.token_urlsafe(16),
            grant=grant.id,
            issuer=facts.issuer,
            audience=facts.fhir_base,
            tenant=facts.tenant,
            client=grant.client,
            account=grant.account,
            fhir_user=person.fhir_user if person else None,
            roles=person.roles if person else (),
            scopes=scopes,
            patient=grant.launch.patient,
            encounter=grant.launch.encounter,
            issued=int(now),
            expires=int(now) + seconds,
        )
        kid, key = self.keys.signing("ES256")
        return {
            "access_token": signed(token, key, kid),
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": scopes.text(),
            **told(grant, facts),
        }
