"""The pages under a real HTTP server, with a village behind them and one app that asks."""

# ruff: noqa: ARG002 - a stand-in is given what the real one needs

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI

from smart_auth.authorization import ConnectedApp, Pending
from smart_auth.client import Client
from smart_auth.configuration import Configuration
from smart_auth.error import Unsafe, invalid_request
from smart_auth.external import Provider
from smart_auth.launch import Launch
from smart_auth.mail import Letter
from smart_auth.pages.router import pages_router
from smart_auth.pages.site import House, Site, site_of
from smart_auth.people import SignedIn
from smart_auth.scope import parse_scopes
from smart_auth.store import Database
from tests.running import serve
from tests.smart_auth.persons import KEY, Diary, Village, accounts, village

TYPES = (
    "Patient",
    "Observation",
    "Condition",
    "MedicationRequest",
    "Immunization",
    "DiagnosticReport",
    "Encounter",
    "AllergyIntolerance",
)
ASKED = "launch/patient openid fhirUser offline_access patient/*.rs patient/Observation.cruds patient/Condition.rs?category=x|problem-list-item"
APP = Client(
    "app", "Growth Chart", "public", ASKED, redirect_uris=("https://growth.example/back",), self_registered=True
)
PENDING = "p" * 43


@dataclass
class Desk:
    """The protocol core as far as the pages see it: one app, one request, and what became of it."""

    request: Pending = field(
        default_factory=lambda: Pending(PENDING, APP, parse_scopes(ASKED, TYPES), "https://growth.example/back", None)
    )
    granted: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    apps: list[Client] = field(default_factory=list)
    page: str = ""  # the one that is next, in place of the one that would be

    def begin(self, query: bytes, browser: bytes | None) -> str:
        raise Unsafe("No app begins anything here.")

    def launchable(self) -> Sequence[Client]:
        return self.apps

    def launch(self, launch: Launch) -> tuple[str, str]:
        raise invalid_request("no app can be started here")

    def pending(self, id_: str, browser: bytes, network: str) -> Pending | None:
        return self.request if id_ == self.request.id else None

    def next(self, pending: Pending, person: SignedIn | None) -> str:
        page = "login" if person is None else self.page or ("consent" if pending.patient else "pick")
        return f"/auth/{page}?pending={pending.id}"

    def choose(self, pending: Pending, person: SignedIn, patient: str | None, encounter: str | None) -> None:
        self.request = replace(pending, patient=patient or pending.patient)

    def approve(self, pending: Pending, person: SignedIn, granted: Sequence[str]) -> str:
        self.granted = list(granted)
        return f"{pending.redirect_uri}?code=1&state=2"

    def deny(self, pending: Pending) -> str:
        return f"{pending.redirect_uri}?error=access_denied&state=2"

    def apps_of(self, account: str) -> Sequence[ConnectedApp]:
        if "app" in self.withdrawn:
            return []
        return [ConnectedApp(APP, parse_scopes(ASKED, TYPES), datetime(2026, 3, 4, 5, 6, tzinfo=UTC))]

    def withdraw(self, account: str, client: str) -> None:
        self.withdrawn.append(client)


@dataclass
class Hall:
    """A running server of the pages, and what stands behind them."""

    origin: str
    site: Site
    desk: Desk
    village: Village
    diary: Diary

    def letters(self, least: int = 0) -> list[Letter]:
        """The letters, the newest first, once there are so many: they are written after the answer has gone out."""
        assert self.site.outbox is not None
        end = time.monotonic() + 10
        while len(found := self.site.outbox.letters()) < least:
            assert time.monotonic() < end, f"{len(found)} letters in place of {least}"
            time.sleep(0.01)
        return [kept.letter for kept in found]


@contextlib.contextmanager
def hall(database_url: str, data_dir: Path, provider: Provider | None = None, **house: object) -> Iterator[Hall]:
    """The pages of a hospital at http://localhost:PORT."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        origin = f"http://localhost:{bound.getsockname()[1]}"
        database = Database(database_url, 1)
        database.open()
        people, desk, diary = village(), Desk(), Diary()
        facts = Configuration(origin, f"{origin}/fhir", 1, TYPES)
        told = {"organization": "Riverside Hospital", "provider": provider, **house}
        site = site_of(facts, database, KEY, accounts(database), desk, people, diary, House(data_dir, **told))
        app = FastAPI()
        app.include_router(pages_router(site))
        try:
            with serve(app, bound):
                yield Hall(origin, site, desk, people, diary)
        finally:
            database.close()
