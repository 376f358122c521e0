"""The second factor of an account: an authenticator app whose codes count once, and recovery codes for the day it is lost.

https://www.rfc-editor.org/rfc/rfc6238#section-5.2
"""

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from smart_auth.account import Account
from smart_auth.cipher import Cipher
from smart_auth.store import Connection, Database, run
from smart_auth.totp import accepted_step, new_recovery_codes, normal_recovery_code

FIND = "SELECT totp_secret, totp_step FROM account WHERE tenant = %(tenant)s AND id = %(account)s AND totp_secret IS NOT NULL"
SET = """
UPDATE account SET totp_secret = %(secret)s, totp_step = %(step)s WHERE tenant = %(tenant)s AND id = %(account)s
"""
# The step only ever goes forward: of two requests with one code, one finds it used.
STEP = """
UPDATE account SET totp_step = %(step)s
WHERE tenant = %(tenant)s AND id = %(account)s AND (totp_step IS NULL OR totp_step < %(step)s)
"""
CODES = "INSERT INTO account_recovery_code (tenant, account, mac) VALUES (%(tenant)s, %(account)s, %(mac)s)"
DROP_CODES = "DELETE FROM account_recovery_code WHERE tenant = %(tenant)s AND account = %(account)s"
USE_CODE = """
DELETE FROM account_recovery_code WHERE tenant = %(tenant)s AND account = %(account)s AND mac = %(mac)s
"""
COUNT = "SELECT count(*) AS left FROM account_recovery_code WHERE tenant = %(tenant)s AND account = %(account)s"


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """The second factors of one tenant; secrets are sealed, recovery codes kept as MACs under `key`."""

    database: Database
    cipher: Cipher
    key: bytes
    clock: Callable[[], float] = time.time

    def confirm(self, account: Account, secret: str, code: str) -> list[str] | None:
        """Turns the app on once it has shown a right code; the recovery codes, to be shown once, or None for a wrong code."""
        step = accepted_step(secret, code, self.clock(), None)
        if step is None:
            return None
        sealed = self.cipher.seal(secret.encode(), _purpose(account))
        codes = new_recovery_codes()
        with self.database.transaction() as connection:
            run(connection, self.database.tenant, SET, {"account": account.id, "secret": sealed, "step": step})
            self._replace(connection, account, codes)
        return codes

    def seal(self, account: Account, secret: str) -> str:
        """A secret that is not confirmed yet, for keeping with what the person has begun."""
        return b64encode(self.cipher.seal(secret.encode(), _purpose(account))).decode()

    def unseal(self, account: Account, sealed: str) -> str:
        return self.cipher.open(b64decode(sealed), _purpose(account)).decode()

    def remove(self, account: Account) -> None:
        """Turns the app and its recovery codes off."""
        with self.database.transaction() as connection:
            run(connection, self.database.tenant, SET, {"account": account.id, "secret": None, "step": None})
            self._replace(connection, account, ())

    def new_recovery_codes(self, account: Account) -> list[str]:
        """New recovery codes in place of the old ones, to be shown once."""
        codes = new_recovery_codes()
        with self.database.transaction() as connection:
            self._replace(connection, account, codes)
        return codes

    def recovery_codes_left(self, account: Account) -> int:
        row = self.database.one(COUNT, {"account": account.id})
        return int(row["left"]) if row else 0

    def accepts(self, account: Account, code: str) -> bool:
        """Whether this is a code of the app or a recovery code; it is used up by being accepted. Count tries outside."""
        recovery = normal_recovery_code(code)
        if recovery is not None:
            return self.database.run(USE_CODE, {"account": account.id, "mac": self._mac(account, recovery)}) > 0
        row = self.database.one(FIND, {"account": account.id})
        if row is None:
            return False
        secret = self.cipher.open(bytes(row["totp_secret"]), _purpose(account)).decode()
        step = accepted_step(secret, code, self.clock(), row["totp_step"])
        return step is not None and self.database.run(STEP, {"account": account.id, "step": step}) > 0

    def _replace(self, connection: Connection, account: Account, codes: Sequence[str]) -> None:
        run(connection, self.database.tenant, DROP_CODES, {"account": account.id})
        for code in codes:
            run(connection, self.database.tenant, CODES, {"account": account.id, "mac": self._mac(account, code)})

    def _mac(self, account: Account, code: str) -> bytes:
        return hmac.new(self.key, f"recovery\0{account.id}\0{code}".encode(), sha256).digest()


def _purpose(account: Account) -> str:
    return f"totp {account.tenant} {account.id}"
