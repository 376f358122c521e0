"""Page links without server state: the position behind which a page starts, encrypted and signed.

https://hl7.org/fhir/R4/http.html#paging. A position holds sort values, which may be names or birth dates, so it is
encrypted (AES-256-GCM): nothing of a patient stands in a link of ours. Tenant and query are bound to it.
"""

import base64
import binascii
import functools
import os
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.outcome import Refusal, refuse
from fhir_server.search.query import Page

NONCE = 12
_cipher = functools.lru_cache(maxsize=8)(AESGCM)  # of each key once


def seal(page: Page, page_key: bytes, bound: str) -> str:
    """The token of a position; `bound` (tenant, path and parameters) must be the same when it is opened."""
    plain = msgspec.json.encode([page.pk, page.backwards, [_tagged(value) for value in page.values]])
    nonce = os.urandom(NONCE)
    sealed = _cipher(page_key).encrypt(nonce, plain, bound.encode())
    return base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()


def unseal(token: str, page_key: bytes, bound: str) -> Page:
    """The position of a token; a 400 refusal where it was changed, belongs to another query or to another tenant."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        plain = _cipher(page_key).decrypt(raw[:NONCE], raw[NONCE:], bound.encode())
    except (InvalidTag, ValueError, binascii.Error, UnicodeEncodeError):
        raise _refusal() from None
    pk, backwards, values = msgspec.json.decode(plain)
    return Page(tuple(_untagged(value) for value in values), pk, backwards)


def _refusal() -> Refusal:
    return refuse("value", "_cursor is not a page link of this search: start again from its first page", "_cursor")


def _tagged(value: Any) -> Sequence[Any]:
    match value:
        case None:
            return ["n"]
        case datetime():
            return ["t", value.isoformat()]
        case date():
            return ["d", value.isoformat()]
        case Decimal():
            return ["m", str(value)]
        case _:
            return ["s", str(value)]


def _untagged(value: Sequence[Any]) -> Any:
    match value:
        case ["t", text]:
            return datetime.fromisoformat(text)
        case ["d", text]:
            return date.fromisoformat(text)
        case ["m", text]:
            return Decimal(text)
        case ["s", text]:
            return text
        case _:
            return None
