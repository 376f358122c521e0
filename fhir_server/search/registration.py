"""SearchParameters of the hospital's own: registered when they are stored, known to every process, usable once complete.

https://hl7.org/fhir/R4/searchparameter.html

The set of them has a generation. A writer says by which generation its index rows were made, and the database refuses
rows of another (SQLSTATE MC002): the writer reads the set anew and tries again. A search looks at most once a second
whether there is a newer set.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import Refusal, refuse
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.store.changes import KnownShapes
from fhir_server.store.connection import Connection

GENERATION = "SELECT generation FROM search_generation WHERE tenant = $1"
NEXT_GENERATION = """
INSERT INTO search_generation AS g (tenant, generation) VALUES ($1, 1)
ON CONFLICT (tenant) DO UPDATE SET generation = g.generation + 1 RETURNING generation
"""
CURRENT = """
SELECT p.generation, p.url, p.state, p.definition, coalesce(r.done, 0), coalesce(r.total, 0)
FROM search_parameter p LEFT JOIN reindex r ON r.tenant = p.tenant AND r.generation = p.generation
WHERE p.tenant = $1 AND p.state <> 'retired' ORDER BY p.generation
"""
OF_RESOURCE = """
SELECT generation, definition FROM search_parameter WHERE tenant = $1 AND id = $2 AND state <> 'retired'
"""
RETIRE = """
UPDATE search_parameter SET state = 'retired'
WHERE tenant = $1 AND (id = $2 OR url = $3) AND state <> 'retired' RETURNING generation
"""
ADD = """
INSERT INTO search_parameter (tenant, generation, id, url, state, definition)
VALUES ($1, $2, $3, $4, 'waiting', $5)
"""
COUNT = "SELECT count(*) FROM resource WHERE tenant = $1 AND type = ANY($2::int2[]) AND NOT deleted"
ADD_JOB = "INSERT INTO reindex (tenant, generation, types, total) VALUES ($1, $2, $3, $4)"
END_JOBS = "UPDATE reindex SET ended = now() WHERE tenant = $1 AND generation = ANY($2::int8[]) AND ended IS NULL"

CORE = "http://hl7.org/fhir/SearchParameter/"
MEMBERS = (
    "url", "code", "base", "type", "expression", "target", "component", "multipleOr", "multipleAnd", "derivedFrom",
)  # fmt: skip
SECONDS = 1.0

log = logging.getLogger("mediconnect")


@dataclass(slots=True)
class Registry:
    """What a process knows of the own SearchParameters: those it has registered, by url, and how far they are."""

    generation: int = 0
    checked: float = 0.0
    own: dict[str, "Own"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Own:
    """One own SearchParameter; `done` of `total` resources have rows by it."""

    url: str
    code: str
    generation: int
    complete: bool
    done: int
    total: int


_registries: WeakKeyDictionary[Parameters, Registry] = WeakKeyDictionary()


def registry_of(parameters: Parameters) -> Registry:
    """The registry that belongs to a process's parameters."""
    found = _registries.get(parameters)
    return _registries.setdefault(parameters, Registry()) if found is None else found


# --- reading -------------------------------------------------------------------------------------------------------------


def is_due(parameters: Parameters, shapes: KnownShapes) -> bool:
    """Whether it is time to look for a newer set: each time while one is being completed, for it may be complete by now."""
    registry = registry_of(parameters)
    waiting = any(not one.complete for one in registry.own.values())
    return shapes.stale or waiting or time.monotonic() - registry.checked >= SECONDS


async def refresh(
    conn: Connection, tenant: int, parameters: Parameters, shapes: KnownShapes, *, now: bool = False
) -> None:
    """Brings the parameters of this process up to date where that is due, or `now`."""
    if not (now or is_due(parameters, shapes)):
        return
    registry = registry_of(parameters)
    row = await (await conn.execute(GENERATION, (tenant,))).fetchone()
    registry.checked = time.monotonic()
    if row is not None and (row[0] != registry.generation or any(not one.complete for one in registry.own.values())):
        rows = await (await conn.execute(CURRENT, (tenant,))).fetchall()
        _apply(parameters, registry, rows)
        registry.generation = shapes.generation = row[0]
    shapes.stale = False


def _apply(parameters: Parameters, registry: Registry, rows: Sequence[tuple[Any, ...]]) -> None:
    current = {url: generation for generation, url, *_ in rows}
    for url, one in list(registry.own.items()):
        if current.get(url) != one.generation:
            parameters.remove(url)
            del registry.own[url]
    for generation, url, state, text, done, total in rows:
        definition = parse_json(text.encode())
        try:
            if url not in registry.own:
                parameters.add({**definition, "generation": generation})
        except Refusal as refusal:  # an older version of the server took it: nobody can search by it, all else goes on
            log.warning("the search parameter %s cannot be used: %s", url, refusal)
            continue
        registry.own[url] = Own(url, definition["code"], generation, state == "complete", done, total)


def usable(parameters: Parameters, resource_type: str, code: str) -> None:
    """Raises the refusal (400) of a parameter of which not all resources have index rows yet."""
    own = registry_of(parameters).own
    if not own:
        return
    found = parameters.get(resource_type, code)
    one = own.get(found.url) if found is not None else None
    if one is not None and not one.complete:
        part = f"{one.done} of {one.total} resources are indexed"
        raise refuse("not-supported", f"'{code}' cannot be searched by yet: {part}; see $reindex-status", code)


def searchable(parameters: Parameters, resource_type: str) -> dict[str, Parameter]:
    """The parameters of a type that may be searched by, by code."""
    waiting = {url for url, one in registry_of(parameters).own.items() if not one.complete}
    return {code: one for code, one in parameters.of(resource_type).items() if one.url not in waiting}


# --- writing -------------------------------------------------------------------------------------------------------------


def check(parameters: Parameters, resource: Mapping[str, Any]) -> None:
    """Raises Refusal (422) where a SearchParameter that is to be active cannot be searched by."""
    if is_registered(parameters, resource):
        parameters.copy().add(definition_of(resource))


def is_registered(parameters: Parameters, resource: Mapping[str, Any]) -> bool:
    """Whether a stored SearchParameter is one to search by.

    It is active, and neither one that FHIR itself defines nor the like of one under the same code, as implementation
    guides publish them.
    """
    url = resource.get("url")
    if resource.get("status") != "active" or (isinstance(url, str) and url.startswith(CORE)):
        return False
    origin, code, bases = resource.get("derivedFrom"), resource.get("code"), resource.get("base")
    if not (isinstance(bases, list) and isinstance(code, str)):
        return True
    known = [parameters.get(base, code) for base in bases if isinstance(base, str)]
    if not known or any(one is None or one.url == url for one in known):
        return True
    if isinstance(origin, str) and all(one is not None and one.url == origin.partition("|")[0] for one in known):
        return False
    return not _says_the_same(parameters, resource, known)


def _says_the_same(parameters: Parameters, resource: Mapping[str, Any], known: Sequence[Parameter | None]) -> bool:
    """Whether a definition finds what the known parameters of its types find: the same type by the same paths."""
    try:
        made = parameters.read(definition_of(resource))
    except Refusal:
        return False
    stated = {(one.resource_type, one.type, one.paths) for one in made if one.paths}
    return stated == {(one.resource_type, one.type, one.paths) for one in known if one is not None}


def definition_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a SearchParameter that say what it finds."""
    return {name: resource[name] for name in MEMBERS if name in resource}


async def register(
    conn: Connection,
    tenant: int,
    parameters: Parameters,
    codes: Mapping[str, int],
    changed: Mapping[str, dict[str, Any] | None],
) -> bool:
    """Takes note of SearchParameters that were stored or deleted (None), by id, in the transaction that did it.

    True where the set has changed: the caller refreshes once the transaction is committed.
    """
    noted = False
    for resource_id, resource in changed.items():
        noted = await _note(conn, tenant, parameters, codes, resource_id, resource) or noted
    return noted


async def _note(
    conn: Connection, tenant: int, parameters: Parameters, codes: Mapping[str, int], resource_id: str,
    resource: dict[str, Any] | None,
) -> bool:  # fmt: skip
    wanted = definition_of(resource) if resource is not None and is_registered(parameters, resource) else None
    known = await (await conn.execute(OF_RESOURCE, (tenant, resource_id))).fetchall()
    text = dump_json(wanted).decode() if wanted is not None else None
    if [definition for _, definition in known] == ([text] if text is not None else []):
        return False
    row = await (await conn.execute(NEXT_GENERATION, (tenant,))).fetchone()
    generation = row[0] if row else 1
    url = wanted["url"] if wanted is not None else ""
    retired = await (await conn.execute(RETIRE, (tenant, resource_id, url))).fetchall()
    await conn.execute(END_JOBS, (tenant, [old for (old,) in retired]))
    if wanted is not None and text is not None:
        types = sorted(codes[name] for name in types_of(parameters, wanted))
        counted = await (await conn.execute(COUNT, (tenant, types))).fetchone()
        total = counted[0] if counted else 0
        await conn.execute(ADD, (tenant, generation, resource_id, url, text))
        await conn.execute(ADD_JOB, (tenant, generation, types, total))
    return True


def types_of(parameters: Parameters, definition: Mapping[str, Any]) -> set[str]:
    """The resource types that a definition is about."""
    found = parameters.copy().add({**definition, "generation": 0})
    return {one.resource_type for one in found}
