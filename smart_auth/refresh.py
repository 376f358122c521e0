"""Refresh tokens: each is good once and followed by another; an old one that comes back ends the grant.

https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
"""

from dataclasses import dataclass

from smart_auth.cipher import new_secret
from smart_auth.client import Client
from smart_auth.error import OAuthError, invalid_grant
from smart_auth.grant import Grant, Grants, hashed
from smart_auth.people import Sessions
from smart_auth.store import Connection, run

INSERT = """
INSERT INTO refresh_token (tenant, token_hash, grant_id, issued, expires)
VALUES (%(tenant)s, %(hash)s, %(grant)s, to_timestamp(%(now)s), to_timestamp(%(expires)s))
"""
SELECT = """
SELECT grant_id, extract(epoch FROM expires)::float8 AS expires, used
FROM refresh_token WHERE tenant = %(tenant)s AND token_hash = %(hash)s
"""
# Of two requests with one token, one waits for the other here and then finds nothing.
USE = """
UPDATE refresh_token SET used = to_timestamp(%(now)s)
WHERE tenant = %(tenant)s AND token_hash = %(hash)s AND used IS NULL
"""
CLEAR = """
DELETE FROM refresh_token WHERE tenant = %(tenant)s AND grant_id = %(grant)s AND expires < to_timestamp(%(now)s)
"""


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """The refresh tokens of one tenant; each prolongs its grant, from when it is issued."""

    grants: Grants
    sessions: Sessions

    def issue(self, grant: Grant) -> str:
        """The first refresh token of a grant."""
        with self.grants.database.transaction() as connection:
            return self._issue(connection, grant)

    def look(self, token: str, client: Client) -> Grant:
        """The grant that a token may renew; the token is not used up. Raises OAuthError (invalid_grant).

        A token that was used before ends its grant: the client or a thief has the one that followed, and nobody knows who.
        """
        row = self.grants.database.one(SELECT, {"hash": hashed(token)})
        grant = self.grants.by_id(row["grant_id"]) if row else None
        if row is None or grant is None or grant.client != client.id:
            raise invalid_grant("the refresh token is not one that was issued to this client")
        if row["used"] is not None:
            raise self._reused(grant)
        if row["expires"] <= self.grants.clock() or not self._goes_on(grant):
            raise invalid_grant("the refresh token has expired or was revoked")
        return grant

    def rotate(self, token: str, grant: Grant) -> str:
        """Uses a token up and returns the one that follows. Raises OAuthError where another request was faster."""
        with self.grants.database.transaction() as connection:
            values = {"hash": hashed(token), "now": self.grants.clock()}
            if run(connection, self.grants.database.tenant, USE, values):
                return self._issue(connection, grant)
        raise self._reused(grant)

    def grant_of(self, token: str) -> Grant | None:
        """The grant of a refresh token, whether that is still good or not."""
        row = self.grants.database.one(SELECT, {"hash": hashed(token)})
        return self.grants.by_id(row["grant_id"]) if row else None

    def good(self, token: str) -> Grant | None:
        """The grant of a refresh token that could be used now."""
        row = self.grants.database.one(SELECT, {"hash": hashed(token)})
        if row is None or row["used"] is not None or row["expires"] <= self.grants.clock():
            return None
        grant = self.grants.by_id(row["grant_id"])
        return grant if grant is not None and self._goes_on(grant) else None

    def _goes_on(self, grant: Grant) -> bool:
        """Whether the grant is good, and the person still signed in where it lasts only as long as they are."""
        signed_in = grant.access != "online" or self.sessions.is_alive(grant.session or "")
        return self.grants.is_good(grant) and signed_in

    def _issue(self, connection: Connection, grant: Grant) -> str:
        token, now = new_secret(), self.grants.clock()
        expires = now + self.grants.configuration.refresh_seconds
        values = {"hash": hashed(token), "grant": grant.id, "now": now, "expires": expires}
        run(connection, self.grants.database.tenant, CLEAR, values)
        run(connection, self.grants.database.tenant, INSERT, values)
        self.grants.prolong(connection, grant)
        return token

    def _reused(self, grant: Grant) -> OAuthError:
        with self.grants.database.transaction() as connection:
            self.grants.revoke(connection, grant.id)
        return invalid_grant("the refresh token was used before; what was issued with it is revoked")
