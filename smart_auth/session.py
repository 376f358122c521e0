"""Browsers that are signed in: a random cookie each, its hash in the database, ended by time or by the person.

https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smart_auth.cipher import digest, new_secret
from smart_auth.grant import Grants
from smart_auth.store import Connection, Database, Row, run

LONGEST = timedelta(hours=12)
IDLE = timedelta(hours=2)
# How long after signing in (or proving it again) the sensitive settings of an account stay open.
RECENT = timedelta(minutes=15)
MOST = 50  # sessions of one account; the oldest end first

START = """
INSERT INTO account_session (tenant, hash, id, account, factors, agent, network, expires)
VALUES (%(tenant)s, %(hash)s, %(id)s, %(account)s, %(factors)s, %(agent)s, %(network)s, now() + %(longest)s)
"""
TRIM = """
DELETE FROM account_session WHERE tenant = %(tenant)s AND (
    expires < now() OR seen < now() - %(idle)s
    OR hash IN (SELECT hash FROM account_session WHERE tenant = %(tenant)s AND account = %(account)s
                ORDER BY created DESC OFFSET %(most)s))
RETURNING id
"""
RENEW = """
UPDATE account_session SET hash = %(hash)s, factors = %(factors)s, proved = now(), seen = now(), expires = now() + %(longest)s
WHERE tenant = %(tenant)s AND id = %(id)s
"""
FIND = """
SELECT s.id, s.account, s.factors, s.agent, s.network, s.created, s.proved, s.seen
FROM account_session s JOIN account a ON a.tenant = s.tenant AND a.id = s.account
WHERE s.tenant = %(tenant)s AND s.hash = %(hash)s AND s.expires > now() AND s.seen > now() - %(idle)s
  AND a.disabled IS NULL
"""
SEEN = """
UPDATE account_session SET seen = now()
WHERE tenant = %(tenant)s AND id = %(id)s AND seen < now() - interval '1 minute'
"""
IS_ALIVE = """
SELECT 1 AS alive FROM account_session s JOIN account a ON a.tenant = s.tenant AND a.id = s.account
WHERE s.tenant = %(tenant)s AND s.id = %(id)s AND s.expires > now() AND s.seen > now() - %(idle)s AND a.disabled IS NULL
"""
OF = """
SELECT id, account, factors, agent, network, created, proved, seen FROM account_session
WHERE tenant = %(tenant)s AND account = %(account)s AND expires > now() AND seen > now() - %(idle)s ORDER BY seen DESC
"""
PROVED = "UPDATE account_session SET proved = now() WHERE tenant = %(tenant)s AND id = %(id)s"
END = "DELETE FROM account_session WHERE tenant = %(tenant)s AND account = %(account)s AND id = %(id)s RETURNING id"
END_OTHERS = """
DELETE FROM account_session WHERE tenant = %(tenant)s AND account = %(account)s AND id <> %(keep)s RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in; `id` names it without opening it, `proved` is when the person last showed who they are.

    `factors` are what was shown, in the words of RFC 8176: pwd, otp, hwk (a passkey), fed (another provider), mail.
    """

    id: str
    account: str
    factors: tuple[str, ...]
    agent: str
    network: str
    created: datetime
    proved: datetime
    seen: datetime

    @property
    def is_recent(self) -> bool:
        """Whether the person showed who they are a short while ago."""
        return datetime.now(UTC) - self.proved < RECENT


@dataclass(frozen=True, slots=True)
class BrowserSessions:
    """The sessions of one tenant. What apps hold but for `offline_access` ends in the transaction that ends the session.

    `grants` is None where no app can hold anything yet, as when the first accounts are made.
    """

    database: Database
    grants: Grants | None = None

    def start(self, account: str, factors: Sequence[str], agent: str, network: str) -> tuple[Session, str]:
        """A new session and the value of its cookie: 256 random bits that nobody knew before the sign-in."""
        cookie, id_, now = new_secret(), secrets.token_urlsafe(16), datetime.now(UTC)
        made = Session(id_, account, tuple(factors), _printable(agent, 300), _printable(network, 64), now, now, now)
        with self.database.transaction() as connection:
            tenant = self.database.tenant
            self._end(connection, TRIM, {"idle": IDLE, "account": account, "most": MOST - 1})
            values = {"hash": digest(cookie), "id": id_, "account": account, "factors": list(factors)}
            run(connection, tenant, START, {**values, "agent": made.agent, "network": made.network, "longest": LONGEST})
        return made, cookie

    def renew(self, session: Session, factors: Sequence[str]) -> str:
        """A new cookie for the session of one who has signed in again; what ends with the session goes on."""
        cookie = new_secret()
        values = {"id": session.id, "hash": digest(cookie), "factors": list(factors), "longest": LONGEST}
        self.database.run(RENEW, values)
        return cookie

    def by_cookie(self, cookie: str) -> Session | None:
        """The session a browser's cookie opens, kept awake by it; None where it has ended."""
        if not cookie or not cookie.isascii():
            return None
        row = self.database.one(FIND, {"hash": digest(cookie), "idle": IDLE})
        if row is None:
            return None
        self.database.run(SEEN, {"id": row["id"]})
        return _session(row)

    def is_alive(self, id_: str) -> bool:
        """Whether the session goes on: what `online_access` ends with."""
        return self.database.one(IS_ALIVE, {"id": id_, "idle": IDLE}) is not None

    def of(self, account: str) -> list[Session]:
        """Where the account is signed in, the latest seen first."""
        return [_session(row) for row in self.database.all(OF, {"account": account, "idle": IDLE})]

    def prove(self, session: Session) -> None:
        """The person has shown again who they are."""
        self.database.run(PROVED, {"id": session.id})

    def end(self, account: str, id_: str) -> bool:
        """Ends one session of the account; whether there was one."""
        with self.database.transaction() as connection:
            return self._end(connection, END, {"account": account, "id": id_}) > 0

    def end_others(self, account: str, keep: str = "") -> int:
        """Ends the sessions of the account but one; how many there were."""
        with self.database.transaction() as connection:
            return self._end(connection, END_OTHERS, {"account": account, "keep": keep})

    def close(self, connection: Connection, account: str) -> None:
        """Ends all sessions of an account and all that apps hold of it, without the person too."""
        self._end(connection, END_OTHERS, {"account": account, "keep": ""})
        if self.grants:
            self.grants.end_account(connection, account)

    def _end(self, connection: Connection, statement: str, values: Mapping[str, object]) -> int:
        rows = connection.execute(statement, {"tenant": self.database.tenant, **values}).fetchall()
        if self.grants and rows:
            self.grants.end_sessions(connection, [row["id"] for row in rows])
        return len(rows)


def _session(row: Row) -> Session:
    return Session(**{**row, "factors": tuple(row["factors"])})


def _printable(text: str, most: int) -> str:
    return "".join(character for character in text if character.isprintable())[:most]
