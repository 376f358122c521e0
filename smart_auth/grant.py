"""Grants: what a client was allowed, by whom, and for how long; everything that is issued names its grant and ends with it.

https://www.rfc-editor.org/rfc/rfc6749#section-1.3
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from smart_auth.cipher import digest
from smart_auth.client import Client
from smart_auth.configuration import Configuration
from smart_auth.people import SignedIn
from smart_auth.scope import Scopes
from smart_auth.store import Connection, Database, Jsonb, Row, one, run

Access = Literal["none", "online", "offline"]

# No access token lives longer, whatever the settings were when it was issued.
LONGEST_TOKEN = 3600

BEGIN = """
INSERT INTO oauth_grant (tenant, id, client, account, session, access, scope, patient, encounter, context, banner, intent,
                         authenticated, created, used, expires)
VALUES (%(tenant)s, %(id)s, %(client)s, %(account)s, %(session)s, %(access)s, %(scope)s, %(patient)s, %(encounter)s,
        %(context)s, %(banner)s, %(intent)s, to_timestamp(%(authenticated)s), to_timestamp(%(now)s), to_timestamp(%(now)s),
        to_timestamp(%(expires)s))
"""
FIND = """
SELECT id, client, account, session, access, scope, patient, encounter, context, banner, intent, created,
       extract(epoch FROM authenticated)::float8 AS authenticated, extract(epoch FROM expires)::float8 AS expires,
       revoked IS NOT NULL AS revoked
FROM oauth_grant WHERE tenant = %(tenant)s AND id = %(id)s
"""
LOCK = """
SELECT id, client, account, session, access, scope, patient, encounter, context, banner, intent, created,
       extract(epoch FROM authenticated)::float8 AS authenticated, extract(epoch FROM expires)::float8 AS expires,
       revoked IS NOT NULL AS revoked
FROM oauth_grant WHERE tenant = %(tenant)s AND id = %(id)s FOR UPDATE
"""
OF_ACCOUNT = """
SELECT id, client, account, session, access, scope, patient, encounter, context, banner, intent, created,
       extract(epoch FROM authenticated)::float8 AS authenticated, extract(epoch FROM expires)::float8 AS expires,
       revoked IS NOT NULL AS revoked
FROM oauth_grant
WHERE tenant = %(tenant)s AND account = %(account)s AND revoked IS NULL AND expires > to_timestamp(%(now)s)
ORDER BY created DESC LIMIT 1000
"""
PROLONG = """
UPDATE oauth_grant SET used = to_timestamp(%(now)s), expires = to_timestamp(%(expires)s)
WHERE tenant = %(tenant)s AND id = %(id)s
"""
REVOKE = """
WITH ended AS (
    UPDATE oauth_grant SET revoked = to_timestamp(%(now)s)
    WHERE tenant = %(tenant)s AND id = ANY(%(ids)s) AND revoked IS NULL RETURNING id)
INSERT INTO token_revocation (tenant, id, until) SELECT %(tenant)s, id, to_timestamp(%(until)s) FROM ended
ON CONFLICT DO NOTHING
"""
REVOKE_TOKEN = """
INSERT INTO token_revocation (tenant, id, until) VALUES (%(tenant)s, %(id)s, to_timestamp(%(until)s)) ON CONFLICT DO NOTHING
"""
IS_REVOKED = "SELECT 1 AS revoked FROM token_revocation WHERE tenant = %(tenant)s AND id = ANY(%(ids)s)"
# Which grants end together.
BY_CLIENT_OF_ACCOUNT = """
SELECT id FROM oauth_grant
WHERE tenant = %(tenant)s AND account = %(account)s AND client = %(client)s AND revoked IS NULL ORDER BY id FOR UPDATE
"""
BY_ACCOUNT = """
SELECT id FROM oauth_grant WHERE tenant = %(tenant)s AND account = %(account)s AND revoked IS NULL ORDER BY id FOR UPDATE
"""
BY_CLIENT = """
SELECT id FROM oauth_grant WHERE tenant = %(tenant)s AND client = %(client)s AND revoked IS NULL ORDER BY id FOR UPDATE
"""
BY_SESSIONS = """
SELECT id FROM oauth_grant
WHERE tenant = %(tenant)s AND session = ANY(%(sessions)s) AND access <> 'offline' AND revoked IS NULL
ORDER BY id FOR UPDATE
"""
# A grant is kept for a day after its end, so that whoever tries its code or refresh tokens again is still known.
CLEAR = (
    """
    DELETE FROM oauth_grant WHERE tenant = %(tenant)s AND id IN (
        SELECT id FROM oauth_grant WHERE tenant = %(tenant)s AND expires < to_timestamp(%(now)s) - interval '1 day'
        ORDER BY expires LIMIT 100 FOR UPDATE SKIP LOCKED)
    """,
    """
    DELETE FROM token_revocation WHERE tenant = %(tenant)s AND id IN (
        SELECT id FROM token_revocation WHERE tenant = %(tenant)s AND until < to_timestamp(%(now)s) - interval '1 minute'
        ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED)
    """,
    """
    DELETE FROM client_assertion WHERE tenant = %(tenant)s AND (client, id_hash) IN (
        SELECT client, id_hash FROM client_assertion WHERE tenant = %(tenant)s AND expires < to_timestamp(%(now)s)
        ORDER BY expires LIMIT 100 FOR UPDATE SKIP LOCKED)
    """,
)


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """What an app is told to open: ids of a patient and an encounter, and the objects of `fhirContext`.

    `banner` says whether the app is to show whom it is about; None where that does not matter.
    """

    patient: str | None = None
    encounter: str | None = None
    others: Sequence[Mapping[str, Any]] = ()
    banner: bool | None = None
    intent: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant; times are seconds since 1970. `account` is None where a client acts for itself.

    `access` says how long new tokens are given: "none", "online" as long as the session lasts, "offline" without the person.
    """

    id: str
    client: str
    account: str | None
    session: str | None
    access: Access
    scopes: Scopes
    launch: LaunchContext
    authenticated: float | None
    created: datetime
    expires: float
    is_revoked: bool


def _nobody(_id: str, _until: float) -> None:
    """For a process that serves no FHIR requests."""


def hashed(secret: str) -> bytes:
    """What is kept of a code or refresh token; also of text that never was one."""
    return digest(secret[:1024].encode("ascii", "replace").decode("ascii"))


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants of one tenant.

    `tell` hears at once, in whatever thread, of each grant or token that this process revokes, and until when (seconds
    since 1970) tokens of it may be about; other processes learn it from the table token_revocation.
    """

    database: Database
    configuration: Configuration
    tell: Callable[[str, float], None] = _nobody
    clock: Callable[[], float] = time.time

    def begin(
        self, connection: Connection, client: Client, person: SignedIn | None, scopes: Scopes, launch: LaunchContext
    ) -> Grant:
        """Keeps a new grant. A client that may not refresh is not granted to go on by itself either."""
        if "refresh_token" not in client.grants:
            scopes = replace(scopes, others=scopes.others - {"offline_access", "online_access"})
        access: Access = "offline" if "offline_access" in scopes else "online" if "online_access" in scopes else "none"
        id_, now = secrets.token_urlsafe(24), self.clock()
        values = {
            "id": id_,
            "client": client.id,
            "account": person.account if person else None,
            "session": person.session or None if person else None,
            "access": access,
            "scope": scopes.text(),
            "patient": launch.patient,
            "encounter": launch.encounter,
            "context": Jsonb(list(launch.others)),
            "banner": launch.banner,
            "intent": launch.intent,
            "authenticated": person.authenticated if person else None,
            "now": now,
            "expires": now + (2 * LONGEST_TOKEN if access == "none" else self.configuration.refresh_seconds),
        }
        self._clear(connection, now)
        run(connection, self.database.tenant, BEGIN, values)
        made = self.locked(connection, id_)
        assert made is not None, "made just now"
        return made

    def by_id(self, id_: str) -> Grant | None:
        row = self.database.one(FIND, {"id": id_})
        return self._grant(row) if row else None

    def locked(self, connection: Connection, id_: str) -> Grant | None:
        """The grant, which nobody else uses until the transaction ends: its codes and tokens are judged one at a time."""
        row = one(connection, self.database.tenant, LOCK, {"id": id_})
        return self._grant(row) if row else None

    def is_good(self, grant: Grant) -> bool:
        """Whether tokens may still be issued under it, as far as time and revocation go."""
        return not grant.is_revoked and grant.expires > self.clock()

    def prolong(self, connection: Connection, grant: Grant) -> None:
        """A grant that is used lasts as long again as a new one."""
        now = self.clock()
        values = {"id": grant.id, "now": now, "expires": now + self.configuration.refresh_seconds}
        run(connection, self.database.tenant, PROLONG, values)

    def of_account(self, account: str) -> list[Grant]:
        """The grants of an account that go on, the newest first."""
        rows = self.database.all(OF_ACCOUNT, {"account": account, "now": self.clock()})
        return [self._grant(row) for row in rows]

    # --- the end --------------------------------------------------------------------------------------------------------

    def revoke(self, connection: Connection, *ids: str) -> None:
        """Ends grants; their tokens are refused by all processes within a second of the transaction's end."""
        now = self.clock()
        values = {"ids": list(ids), "now": now, "until": now + LONGEST_TOKEN}
        run(connection, self.database.tenant, REVOKE, values)
        for id_ in ids:
            self.tell(id_, now + LONGEST_TOKEN)

    def revoke_token(self, id_: str, until: float) -> None:
        """Ends one access token; its grant goes on."""
        self.database.run(REVOKE_TOKEN, {"id": id_, "until": until})
        self.tell(id_, until)

    def is_revoked(self, *ids: str) -> bool:
        """Whether one of these tokens or grants was revoked."""
        return self.database.one(IS_REVOKED, {"ids": list(ids)}) is not None

    def withdraw(self, account: str, client: str) -> None:
        """Ends all that a client holds of an account."""
        self._end(BY_CLIENT_OF_ACCOUNT, {"account": account, "client": client})

    def end_account(self, connection: Connection, account: str) -> None:
        """Ends all that anybody holds of an account, as when it is disabled."""
        self._end_within(connection, BY_ACCOUNT, {"account": account})

    def end_client(self, connection: Connection, client: str) -> None:
        """Ends all that a client holds, as when it is disabled."""
        self._end_within(connection, BY_CLIENT, {"client": client})

    def end_sessions(self, connection: Connection, sessions: Sequence[str]) -> None:
        """Ends what was granted in sessions that end in the same transaction, but for what goes on without the person."""
        self._end_within(connection, BY_SESSIONS, {"sessions": list(sessions)})

    def _end(self, statement: str, values: Mapping[str, Any]) -> None:
        with self.database.transaction() as connection:
            self._end_within(connection, statement, values)

    def _end_within(self, connection: Connection, statement: str, values: Mapping[str, Any]) -> None:
        rows = connection.execute(statement, {"tenant": self.database.tenant, **values}).fetchall()
        self.revoke(connection, *(row["id"] for row in rows))

    def _clear(self, connection: Connection, now: float) -> None:
        """Deletes some of what has run out, passing over what another process is deleting."""
        for statement in CLEAR:
            run(connection, self.database.tenant, statement, {"now": now})

    def _grant(self, row: Row) -> Grant:
        launch = LaunchContext(row["patient"], row["encounter"], tuple(row["context"]), row["banner"], row["intent"])
        return Grant(
            id=row["id"],
            client=row["client"],
            account=row["account"],
            session=row["session"],
            access=row["access"],
            scopes=self.configuration.scopes(row["scope"]),
            launch=launch,
            authenticated=row["authenticated"],
            created=row["created"],
            expires=row["expires"],
            is_revoked=row["revoked"],
        )
