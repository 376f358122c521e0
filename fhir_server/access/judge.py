"""Whether one resource is admitted: by the clauses that narrow a search, looked at in memory.

https://hl7.org/fhir/R4/security.html#6.1.0.4.1
"""

from collections.abc import Sequence
from typing import Any

from fhir_server.access.logic import ALL
from fhir_server.search.execute import Search
from fhir_server.search.match import Matcher, inside, targets
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import Chain, Clause, Either, Every, Except, Has, Listed, Query, Term
from fhir_server.search.types import reference, token

Resource = dict[str, Any]


async def admits(search: Search, term: Term | None, resource: Resource) -> bool:
    """Whether the term holds for the resource; None never does. Asks the database only what other resources answer."""
    if term is None or term == ALL:
        return term is not None
    if not leads_out(term):
        return holds(term, resource, search.tenant, search.parameters.base)
    match term:
        case Every(terms=terms):
            for one in sorted(terms, key=leads_out):
                if not await admits(search, one, resource):
                    return False
            return True
        case Either(terms=terms):
            for one in sorted(terms, key=leads_out):
                if await admits(search, one, resource):
                    return True
            return False
        case Except(term=one):
            return not await admits(search, one, resource)
        case Chain() | Has() | Listed():
            return await _leads(search, term, resource)
    raise AssertionError(f"{type(term).__name__} leads nowhere")


def holds(term: Term, resource: Resource, tenant: int, base: str) -> bool:
    """Whether a term that leads nowhere else holds for the resource. `base`: of this server, for absolute references."""
    return Matcher(tenant, base=base).holds(term, resource)


def leads_out(term: Term) -> bool:
    """Whether other resources decide about the term."""
    match term:
        case Chain() | Has() | Listed():
            return True
        case Either(terms=terms) | Every(terms=terms):
            return any(leads_out(one) for one in terms)
        case Except(term=one):
            return leads_out(one)
        case _:
            return False


async def _leads(search: Search, term: Chain | Has | Listed, resource: Resource) -> bool:
    """The term as a search among the resources that it leads to; a chain looks at what is contained as well."""
    if isinstance(term, Chain):
        wanted = dict(term.targets)
        for one in inside(term, resource):
            if await admits(search, wanted[one["resourceType"]], one):
                return True
    for query in _queries(search, term, resource):
        if await search.first(query, 1):
            return True
    return False


def _queries(search: Search, term: Chain | Has | Listed, resource: Resource) -> list[Query]:
    name = f"{resource.get('resourceType')}/{resource.get('id')}"
    match term:
        case Chain(parameter=parameter):
            found = sorted(targets(parameter, resource, search.parameters.base))
            ids = {kind: _of(kind, found) for kind, _ in term.targets}
            return [
                Query((kind,), (_ids(search, kind, ids[kind]), inner)) for kind, inner in term.behind() if ids[kind]
            ]
        case Has(type=kind, parameter=parameter, term=inner):
            return [Query((kind,), (_refers(parameter, name), inner))]
        case Listed(lists=lists, seen=seen):
            item = search.parameters.get("List", "item")
            assert item is not None, "R4 defines it"
            held = (seen,) if seen is not None else ()
            return [Query(("List",), (_ids(search, "List", _of("List", lists)), _refers(item, name), *held))]


def _of(kind: str, references: Sequence[str]) -> list[str]:
    """The ids of those references that lead to a type; one to a version leads to no current resource."""
    return [one.partition("/")[2] for one in references if one.startswith(f"{kind}/") and one.count("/") == 1]


def _ids(search: Search, kind: str, ids: Sequence[str]) -> Clause:
    parameter = search.parameters.get(kind, "_id")
    assert parameter is not None, "every type has it"
    return Clause(parameter, None, tuple(token.Value(None, one) for one in ids))


def _refers(parameter: Parameter, name: str) -> Clause:
    return Clause(parameter, None, (reference.Value((name,)),))
