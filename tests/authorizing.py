"""A running server with its own authorization server, people and apps, and a browser that fills in its forms.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

import contextlib
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from fhir_server.app import create_app
from fhir_server.settings import Settings
from fhir_server.smart import configuration_of, database_of, key_of
from profiles.definitions import r4
from smart_auth.account import Account, Accounts
from smart_auth.client import Client, Clients
from smart_auth.configuration import Configuration
from smart_auth.pages.site import accounts_of
from smart_auth.store import Database
from tests.running import FHIR_JSON, serve
from tests.smart_auth.persons import HASHED, PASSWORD, cheap_passwords

BACK = "https://app.example/back"
VERIFIER = "v" * 64
SCOPE = "launch/patient openid fhirUser patient/*.rs"
PUBLIC = Client(
    "growth", "Growth Chart", "public",
    "launch launch/patient launch/encounter openid fhirUser profile offline_access online_access patient/*.cruds user/*.cruds",
    redirect_uris=(BACK,), launch_url="https://app.example/launch",
)  # fmt: skip


def challenge(verifier: str = VERIFIER) -> str:
    """The S256 code challenge of a verifier."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Form:
    """A form of a page: where it goes, its fields, and the buttons it can be sent with."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """The forms of a page, as a browser would send them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(values.get("action", ""), values.get("method", "get")))
        elif self.found and tag == "input" and values.get("name"):
            if values.get("type") in ("checkbox", "radio") and "checked" not in values:
                return
            self.found[-1].fields.append((values["name"], values.get("value", "")))
        elif self.found and tag == "button" and values.get("name"):
            self.found[-1].buttons.append((values["name"], values.get("value", "")))


class Browser:
    """A person's browser: keeps cookies, follows redirects within the server, and stops where an app begins."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.http = httpx.Client(timeout=60)
        self.page: httpx.Response | None = None

    def open(self, url: str) -> str:
        """Goes there, and on until a page or an app is reached; returns the address it ends at."""
        return self._follow(self.http.get(urljoin(self.origin, url)))

    def send(self, path: str, button: tuple[str, str] | None = None, **typed: str) -> str:
        """Sends the form of the page that goes to `path`, with what is typed and the button that is pressed."""
        assert self.page is not None, "a page is open"
        form = next(one for one in Forms(self.page.text).found if one.action == path)
        fields = [pair for pair in form.fields if pair[0] not in typed] + list(typed.items())
        pairs = [*fields, *([button] if button else [])]
        data: dict[str, list[str]] = {}
        for name, value in pairs:
            data.setdefault(name, []).append(value)
        url = urljoin(self.origin, path)
        return self._follow(
            self.http.post(url, data=data) if form.method == "post" else self.http.get(url, params=data)
        )

    def post(self, url: str, data: Mapping[str, str]) -> str:
        """Sends a form of an app's own page: cookies do not go with it."""
        kept, self.http.cookies = self.http.cookies, httpx.Cookies()
        answer = self.http.post(urljoin(self.origin, url), data=dict(data))
        self.http.cookies = kept
        return self._follow(answer)

    def sign_in(self, email: str, password: str = PASSWORD) -> str:
        return self.send("/auth/login", email=email, password=password)

    def press(self, name: str, value: str) -> str:
        """Presses a button, in whichever form it is."""
        assert self.page is not None, "a page is open"
        form = next(one for one in Forms(self.page.text).found if (name, value) in one.buttons)
        return self._follow(self.http.post(urljoin(self.origin, form.action), data=dict([*form.fields, (name, value)])))

    def _follow(self, answer: httpx.Response) -> str:
        for _ in range(10):
            if not answer.is_redirect:
                self.page = answer
                return str(answer.url)
            target = urljoin(str(answer.url), answer.headers["location"])
            if not target.startswith(f"{self.origin}/"):
                self.page = None
                return target
            answer = self.http.get(target)
        raise AssertionError("the pages lead in circles")


@dataclass(frozen=True)
class Hospital:
    """A running server; `setup` writes to the store as a system that may do everything."""

    base: str
    origin: str
    database: Database
    accounts: Accounts
    clients: Clients
    facts: Configuration
    closing: contextlib.ExitStack

    def browser(self) -> Browser:
        """A browser that nobody has used yet, closed with the server."""
        made = Browser(self.origin)
        self.closing.callback(made.http.close)
        return made

    def account(self, email: str, *roles: str, fhir_user: str | None = None, name: str = "Vera Beispiel") -> Account:
        return self.accounts.create(email, name, roles or ("practitioner",), fhir_user, HASHED)

    def app(self, client: Client = PUBLIC, **changes: Any) -> tuple[Client, str | None]:
        return self.clients.add(replace(client, **changes))

    def request(self, client: str = "growth", **changes: str | None) -> dict[str, str]:
        """The parameters of an authorization request; None leaves one out."""
        usual: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": BACK,
            "scope": SCOPE,
            "state": "abc",
            "aud": self.base,
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def address(self, client: str = "growth", **changes: str | None) -> str:
        return str(httpx.URL(f"{self.origin}/auth/authorize", params=self.request(client, **changes)))

    def token(self, code: str, *, auth: tuple[str, str] | None = None, **changes: str) -> httpx.Response:
        """The answer of the token endpoint to a code."""
        data = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        if auth is None:
            data["client_id"] = "growth"
        return httpx.post(
            f"{self.origin}/auth/token", data=data | changes, auth=auth or httpx.USE_CLIENT_DEFAULT, timeout=60
        )

    def read(self, path: str, token: str) -> httpx.Response:
        return httpx.get(
            f"{self.base}/{path}", headers={"accept": FHIR_JSON, "authorization": f"Bearer {token}"}, timeout=60
        )


def answer_of(url: str) -> dict[str, str]:
    """What an app is told in the query of its redirect."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}


@contextlib.contextmanager
def hospital(database_url: str, data_dir: Path, **settings: Any) -> Iterator[Hospital]:
    """A server that asks for tokens, and has given none yet; its passwords cost next to nothing."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as bound:
        cheap_passwords(patch)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        told = Settings(database_url=database_url, data_dir=data_dir, port=port, security="smart", **settings)
        with serve(create_app(told), bound):
            database = database_of(told)
            database.open()
            facts = configuration_of(told, 1, r4().resource_types)
            accounts = accounts_of(database, key_of(told))
            with contextlib.ExitStack() as closing:
                closing.callback(database.close)
                yield Hospital(told.fhir_base, told.origin, database, accounts, Clients(database), facts, closing)
