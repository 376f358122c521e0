"""How many requests are answered: for each client and person, and for whoever keeps coming without a good token.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from fhir_server.access.caller import Caller
from fhir_server.outcome import Refusal, refuse

PORTIONS = 100
"""Into how many portions a limit is divided, which are taken one after the other: each taken costs as much as a read."""
MOST_NAMES = 10_000


class Limits:
    """Counts the requests of one process. Limits are written as `6000/minute`; an empty one is none."""

    def __init__(self, rate: str, denied: str) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._rate = parse(rate) if rate else None
        self._denied = parse(denied) if denied else None
        self._portion = max(1, self._rate.amount // PORTIONS) if self._rate else 1
        self._taken: dict[tuple[str, str], tuple[int, float]] = {}

    def check(self, caller: Caller) -> None:
        """Counts a request of a client and person. Raises Refusal (429) where there were too many."""
        token = caller.token
        if self._rate is None or token is None:
            return
        names, now = (token.client, token.account or ""), time.monotonic()
        left, until = self._taken.get(names, (0, 0.0))
        if not left or until < now:
            left, until = self._take(self._rate, names), now + self._rate.get_expiry() / 10
        self._taken[names] = left - 1, until

    def _take(self, rate: RateLimitItem, names: tuple[str, str]) -> int:
        """A portion of what is left in the window; what of it is not used within a tenth of the window counts as used."""
        if len(self._taken) > MOST_NAMES:
            self._taken.clear()
        for portion in dict.fromkeys((self._portion, 1)):
            if self._window.hit(rate, *names, cost=portion):
                return portion
        raise self._refusal(rate, *names)

    def check_denied(self, network: str) -> None:
        """Counts a request without a good token. Raises Refusal (429) where too many came from the address."""
        if self._denied is not None and not self._window.hit(self._denied, "denied", network):
            raise self._refusal(self._denied, "denied", network)

    def _refusal(self, limit: RateLimitItem, *names: str) -> Refusal:
        again = max(1, math.ceil(self._window.get_window_stats(limit, *names).reset_time - time.time()))
        text = f"too many requests; {limit.amount} in {limit.get_expiry()} seconds are answered"
        return Refusal(refuse("throttled", text).issues, headers=[("retry-after", str(again))])
