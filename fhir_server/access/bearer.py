"""Access tokens as they come with requests: verified once, remembered until they expire or are revoked.

https://www.rfc-editor.org/rfc/rfc6750 and https://www.rfc-editor.org/rfc/rfc9068#section-4
"""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.access.caller import Caller
from fhir_server.access.criteria import Library
from fhir_server.access.partner import Decided, Partners, consents_for
from fhir_server.access.policy import Policy, defaults, load
from fhir_server.access.rights import Rights
from fhir_server.outcome import Refusal, refuse
from fhir_server.search.execute import Search
from fhir_server.search.registration import registry_of
from fhir_server.store.connection import Connection
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types
from smart_auth.access_token import AccessToken, InvalidToken, Verifier

MOST_REMEMBERED = 4096
SECONDS = 1.0
CONSENT_SECONDS = 2.0
REVOKED = """
SELECT id, extract(epoch FROM until)::float8 FROM token_revocation
WHERE tenant = $1 AND until > now() AND noted >= to_timestamp($2)
"""
CHANGED = "SELECT count(*), max(changed)::text FROM access_policy WHERE tenant = $1"
OVERLAP = 60.0
"""Seconds that are read again: a revocation is noted when its transaction begins, and seen when it ends."""


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was verified, with its rights under the policies and search parameters of a generation."""

    caller: Caller
    claims: AccessToken
    generation: tuple[int, int]
    until: float  # on the monotonic clock: when what patients have decided is looked up again


class Bearers:
    """The tokens that a process knows. What is revoked elsewhere is refused here within a second."""

    def __init__(self, verifier: Verifier, library: Library, types: Types, partners: Partners, realm: str) -> None:
        self.verifier = verifier
        self.library = library
        self.tenant = library.context.tenant
        self._registry = registry_of(library.parameters)
        self.types = types
        self.partners = partners
        self.realm = realm
        self.policies: Mapping[str, Policy] = defaults()
        self._decided = Decided()
        self._known: dict[str, Known] = {}
        self._revoked: dict[str, float] = {}
        self._generation = 0
        self._policies_changed: tuple[int, str | None] = (0, None)
        self._checked = 0.0
        self._noted = 0.0
        self._refreshing = asyncio.Lock()

    def known(self, authorization: str | None) -> Caller | None:
        """The caller of an Authorization header that was seen before; None where that has to be looked at again."""
        known = self._known.get(authorization) if authorization is not None else None
        if known is None or not self._holds(known, time.monotonic()) or known.claims.expires <= time.time():
            return None
        return None if self._revoked and self._is_revoked(known.claims) else known.caller

    async def caller(self, pool: Pool, authorization: str | None) -> Caller:
        """The caller of an Authorization header. Raises Refusal (401) with the challenge of RFC 6750."""
        if time.monotonic() - self._checked >= SECONDS:
            await self._refresh(pool)
        known = self._known.get(authorization) if authorization is not None else None
        if known is None or not self._holds(known, time.monotonic()):
            known = await self._verified(pool, self._token(authorization))
            self._remember(authorization or "", known)
        if known.claims.expires <= time.time():
            raise self._refusal("expired", "The token has expired")
        if self._is_revoked(known.claims):
            raise self._refusal("login", "The token was revoked")
        return known.caller

    def _holds(self, known: Known, now: float) -> bool:
        """Whether what was found out about a token counts at a moment of the monotonic clock."""
        return (
            now - self._checked < SECONDS
            and now < known.until
            and known.generation == (self._generation, self._registry.generation)
        )

    def _is_revoked(self, claims: AccessToken) -> bool:
        return claims.id in self._revoked or claims.grant in self._revoked

    def _remember(self, authorization: str, known: Known) -> None:
        """By the whole header: what it says is looked at once."""
        self._known.pop(authorization, None)
        if len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[authorization] = known

    def revoke(self, revoked_id: str, until: float) -> None:
        """Takes note at once of a token or grant that this process revokes; `until` in seconds since 1970."""
        self._revoked[revoked_id] = until

    @property
    def _current(self) -> tuple[int, int]:
        return self._generation, self._registry.generation

    def _token(self, authorization: str | None) -> str:
        if authorization is None:
            raise refuse_anonymous(self.realm)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise self._refusal("login", "The Authorization header holds no bearer token")
        return token.strip()

    async def _verified(self, pool: Pool, token: str) -> Known:
        """In a thread: a key that is not known yet is looked up in the database."""
        try:
            claims = await asyncio.to_thread(self.verifier.verify, token, time.time())
        except InvalidToken as error:
            code = "expired" if "expired" in error.description else "login"
            raise self._refusal(code, error.description) from None
        generation, until, consents = self._current, math.inf, None
        if self.partners.bound(claims, self.policies):
            async with pool.connection() as conn:
                search = Search(conn, self.tenant, self.types, self.library.parameters)
                consents = await consents_for(search, self.library, claims, self.partners, self._decided)
            until = time.monotonic() + CONSENT_SECONDS
        rights = Rights(claims, self.policies, self.library, consents)
        return Known(Caller(rights), claims, generation, until)

    def _refusal(self, code: str, description: str) -> Refusal:
        challenge = f'Bearer realm="{self.realm}", error="invalid_token", error_description="{description}"'
        return Refusal(refuse(code, description).issues, status=401, headers=[("www-authenticate", challenge)])

    # --- what changes meanwhile ---------------------------------------------------------------------------------------

    async def _refresh(self, pool: Pool) -> None:
        """Reads what was revoked, and policies where they have changed: one request a second does it for all."""
        async with self._refreshing:
            if time.monotonic() - self._checked < SECONDS:
                return
            async with pool.connection() as conn:
                await self._read(conn)
            self._checked = time.monotonic()

    async def _read(self, conn: Connection) -> None:
        now = time.time()
        rows = await (await conn.execute(REVOKED, (self.tenant, max(0.0, self._noted - OVERLAP)))).fetchall()
        self._revoked.update(rows)
        self._noted = now
        self._revoked = {name: until for name, until in self._revoked.items() if until > now}
        row = await (await conn.execute(CHANGED, (self.tenant,))).fetchone()
        changed = (row[0], row[1]) if row is not None else (0, None)
        if changed != self._policies_changed:
            self.policies = await load(conn, self.tenant)
            self._policies_changed = changed
            self._generation += 1


def refuse_anonymous(realm: str) -> Refusal:
    """The refusal (401) of a request without a token; it names no error, for nothing was tried."""
    text = "an access token is needed: Authorization: Bearer …"
    return Refusal(refuse("login", text).issues, status=401, headers=[("www-authenticate", f'Bearer realm="{realm}"')])
