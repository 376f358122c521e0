"""The key sets of clients: given inline or by URL, checked, cached as their owner allows, and the one key found in them.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#signature-verification
"""

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey

from smart_auth.client import Client
from smart_auth.retrieval import Document, Unretrievable, retrieve

# The signature algorithms of SMART, and what key each takes.
ALGORITHMS: Mapping[str, str] = {"RS384": "RSA", "ES384": "EC"}
MOST_KEYS = 20
LEAST_BITS = 2048
LONGEST_CACHE = 3600.0
# Where the answer says nothing of caching.
UNTOLD_CACHE = 60.0
# How soon an unknown kid, or a failure, may make us ask again.
LEAST_WAIT = 10.0
MOST_SETS = 1000
PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class UnusableKeys(Exception):
    """A key set that cannot be used, or in which the key is not; the message says why."""


@dataclass(frozen=True, slots=True)
class _Cached:
    keys: Sequence[Mapping[str, Any]]
    problem: str
    at: float
    until: float


class KeySets:
    """The key sets of clients as one process has them."""

    def __init__(
        self,
        *,
        loopback: bool = False,
        clock: Callable[[], float] = time.time,
        fetch: Callable[..., Document] = retrieve,
    ) -> None:
        self._loopback = loopback
        self._clock = clock
        self._fetch = fetch
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, _Cached] = OrderedDict()

    def key(self, client: Client, algorithm: str, kid: str, jku: str | None) -> Key:
        """The one public key of a client for an algorithm. Raises UnusableKeys where there is not exactly one.

        A `jku` that is not the registered URL is refused, never fetched.
        """
        if jku is not None and jku != client.jwks_url:
            raise UnusableKeys("jku is not the registered JWKS URL")
        if client.jwks_url is None:
            return _one(key_set(client.jwks or {}), algorithm, kid)
        cached = self._set(client.jwks_url, since=0.0)
        try:
            return _one(cached.keys, algorithm, kid)
        except UnusableKeys:
            # The client may have rotated its keys since: look once more, though not for each request.
            if self._clock() - cached.at <= LEAST_WAIT:
                raise
            return _one(self._set(client.jwks_url, since=self._clock()).keys, algorithm, kid)

    def _set(self, url: str, since: float) -> _Cached:
        """The set at a URL, from the cache where it is good and not older than `since`."""
        with self._lock:
            cached = self._cache.get(url)
        if cached is None or cached.at < since or self._clock() >= cached.until:
            cached = self._fetched(url)
            with self._lock:
                self._cache[url] = cached
                self._cache.move_to_end(url)
                if len(self._cache) > MOST_SETS:
                    self._cache.popitem(last=False)
        if cached.problem:
            raise UnusableKeys(cached.problem)
        return cached

    def _fetched(self, url: str) -> _Cached:
        asked = self._clock()
        try:
            document = self._fetch(url, loopback=self._loopback)
            keys = key_set(json.loads(document.body))
        except (Unretrievable, UnusableKeys, ValueError, RecursionError) as error:
            now = self._clock()
            return _Cached((), f"the JWKS URL gives no key set: {error}", now, now + LEAST_WAIT)
        # Counted from before it was asked for, and less what it has lain in somebody else's cache.
        return _Cached(
            keys, "", asked, asked + lifetime(document.headers.get("cache-control"), document.headers.get("age"))
        )


def lifetime(cache_control: str | None, age: str | None = None) -> float:
    """For how many seconds more a document may be kept that is `age` seconds old already.

    https://www.rfc-editor.org/rfc/rfc9111#section-4.2
    """
    if cache_control is None:
        return UNTOLD_CACHE
    directives = [part.strip().lower() for part in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    ages = [re.fullmatch(r'max-age\s*=\s*"?(\d{1,10})"?', part) for part in directives]
    told = [float(age[1]) for age in ages if age] or [UNTOLD_CACHE]
    spent = float(age) if age is not None and re.fullmatch(r"\d{1,10}", age) else 0.0
    return min(max(0.0, min(told) - spent), LONGEST_CACHE)


def key_set(document: object) -> Sequence[Mapping[str, Any]]:
    """The keys of a JWK Set. Raises UnusableKeys where it is none, too large, or tells a private key."""
    match document:
        case {"keys": [*keys]} if all(isinstance(key, dict) for key in keys):
            pass
        case _:
            raise UnusableKeys("it is not a JWK Set")
    if len(keys) > MOST_KEYS:
        raise UnusableKeys(f"it has more than {MOST_KEYS} keys")
    if any(PRIVATE & key.keys() for key in keys):
        raise UnusableKeys("it contains a private or symmetric key, which must stay with its owner")
    return keys


def check_inline(document: object) -> None:
    """Raises UnusableKeys unless a set given at registration holds a key to verify with, each key under its own kid."""
    keys = key_set(document)
    names = [key.get("kid") for key in keys]
    if len(set(map(str, names))) < len(names) or not all(isinstance(name, str) and name for name in names):
        raise UnusableKeys("each key needs a kid of its own")
    for algorithm in ALGORITHMS:
        for name in names:
            try:
                _one(keys, algorithm, str(name))
            except UnusableKeys:
                continue
            return
    raise UnusableKeys("it has no key for RS384 (RSA of 2048 bits or more) or ES384 (EC, P-384)")


def _one(keys: Sequence[Mapping[str, Any]], algorithm: str, kid: str) -> Key:
    kind = ALGORITHMS[algorithm]
    found = [key for key in keys if key.get("kid") == kid and key.get("kty") == kind]
    if len(found) != 1:
        raise UnusableKeys(f"the key set has {len(found)} keys with this kid for {algorithm}")
    if found[0].get("use", "sig") != "sig" or found[0].get("alg", algorithm) != algorithm:
        raise UnusableKeys(f"the key is not for signatures with {algorithm}")
    try:
        key = RSAKey.import_key(dict(found[0])) if kind == "RSA" else ECKey.import_key(dict(found[0]))
        fit = key.curve_name == "P-384" if isinstance(key, ECKey) else key.raw_value.key_size >= LEAST_BITS
    except (JoseError, ValueError, TypeError) as error:
        raise UnusableKeys("the key is malformed") from error
    if not fit:
        raise UnusableKeys("the key is too short, or of another curve than P-384")
    return key
