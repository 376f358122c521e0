"""Passkeys: sign-in by what a device holds and its owner unlocks, in place of a password and a second factor.

https://www.w3.org/TR/webauthn-3/
"""

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from smart_auth.account import Account
from smart_auth.store import Database
from smart_auth.ticket import Tickets

if TYPE_CHECKING:
    from smart_auth.ceremony import Ceremony

LIFETIME = 300
MOST = 20
LONGEST = 16_384
NAME = "MediConnect"

OF = """
SELECT id, credential, name, created, used FROM account_passkey
WHERE tenant = %(tenant)s AND account = %(account)s ORDER BY created
"""
FIND = """
SELECT account, public_key, sign_count FROM account_passkey WHERE tenant = %(tenant)s AND credential = %(credential)s
"""
ADD = """
INSERT INTO account_passkey (tenant, credential, id, account, public_key, sign_count, name)
VALUES (%(tenant)s, %(credential)s, %(id)s, %(account)s, %(public_key)s, %(sign_count)s, %(name)s)
ON CONFLICT (tenant, credential) DO NOTHING
"""
USED = """
UPDATE account_passkey SET used = now(), sign_count = %(sign_count)s
WHERE tenant = %(tenant)s AND credential = %(credential)s AND sign_count = %(before)s
"""
REMOVE = "DELETE FROM account_passkey WHERE tenant = %(tenant)s AND account = %(account)s AND id = %(id)s"


class InvalidPasskey(Exception):
    """What the browser sent proves nothing; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of an account; `id` is ours, `credential` the authenticator's."""

    id: str
    credential: bytes
    name: str
    created: datetime
    used: datetime | None


@dataclass(frozen=True, slots=True)
class Passkeys:
    """The passkeys of one tenant, for the pages of one origin."""

    database: Database
    tickets: Tickets
    origin: str

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""

    @property
    def is_possible(self) -> bool:
        """Whether browsers give passkeys to this origin: a host name, over TLS or on this machine, and no address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return self.origin.startswith("https://") or self.host == "localhost"
        return False

    def of(self, account: Account) -> list[Passkey]:
        return [
            Passkey(row["id"], bytes(row["credential"]), row["name"], row["created"], row["used"])
            for row in self.database.all(OF, {"account": account.id})
        ]

    def begin(self, account: Account) -> tuple[str, str]:
        """What the browser needs to make a passkey (JSON), and the ticket it comes back with."""
        user = (account.id.encode(), account.email, account.name)
        known = [key.credential for key in self.of(account)]
        options, challenge = self._ceremony().registration(NAME, user, known)
        return options, self._ticket(account.id, challenge)

    def add(self, account: Account, ticket: str, credential: str, name: str) -> None:
        """Keeps the passkey that the browser has made. Raises InvalidPasskey."""
        challenge = self._challenge(account.id, ticket)
        made = self._ceremony().registered(challenge, _bounded(credential))
        if len(self.of(account)) >= MOST:
            raise InvalidPasskey("too many passkeys")
        values: dict[str, Any] = {"credential": made.credential, "public_key": made.public_key}
        values |= {"id": secrets.token_urlsafe(12), "account": account.id, "sign_count": made.sign_count, "name": name}
        if not self.database.run(ADD, values):
            raise InvalidPasskey("the passkey is known already")

    def remove(self, account: Account, id_: str) -> bool:
        """Forgets a passkey of the account; whether there was one."""
        return self.database.run(REMOVE, {"account": account.id, "id": id_}) > 0

    def challenge(self) -> tuple[str, str]:
        """What the browser needs to sign somebody in (JSON; it names no account), and the ticket it comes back with."""
        options, challenge = self._ceremony().authentication()
        return options, self._ticket(None, challenge)

    def account_of(self, ticket: str, credential: str) -> str:
        """The id of the account whose passkey answered the challenge. Raises InvalidPasskey."""
        challenge = self._challenge(None, ticket)
        sent = self._ceremony().claimed(_bounded(credential))
        row = self.database.one(FIND, {"credential": sent.credential})
        if row is None:
            raise InvalidPasskey("unknown passkey")
        key, before = bytes(row["public_key"]), row["sign_count"]
        count = self._ceremony().authenticated(challenge, credential, key, before)
        if sent.user not in (None, row["account"].encode()):
            raise InvalidPasskey("the passkey is of another account")
        values = {"credential": sent.credential, "sign_count": count, "before": before}
        if not self.database.run(USED, values):
            raise InvalidPasskey("the passkey was used twice at once")
        return str(row["account"])

    def _ceremony(self) -> "Ceremony":
        from smart_auth.ceremony import Ceremony  # noqa: PLC0415 - a fifth of a second, of which a start has no use

        return Ceremony(self.host, self.origin)

    def _ticket(self, account: str | None, challenge: str) -> str:
        return self.tickets.issue("passkey", account, {"challenge": challenge}, LIFETIME)

    def _challenge(self, account: str | None, ticket: str) -> str:
        found = self.tickets.take("passkey", ticket)
        if found is None or found.account != account:
            raise InvalidPasskey("the challenge is unknown, used or expired")
        return str(found.content["challenge"])


def _bounded(credential: str) -> str:
    if len(credential) > LONGEST:
        raise InvalidPasskey("too long")
    return credential
