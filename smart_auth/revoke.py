"""Token revocation: a client says that it needs a token no more.

https://www.rfc-editor.org/rfc/rfc7009
"""

from dataclasses import dataclass

from smart_auth.client_authentication import ClientAuthentication
from smart_auth.error import invalid_grant
from smart_auth.event import Event, Journal
from smart_auth.form import Form
from smart_auth.introspect import Tokens
from smart_auth.refresh import RefreshTokens


@dataclass(frozen=True, slots=True)
class Revocation:
    """Answers revocation requests of one tenant."""

    authentication: ClientAuthentication
    tokens: Tokens
    refresh_tokens: RefreshTokens
    journal: Journal

    def answer(self, form: Form) -> None:
        """Revokes a token of the client that asks; a refresh token with all of its grant. Raises OAuthError.

        A token that is no good is no error: whoever sends it wants nothing else.
        """
        client = self.authentication.client(form)
        token = form.need("token")
        access = self.tokens.good(token)
        grant = None if access is not None else self.refresh_tokens.grant_of(token)
        found = access or grant
        if found is None:
            return
        if found.client != client.id:
            raise invalid_grant("the token was issued to another client")
        grants = self.tokens.grants
        if access is not None:
            grants.revoke_token(access.id, access.expires)
        if grant is not None:
            with grants.database.transaction() as connection:
                grants.revoke(connection, grant.id)
        what = "an access token" if access is not None else "a refresh token and its grant"
        self.journal.note(Event("revoke", "success", client.id, found.account, network=form.network, detail=what))
