"""The authorization request: which client asks, for what, and whether it may be answered by a redirect at all.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from smart_auth.client import Client, Clients
from smart_auth.configuration import Configuration
from smart_auth.error import OAuthError, Unsafe, invalid_request, invalid_scope
from smart_auth.launch import Launch, Launches
from smart_auth.pending import AuthorizationRequest
from smart_auth.scope import LONGEST, Scopes, narrowed

LONGEST_QUERY = 64 * 1024
MOST_PARAMETERS = 50
# What each parameter may hold in characters; others are not looked at.
BOUNDS: Mapping[str, int] = {
    "response_type": 40,
    "response_mode": 40,
    "client_id": 128,
    "redirect_uri": 2000,
    "scope": LONGEST,
    "state": 8192,
    "aud": 2000,
    "launch": 200,
    "code_challenge": 200,
    "code_challenge_method": 20,
    "nonce": 1000,
    "prompt": 100,
    "max_age": 10,
    "request": 100_000,
    "request_uri": 2000,
}
PROMPTS = frozenset(("none", "login", "consent", "select_account"))
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
STATUS = {"pending": "waits for the approval of this organization", "disabled": "was closed by this organization"}


class Returned(Exception):
    """A refusal that the client is told by a redirect to `url`; `error` says why."""

    def __init__(self, url: str, error: OAuthError, client: str) -> None:
        super().__init__(str(error))
        self.url = url
        self.error = error
        self.client = client


@dataclass(frozen=True, slots=True)
class Authorize:
    """What authorization requests are looked at with."""

    configuration: Configuration
    clients: Clients
    launches: Launches

    def request(self, query: bytes, now: float) -> AuthorizationRequest:
        """The request in a query string or form. `now` in seconds since 1970.

        Raises Unsafe where nobody may be redirected: the client or its redirect_uri is wrong. Raises Returned for the rest.
        """
        values, repeated = parameters_of(query)
        client = self._client(values, repeated)
        uri = _redirect_uri(client, values, repeated)
        try:
            return self._checked(client, uri, values, repeated, now)
        except OAuthError as error:
            state = values.get("state") if "state" not in repeated else None
            raise Returned(error_redirect(self.configuration, uri, state, error), error, client.id) from None

    def _client(self, values: Mapping[str, str], repeated: frozenset[str]) -> Client:
        id_ = values.get("client_id", "")
        if not id_ or "client_id" in repeated:
            raise Unsafe("The address does not say which app asks (client_id).")
        client = self.clients.by_id(id_)
        if client is None:
            raise Unsafe("No app of this name (client_id) is registered here.")
        if client.status != "active":
            raise Unsafe(f"The app “{client.name}” {STATUS[client.status]}.", 403)
        return client

    def _checked(
        self, client: Client, uri: str, values: Mapping[str, str], repeated: frozenset[str], now: float
    ) -> AuthorizationRequest:
        _check_form(values, repeated)
        _check_kind(client, values)
        self._check_audience(values)
        launch = self._launch(client, values)
        scopes = self.scopes(client, values.get("scope", ""))
        if launch is not None and "launch" not in scopes:
            raise invalid_scope("with launch goes the scope launch, asked for and registered")
        prompts = _prompts(values)
        opened = launch or Launch(client.id, None, banner=True)
        return AuthorizationRequest(
            client=client.id,
            redirect_uri=uri,
            scope=(scopes if launch is not None else without_launch(scopes)).text(),
            state=values["state"],
            challenge=values["code_challenge"],
            nonce=values.get("nonce"),
            silent="none" in prompts,
            not_before=_not_before(values, prompts, now),
            launched=launch is not None,
            launched_by=opened.account,
            patient=opened.patient,
            encounter=opened.encounter,
            context=opened.context,
            banner=opened.banner,
            intent=opened.intent,
        )

    def scopes(self, client: Client, text: str) -> Scopes:
        """What the client may be granted of a scope string by a person. Raises OAuthError where that is nothing."""
        asked = self.configuration.scopes(text)
        usable = narrowed(asked, self.configuration.scopes(client.scope))
        kept = Scopes(tuple(one for one in usable.resources if one.level != "system"), usable.others)
        if not kept:
            raise invalid_scope("nothing of what is asked for can be granted to this client")
        return kept

    def _check_audience(self, values: Mapping[str, str]) -> None:
        if values.get("aud", "").rstrip("/") != self.configuration.fhir_base:
            raise invalid_request(f"aud is to be {self.configuration.fhir_base}")

    def _launch(self, client: Client, values: Mapping[str, str]) -> Launch | None:
        if "launch" not in values:
            return None
        launch = self.launches.find(values["launch"], client.id)
        if launch is None:
            raise invalid_request("launch is unknown, too old, or another app's: start the app anew from the record")
        return launch


def parameters_of(query: bytes) -> tuple[dict[str, str], frozenset[str]]:
    """The parameters of a query string or form that mean something, and the names of those sent more than once.

    A parameter without a value counts as not sent. Raises Unsafe where it cannot be read.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), errors="strict", max_num_fields=MOST_PARAMETERS, keep_blank_values=False
        )
    except ValueError:
        raise Unsafe("The address cannot be read: it has too many parameters, or not in UTF-8.") from None
    known = [(name, value) for name, value in pairs if name in BOUNDS]
    names = [name for name, _ in known]
    return dict(known), frozenset(name for name in names if names.count(name) > 1)


def _redirect_uri(client: Client, values: Mapping[str, str], repeated: frozenset[str]) -> str:
    uri = values.get("redirect_uri", "")
    if "redirect_uri" in repeated or uri not in client.redirect_uris:
        raise Unsafe(f"The address to go back to (redirect_uri) is not one that “{client.name}” has registered.")
    return uri


def _check_form(values: Mapping[str, str], repeated: frozenset[str]) -> None:
    if repeated:
        raise invalid_request(f"{min(repeated)} is sent more than once")
    for name, value in values.items():
        if len(value) > BOUNDS[name] or "\0" in value:
            raise invalid_request(f"{name} is longer than {BOUNDS[name]} characters, or holds a zero byte")
    for name in ("request", "request_uri"):
        if name in values:
            raise OAuthError(f"{name}_not_supported", f"{name} is not supported")


def _check_kind(client: Client, values: Mapping[str, str]) -> None:
    if "authorization_code" not in client.grants:
        raise OAuthError("unauthorized_client", "the client is not registered for authorization_code")
    if values.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type is to be code")
    if values.get("response_mode", "query") != "query":
        raise invalid_request("response_mode is to be query")
    if "state" not in values:
        raise invalid_request("state is missing")
    if values.get("code_challenge_method") != "S256" or not CHALLENGE.fullmatch(values.get("code_challenge", "")):
        raise invalid_request("PKCE is needed: code_challenge_method S256, and a code_challenge of 43 characters")


def _prompts(values: Mapping[str, str]) -> frozenset[str]:
    prompts = frozenset(values.get("prompt", "").split())
    if prompts - PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise invalid_request("prompt is none, or some of login, consent and select_account")
    return prompts


def _not_before(values: Mapping[str, str], prompts: frozenset[str], now: float) -> float:
    """When the person must have signed in at the earliest."""
    if prompts & {"login", "select_account"}:
        return now
    if "max_age" not in values:
        return 0.0
    if not (values["max_age"].isascii() and values["max_age"].isdigit()):
        raise invalid_request("max_age is a number of seconds")
    return max(0.0, now - int(values["max_age"]))


def without_launch(scopes: Scopes) -> Scopes:
    """The scopes of an app that was not started from a record: it has no launch to learn about."""
    return Scopes(scopes.resources, scopes.others - {"launch"})


def error_redirect(configuration: Configuration, uri: str, state: str | None, error: OAuthError) -> str:
    """Where the browser goes with a refusal."""
    told = [*error.body().items(), *([("state", state)] if state is not None else [])]
    return redirect(uri, [*told, ("iss", configuration.issuer)])


def redirect(uri: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The redirect_uri with parameters added; what it has already stays as it is."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(pairs)}"
