"""Fetching a document from an address that somebody else named, without being led to where only we can reach.

https://owasp.org/www-community/attacks/Server_Side_Request_Forgery
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from typing_extensions import Buffer

SECONDS = 5.0
BYTES = 64 * 1024
# Addresses of IPv6 that carry one of IPv4 inside, which could be any.
CARRIERS = tuple(IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))


class Unretrievable(Exception):
    """The document cannot be had; the message says why without telling what stands at an address of ours."""


@dataclass(frozen=True, slots=True)
class Document:
    """What was answered with status 200; names of headers are in lower case, repeated ones joined by commas."""

    headers: Mapping[str, str]
    body: bytes


def retrieve(url: str, *, loopback: bool = False) -> Document:
    """GETs an https URL (with `loopback` also http, from this machine alone). Follows no redirect.

    Connects only to the address that was checked, for five seconds and 64 KiB at most. Raises Unretrievable.
    """
    end = time.monotonic() + SECONDS
    parts = _parts(url)
    address = _address(parts, loopback=loopback)
    try:
        with _connected(parts, address, end) as sock:
            return _get(parts, sock, end)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unretrievable("the address could not be reached, or answered too late or not as HTTP does") from error


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Unretrievable("the address is not a URL") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None or port == 0:
        raise Unretrievable("the address is not a plain https URL")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _address(parts: SplitResult, *, loopback: bool) -> str:
    """The one address to connect to. All that the name stands for are judged, so that none can be smuggled in."""
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unretrievable("the name of the address is not known") from error
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    own = loopback and all(address.is_loopback for address in addresses)
    if not addresses or not (own or all(is_public(address) for address in addresses)):
        raise Unretrievable("the address is not on the public internet")
    if parts.scheme != "https" and not own:
        raise Unretrievable("the address is not a plain https URL")
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one that everybody on the internet can reach."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in net for net in CARRIERS):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _connected(parts: SplitResult, address: str, end: float) -> socket.socket:
    sock = socket.create_connection((address, _port(parts)), timeout=_left(end))
    if parts.scheme == "http":
        return sock
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed(io.RawIOBase):
    """What a socket receives, until an end that a slow sender cannot move."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        super().__init__()
        self._sock = sock
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        self._sock.settimeout(_left(self._end))
        return self._sock.recv_into(buffer)


@dataclass(frozen=True, slots=True)
class _Stream:
    """As much of a socket as http.client.HTTPResponse asks for."""

    sock: socket.socket
    end: float

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Timed(self.sock, self.end))


def _get(parts: SplitResult, sock: socket.socket, end: float) -> Document:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: application/jwk-set+json, application/json",
        "User-Agent: MediConnect",
        "Connection: close",
    )
    if any(not line.isascii() or not line.isprintable() for line in lines) or " " in path:
        raise Unretrievable("the address is not a URL")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    response = http.client.HTTPResponse(_Stream(sock, end), method="GET")  # type: ignore[arg-type]  # asks for makefile alone
    response.begin()
    if response.status != 200:
        raise Unretrievable(f"the address answered with status {response.status}")
    body = response.read(BYTES + 1)
    if len(body) > BYTES:
        raise Unretrievable(f"the document is longer than {BYTES} bytes")
    return Document({name.lower(): response.getheader(name, "") for name, _ in response.getheaders()}, body)
