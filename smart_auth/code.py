"""Authorization codes: a minute long, good for one redemption by the client that can prove it began the request.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2 and https://www.rfc-editor.org/rfc/rfc7636#section-4.6
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from smart_auth.cipher import new_secret, same
from smart_auth.client import Client
from smart_auth.configuration import CODE_SECONDS
from smart_auth.error import OAuthError, invalid_grant
from smart_auth.grant import Grant, Grants, LaunchContext, hashed
from smart_auth.people import SignedIn
from smart_auth.scope import Scopes
from smart_auth.store import Connection, Row, one, run

ISSUE = """
INSERT INTO authorization_code (tenant, code_hash, grant_id, redirect_uri, challenge, nonce, expires)
VALUES (%(tenant)s, %(hash)s, %(grant)s, %(redirect_uri)s, %(challenge)s, %(nonce)s, to_timestamp(%(expires)s))
"""
FIND = """
SELECT grant_id, redirect_uri, challenge, nonce, extract(epoch FROM expires)::float8 AS expires,
       redeemed IS NOT NULL AS redeemed
FROM authorization_code WHERE tenant = %(tenant)s AND code_hash = %(hash)s
"""
REDEEM = """
UPDATE authorization_code SET redeemed = to_timestamp(%(now)s) WHERE tenant = %(tenant)s AND code_hash = %(hash)s
"""

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person has allowed a client, and what the client must show to have it.

    `challenge` is that of S256, `redirect_uri` and `nonce` are those of the authorization request.
    """

    client: Client
    person: SignedIn
    scopes: Scopes
    launch: LaunchContext
    redirect_uri: str
    challenge: str
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code stood for."""

    grant: Grant
    nonce: str | None


@dataclass(frozen=True, slots=True)
class Codes:
    """the codes of one tenant."""

    grants: Grants

    def issue(self, connection: Connection, approval: Approval) -> str:
        """A new code for a new grant, both kept in the caller's transaction."""
        code = new_secret()
        grant = self.grants.begin(connection, approval.client, approval.person, approval.scopes, approval.launch)
        values = {
            "hash": hashed(code),
            "grant": grant.id,
            "redirect_uri": approval.redirect_uri,
            "challenge": approval.challenge,
            "nonce": approval.nonce,
            "expires": self.grants.clock() + CODE_SECONDS,
        }
        run(connection, self.grants.database.tenant, ISSUE, values)
        return code

    def redeem(self, code: str, client: Client, redirect_uri: str, verifier: str) -> Redeemed:
        """What the code stands for, once. Raises OAuthError.

        One who redeems it again, or as another client, gets nothing; what was issued for it before is revoked when the same
        client comes again, for one of the two has stolen it. A wrong verifier leaves the code good for whoever has the right one.
        """
        hash_, tenant = hashed(code), self.grants.database.tenant
        with self.grants.database.transaction() as connection:
            found = one(connection, tenant, FIND, {"hash": hash_})
            grant = self.grants.locked(connection, found["grant_id"]) if found else None
            row = one(connection, tenant, FIND, {"hash": hash_})  # as it is under the lock
            if row is None or grant is None or grant.client != client.id:
                problem: OAuthError | None = invalid_grant("the code is not one that was issued to this client")
            elif row["redeemed"]:
                self.grants.revoke(connection, grant.id)
                problem = invalid_grant("the code was used before; what was issued for it is revoked")
            else:
                problem = self._problem(row, grant, redirect_uri, verifier)
            if problem is None:
                run(connection, tenant, REDEEM, {"hash": hash_, "now": self.grants.clock()})
        if problem is not None:
            raise problem
        assert row is not None, "there is no problem"
        assert grant is not None, "there is no problem"
        return Redeemed(grant, row["nonce"])

    def _problem(self, row: Row, grant: Grant, redirect_uri: str, verifier: str) -> OAuthError | None:
        if row["expires"] <= self.grants.clock() or not self.grants.is_good(grant):
            return invalid_grant("the code has expired, or what it stands for was revoked")
        if row["redirect_uri"] != redirect_uri:
            return invalid_grant("redirect_uri is not that of the authorization request")
        if not VERIFIER.fullmatch(verifier) or not same(s256(verifier).encode(), row["challenge"].encode()):
            return invalid_grant("code_verifier does not fit the code_challenge")
        return None


def s256(verifier: str) -> str:
    """The challenge that goes with a verifier: https://www.rfc-editor.org/rfc/rfc7636#section-4.2."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
