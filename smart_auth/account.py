"""Accounts: who may sign in, as which person of the FHIR store and in which roles, and what opens them.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-identity-data
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from smart_auth.browser import session_cookie
from smart_auth.cipher import digest
from smart_auth.lockout import Attempts, Bound, sign_in_bounds
from smart_auth.password import hash_password, is_outdated, verify_password
from smart_auth.people import SignedIn
from smart_auth.session import BrowserSessions, Session
from smart_auth.store import Database, Row, run

ROLES = (
    "patient",
    "related-person",
    "practitioner",
    "front-desk",
    "pharmacist",
    "administrator",
    "auditor",
    "super-administrator",
)
ADMINISTRATORS = frozenset(("administrator", "super-administrator"))
PERSON = re.compile(r"(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/[A-Za-z0-9.-]{1,64}")
Given = Literal["start", "administrator"]
DEVICES = 20  # known browsers of one account

# One statement each, for a statement is never put together from parts.
BY_ID = """
SELECT id, tenant, email, name, fhir_user, roles, password, password_given,
       totp_secret IS NOT NULL AS has_totp, disabled IS NOT NULL AS disabled
FROM account WHERE tenant = %(tenant)s AND id = %(id)s
"""
BY_EMAIL = """
SELECT id, tenant, email, name, fhir_user, roles, password, password_given,
       totp_secret IS NOT NULL AS has_totp, disabled IS NOT NULL AS disabled
FROM account WHERE tenant = %(tenant)s AND email = %(email)s
"""
ALL = """
SELECT id, tenant, email, name, fhir_user, roles, password, password_given,
       totp_secret IS NOT NULL AS has_totp, disabled IS NOT NULL AS disabled
FROM account WHERE tenant = %(tenant)s ORDER BY created, id LIMIT 1000
"""
CREATE = """
INSERT INTO account (tenant, id, email, name, fhir_user, roles, password, password_given)
VALUES (%(tenant)s, %(id)s, %(email)s, %(name)s, %(fhir_user)s, %(roles)s, %(password)s, %(given)s)
ON CONFLICT (tenant, email) DO NOTHING
"""
SET_PASSWORD = """
UPDATE account SET password = %(password)s, password_given = %(given)s WHERE tenant = %(tenant)s AND id = %(id)s
"""
SET_NAME = "UPDATE account SET name = %(name)s WHERE tenant = %(tenant)s AND id = %(id)s"
SET_EMAIL = """
UPDATE account SET email = %(email)s WHERE tenant = %(tenant)s AND id = %(id)s
AND NOT EXISTS (SELECT FROM account WHERE tenant = %(tenant)s AND email = %(email)s)
"""
BIND = """
UPDATE account SET fhir_user = %(fhir_user)s, roles = %(roles)s WHERE tenant = %(tenant)s AND id = %(id)s
"""
DISABLE = """
UPDATE account SET disabled = CASE WHEN %(disabled)s THEN now() END WHERE tenant = %(tenant)s AND id = %(id)s
"""
KNOWN = """
SELECT 1 AS known FROM account_device d JOIN account a ON a.tenant = d.tenant AND a.id = d.account
WHERE d.tenant = %(tenant)s AND a.email = %(email)s AND d.hash = %(hash)s
"""
REMEMBER = """
INSERT INTO account_device (tenant, account, hash) VALUES (%(tenant)s, %(account)s, %(hash)s)
ON CONFLICT (tenant, account, hash) DO UPDATE SET seen = now()
"""
FORGET = """
DELETE FROM account_device WHERE tenant = %(tenant)s AND account = %(account)s AND (%(all)s OR hash IN (
    SELECT hash FROM account_device WHERE tenant = %(tenant)s AND account = %(account)s ORDER BY seen DESC OFFSET %(most)s))
"""


class EmailTaken(Exception):
    """Another account has this address; never told to somebody who has not shown that it is theirs."""


class SignInRefused(Exception):
    """The address or the password is wrong, or the account is disabled: which of them is not said."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request comes from: its address, its browser's own random value, and what the browser calls itself."""

    network: str
    browser: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """One who may sign in; `fhir_user` is relative, as in "Patient/1", or None for somebody without a resource.

    `password_given`: who has chosen the password, where that was not the person.
    """

    id: str
    tenant: int
    email: str
    name: str
    fhir_user: str | None
    roles: tuple[str, ...]
    has_password: bool
    has_totp: bool
    disabled: bool
    password_given: Given | None = None

    @property
    def is_staff(self) -> bool:
        """Whether the person works here, so that the patient is somebody else."""
        return bool(set(self.roles) - {"patient", "related-person"})

    @property
    def is_administrator(self) -> bool:
        """Whether the person decides which apps are let in."""
        return not ADMINISTRATORS.isdisjoint(self.roles)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one tenant; also tells the protocol core who is signed in (smart_auth.people.Sessions)."""

    database: Database
    sessions: BrowserSessions
    attempts: Attempts

    def create(
        self,
        email: str,
        name: str,
        roles: Sequence[str],
        fhir_user: str | None = None,
        hashed: str | None = None,
        given: Given | None = None,
    ) -> Account:
        """A new account; `email` in the form of mail.email_address, `hashed` of password.hash_password, or None where the
        person signs in another way; `given` says who has chosen that password for the person. Raises EmailTaken, ValueError.
        """
        _check_binding(fhir_user, roles)
        id_ = uuid.uuid4().hex
        values = {"id": id_, "email": email, "name": name[:200], "fhir_user": fhir_user, "roles": list(roles)}
        if not self.database.run(CREATE, {**values, "password": hashed, "given": given}):
            raise EmailTaken
        made = self.by_id(id_)
        assert made is not None, "made just now"
        return made

    def by_id(self, id_: str) -> Account | None:
        return _account(self.database.one(BY_ID, {"id": id_}))

    def by_email(self, email: str) -> Account | None:
        return _account(self.database.one(BY_EMAIL, {"email": email}))

    def all(self) -> list[Account]:
        """The accounts in the order they were made, at most 1000."""
        return [account for row in self.database.all(ALL) if (account := _account(row))]

    def sign_in(self, email: str, password: str, visitor: Visitor) -> Account:
        """The account whose address and password these are. Raises SignInRefused, TooMany, Busy; takes the same time for all.

        The try stays counted until `welcome`, so that knowing a password gives no free guesses at the second factor.
        """
        self.attempts.reserve(*self._bounds(email, visitor))
        row = self.database.one(BY_EMAIL, {"email": email})
        fits = verify_password(row["password"] if row else None, password)
        account = _account(row)
        if row is None or account is None or not fits or account.disabled:
            raise SignInRefused
        if is_outdated(row["password"]):
            self.set_password(account, password, account.password_given)
        return account

    def check_password(self, account: Account, password: str, visitor: Visitor) -> bool:
        """Whether the signed-in person knows the password. Counted as a sign-in is, until `trust`. Raises TooMany, Busy."""
        try:
            self.sign_in(account.email, password, visitor)
        except SignInRefused:
            return False
        return True

    def trust(self, account: Account, visitor: Visitor) -> None:
        """Forgets the tries of one who has proved all there is to prove."""
        self.attempts.forget(*self._bounds(account.email, visitor))

    def welcome(self, account: Account, visitor: Visitor, factors: Sequence[str], before: Session | None = None) -> str:
        """The cookie of a session for one who has proved all there is to prove, in a browser that is known from now on.

        `before` is the session of the same browser until now: the same person goes on in it, another one ends it.
        """
        self.trust(account, visitor)
        self.database.run(REMEMBER, {"account": account.id, "hash": digest(visitor.browser)})
        self.database.run(FORGET, {"account": account.id, "all": False, "most": DEVICES})
        if before and before.account == account.id:
            return self.sessions.renew(before, factors)
        if before:
            self.sessions.end(before.account, before.id)
        return self.sessions.start(account.id, factors, visitor.agent, visitor.network)[1]

    def is_password(self, account: Account, password: str) -> bool:
        """Whether this is the password, asked on behalf of one who has proved all there is to prove. Raises Busy."""
        row = self.database.one(BY_ID, {"id": account.id})
        return row is not None and verify_password(row["password"], password)

    def set_password(self, account: Account, password: str, given: Given | None = None) -> None:
        """Sets the password, checked before with password.check_password; `given`: by whom for the person. Raises Busy."""
        self.database.run(SET_PASSWORD, {"id": account.id, "password": hash_password(password), "given": given})

    def set_name(self, account: Account, name: str) -> None:
        self.database.run(SET_NAME, {"id": account.id, "name": name})

    def set_email(self, account: Account, email: str) -> None:
        """Sets the address, which the person has shown to be theirs. Raises EmailTaken."""
        if not self.database.run(SET_EMAIL, {"id": account.id, "email": email}):
            raise EmailTaken

    def bind(self, account: Account, fhir_user: str | None, roles: Sequence[str]) -> None:
        """Binds the account to a person of the FHIR store and gives it roles. Raises ValueError."""
        _check_binding(fhir_user, roles)
        self.database.run(BIND, {"id": account.id, "fhir_user": fhir_user, "roles": list(roles)})

    def disable(self, account: Account, *, disabled: bool = True) -> None:
        """Closes the account, its sessions and all that apps hold of it at once, or opens it again."""
        with self.database.transaction() as connection:
            run(connection, self.database.tenant, DISABLE, {"id": account.id, "disabled": disabled})
            if disabled:
                self.sessions.close(connection, account.id)

    def forget_devices(self, account: Account) -> None:
        """Knows no browser of the account any more."""
        self.database.run(FORGET, {"account": account.id, "all": True, "most": 0})

    def by_session(self, cookie: str) -> Account | None:
        """The account a session's cookie opens."""
        session = self.sessions.by_cookie(cookie)
        return self.by_id(session.account) if session else None

    def by_cookies(self, cookies: Mapping[str, str]) -> SignedIn | None:
        """Who is signed in with these cookies."""
        session = self.sessions.by_cookie(session_cookie(cookies))
        account = self.by_id(session.account) if session else None
        return signed_in(account, session.id, session.proved.timestamp()) if session and account else None

    def by_account(self, account: str) -> SignedIn | None:
        """The person of an account as it is now, or None where it is gone or disabled."""
        found = self.by_id(account)
        return signed_in(found) if found and not found.disabled else None

    def is_alive(self, session: str) -> bool:
        """Whether a session has neither ended nor expired."""
        return self.sessions.is_alive(session)

    def _bounds(self, email: str, visitor: Visitor) -> Sequence[tuple[Bound, str]]:
        known = self.database.one(KNOWN, {"email": email, "hash": digest(visitor.browser)})
        return sign_in_bounds(email, visitor.network, visitor.browser if known else None)


def _account(row: Row | None) -> Account | None:
    if row is None:
        return None
    return Account(
        id=row["id"],
        tenant=row["tenant"],
        email=row["email"],
        name=row["name"],
        fhir_user=row["fhir_user"],
        roles=tuple(row["roles"]),
        has_password=row["password"] is not None,
        has_totp=row["has_totp"],
        disabled=row["disabled"],
        password_given=row["password_given"],
    )


def signed_in(account: Account, session: str = "", authenticated: float = 0.0) -> SignedIn:
    """The person of an account as the protocol core knows them, in a session or without."""
    return SignedIn(account.id, account.name, account.email, account.fhir_user, account.roles, session, authenticated)


def _check_binding(fhir_user: str | None, roles: Sequence[str]) -> None:
    if not roles or not set(roles) <= set(ROLES):
        raise ValueError(f"roles are of {', '.join(ROLES)}")
    if fhir_user is not None and not PERSON.fullmatch(fhir_user):
        raise ValueError(f"{fhir_user} is no reference to a person")
