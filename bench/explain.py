"""The plan of every shape, that by which the server runs it: no index table may be read from end to end.

https://www.postgresql.org/docs/current/sql-explain.html
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import psycopg

from bench.search import Tried
from fhir_server.app import context_of, pool_of
from fhir_server.context import Context
from fhir_server.interactions.conditional import search_context
from fhir_server.interactions.url import split_query
from fhir_server.outcome import Refusal
from fhir_server.search.explain import explained
from fhir_server.search.parse import parse
from fhir_server.settings import Settings

SEQUENTIAL = re.compile(r"Seq Scan on (index_\w+)")
INDEXED = re.compile(r"Index (?:Only )?Scan (?:Backward )?using \w+ on (index_\w+)")
NODE = re.compile(r"^\s*->  |\A", re.MULTILINE)
PAGES = re.compile(r"Buffers: shared hit=(\d+)(?: read=(\d+))?")  # the first line counts those of all below it
TIME = re.compile(r"Execution Time: ([\d.]+) ms")


@dataclass(frozen=True, slots=True)
class Explained:
    """The plan of one statement: `milliseconds` it took, `pages` it touched, `scanned` index tables read from end to end.

    Where it could not be run, `milliseconds` is -1 and `plan` says why.
    """

    shape: str
    path: str
    part: str  # page or count
    plan: str
    milliseconds: float
    pages: int
    scanned: tuple[str, ...]

    @property
    def amiss(self) -> bool:
        """Whether it could not be run, or reads an index table from end to end."""
        return self.milliseconds < 0 or bool(self.scanned)

    @classmethod
    def of(cls, search: Tried, part: str, plan: str) -> "Explained":
        took, touched = TIME.search(plan), PAGES.search(plan)
        pages = int(touched[1]) + int(touched[2] or 0) if touched else 0
        milliseconds = float(took[1]) if took else -1.0
        return cls(search.shape, search.path, part, plan, milliseconds, pages, scanned(plan))


def scanned(plan: str) -> tuple[str, ...]:
    """The index tables that a plan reads from end to end: by themselves, or by an index that is given no condition."""
    found = SEQUENTIAL.findall(plan)
    starts = [match.start() for match in NODE.finditer(plan)]
    for start, end in pairwise([*starts, len(plan)]):
        node = plan[start:end]
        if (match := INDEXED.search(node)) and "Index Cond" not in node and "never executed" not in node:
            found.append(match[1])
    return tuple(dict.fromkeys(found))


def worst(plans: Iterable[Explained]) -> list[Explained]:
    """Of each shape and part the plan that touched most pages, in the order in which the shapes come."""
    found: dict[tuple[str, str], Explained] = {}
    for one in plans:
        known = found.setdefault((one.shape, one.part), one)
        if (one.pages, one.milliseconds) > (known.pages, known.milliseconds):
            found[one.shape, one.part] = one
    return list(found.values())


async def plans(url: str, searches: Sequence[Tried]) -> list[Explained]:
    """EXPLAIN (ANALYZE, BUFFERS) of the statements of each search, with the settings of the server's connections."""
    settings = Settings(database_url=url)
    pool = pool_of(settings)
    await pool.open()
    try:
        context = await context_of(settings, pool)
        return [one for search in searches if "?" in search.path for one in await _explained(context, search)]
    finally:
        await pool.close()


async def _explained(context: Context, search: Tried) -> list[Explained]:
    kind, _, query = search.path.partition("?")
    try:
        parsed = parse((kind,), split_query(query.encode()), context.parameters, search_context(context))
    except Refusal as refusal:
        return [Explained(search.shape, search.path, "page", f"not understood: {refusal}", -1.0, 0, ())]
    async with context.connection() as conn:
        try:
            return [Explained.of(search, one.part, one.plan) async for one in explained(context.search(conn), parsed)]
        except psycopg.errors.QueryCanceled:
            return [Explained.of(search, "page", "cancelled by the statement timeout")]
