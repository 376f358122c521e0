"""Token introspection: what a token means and whether it is still good, for those who may know.

https://hl7.org/fhir/smart-app-launch/STU2.2/token-introspection.html and https://www.rfc-editor.org/rfc/rfc7662
"""

from dataclasses import dataclass
from typing import Any

from smart_auth.access_token import AccessToken, InvalidToken, Verifier
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.configuration import Configuration
from smart_auth.context import told
from smart_auth.error import OAuthError, invalid_client
from smart_auth.event import Event, Journal
from smart_auth.form import Form, bearer_of
from smart_auth.grant import Grants
from smart_auth.id_token import identity
from smart_auth.people import Sessions
from smart_auth.refresh import RefreshTokens
from smart_auth.scope import INTROSPECT

INACTIVE: dict[str, Any] = {"active": False}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The access tokens of one tenant as the authorization server itself judges them."""

    verifier: Verifier
    grants: Grants

    def good(self, token: str) -> AccessToken | None:
        """The claims of an access token that is accepted now: ours, in time, not revoked; or None."""
        try:
            claims = self.verifier.verify(token, self.grants.clock())
        except InvalidToken:
            return None
        return None if self.grants.is_revoked(claims.id, claims.grant) else claims


@dataclass(frozen=True, slots=True)
class Introspection:
    """Answers introspection requests of one tenant."""

    configuration: Configuration
    authentication: ClientAuthentication
    tokens: Tokens
    refresh_tokens: RefreshTokens
    sessions: Sessions
    journal: Journal

    def answer(self, form: Form) -> dict[str, Any]:
        """What is to be told of the form's `token`; of one that is no good, or not for the asker to know, only that.

        With the scope __introspect, in a bearer token or in its registration, a client may ask about all tokens, else about
        its own. Raises OAuthError.
        """
        try:
            asker, everything = self._asker(form)
        except OAuthError as error:
            self.journal.note(Event("introspect", "failure", network=form.network, detail=str(error)[:500]))
            raise
        token = form.need("token")
        access = self.tokens.good(token)
        if access is not None:
            return self._access(access) if everything or access.client == asker else INACTIVE
        return self._refresh(token, None if everything else asker)

    def _asker(self, form: Form) -> tuple[str, bool]:
        """The client that asks, and whether it may know of all tokens."""
        token = bearer_of(form.authorization)
        if token is not None:
            claims = self.tokens.good(token)
            if claims is None:
                raise OAuthError("invalid_token", "the access token is not valid", 401)
            return claims.client, INTROSPECT in claims.scopes
        client = self.authentication.client(form)
        if client.kind == "public":
            raise invalid_client("a public client has to show an access token")
        return client.id, INTROSPECT in self.configuration.scopes(client.scope)

    def _access(self, token: AccessToken) -> dict[str, Any]:
        grant = self.tokens.grants.by_id(token.grant)
        person = self.sessions.by_account(token.account) if token.account else None
        if grant is None or (token.account is not None and person is None):
            return INACTIVE
        known = {
            "active": True,
            "scope": token.scopes.text(),
            "client_id": token.client,
            "exp": token.expires,
            "iat": token.issued,
            "iss": token.issuer,
            "sub": token.account or token.client,
            "aud": token.audience,
            "jti": token.id,
            "token_type": "Bearer",
            **told(grant, self.configuration),
        }
        # Where an ID token was issued, its claims are told too.
        if person is not None and "openid" in grant.scopes:
            known |= identity(grant.scopes, person, self.configuration)
        return known

    def _refresh(self, token: str, asker: str | None) -> dict[str, Any]:
        """Of a refresh token; `asker` is whose it must be, None where that does not matter."""
        grant = self.refresh_tokens.good(token)
        if grant is None or asker not in (None, grant.client):
            return INACTIVE
        return {
            "active": True,
            "scope": grant.scopes.text(),
            "client_id": grant.client,
            "exp": int(grant.expires),
            "iss": self.configuration.issuer,
            "sub": grant.account,
        }
