"""Small worlds, tokens and requests by chance: what a token sees of a world, and what there is without the rest of it.

https://hl7.org/fhir/R4/security.html#6.1.0.4.1
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from fhir_server.access.caller import ANYBODY, Caller
from fhir_server.access.criteria import Library
from fhir_server.access.judge import admits
from fhir_server.access.partner import Decided, Partners, consents_for
from fhir_server.access.policy import Policy, policy_of
from fhir_server.access.rights import Rights
from fhir_server.context import Context
from fhir_server.interactions.conditional import search_context
from fhir_server.interactions.url import split_path, split_query
from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import Refusal, operation_outcome
from fhir_server.packages import Packages
from fhir_server.rest.request import Request
from fhir_server.rest.routes import respond
from fhir_server.search.index import extract, shape_of
from fhir_server.search.key import reference_key
from fhir_server.settings import Settings
from fhir_server.store.changes import Write, write
from fhir_server.store.packed import unpacked
from fhir_server.store.rows import Rows
from fhir_server.store.shared import Shared
from fhir_server.validation import structural_issues
from profiles.definitions import r4
from tests.bearing import claims
from tests.fhir_server.search.world import NOW, TENANT, World

Resource = dict[str, Any]
TABLES = (
    "index_token index_reference index_string index_date index_number index_quantity index_text version resource"
).split()

# --- worlds --------------------------------------------------------------------------------------------------------------

UNIVERSE = {
    "Practitioner": 2, "Patient": 3, "Group": 1, "Encounter": 2, "Condition": 3, "Observation": 8, "List": 2, "Provenance": 3,
    "Device": 2, "Consent": 3,
}  # fmt: skip


def a_world(random: Random) -> list[tuple[Resource, bool]]:
    """Versions in the order they are written, and whether the resource is deleted then; most have one version only."""
    names = [(kind, str(n)) for kind, count in UNIVERSE.items() for n in range(1, count + 1)]
    some = [name for name in names if random.random() < 0.9]
    random.shuffle(some)
    some += [name for name in some if random.random() < 0.2]
    return [(_resource(random, kind, number), random.random() < 0.06) for kind, number in some]


def _resource(random: Random, kind: str, number: str) -> Resource:
    label = {"security": [{"system": "http://l", "code": random.choice("NR")}]} if random.random() < 0.3 else None
    made = {"resourceType": kind, "id": number, "meta": label, **MADE[kind](random)}
    return {name: value for name, value in made.items() if value is not None}


def _refers(random: Random, *kinds: str) -> Resource:
    kind = random.choice(kinds)
    version = f"/_history/{random.randint(1, 3)}" if random.random() < 0.08 else ""
    return {"reference": f"{kind}/{random.randint(1, UNIVERSE[kind])}{version}"}


def _few(random: Random, member: str, *kinds: str) -> list[Resource] | None:
    found = [_refers(random, *kinds) for _ in range(random.choice((0, 1, 1, 2)))]
    return [{member: one} for one in found] if member and found else found or None


def _maybe(random: Random, value: Any) -> Any:
    return value if random.random() < 0.8 else None


def _concept(random: Random, *codes: str) -> Resource:
    return {"coding": [{"system": "http://s", "code": random.choice(codes)}]}


def _name(random: Random) -> list[Resource]:
    return [{"family": random.choice("abc")}]


def _patient(random: Random) -> Resource:
    other = _few(random, "other", "Patient")
    return {
        "name": _maybe(random, _name(random)), "active": _maybe(random, random.random() < 0.5),
        "generalPractitioner": _few(random, "", "Practitioner"),
        "link": other and [{**one, "type": "seealso"} for one in other],
    }  # fmt: skip


def _observation(random: Random) -> Resource:
    inside = {"resourceType": "Patient", "id": "c1", "name": _name(random), "active": random.random() < 0.5}
    contains, inwards = random.random() < 0.4, random.random() < 0.5
    return {
        "contained": [inside] if contains else None, "status": random.choice(("final", "amended")),
        "code": _concept(random, "a", "b"), "category": _maybe(random, [_concept(random, "laboratory", "vital-signs")]),
        "subject": {"reference": "#c1"} if contains and inwards else _maybe(random, _refers(random, "Patient", "Patient", "Group")),
        "encounter": _maybe(random, _refers(random, "Encounter")), "performer": _few(random, "", "Practitioner", "Patient"),
        "hasMember": _few(random, "", "Observation"),
    }  # fmt: skip


def _consent(random: Random) -> Resource:
    return {
        "status": "active" if random.random() < 0.9 else "inactive", "scope": {"coding": [{"code": "patient-privacy"}]}, "category": [{"text": "c"}],
        "patient": _refers(random, "Patient"), "provision": _maybe(random, _provision(random, 2)),
    }  # fmt: skip


def _provision(random: Random, depth: int) -> Resource:
    """A provision with criteria that some resources of the world fulfil, and perhaps exceptions."""
    kinds = random.sample(("Observation", "Patient", "Condition", "Encounter", "List", "Device"), random.randint(1, 5))
    parts: Resource = {
        "class": [{"system": "http://hl7.org/fhir/resource-types", "code": kind} for kind in kinds],
        "code": [_concept(random, "a", "b")], "securityLabel": [{"system": "http://l", "code": random.choice("NR")}],
        "period": random.choice(({"start": "2020-01-01"}, {"end": "2020-01-01"}, {"start": "2020", "end": "2999"})),
        "actor": [{"role": {"text": "r"}, "reference": {"identifier": {"value": random.choice(("app", "another"))}}}],
        "purpose": [{"code": random.choice(("TREAT", "HMARKT"))}], "data": [{"meaning": "instance", "reference": _refers(random, "Observation")}],
    }  # fmt: skip
    few = {name: parts[name] for name in sorted(parts) if random.random() < 0.2}
    inner = [_provision(random, depth - 1) for _ in range(random.choice((0, 0, 1, 2)))] if depth else []
    return {"type": random.choice(("permit", "permit", "deny")), **few, **({"provision": inner} if inner else {})}


MADE: dict[str, Callable[[Random], Resource]] = {
    "Patient": _patient,
    "Practitioner": lambda random: {"name": _name(random)},
    "Group": lambda random: {"type": "person", "actual": True, "member": _few(random, "entity", "Patient")},
    "Encounter": lambda random: {
        "status": "finished", "class": {"code": "AMB"}, "subject": _maybe(random, _refers(random, "Patient")),
        "participant": _few(random, "individual", "Practitioner"), "diagnosis": _few(random, "condition", "Condition")},
    "Condition": lambda random: {
        "subject": _refers(random, "Patient"), "code": _concept(random, "a", "b"), "asserter": _maybe(random, _refers(random, "Practitioner"))},
    "Observation": _observation,
    "List": lambda random: {
        "status": "current", "mode": "working", "subject": _maybe(random, _refers(random, "Patient")),
        "entry": _few(random, "item", "Patient", "Observation", "Observation", "Condition")},
    "Provenance": lambda random: {
        "target": [_refers(random, "Observation", "Patient")], "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": _refers(random, "Practitioner", "Patient")}]},
    "Device": lambda random: {"patient": _maybe(random, _refers(random, "Patient"))},
    "Consent": _consent,
}  # fmt: skip

# --- tokens --------------------------------------------------------------------------------------------------------------

CRITERIA = {
    "Observation": ("?category=laboratory", "?category=http://s|vital-signs", "?code=http://s|a&status=final", "?status:not=final",
                    "?category:missing=false", "?subject=Patient/1", "?_id=1,2,3,4"),
    "Patient": ("?name=a", "?name=a,b", "?_id=1,2", "?active:missing=true", "?active=true"),
    "Condition": ("?code=http://s|a",),
    "Practitioner": ("?_id=1", "?name=a,b"),
}  # fmt: skip


def a_scope(random: Random, level: str) -> str:
    """Scopes for all types, or for most of them, some with criteria."""
    if random.random() < 0.4:
        return f"{level}/*.rs"
    kinds = [kind for kind in UNIVERSE if random.random() < 0.8]
    return " ".join(f"{level}/{kind}.rs{_criteria(random, kind)}" for kind in kinds)


def _criteria(random: Random, kind: str) -> str:
    return random.choice(CRITERIA[kind]) if kind in CRITERIA and random.random() < 0.5 else ""


GRANTS: tuple[Resource, ...] = (
    {"letters": "rs", "types": ["*"], "within": "{fhirUser}"},
    {"letters": "rs", "types": ["*"], "within": "Patient/{patient}"},
    {"letters": "rs", "types": ["Patient"], "where": "general-practitioner=Practitioner/1"},
    {"letters": "rs", "types": ["Observation", "Condition"], "where": "patient.general-practitioner=Practitioner/1"},
    {"letters": "rs", "types": ["Patient"], "where": "_has:Encounter:patient:practitioner=Practitioner/1"},
    {"letters": "rs", "types": ["Observation"], "where": "_list=1,2"},
    {"letters": "rs", "types": ["Observation", "Encounter"], "where": "_filter=not (subject eq Patient/2)"},
    {"letters": "rs", "types": ["Practitioner", "List", "Provenance", "Device"]},
)


def a_policy(random: Random) -> Policy:
    """A policy that leaves the decision to the scopes, or one of a few grants."""
    if random.random() < 0.5:
        return policy_of("practitioner", {"grants": [{"letters": "rs", "types": ["*"]}]})
    return policy_of("practitioner", {"grants": random.sample(GRANTS, random.randint(2, 4))})


# --- requests ------------------------------------------------------------------------------------------------------------

FRAGMENTS: dict[str, tuple[str, ...]] = {
    "Patient": (
        "name=a", "_id=1,2", "active=true", "general-practitioner=Practitioner/1", "general-practitioner.name=a", "link=Patient/1",
        "link:Patient.name=a", "_has:Observation:patient:code=a", "_has:Observation:subject:performer:Practitioner.name=a",
        "_has:Encounter:patient:_has:Observation:encounter:code=b", "_has:Group:member:_id=1", "_has:List:item:_id=1",
        "_revinclude=Observation:subject", "_revinclude=*", "_include=*", "_revinclude=Observation:patient&_include:iterate=Observation:performer",
        "_revinclude:iterate=Provenance:target", "_sort=general-practitioner", "_sort=general-practitioner.name", "_sort=-family",
        "_sort=link.family,name", "_filter=general-practitioner.name eq \"a\" or link pr false", "_list=1", "_content=a", "_elements=name",
    ),
    "Observation": (
        "code=a", "category=laboratory", "status:not=final", "subject=Patient/1", "subject:Patient.name=a", "subject.name=a",
        "patient.general-practitioner.name=a", "performer:Practitioner.name=a", "encounter.patient.name=a", "has-member.code=b",
        "encounter.diagnosis.code=a", "_has:Observation:has-member:status=final", "_has:Provenance:target:agent:Practitioner.name=a",
        "_include=Observation:subject", "_include=Observation:performer", "_include=Observation:encounter&_include:iterate=Encounter:diagnosis",
        "_include=*&_include:iterate=*", "_revinclude=Provenance:target", "_revinclude=Observation:has-member", "_sort=subject", "_sort=-subject",
        "_sort=patient.family", "_sort=-patient.general-practitioner.family,code", "_sort=encounter.subject", "_sort=-_lastUpdated",
        "_sort=performer", "_list=1", "_list=2", "_list=1,2", "_list=2&_sort=code", "_filter=not (subject.name eq \"a\")", "_filter=patient[active eq true].name co \"a\"",
        "_filter=_has:Observation:has-member:code eq a", "subject:missing=true", "_content=a", "_content=a&_sort=_score", "_text=a",
    ),
    "": ("_type=Patient,Observation", "_type=Patient,List,Group", "_lastUpdated=gt2000", "_id=1", "_list=1", "_sort=-_lastUpdated",
         "_has:List:item:_id=1", "_content=a", "_sort=_id", "_has:Provenance:target:agent:Practitioner.name=a", "_include=*", "_revinclude=*"),
    "Encounter": ("_revinclude=Observation:encounter", "diagnosis.code=a", "subject.name=a", "_include=Encounter:subject", "_sort=subject"),
    "List": ("item=Observation/1", "item:Patient.name=a", "_include=List:item", "_sort=item", "subject:Patient.name=a", "_include=*"),
    "Provenance": ("target=Patient/1", "_include=Provenance:target", "target:Observation.code=a", "patient.name=a"),
    "Condition": ("_revinclude=Encounter:diagnosis", "asserter.name=a", "subject.name=a", "_has:Encounter:diagnosis:_id=1"),
    "Practitioner": ("_has:Patient:general-practitioner:_id=1", "_revinclude=Patient:general-practitioner", "_has:Observation:performer:code=a"),
    "Device": ("patient.name=a", "_include=Device:patient", "_revinclude=*"),
    "Group": ("member=Patient/1", "_include=Group:member"),
    "Consent": ("patient=Patient/1", "status=active", "_include=Consent:patient", "patient.name=a", "_sort=patient"),
}  # fmt: skip
SHAPES = (
    "",
    "_count=1",
    "_count=2",
    "_summary=count",
    "_count=0",
    "_total=accurate",
    "_total=accurate&_count=1",
    "_total=estimate",
    "_score=true",
)
CONTAINED_SEARCHES = (
    "Patient?_contained=true&name=a", "Patient?_contained=both", "Patient?_contained=true&_containedType=contained",
    "Patient?_contained=both&active=true&_count=1", "Patient?_contained=true&_include=*",
)  # fmt: skip
READS = tuple(f"{name}{rest}" for name in (*("Patient/1", "Patient/2", "Patient/3"), "Observation/1", "Observation/2", "List/1", "Condition/1", "Group/1", "Device/1")
              for rest in ("", "/_history", "/_history/1", "/_history/2", "/_history?_count=1", "/_history?_count=0"))  # fmt: skip
HISTORIES = ("_history", "_history?_count=2", "Observation/_history", "Patient/_history", "Patient/_history?_count=1",
             "Observation/_history?_since=2024-06-01T00:00:00.003Z", "Observation/_history?_summary=count")  # fmt: skip
COMPARTMENTS = ("Patient/1/Observation", "Patient/2/Condition", "Patient/1/*", "Practitioner/1/Observation", "Encounter/1/Observation",
                "Encounter/1/*", "Patient/2/*?_revinclude=*")  # fmt: skip


def a_path(random: Random) -> str:
    """A search, mostly; a read, a history, a compartment."""
    if random.random() < 0.35:
        return random.choice(random.choice((CONTAINED_SEARCHES, READS, HISTORIES, COMPARTMENTS)))
    kind = random.choice(("Observation", "Observation", "Patient", "Patient", *FRAGMENTS))
    fragments = random.sample(FRAGMENTS[kind], random.choice((0, 1, 1, 1, 2)))
    parts = {one.partition("=")[0]: one for one in (*fragments, random.choice(SHAPES))}
    return f"{kind}?{'&'.join(part for part in parts.values() if part)}"


# --- asking --------------------------------------------------------------------------------------------------------------


def context_of(world: World) -> Context:
    """A context whose requests see the world's transaction."""
    return Context(
        settings=Settings(), definitions=r4(), parameters=world.parameters, validate=structural_issues, pool=world.pool,
        shared=Shared(world.pool, TENANT, world.shapes), types=world.types, shapes=world.shapes, page_key=bytes(32), packages=Packages(Path("packages")), tenant=TENANT, base="https://hospital.example/fhir",
        pinned=world.conn,
    )  # fmt: skip


def rights_of(context: Context, scope: str, policies: Mapping[str, Any], **more: Any) -> Rights:
    library = Library(context.definitions, context.parameters, search_context(context))
    return Rights(claims(scope, **more), policies, library)


async def partner_of(context: Context, rights: Rights, *, permitted: bool) -> Rights:
    """The same rights of an exchange partner, who is held to the consents of the world."""
    partners = Partners({"app": frozenset(("TREAT",))}, permitted)
    consents = await consents_for(context.search(context.conn), rights.library, rights.token, partners, Decided())
    return Rights(rights.token, {}, rights.library, consents)


@contextlib.contextmanager
def stored(world: World, versions: list[tuple[Resource, bool]]) -> Iterator[World]:
    """The versions stored in this order, one millisecond after the other."""
    with world.of(()):
        known: dict[str, tuple[int, int, Resource | None]] = {}
        for n, (content, ends) in enumerate(versions):
            _put(world, content, n, known)
            if ends:
                _put(world, content, n, known, deletes=True)
        yield world


def _put(world: World, content: Resource, n: int, known: dict[str, Any], *, deletes: bool = False) -> None:
    kind, name = content["resourceType"], f"{content['resourceType']}/{content['id']}"
    pk, version, before = known.get(name, (0, 0, None))
    written = NOW + timedelta(milliseconds=2 * n + deletes)
    meta = {"versionId": str(version + 1), "lastUpdated": written.isoformat(timespec="milliseconds")}
    stamped = {**content, "meta": {**content.get("meta", {}), **meta}}
    rows = Rows() if deletes else extract(stamped, world.parameters, TENANT)
    old = extract(before, world.parameters, TENANT) if before is not None else None
    step = Write(
        pk, world.types.code[kind], content["id"], reference_key(TENANT, name), version + 1, written,
        "D" if deletes else "U", None if deletes else dump_json(stamped), 0 if deletes else shape_of(TENANT, kind, rows),
        rows if old is None else rows.without(old), None if old is None else old.without(rows),
    )  # fmt: skip
    world.runner.run(write(world.conn, TENANT, [step], world.shapes))
    found = world.runner.run(_pk(world, kind, content["id"]))
    known[name] = (found, version + 1, None if deletes else stamped)


async def _pk(world: World, kind: str, resource_id: str) -> int:
    sought = "SELECT pk FROM resource WHERE type = $1 AND id = $2"
    row = await (await world.conn.execute(sought, (world.types.code[kind], resource_id))).fetchone()
    assert row is not None
    return int(row[0])


async def reduce(context: Context, rights: Rights) -> int:
    """Removes, as if it had never been, whatever the rights do not admit; how many resources that was."""
    conn = context.conn
    rows = await (await conn.execute("SELECT pk, type, version, content FROM version ORDER BY pk, version")).fetchall()
    told: dict[int, list[tuple[int, bytes]]] = {}
    seen: dict[tuple[int, bytes], bool] = {}
    doomed: list[tuple[int, int]] = []
    for pk, code, version, content in rows:
        history = told.setdefault(pk, [])
        text = unpacked(content) if content is not None else history[-1][1]
        history.append((version, text))
        term = rights.term("rs", context.types.name[code])
        seen[pk, text] = await admits(context.search(conn), term, parse_json(text))
    gone = [pk for pk, history in told.items() if not seen[pk, history[-1][1]]]
    for pk, history in told.items():
        doomed.extend((pk, version) for version, text in history if not seen[pk, text])
    await conn.execute("RESET ROLE")
    for table in TABLES:
        await conn.execute(f"DELETE FROM {table} WHERE pk = ANY($1::int8[])".encode(), (gone,))
    for pk, version in doomed:
        await conn.execute("DELETE FROM version WHERE pk = $1 AND version = $2", (pk, version))
    await conn.execute("SET LOCAL ROLE mediconnect_server")
    return len(gone)


async def answers(context: Context, path: str) -> list[tuple[int, bytes]]:
    """Status and text of the answer, and of the pages after it, without what is encrypted by chance."""
    found = []
    while path and len(found) < 40:
        address, _, query = path.partition("?")
        request = Request("GET", split_path(address.encode()), split_query(query.replace(" ", "%20").encode()), {})
        try:
            response = await respond(context, request)
            status, text = response.status, response.content or b""
        except Refusal as refusal:
            status, text = refusal.status, dump_json(operation_outcome(refusal.issues))
        found.append((status, re.sub(rb"_cursor=[^\"&]+", b"_cursor=", text)))
        path = _next(context, text) if status == 200 else ""
    return found


def _next(context: Context, text: bytes) -> str:
    resource = parse_json(text)
    links = resource.get("link", ()) if resource["resourceType"] == "Bundle" else ()
    following = next((one["url"] for one in links if one["relation"] == "next"), "")
    return following.removeprefix(context.base + "/")


async def compare(context: Context, rights: Rights, paths: list[str]) -> None:
    """That the bearer is answered as anybody is in a world in which there is nothing but what the bearer may see."""
    bearing = replace(context, caller=Caller(rights))
    whole = {path: await answers(bearing, path) for path in paths}
    await reduce(context, rights)
    for path in paths:
        if whole[path][0][0] == 403:
            assert (await answers(bearing, path))[0][0] == 403
            continue
        # Who may not see everything is given the number in place of an estimate of it.
        plain = await answers(replace(context, caller=ANYBODY), path.replace("_total=estimate", "_total=accurate"))
        told = [(status, text.replace(b"_total=estimate", b"_total=accurate")) for status, text in whole[path]]
        assert told == plain, path
