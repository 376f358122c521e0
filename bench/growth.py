"""Growth: the same searches before and after the data has become ten times as much.

https://hl7.org/fhir/R4/search.html; a search may take longer as far as it finds more, and no longer than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import Answer, Connection, Target, Unanswered, request_bytes
from bench.measurement import percentile
from bench.pools import hits
from bench.search import Tried

FACTOR = 10
REPEATS = 15
# A shape is said to degrade where it takes this many times longer than its result explains, and this much at least.
TOLERANCE, LEAST = 1.5, 0.002


@dataclass(frozen=True, slots=True)
class Timed:
    """One search: its p50 in seconds, how many resources its page has, and how many match it on all pages (-1: refused)."""

    shape: str
    path: str
    p50: float
    entries: int
    matches: int


@dataclass(frozen=True, slots=True)
class Growth:
    """One search over the smaller and the larger data."""

    before: Timed
    after: Timed

    @property
    def slower(self) -> float:
        return self.after.p50 / self.before.p50 if self.before.p50 else 0.0

    @property
    def more(self) -> float:
        """How many times as much there is to answer: resources on the page, or, where they are counted, all that match."""
        if "_total=accurate" in self.before.path:
            return max(1.0, self.after.matches / max(1, self.before.matches))
        return max(1.0, self.after.entries / max(1, self.before.entries))

    @property
    def degrades(self) -> bool:
        return self.slower > self.more * TOLERANCE and self.after.p50 - self.before.p50 > LEAST


async def timed(target: Target, searches: Sequence[Tried]) -> list[Timed]:
    """Each search alone, REPEATS times after two unmeasured; what is refused is left out."""
    connection = Connection(target)
    found: list[Timed] = []
    for search in searches:
        answers = [await _ask(connection, target, search.path) for _ in range(REPEATS + 2)][2:]
        right = [answer for answer in answers if answer is not None]
        if right:
            entries = len(right[0].json().get("entry", ()))
            middle = percentile(sorted(answer.seconds for answer in right), 50)
            found.append(
                Timed(search.shape, search.path, middle, entries, await _matches(connection, target, search.path))
            )
    connection.close()
    return found


def compared(before: Sequence[Timed], after: Sequence[Timed]) -> list[Growth]:
    """The searches that were answered both times."""
    later = {one.path: one for one in after}
    return [Growth(one, later[one.path]) for one in before if one.path in later]


async def _ask(connection: Connection, target: Target, path: str) -> Answer | None:
    """The answer, None where it is none or is no success."""
    try:
        answer = await connection.ask(request_bytes(target, target.lines, "GET", path))
    except Unanswered:
        return None
    return answer if answer.status == 200 else None


async def _matches(connection: Connection, target: Target, path: str) -> int:
    if "?" not in path:
        return 1
    kept = "&".join(pair for pair in path.split("&") if not pair.startswith(("_count=", "_total=")))
    answer = await _ask(connection, target, f"{kept}&_summary=count")
    return hits(answer) if answer is not None else -1
