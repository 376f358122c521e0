"""Authorization requests that were found good and wait for a person: kept on the server, known to one browser.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_auth.cipher import digest, new_secret
from smart_auth.configuration import PENDING_SECONDS
from smart_auth.store import Connection, Database, Jsonb, one

# One browser may have begun so many; the oldest go first.
MOST = 30

CLEAR = "DELETE FROM pending_authorization WHERE tenant = %(tenant)s AND expires < now()"
TRIM = """
DELETE FROM pending_authorization WHERE tenant = %(tenant)s AND id_hash IN (
    SELECT id_hash FROM pending_authorization WHERE tenant = %(tenant)s AND browser_hash = %(browser)s
    ORDER BY created DESC OFFSET %(most)s)
"""
KEEP = """
INSERT INTO pending_authorization (tenant, id_hash, browser_hash, silent, client, redirect_uri, scope, state, nonce,
    challenge, launched, launched_by, patient, encounter, context, banner, intent, not_before, expires)
VALUES (%(tenant)s, %(id)s, %(browser)s, %(silent)s, %(client)s, %(redirect_uri)s, %(scope)s, %(state)s, %(nonce)s,
    %(challenge)s, %(launched)s, %(launched_by)s, %(patient)s, %(encounter)s, %(context)s, %(banner)s, %(intent)s,
    to_timestamp(%(not_before)s), now() + make_interval(secs => %(seconds)s))
"""
# Whoever asks first with the secret is the browser that goes on, where none was known when the request came.
BIND = """
UPDATE pending_authorization SET browser_hash = %(browser)s
WHERE tenant = %(tenant)s AND id_hash = %(id)s AND browser_hash IS NULL AND expires > now()
"""
FIND = """
SELECT silent, client, redirect_uri, scope, state, nonce, challenge, launched, launched_by, patient, encounter, context,
    banner, intent, extract(epoch FROM not_before)::float8 AS not_before, chosen_by
FROM pending_authorization
WHERE tenant = %(tenant)s AND id_hash = %(id)s AND expires > now()
"""
BY_BROWSER = """
SELECT 1 AS known FROM pending_authorization
WHERE tenant = %(tenant)s AND id_hash = %(id)s AND browser_hash = %(browser)s
"""
CHOOSE = """
UPDATE pending_authorization SET patient = %(patient)s, encounter = %(encounter)s, chosen_by = %(account)s
WHERE tenant = %(tenant)s AND id_hash = %(id)s
"""
TAKE = """
DELETE FROM pending_authorization WHERE tenant = %(tenant)s AND id_hash = %(id)s AND expires > now() RETURNING client
"""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a client asks for, found good; `scope` is what it may be granted of what it asked.

    `silent`: no page may be shown. `not_before`: the person must have signed in since (seconds since 1970; 0: whenever).
    `launched`: it began in a record that was open, whose `patient` and `encounter` stand here; `launched_by` is the account
    that did. `encounter` is empty where the person goes on without one. `chosen_by` is the account that chose them.
    """

    client: str
    redirect_uri: str
    scope: str
    state: str
    challenge: str
    nonce: str | None = None
    silent: bool = False
    not_before: float = 0.0
    launched: bool = False
    launched_by: str | None = None
    patient: str | None = None
    encounter: str | None = None
    context: Sequence[Mapping[str, Any]] = ()
    banner: bool = True
    intent: str | None = None
    chosen_by: str | None = None


class PendingRequests:
    """The requests of one tenant that are not decided yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, request: AuthorizationRequest, browser: bytes | None) -> str:
        """Keeps a request for a browser; returns the secret that names it. None: for the browser that goes on first."""
        id_ = new_secret()
        names = "silent client redirect_uri scope state nonce challenge launched launched_by patient encounter banner intent"
        values = {name: getattr(request, name) for name in names.split()}
        more = {
            "id": digest(id_),
            "browser": browser,
            "context": Jsonb(list(request.context)),
            "not_before": request.not_before,
            "seconds": PENDING_SECONDS,
            "most": MOST,
        }
        self._database.run(CLEAR)
        self._database.run(KEEP, {**values, **more})
        self._database.run(TRIM, more)
        return id_

    def find(self, id_: str, browser: bytes) -> AuthorizationRequest | None:
        """The request, for the browser that began it."""
        values = {"id": _digest(id_), "browser": browser}
        self._database.run(BIND, values)
        if self._database.one(BY_BROWSER, values) is None:
            return None
        return self.again(id_)

    def again(self, id_: str) -> AuthorizationRequest | None:
        """The request as it is now, for who has found it before."""
        row = self._database.one(FIND, {"id": _digest(id_)})
        return AuthorizationRequest(**row) if row else None

    def choose(self, id_: str, account: str, patient: str | None, encounter: str | None) -> None:
        """Keeps what a person has chosen; `encounter` empty: none."""
        values = {"id": _digest(id_), "account": account, "patient": patient, "encounter": encounter}
        self._database.run(CHOOSE, values)

    def take(self, connection: Connection, id_: str) -> bool:
        """Ends the request; True for the one who is first."""
        return one(connection, self._database.tenant, TAKE, {"id": _digest(id_)}) is not None


def _digest(id_: str) -> bytes:
    return digest(id_.encode("ascii", "replace").decode())
