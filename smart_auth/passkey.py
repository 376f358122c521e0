"""Passkeys: sign-in by what a device holds and its owner unlocks, in place of a password and a second factor.

https://www.w3.org/TR/webauthn-3/
"""

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from smart_auth.account import Account
from smart_auth.store import Database
from smart_auth.ticket import Tickets

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
        options = generate_registration_options(
            rp_id=self.host,
            rp_name=NAME,
            user_id=account.id.encode(),
            user_name=account.email,
            user_display_name=account.name,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=key.credential) for key in self.of(account)],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        return options_to_json(options), self._ticket(account.id, options.challenge)

    def add(self, account: Account, ticket: str, credential: str, name: str) -> None:
        """Keeps the passkey that the browser has made. Raises InvalidPasskey."""
        challenge = self._challenge(account.id, ticket)
        try:
            made = verify_registration_response(
                credential=_bounded(credential),
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            raise InvalidPasskey(type(error).__name__) from error
        if len(self.of(account)) >= MOST:
            raise InvalidPasskey("too many passkeys")
        values: dict[str, Any] = {"credential": made.credential_id, "public_key": made.credential_public_key}
        values |= {"id": secrets.token_urlsafe(12), "account": account.id, "sign_count": made.sign_count, "name": name}
        if not self.database.run(ADD, values):
            raise InvalidPasskey("the passkey is known already")

    def remove(self, account: Account, id_: str) -> bool:
        """Forgets a passkey of the account; whether there was one."""
        return self.database.run(REMOVE, {"account": account.id, "id": id_}) > 0

    def challenge(self) -> tuple[str, str]:
        """What the browser needs to sign somebody in (JSON; it names no account), and the ticket it comes back with."""
        options = generate_authentication_options(
            rp_id=self.host, user_verification=UserVerificationRequirement.REQUIRED
        )
        return options_to_json(options), self._ticket(None, options.challenge)

    def account_of(self, ticket: str, credential: str) -> str:
        """The id of the account whose passkey answered the challenge. Raises InvalidPasskey."""
        challenge = self._challenge(None, ticket)
        try:
            sent = parse_authentication_credential_json(_bounded(credential))
            row = self.database.one(FIND, {"credential": sent.raw_id})
            if row is None:
                raise InvalidPasskey("unknown passkey")
            proof = verify_authentication_response(
                credential=sent,
                expected_challenge=challenge,
                expected_rp_id=self.host,
                expected_origin=self.origin,
                credential_public_key=bytes(row["public_key"]),
                credential_current_sign_count=row["sign_count"],
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as error:
            raise InvalidPasskey(type(error).__name__) from error
        if sent.response.user_handle not in (None, row["account"].encode()):
            raise InvalidPasskey("the passkey is of another account")
        values = {"credential": sent.raw_id, "sign_count": proof.new_sign_count, "before": row["sign_count"]}
        if not self.database.run(USED, values):
            raise InvalidPasskey("the passkey was used twice at once")
        return str(row["account"])

    def _ticket(self, account: str | None, challenge: bytes) -> str:
        return self.tickets.issue("passkey", account, {"challenge": bytes_to_base64url(challenge)}, LIFETIME)

    def _challenge(self, account: str | None, ticket: str) -> bytes:
        found = self.tickets.take("passkey", ticket)
        if found is None or found.account != account:
            raise InvalidPasskey("the challenge is unknown, used or expired")
        return base64url_to_bytes(found.content["challenge"])


def _bounded(credential: str) -> str:
    if len(credential) > LONGEST:
        raise InvalidPasskey("too long")
    return credential
