"""`_explain=true`: the query as it was understood, the SQL it became, and how the database goes about it.

https://hl7.org/fhir/R4/parameters.html
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from fhir_server.search.contained import Contained, check
from fhir_server.search.execute import Attempt, Search, rows_of
from fhir_server.search.fragment import Fragment
from fhir_server.search.include import Match
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Query

_LEFT_OUT = frozenset(("applied", "ignored"))


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement of a search as it ran. `part`: page or count; `kept`: by the plan for all values, not one for its own."""

    part: str
    statement: Fragment
    kept: bool
    plan: str


async def explained(search: Search, query: Query) -> AsyncIterator[Explained]:
    """The statements of the page in the order in which they run, each run within the time one may take, and of the total asked for.

    Not those that follow from what is on the page: what is included, scores.
    """
    if query.contained == "true":
        check(query)
        candidates = Contained(search.compiler.scope, _nothing).candidates(query, 0)
        yield await _explained(search, "page", Attempt(candidates, kept=False))
        return
    counts = query.summary == "count" or query.count == 0
    for attempt in () if counts else search.attempts(query):
        yield await _explained(search, "page", attempt)
        rows = await rows_of(search.conn, attempt.statement, prepare=attempt.kept) if attempt.lead is not None else ()
        if attempt.suffices(rows):
            break
    if counts or query.total == "accurate":
        yield await _explained(search, "count", search.counting(query))


async def _explained(search: Search, part: str, attempt: Attempt) -> Explained:
    statement = attempt.statement
    plan = await search.conn.explain(statement.statement, statement.parameters, prepare=attempt.kept)
    return Explained(part, statement, attempt.kept, plan)


async def explanation(search: Search, query: Query) -> dict[str, Any]:
    """A Parameters resource with the query, and of each statement its sql, its values, whether its plan is kept, and the plan."""
    parameters = [_part("query", query)]
    async for one in explained(search, query):
        values = enumerate(one.statement.parameters, 1)
        parameters += [
            {"name": "sql", "valueString": one.statement.text},
            {"name": "values", "part": [{"name": str(n), "valueString": str(value)} for n, value in values]},
            {"name": "kept", "valueBoolean": one.kept},
            {"name": "plan", "valueString": one.plan},
        ]
    return {"resourceType": "Parameters", "parameter": parameters}


async def _nothing(fragment: Fragment) -> list[Match]:  # noqa: ARG001 - the statement is shown, not fetched
    return []


def _part(name: str, value: Any) -> dict[str, Any]:
    """A value of the query as a parameter: what it is, and of what it is made."""
    if isinstance(value, Parameter):
        shown = {"name": "url", "valueString": value.url or value.code}
        paths = [{"name": "path", "valueString": path.text} for path in (*value.roots, *value.paths)[:8]]
        return {"name": name, "part": [shown, {"name": "type", "valueString": value.type}, *paths]}
    if is_dataclass(value):
        members = [(field.name, getattr(value, field.name)) for field in fields(value) if field.name not in _LEFT_OUT]
        parts = [_part(inner, one) for inner, one in members if one not in (None, (), "")]
        return {"name": name, "part": [{"name": "is", "valueString": type(value).__name__}, *parts]}
    if isinstance(value, tuple):
        return {"name": name, "part": [_part(str(n), one) for n, one in enumerate(value, 1)]}
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    return {"name": name, "valueString": str(value)}
