"""Access tokens for those who run the server, at its own terminal: whoever reaches its key and its database needs no consent.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

import secrets
import time

from smart_auth.access_token import AccessToken, signed
from smart_auth.account import Account
from smart_auth.configuration import Configuration
from smart_auth.keys import SigningKeys

CLIENT = "terminal"
"""The client_id of these tokens, by which the audit trail tells them from those of apps."""


def terminal_token(account: Account, scope: str, configuration: Configuration, keys: SigningKeys) -> str:
    """A token of the account for the scopes, good as long as any of a person; the policies of its roles hold for it."""
    now = int(time.time())
    kid, key = keys.signing()
    token = AccessToken(
        id=secrets.token_urlsafe(16),
        grant=secrets.token_urlsafe(16),
        issuer=configuration.issuer,
        audience=configuration.fhir_base,
        tenant=configuration.tenant,
        client=CLIENT,
        account=account.id,
        fhir_user=account.fhir_user,
        roles=account.roles,
        scopes=configuration.scopes(scope),
        patient=None,
        encounter=None,
        issued=now,
        expires=now + configuration.access_seconds,
    )
    return signed(token, key, kid)
