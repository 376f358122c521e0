"""The keys that sign tokens: made at the first start, kept sealed, replaced by rotation while older ones still verify.

https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.jwk import ECKey, JWKRegistry, Key, RSAKey

from smart_auth.access_token import key_algorithm
from smart_auth.cipher import Cipher
from smart_auth.store import Database, Jsonb

MAKES: Mapping[str, Callable[[], Key]] = {
    "ES256": lambda: ECKey.generate_key("P-256", auto_kid=True),
    "RS256": lambda: RSAKey.generate_key(2048, auto_kid=True),
}
"""A key for each algorithm. Access tokens take the first, which comes with every request: its signature is a quarter as long, and made
in a ninth of the time. ID tokens take the other, which every client of OpenID Connect knows."""
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
        self._signing: dict[str, tuple[str, Key]] = {}  # by algorithm
        self._read_at = float("-inf")

    def signing(self, algorithm: str) -> tuple[str, Key]:
        """The `kid` and the private key to sign with by one of MAKES; made where there is none yet."""
        with self._lock:
            if algorithm not in self._signing or self._clock() - self._read_at > STALE:
                self._read()
            if algorithm not in self._signing:
                self._make(algorithm)
                self._read()
            return self._signing[algorithm]  # made just now, here or by another process

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
        for algorithm in MAKES:
            self.signing(algorithm)
        return {"keys": [_published(kid, key) for kid, key in self._public.items()]}

    def rotate(self) -> list[str]:
        """Signs with new keys from now on; returns their `kid`s, in the order of MAKES. Those before stay published for a day."""
        with self._lock:
            self._read()  # under another secret than theirs, what is made now would be of no use to the servers
            now = self._clock()
            self._database.run(
                "UPDATE signing_key SET retired = to_timestamp(%(now)s), expires = to_timestamp(%(until)s)"
                " WHERE tenant = %(tenant)s AND retired IS NULL",
                {"now": now, "until": now + OVERLAP},
            )
            for algorithm in MAKES:
                self._make(algorithm)
            self._read()
            return [self._signing[algorithm][0] for algorithm in MAKES]

    def _make(self, algorithm: str) -> None:
        key = MAKES[algorithm]()
        private = json.dumps(key.as_dict(private=True)).encode()
        self._database.run(
            "INSERT INTO signing_key (tenant, kid, algorithm, public, sealed)"
            " VALUES (%(tenant)s, %(kid)s, %(algorithm)s, %(public)s, %(sealed)s) ON CONFLICT DO NOTHING",
            {
                "kid": key.kid,
                "algorithm": algorithm,
                "public": Jsonb(key.as_dict(private=False)),
                "sealed": self._cipher.seal(private, f"signing_key {key.kid}"),
            },
        )

    def _read(self) -> None:
        rows = self._database.all(
            "SELECT kid, algorithm, public, sealed, retired FROM signing_key"
            " WHERE tenant = %(tenant)s AND (expires IS NULL OR expires > to_timestamp(%(now)s)) ORDER BY created",
            {"now": self._clock()},
        )
        self._public = {row["kid"]: JWKRegistry.import_key(row["public"]) for row in rows}
        self._signing = {row["algorithm"]: self._private(row) for row in rows if row["retired"] is None}
        self._read_at = self._clock()

    def _private(self, row: Mapping[str, Any]) -> tuple[str, Key]:
        """The `kid` and the private key of a row; one that is known already is not opened again."""
        known = self._signing.get(row["algorithm"])
        if known is not None and known[0] == row["kid"]:
            return known
        private = self._cipher.open(bytes(row["sealed"]), f"signing_key {row['kid']}")
        return row["kid"], JWKRegistry.import_key(json.loads(private))


def _published(kid: str, key: Key) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": key_algorithm(key)}
