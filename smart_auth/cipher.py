"""Secrets at rest: sealed with AES-GCM where they must be read again, hashed where they must not.

https://csrc.nist.gov/pubs/sp/800/38/d/final
"""

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
KEY = 32
FILE = "secret.key"


class Unsealable(Exception):
    """What was sealed with another key, or altered; the message says what to do."""


class Cipher:
    """Seals and opens small secrets under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY:
            raise ValueError(f"the key has {len(key)} bytes, not {KEY}")
        self._aes = AESGCM(key)

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """The secret, readable only with the same key and for the same purpose (a table and a row, for instance)."""
        nonce = os.urandom(NONCE)
        return nonce + self._aes.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises Unsealable."""
        try:
            return self._aes.decrypt(sealed[:NONCE], sealed[NONCE:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise Unsealable(
                "a secret in the database was sealed with another key: restore the data directory's secret.key, or set "
                "MEDICONNECT_SECRET_KEY to what it was"
            ) from error


def secret_key(setting: str, data_dir: Path) -> bytes:
    """The installation's key: from the setting (32 bytes in base64url), else from a file in the data directory, made once.

    Raises ValueError where the setting is not such a key.
    """
    if setting:
        key = urlsafe_b64decode(setting + "=" * (-len(setting) % 4))
        if len(key) != KEY:
            raise ValueError(f"the secret key is to have {KEY} bytes in base64url, it has {len(key)}")
        return key
    path = data_dir / FILE
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path, os.urandom(KEY))
    return path.read_bytes()


def _create(path: Path, key: bytes) -> None:
    """Writes the file whole or not at all; where two processes start at once, one of them wins for both."""
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def new_secret() -> str:
    """256 random bits, fit for URLs, headers and cookies."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """How a random secret is kept. Of no use for passwords, which are not random."""
    return hashlib.sha256(secret.encode()).digest()


def same(left: bytes, right: bytes) -> bool:
    """Comparison that takes the same time wherever the two differ."""
    return hmac.compare_digest(left, right)
