"""What the pages work with, put together once: accounts, mail, people, and the authorizations that wait for a person.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from smart_auth.account import Accounts
from smart_auth.authorization import Authorizations
from smart_auth.cipher import Cipher
from smart_auth.client import Clients
from smart_auth.configuration import Configuration
from smart_auth.event import Journal
from smart_auth.external import ExternalSignIn, Provider
from smart_auth.grant import Grants
from smart_auth.lockout import Attempts
from smart_auth.mail import Post, Smtp
from smart_auth.outbox import Outbox
from smart_auth.passkey import Passkeys
from smart_auth.people import People
from smart_auth.second_factor import SecondFactors
from smart_auth.session import BrowserSessions
from smart_auth.store import Database
from smart_auth.ticket import Tickets


@dataclass(frozen=True, slots=True)
class House:
    """What an installation says of itself to people, and how its letters go out.

    `smtp_url` empty means the outbox in `data_dir`. `sign_up`: whether patients may make accounts of their own.
    """

    data_dir: Path
    organization: str = "MediConnect"
    sign_up: bool = True
    smtp_url: str = ""
    sender: str = "MediConnect <no-reply@localhost>"
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The parts behind the pages of one tenant."""

    configuration: Configuration
    accounts: Accounts
    clients: Clients
    second_factors: SecondFactors
    passkeys: Passkeys
    tickets: Tickets
    attempts: Attempts
    post: Post
    outbox: Outbox | None
    people: People
    journal: Journal
    authorizations: Authorizations
    external: ExternalSignIn | None
    house: House
    csrf_key: bytes = field(repr=False)

    @property
    def organization(self) -> str:
        return self.house.organization

    @property
    def sign_up(self) -> bool:
        return self.house.sign_up

    @property
    def sessions(self) -> BrowserSessions:
        return self.accounts.sessions

    def link(self, path: str) -> str:
        """The absolute URL of a page, for letters."""
        return self.configuration.endpoint(path)


def accounts_of(database: Database, key: bytes, grants: Grants | None = None) -> Accounts:
    """The accounts of a database's tenant; `key` is the installation's (cipher.secret_key).

    `grants` end with sessions and accounts; None: there are none yet.
    """
    return Accounts(database, BrowserSessions(database, grants), Attempts(database, derived(key, "attempts")))


def site_of(
    configuration: Configuration,
    database: Database,
    key: bytes,
    accounts: Accounts,
    authorizations: Authorizations,
    people: People,
    journal: Journal,
    house: House,
) -> Site:
    """The site of one tenant; `accounts` is what the protocol core knows the signed-in people by."""
    tickets = Tickets(database)
    outbox = None if house.smtp_url else Outbox(house.data_dir / "outbox")
    callback = configuration.endpoint("external/callback")
    return Site(
        configuration=configuration,
        accounts=accounts,
        clients=Clients(database, accounts.sessions.grants),
        second_factors=SecondFactors(database, Cipher(key), derived(key, "recovery codes")),
        passkeys=Passkeys(database, tickets, configuration.origin),
        tickets=tickets,
        attempts=accounts.attempts,
        post=outbox or Smtp(house.smtp_url, house.sender),
        outbox=outbox,
        people=people,
        journal=journal,
        authorizations=authorizations,
        external=ExternalSignIn(database, tickets, house.provider, callback) if house.provider else None,
        house=house,
        csrf_key=derived(key, "csrf"),
    )


def derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose, so that what one of them signs is never good for another."""
    return hmac.new(key, f"mediconnect pages: {purpose}".encode(), sha256).digest()
