"""Registering a client: its metadata checked, by an administrator's hand or by the client itself over HTTP.

https://www.rfc-editor.org/rfc/rfc7591
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from smart_auth.client import GRANTS, METHODS, Client, Clients, Status
from smart_auth.configuration import Configuration
from smart_auth.error import OAuthError
from smart_auth.event import Event, Journal
from smart_auth.jwks import UnusableKeys, check_inline
from smart_auth.lockout import Attempts, Bound, TooMany, network_of
from smart_auth.scope import OWN, Scopes

MOST_REDIRECTS = 20
LONGEST_URL = 2000
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
# What a client may ask for that names no scope: all that a person could grant it.
USUAL = (
    "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access"
    " patient/*.cruds user/*.cruds"
)
# How many may wait for approval at once, so that nobody fills the database.
MOST_PENDING = 500
FROM = Bound("registration from", 20, 3600, 10, 600)

_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+")
_PRINTABLE = re.compile(r"[!-~]+")


def invalid_metadata(description: str) -> OAuthError:
    return OAuthError("invalid_client_metadata", description)


@dataclass(frozen=True, slots=True)
class Registration:
    """Registers clients that come by themselves, as far as the installation lets them."""

    configuration: Configuration
    clients: Clients
    attempts: Attempts
    journal: Journal

    def register(self, metadata: Mapping[str, Any], network: str) -> dict[str, Any]:
        """What RFC 7591 answers with, and the client's `status`. Raises OAuthError.

        One that is to act without a person waits for approval even where others need not.
        """
        try:
            client, secret = self._registered(metadata, network)
        except OAuthError as error:
            self.journal.note(Event("register", "failure", network=network, detail=str(error)[:500]))
            raise
        self.journal.note(Event("register", "success", client.id, network=network, detail=client.status))
        told = metadata_of(client)
        return told if secret is None else {**told, "client_secret": secret, "client_secret_expires_at": 0}

    def _registered(self, metadata: Mapping[str, Any], network: str) -> tuple[Client, str | None]:
        if self.configuration.registration == "closed":
            raise OAuthError("access_denied", "clients are registered by those who run this server", 403)
        client = client_of_metadata(metadata, self.configuration, own=False)
        is_free = self.configuration.registration == "open" and "client_credentials" not in client.grants
        status: Status = "active" if is_free else "pending"
        try:
            self.attempts.reserve((FROM, network_of(network)))
        except TooMany as wait:
            raise OAuthError("temporarily_unavailable", f"try again in {wait.seconds} seconds", 429) from wait
        if status == "pending" and self.clients.pending() >= MOST_PENDING:
            raise OAuthError("temporarily_unavailable", "too many clients wait for approval", 429)
        return self.clients.add(replace(client, status=status))


def client_of_metadata(metadata: Mapping[str, Any], facts: Configuration, *, own: bool) -> Client:
    """A new client, active, with an id of its own, from the metadata of RFC 7591 (and `launch_url`).

    `own`: an administrator registers it, who may give every scope. A client that registers itself gets none of ours.
    Raises OAuthError.
    """
    method = _text(metadata, "token_endpoint_auth_method") or "client_secret_basic"
    if method not in METHODS:
        raise invalid_metadata(f"token_endpoint_auth_method is one of {', '.join(METHODS)}")
    grants = _grants(metadata)
    scope = _scope(metadata, facts, method, grants, own=own)
    jwks, jwks_url = _keys(metadata, method, facts)
    return Client(
        id=secrets.token_hex(16),  # never with a dash in front, which commands would take for an option
        name=_name(metadata),
        kind=METHODS[method],
        scope=scope.text(),
        grants=grants,
        redirect_uris=_redirect_uris(metadata, grants),
        launch_url=_url(metadata, "launch_url", facts) or _url(metadata, "initiate_login_uri", facts),
        jwks=jwks,
        jwks_url=jwks_url,
        self_registered=not own,
        homepage=_url(metadata, "client_uri", facts),
        logo=_url(metadata, "logo_uri", facts),
        policy=_url(metadata, "policy_uri", facts),
        contact=_contact(metadata),
    )


def metadata_of(client: Client) -> dict[str, Any]:
    """What a client is told of itself; without its secret, which is not kept."""
    told: dict[str, Any] = {
        "client_id": client.id,
        "status": client.status,
        "client_name": client.name,
        "token_endpoint_auth_method": client.method,
        "grant_types": list(client.grants),
        "response_types": ["code"] if "authorization_code" in client.grants else [],
        "redirect_uris": list(client.redirect_uris) or None,
        "scope": client.scope,
        "launch_url": client.launch_url,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_url,
        "client_uri": client.homepage,
        "logo_uri": client.logo,
        "policy_uri": client.policy,
        "contacts": [client.contact] if client.contact else None,
        "client_id_issued_at": int(client.created.timestamp()) if client.created else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _name(metadata: Mapping[str, Any]) -> str:
    name = _text(metadata, "client_name") or "App without a name"
    if len(name) > 200 or not name.isprintable() or not name.strip():
        raise invalid_metadata("client_name has 1 to 200 printable characters")
    return name.strip()


def _contact(metadata: Mapping[str, Any]) -> str | None:
    match metadata.get("contacts"):
        case None | []:
            return None
        case [str(first), *_] if len(first) <= 254 and first.isprintable():
            return first
    raise invalid_metadata("contacts is a list of addresses")


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid_metadata(f"{name} is a string")
    return value


def _texts(metadata: Mapping[str, Any], name: str, most: int) -> tuple[str, ...] | None:
    match metadata.get(name):
        case None:
            return None
        case [*values] if all(isinstance(value, str) for value in values) and len(values) <= most:
            return tuple(dict.fromkeys(values))
    raise invalid_metadata(f"{name} is a list of at most {most} strings")


def _grants(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    grants = _texts(metadata, "grant_types", 10) or ("authorization_code", "refresh_token")
    if not set(grants) <= set(GRANTS):
        raise invalid_metadata(f"grant_types are of {', '.join(GRANTS)}")
    types = _texts(metadata, "response_types", 10)
    if types is not None and not set(types) <= {"code"}:
        raise invalid_metadata("the only response type is code")
    return grants


def _scope(
    metadata: Mapping[str, Any], facts: Configuration, method: str, grants: tuple[str, ...], *, own: bool
) -> Scopes:
    """What the client may ask for; what is not known here is left out, as the answer tells."""
    by_person, by_itself = "authorization_code" in grants, "client_credentials" in grants
    scopes = facts.scopes(_text(metadata, "scope") or (USUAL if by_person else ""))
    if OWN & scopes.others and not own:
        raise invalid_metadata("scopes that begin with two underscores are given by an administrator")
    if by_itself and method != "private_key_jwt":
        raise invalid_metadata("client_credentials needs private_key_jwt")
    if scopes.has_level("system") and not by_itself:
        raise invalid_metadata("system scopes need the grant type client_credentials")
    if by_itself and not (scopes.has_level("system") or OWN & scopes.others):
        raise invalid_metadata("client_credentials needs system scopes")
    if "refresh_token" not in grants:
        scopes = Scopes(scopes.resources, scopes.others - {"offline_access", "online_access"})
    if not scopes:
        raise invalid_metadata("none of the scopes is known here")
    return scopes


def _keys(
    metadata: Mapping[str, Any], method: str, facts: Configuration
) -> tuple[Mapping[str, Any] | None, str | None]:
    jwks, url = metadata.get("jwks"), _url(metadata, "jwks_uri", facts)
    if method != "private_key_jwt":
        if jwks is not None or url is not None:
            raise invalid_metadata("keys are for private_key_jwt")
        return None, None
    if (jwks is None) == (url is None):
        raise invalid_metadata("private_key_jwt needs either jwks or jwks_uri")
    if jwks is None:
        return None, url
    try:
        check_inline(jwks)
    except UnusableKeys as error:
        raise invalid_metadata(f"jwks cannot be used: {error}") from error
    return {"keys": [_public(key) for key in jwks["keys"]]}, None


def _public(key: Mapping[str, Any]) -> dict[str, str]:
    """What of a key is kept: nothing but what verifying needs."""
    kept = {name: key[name] for name in ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y") if name in key}
    if not all(isinstance(value, str) and value.isprintable() for value in kept.values()):
        raise invalid_metadata("what stands in a key of jwks is a string of printable characters")
    return kept


def _url(metadata: Mapping[str, Any], name: str, facts: Configuration) -> str | None:
    """A web address; plain HTTP only on this machine, and only where development is allowed for."""
    url = _text(metadata, name)
    if url is None:
        return None
    parts = _split(url, lambda: invalid_metadata(f"{name} is not a URL"))
    safe = parts.scheme == "https" or (facts.loopback and parts.scheme == "http" and (parts.hostname or "") in LOOPBACK)
    if not safe or not parts.hostname or parts.username is not None:
        raise invalid_metadata(f"{name} is an https URL")
    return url


def _redirect_uris(metadata: Mapping[str, Any], grants: tuple[str, ...]) -> tuple[str, ...]:
    uris = _texts(metadata, "redirect_uris", MOST_REDIRECTS) or ()
    if "authorization_code" in grants and not uris:
        raise OAuthError("invalid_redirect_uri", "redirect_uris are needed for authorization_code")
    for uri in uris:
        _check_redirect(uri)
    return uris


def _check_redirect(uri: str) -> None:
    """HTTPS, plain HTTP to the device itself, or an app's private scheme with a dot in it (RFC 8252); no fragment."""
    parts = _split(uri, lambda: OAuthError("invalid_redirect_uri", "a redirect URI is not a URL"))
    match parts.scheme:
        case "https":
            fit = bool(parts.hostname)
        case "http":
            fit = parts.hostname in LOOPBACK
        case scheme:
            fit = bool(_PRIVATE_SCHEME.fullmatch(scheme))
    if not fit or parts.username is not None or "#" in uri:
        text = (
            "redirect URIs are https, http to the device itself, or of a scheme like org.example.app; without fragment"
        )
        raise OAuthError("invalid_redirect_uri", text)


def _split(url: str, refusal: Callable[[], OAuthError]) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        raise refusal() from None
    if len(url) > LONGEST_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise refusal()
    return parts
