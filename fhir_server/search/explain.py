"""`_explain=true`: the query as it was understood, the SQL it became, and how the database goes about it.

https://hl7.org/fhir/R4/parameters.html
"""

from dataclasses import fields, is_dataclass
from typing import Any

from psycopg import AsyncCursor

from fhir_server.search.compile import Compiler, is_settled
from fhir_server.search.contained import Contained, check
from fhir_server.search.fragment import Fragment
from fhir_server.search.include import Match
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Query
from fhir_server.search.walk import KNOWN, walk
from fhir_server.store.connection import Connection

_LEFT_OUT = frozenset(("applied", "ignored"))


async def explanation(conn: Connection, tenant: int, codes: dict[str, int], query: Query) -> dict[str, Any]:
    """A Parameters resource with query, sql, values and plan; the statement is run, within the time one may take."""
    fragment = _statement(Compiler(tenant, codes), query)
    cursor = AsyncCursor(conn)
    await cursor.execute(b"EXPLAIN (ANALYZE, BUFFERS) " + fragment.text.encode(), fragment.parameters)
    plan = "\n".join(line for (line,) in await cursor.fetchall())
    return {
        "resourceType": "Parameters",
        "parameter": [
            _part("query", query),
            {"name": "sql", "valueString": fragment.text},
            {
                "name": "values",
                "part": [{"name": str(n), "valueString": str(v)} for n, v in enumerate(fragment.parameters, 1)],
            },
            {"name": "plan", "valueString": plan},
        ],
    }


def _statement(compiler: Compiler, query: Query) -> Fragment:
    """The first statement of the search."""
    if query.contained == "true":
        check(query)
        return Contained(compiler.scope, _nothing).candidates(query, 0)
    if query.summary == "count" or query.count == 0:
        return compiler.count(query)
    walked = None if is_settled(query) else walk(compiler.scope, query, KNOWN)
    return compiler.page(query) if walked is None else walked[1]


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
