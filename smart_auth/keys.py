"""The keys that sign tokens: made at the first start, kept sealed, replaced by rotation while older ones still verify.

https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from joserfc.jwk import Key, RSAKey

from smart_auth.cipher import Cipher
from smart_auth.store import Database, Jsonb

BITS = 2048
# Longer than the longest access token, so that nothing outlives the key that proves it.
OVERLAP = 86_400
STALE = 30.0
LEAST_WAIT = 1.0


class SigningKeys:
    """The keys of one tenant. Safe to use from several threads and processes."""

    def __init__(self, database: Database, cipher: Cipher, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock
        self._lock = threading.Lock()
        self._public: dict[str, Key] = {}
        self._signing: tuple[str, Key] | None = None
        self._read_at = float("-inf")

    def signing(self) -> tuple[str, Key]:
        """The `kid` and the private key to sign with; made where there is none yet."""
        with self._lock:
            if self._signing is None or self._clock() - self._read_at > STALE:
                self._read()
            if self._signing is None:
                self._make()
                self._read()
            assert self._signing is not None, "made just now, here or by another process"
            return self._signing

    def public(self, kid: str) -> Key | None:
        """The public key of that name; one that is not known is looked for in the database, once a second at most."""
        key = self._public.get(kid)
        if key is None and self._clock() - self._read_at > LEAST_WAIT:
            with self._lock:
                self._read()
            key = self._public.get(kid)
        return key

    def jwks(self) -> dict[str, Any]:
        """The key set to publish: bare public keys, also those of which a valid token may still be about."""
        self.signing()
        return {"keys": [_published(kid, key) for kid, key in self._public.items()]}

    def rotate(self) -> str:
        """Signs with a new key from now on; returns its `kid`. The one before stays published for a day."""
        with self._lock:
            now = self._clock()
            self._database.run(
                "UPDATE signing_key SET retired = to_timestamp(%(now)s), expires = to_timestamp(%(until)s)"
                " WHERE tenant = %(tenant)s AND retired IS NULL",
                {"now": now, "until": now + OVERLAP},
            )
            self._make()
            self._read()
            assert self._signing is not None, "made just now, here or by another process"
            return self._signing[0]

    def _make(self) -> None:
        key = RSAKey.generate_key(BITS, auto_kid=True)
        private = json.dumps(key.as_dict(private=True)).encode()
        self._database.run(
            "INSERT INTO signing_key (tenant, kid, algorithm, public, sealed)"
            " VALUES (%(tenant)s, %(kid)s, 'RS256', %(public)s, %(sealed)s) ON CONFLICT DO NOTHING",
            {
                "kid": key.kid,
                "public": Jsonb(key.as_dict(private=False)),
                "sealed": self._cipher.seal(private, f"signing_key {key.kid}"),
            },
        )

    def _read(self) -> None:
        rows = self._database.all(
            "SELECT kid, public, sealed, retired FROM signing_key"
            " WHERE tenant = %(tenant)s AND (expires IS NULL OR expires > to_timestamp(%(now)s)) ORDER BY created",
            {"now": self._clock()},
        )
        self._public = {row["kid"]: RSAKey.import_key(row["public"]) for row in rows}
        current = next((row for row in rows if row["retired"] is None), None)
        if current is None:
            self._signing = None
        elif self._signing is None or self._signing[0] != current["kid"]:
            private = self._cipher.open(bytes(current["sealed"]), f"signing_key {current['kid']}")
            self._signing = current["kid"], RSAKey.import_key(json.loads(private))
        self._read_at = self._clock()


def _published(kid: str, key: Key) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"}
