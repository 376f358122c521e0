"""How many requests are answered: for each client and person, and for whoever keeps coming without a good token.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

import asyncio
import ipaddress
import logging
import math
import secrets
import time

from limits import RateLimitItem, parse

from fhir_server.access.caller import Caller
from fhir_server.access.count import Counts
from fhir_server.outcome import Refusal, refuse
from fhir_server.store.pool import Pool

SECONDS = 1.0
"""Between two exchanges of counts: twice so long one process may not know what another has counted."""
PRESENT = 30
"""Turns after which a process says again that it is there; for twice the time the others believe it."""
OVERLAP = 5.0
"""Seconds that are read again: a row is noted when its statement begins, and seen when it ends."""
NETWORK_BITS = 64
"""Of an address of IP version 6, the part that stands for one customer of a provider."""

OTHERS = """
SELECT process, name, span, count, extract(epoch FROM until)::float8, extract(epoch FROM now())::float8
FROM request_count WHERE tenant = $1 AND process <> $2 AND until > now() AND noted >= to_timestamp($3)
"""
TELL = """
INSERT INTO request_count AS c (tenant, process, name, span, count, until)
SELECT $1, $2, n, s, k, to_timestamp(u) FROM unnest($3::text[], $4::int8[], $5::int4[], $6::float8[]) AS r (n, s, k, u)
ON CONFLICT (tenant, process, name, span) DO UPDATE SET count = excluded.count, until = excluded.until, noted = now()
"""
HERE = """
INSERT INTO request_count AS c (tenant, process, name, span, count, until)
VALUES ($1, $2, '', 0, 0, now() + make_interval(secs => $3))
ON CONFLICT (tenant, process, name, span) DO UPDATE SET until = excluded.until, noted = now()
"""
OVER = "DELETE FROM request_count WHERE tenant = $1 AND until <= now()"
GONE = "DELETE FROM request_count WHERE tenant = $1 AND process = $2 AND name = ''"

log = logging.getLogger("mediconnect")


class Limits:
    """The limits of an installation. They are written as `6000/minute`; an empty one is none."""

    def __init__(self, rate: str, denied: str) -> None:
        self.counts = Counts()
        self._rate = parse(rate) if rate else None
        self._denied = parse(denied) if denied else None

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        return self._rate is not None or self._denied is not None

    def check(self, caller: Caller) -> None:
        """Counts a request of a client and person. Raises Refusal (429) where there were too many."""
        token = caller.token
        if self._rate is not None and token is not None:
            self._hit(self._rate, "bearer", token.client, token.account or "")

    def check_denied(self, network: str) -> None:
        """Counts a request without a good token. Raises Refusal (429) where too many came from the address."""
        if self._denied is not None:
            self._hit(self._denied, "denied", network_of(network))

    def _hit(self, limit: RateLimitItem, *names: str) -> None:
        most, seconds = limit.amount, limit.get_expiry()
        key = f"{'/'.join(names)}/{most}/{seconds}"
        if self.counts.acquire_sliding_window_entry(key, most, seconds):
            return
        wait = self.counts.wait(key, most, seconds)
        text = f"too many requests; {most} in {seconds} seconds are answered"
        raise Refusal(refuse("throttled", text).issues, headers=[("retry-after", str(max(1, math.ceil(wait))))])


def network_of(address: str) -> str:
    """The address, or the network that one of IP version 6 is in: whoever has one has all of it."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    return str(ipaddress.ip_network((known, NETWORK_BITS), strict=False).network_address)


class Exchange:
    """Tells the other processes of the installation what this one has counted, and hears what they have.

    While there is no other process, nothing is told.
    """

    def __init__(self, pool: Pool, tenant: int, limits: Limits) -> None:
        self._pool = pool
        self._tenant = tenant
        self._limits = limits
        self._process = secrets.randbits(63)
        self._heard = 0.0  # by the clock of the database
        self._present: dict[int, float] = {}  # the other processes, and until when they are believed to be there

    async def keep(self) -> None:
        """Exchanges counts until cancelled. A failure is logged and tried again: until then each counts for itself."""
        turn = 0
        try:
            while True:
                try:
                    await self.turn(present=turn % PRESENT == 0)
                except Exception as error:  # noqa: BLE001 - logged and tried again: each process counts on for itself
                    log.warning("request counts could not be exchanged: %s", type(error).__name__)
                turn += 1
                await asyncio.sleep(SECONDS)
        finally:
            await self._leave()

    async def turn(self, *, present: bool = False) -> None:
        """Hears and tells once; with `present` it says that it is there, and what is over is removed."""
        counts = self._limits.counts
        async with self._pool.connection() as conn:
            if present:
                counts.sweep()
                await conn.execute(OVER, (self._tenant,))
                await conn.execute(HERE, (self._tenant, self._process, 2 * PRESENT * SECONDS))
            since = max(0.0, self._heard - OVERLAP)
            rows = await (await conn.execute(OTHERS, (self._tenant, self._process, since))).fetchall()
            self._hear(counts, rows)
            untold = counts.untold() if self._present else []
            if untold:
                names, spans, numbers, untils = map(list, zip(*untold, strict=True))
                await conn.execute(TELL, (self._tenant, self._process, names, spans, numbers, untils))
                counts.told(untold)

    def _hear(self, counts: Counts, rows: list[tuple[int, str, int, int, float, float]]) -> None:
        for process, name, span, count, until, now in rows:
            self._heard = max(self._heard, now)
            if name:
                counts.hear(process, name, span, count, until)
            else:
                self._present[process] = time.monotonic() + until - now
        self._present = {one: until for one, until in self._present.items() if until > time.monotonic()}

    async def _leave(self) -> None:
        """Says that this process is not there any more; who cannot is believed to be there for a minute."""
        try:
            async with self._pool.connection() as conn:
                await conn.execute(GONE, (self._tenant, self._process))
        except Exception as error:  # noqa: BLE001 - what is not removed is over in a minute
            log.debug("the process left without a word: %s", type(error).__name__)
