"""Client authentication: by a secret (HTTP Basic), by a signed assertion, or, for public clients, by name alone.

https://www.rfc-editor.org/rfc/rfc6749#section-2.3 and https://www.rfc-editor.org/rfc/rfc7523#section-2.2
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from urllib.parse import unquote_plus

from smart_auth.assertion import TYPE, Assertions, read_assertion
from smart_auth.cipher import digest, same
from smart_auth.client import Client, Clients
from smart_auth.error import OAuthError, invalid_client, invalid_request
from smart_auth.form import Form


@dataclass(frozen=True, slots=True)
class ClientAuthentication:
    """Tells which client of one tenant a request is from."""

    clients: Clients
    assertions: Assertions

    def client(self, form: Form) -> Client:
        """The client, proven as its registration says. Raises OAuthError: invalid_client (401), invalid_request (400)."""
        basic = _is_basic(form.authorization)
        asserted = form.get("client_assertion") is not None or form.get("client_assertion_type") is not None
        if basic and asserted:
            raise invalid_request("one way of client authentication at a time")
        if form.get("client_secret") is not None:
            raise invalid_client("client_secret in the body is not accepted: send it by HTTP Basic")
        prove = self._by_secret if basic else self._by_assertion if asserted else self._public
        client = prove(form)
        if form.get("client_id") not in (None, client.id):
            raise invalid_client("client_id names another client")
        match client.status:
            case "pending":
                raise invalid_client("the client waits for the approval of those who run this server")
            case "disabled":
                raise invalid_client("the client is disabled")
        return client

    def claimed(self, form: Form) -> str | None:
        """The client of ours that the request says it is from, proven or not: for the record of a refusal."""
        try:
            if _is_basic(form.authorization):
                id_ = _basic(form.authorization or "")[0]
            elif (text := form.get("client_assertion")) is not None:
                id_ = read_assertion(text).issuer
            else:
                id_ = form.get("client_id") or ""
        except OAuthError:
            return None
        client = self.clients.by_id(id_) if id_ else None
        return client.id if client else None

    def _by_secret(self, form: Form) -> Client:
        id_, secret = _basic(form.authorization or "")
        client = self.clients.by_id(id_)
        known = client.secret_hash if client and client.kind == "symmetric" else None
        # Compared in any case, so that the time tells nothing of which clients there are.
        fits = same(digest(secret), known or digest(""))
        if client is None or known is None or not fits:
            raise invalid_client("the client is unknown, or its secret is wrong")
        return client

    def _by_assertion(self, form: Form) -> Client:
        if form.get("client_assertion_type") != TYPE:
            raise invalid_client(f"client_assertion_type is to be {TYPE}")
        text = form.get("client_assertion")
        if text is None:
            raise invalid_client("client_assertion is missing")
        assertion = read_assertion(text)
        client = self.clients.by_id(assertion.issuer) if assertion.issuer else None
        if client is None or client.kind != "asymmetric":
            raise invalid_client("the client is unknown, or has registered no keys")
        self.assertions.check(assertion, client)
        return client

    def _public(self, form: Form) -> Client:
        id_ = form.get("client_id")
        if id_ is None:
            raise invalid_client("the client did not authenticate")
        client = self.clients.by_id(id_)
        if client is None or client.kind != "public":
            raise invalid_client("the client is unknown, or has to authenticate")
        return client


def _is_basic(authorization: str | None) -> bool:
    return (authorization or "").partition(" ")[0].lower() == "basic"


def _basic(authorization: str) -> tuple[str, str]:
    """Name and secret, each form-encoded before they were joined: https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1."""
    try:
        text = b64decode(authorization.partition(" ")[2].strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise invalid_client("the Authorization header is not that of HTTP Basic") from error
    id_, colon, secret = text.partition(":")
    if not colon or "\0" in text:
        raise invalid_client("the Authorization header is not that of HTTP Basic")
    return _decoded(id_), _decoded(secret)


def _decoded(part: str) -> str:
    try:
        return unquote_plus(part, errors="strict")
    except ValueError as error:
        raise invalid_client("the Authorization header is not that of HTTP Basic") from error
