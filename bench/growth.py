"""Growth: the same searches before and after the data has become ten times as much.

https://hl7.org/fhir/R4/search.html; a search may take longer as far as it finds more, and no longer than that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import Answer, Connection, Target, Unanswered, request_bytes
from bench.explain import Explained
from bench.pools import hits
from bench.search import Tried

FACTOR = 10
REPEATS = 15
# A shape is said to degrade where it takes this many times longer than its result explains, and this much at least.
TOLERANCE, LEAST = 1.5, 0.002


@dataclass(frozen=True, slots=True)
class Timed:
    """One search: seconds of the fastest of REPEATS, how many resources its page has, and how many match it on all pages (-1: refused).

    `pages` are those that the database touched for it (0: not known), which no other work on the machine blurs.
    """

    shape: str
    path: str
    seconds: float
    entries: int
    matches: int
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """One search over the smaller and the larger data."""

    before: Timed
    after: Timed

    @property
    def slower(self) -> float:
        return self.after.seconds / self.before.seconds if self.before.seconds else 0.0

    @property
    def more(self) -> float:
        """How many times as much there is to answer: resources on the page, or, where they are counted, all that match."""
        if "_total=accurate" in self.before.path:
            return max(1.0, self.after.matches / max(1, self.before.matches))
        return max(1.0, self.after.entries / max(1, self.before.entries))

    @property
    def degrades(self) -> bool:
        return self.slower > self.more * TOLERANCE and self.after.seconds - self.before.seconds > LEAST


async def timed(target: Target, searches: Sequence[Tried], plans: Sequence[Explained] = ()) -> list[Timed]:
    """Each search alone, REPEATS times after two unmeasured; what is refused is left out."""
    touched: Counter[str] = Counter()
    for plan in plans:
        touched[plan.path] += plan.pages
    connection = Connection(target)
    found: list[Timed] = []
    for search in searches:
        answers = [await _ask(connection, target, search.path) for _ in range(REPEATS + 2)][2:]
        right = [answer for answer in answers if answer is not None]
        if right:
            entries = len(right[0].json().get("entry", ()))
            # The fastest, for what else the machine does makes all others slower, and says nothing of the search.
            fastest = min(answer.seconds for answer in right)
            matches = await _matches(connection, target, search.path)
            found.append(Timed(search.shape, search.path, fastest, entries, matches, touched[search.path]))
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
