"""An authorization that waits for a person: what the pages are told of it, and what they may decide.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from smart_auth.client import Client
from smart_auth.launch import Launch
from smart_auth.people import SignedIn
from smart_auth.scope import Scopes


@dataclass(frozen=True, slots=True)
class Pending:
    """An authorization request that was found good. `id` is the secret in the address of the pages.

    `scopes` are what the client may be granted of what it asks for; `patient` is the id of the patient, once there is one.
    `network` is the address that it is looked at from just now.
    """

    id: str
    client: Client
    scopes: Scopes
    redirect_uri: str
    patient: str | None
    network: str = ""


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """A client that holds a grant of an account, with all that it may do."""

    client: Client
    scopes: Scopes
    since: datetime


class Authorizations(Protocol):
    """The decisions of one tenant, called from worker threads."""

    def begin(self, query: bytes, browser: bytes | None) -> str:
        """Keeps the authorization request of a query string or form; returns the id it waits under.

        `browser` is the hash of the one that asks; None: that of whichever goes on first. Raises error.Unsafe where nobody
        may be redirected, and authorize.Returned where the client is to be told by a redirect what is wrong.
        """

    def pending(self, id_: str, browser: bytes, network: str) -> Pending | None:
        """The request, for the browser that began it (browser.Browser.hash); None where it is over or another's."""

    def next(self, pending: Pending, person: SignedIn | None) -> str:
        """Where the browser goes next: a page (/auth/login, /auth/pick, /auth/consent with ?pending=) or back to the app.

        Asks for a sign-in where nobody is signed in or not recently enough, for a patient or an encounter where the scopes
        want one that is not chosen, for consent last; a trusted client goes back to its app at once.
        """

    def choose(self, pending: Pending, person: SignedIn, patient: str | None, encounter: str | None) -> None:
        """Keeps whom or what the person has chosen, by id; both None: the person goes on without an encounter."""

    def approve(self, pending: Pending, person: SignedIn, granted: Sequence[str]) -> str:
        """Grants these scopes, words of the request or narrower ones, and returns the redirect to the app with its code."""

    def deny(self, pending: Pending) -> str:
        """Returns the redirect to the app with access_denied."""

    def launchable(self) -> Sequence[Client]:
        """The apps that can be started from a record, by name."""

    def launch(self, launch: Launch) -> tuple[str, str]:
        """Starts an app for what is open: the launch id, and the address to send the browser to. Raises OAuthError.

        That patient and encounter belong together and may be opened is for the caller to know (launch.with_patient).
        """

    def apps_of(self, account: str) -> Sequence[ConnectedApp]:
        """Who holds a grant of the account that goes on."""

    def withdraw(self, account: str, client: str) -> None:
        """Revokes all that a client holds of the account."""
