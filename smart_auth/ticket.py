"""What a person has begun and not finished, known by a secret that is used once: links in mails, second factors, challenges.

https://cheatsheetseries.owasp.org/cheatsheets/Forgot_Password_Cheat_Sheet.html#url-tokens
"""

from dataclasses import dataclass
from typing import Any, Literal

from smart_auth.cipher import digest, new_secret
from smart_auth.store import Database, Jsonb, Row

Kind = Literal["verify", "reset", "email", "second-factor", "passkey", "provider", "adopt", "setup", "password"]

ISSUE = """
INSERT INTO account_ticket (tenant, hash, kind, account, content, expires)
VALUES (%(tenant)s, %(hash)s, %(kind)s, %(account)s, %(content)s, now() + make_interval(secs => %(seconds)s))
"""
PEEK = """
SELECT account, content FROM account_ticket
WHERE tenant = %(tenant)s AND hash = %(hash)s AND kind = %(kind)s AND expires > now() AND tries < %(tries)s
"""
TAKE = """
DELETE FROM account_ticket WHERE tenant = %(tenant)s AND hash = %(hash)s AND kind = %(kind)s AND expires > now()
RETURNING account, content
"""
TRY = """
UPDATE account_ticket SET tries = tries + 1
WHERE tenant = %(tenant)s AND hash = %(hash)s AND kind = %(kind)s AND expires > now() AND tries < %(tries)s
RETURNING account, content
"""
VOID = "DELETE FROM account_ticket WHERE tenant = %(tenant)s AND account = %(account)s AND kind = %(kind)s"
CLEAR = "DELETE FROM account_ticket WHERE tenant = %(tenant)s AND expires < now()"

TRIES = 5


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was begun: for whom, where that is known, and what has to be remembered of it."""

    account: str | None
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tickets:
    """The tickets of one tenant; a secret that is unknown, used, of another kind or expired gives None."""

    database: Database

    def issue(self, kind: Kind, account: str | None, content: dict[str, Any], seconds: int) -> str:
        """The secret of a new ticket: 256 random bits, fit for a URL or a cookie."""
        secret = new_secret()
        self.database.run(CLEAR)
        values = {"hash": digest(secret), "kind": kind, "account": account, "seconds": seconds}
        self.database.run(ISSUE, {**values, "content": Jsonb(content)})
        return secret

    def peek(self, kind: Kind, secret: str) -> Ticket | None:
        """The ticket, which stays."""
        return _ticket(self.database.one(PEEK, {"hash": _digest(secret), "kind": kind, "tries": TRIES}))

    def tried(self, kind: Kind, secret: str) -> Ticket | None:
        """The ticket, one of its few tries spent before it is known how the try ends."""
        return _ticket(self.database.one(TRY, {"hash": _digest(secret), "kind": kind, "tries": TRIES}))

    def take(self, kind: Kind, secret: str) -> Ticket | None:
        """The ticket, for the first who asks."""
        return _ticket(self.database.one(TAKE, {"hash": _digest(secret), "kind": kind}))

    def void(self, kind: Kind, account: str) -> None:
        """Ends all tickets of a kind that an account has, such as links of before the password was changed."""
        self.database.run(VOID, {"account": account, "kind": kind})


def _ticket(row: Row | None) -> Ticket | None:
    return Ticket(row["account"], row["content"]) if row else None


def _digest(secret: str) -> bytes:
    """Of whatever a browser sends in place of a secret, unpaired surrogates included."""
    return digest(secret.encode("ascii", "replace").decode())
