"""Units into the database itself: each in one transaction that also records it as done.

docs/loading.md; what one request of a unit means is https://hl7.org/fhir/R4/http.html#transaction and #batch
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from fhir_server.interactions.context import Context
from fhir_server.interactions.entry import entries_of
from fhir_server.interactions.links import conditional_references
from fhir_server.outcome import Refusal
from fhir_server.rest.faults import refusal_of
from fhir_server.rest.system import dispatched, process
from fhir_server.store.faults import database_refusal
from fhir_server.store.pool import RETRIED, VERSION_CONFLICT
from loaders.copy import Copied, PlainOnly, copied
from loaders.unit import Done, EntryDict, Interrupted, Outcome, Part, Unit, outcome_of

BEGIN = """
INSERT INTO load_unit AS known (tenant, load, unit, failed)
SELECT $1, $2, u, f::integer[] FROM unnest($3::text[], $4::text[]) AS t (u, f) ORDER BY u
ON CONFLICT (tenant, load, unit) DO UPDATE SET failed = excluded.failed
WHERE known.failed = excluded.failed AND cardinality(excluded.failed) > 0
RETURNING unit
"""
END = """
UPDATE load_unit SET failed = f::integer[], done = now() FROM unnest($3::text[], $4::text[]) AS t (u, f)
WHERE tenant = $1 AND load = $2 AND unit = u AND failed <> f::integer[]
"""
DONE = "SELECT unit, failed FROM load_unit WHERE tenant = $1 AND load = $2"
LATEST = "SELECT max(load) FROM load_unit WHERE tenant = $1 AND load >= $2 || '-' AND load < $2 || '.'"
IDENTIFIER = re.compile(r"[^|,\\$]+\|[^|,\\$]+")


async def latest_load(context: Context, digest: str) -> str | None:
    """The last load of the same paths of which anything is on record."""
    async with context.connection() as conn:
        row = await (await conn.execute(LATEST, (context.tenant, digest))).fetchone()
    return row[0] if row else None


async def done_units(context: Context, load: str) -> dict[str, tuple[int, ...]]:
    """The units of a load that are durably done."""
    async with context.connection() as conn:
        rows = await (await conn.execute(DONE, (context.tenant, load))).fetchall()
    return {unit: tuple(failed) for unit, failed in rows}


class Database:
    """A database of ours as the target of a load; `load` names the record of what is done, None keeps no record."""

    def __init__(self, context: Context, load: str | None, done: Done) -> None:
        self._context = context
        self._load = load
        self._done = done

    async def store(self, units: Sequence[Unit]) -> list[Outcome]:
        """Stores the units in one transaction; what fails as a whole leaves no record and is a failure of every part."""
        try:
            kept, shapes = await self._context.transact(lambda inner: self._store(inner, units))
        except Exception as error:  # every failure is told in the report, and by whom the database answers no more
            refusal = _told(error)
            return [outcome_of(unit, {p.ordinal: refusal for p in unit.parts}, durable=False) for unit in units]
        self._context.shapes.ids |= shapes
        return kept

    async def _store(self, context: Context, units: Sequence[Unit]) -> tuple[list[Outcome], frozenset[int]]:
        ours = await self._begin(context, units)
        numbered = {n: (unit, part) for n, (unit, part) in enumerate((u, p) for u in ours for p in u.parts)}
        parts = [Part(n, p.place, p.entries, p.linked, p.refusal) for n, (_, p) in numbered.items()]
        result = await stored(context, parts)
        by_unit: dict[str, dict[int, Refusal]] = {unit.name: {} for unit in ours}
        for n, refusal in result.refusals.items():
            unit, part = numbered[n]
            by_unit[unit.name][part.ordinal] = refusal
        await self._end(context, {name: sorted(refusals) for name, refusals in by_unit.items()})
        return [outcome_of(unit, by_unit[unit.name]) for unit in ours], result.shapes

    async def _begin(self, context: Context, units: Sequence[Unit]) -> list[Unit]:
        """The units that are ours to do: a unit that somebody else has under way is waited for, and is theirs then."""
        if self._load is None:
            return list(units)
        expected = [_array(self._done.get(unit.name, ())) for unit in units]
        names = [unit.name for unit in units]
        cursor = await context.conn.execute(BEGIN, (context.tenant, self._load, names, expected))
        begun = {row[0] for row in await cursor.fetchall()}
        return [unit for unit in units if unit.name in begun]

    async def _end(self, context: Context, failed: Mapping[str, Sequence[int]]) -> None:
        """Puts the refusals on record."""
        if self._load is not None:
            arrays = [_array(ordinals) for ordinals in failed.values()]
            await context.conn.execute(END, (context.tenant, self._load, list(failed), arrays))


async def stored(context: Context, parts: Sequence[Part]) -> Copied:
    """Stores the parts inside the transaction under way: by COPY where that can be, else as the server would."""
    try:
        async with context.conn.transaction():
            return await copied(context, parts)
    except PlainOnly:
        pass
    except Exception as error:  # the plain path meets it again, alone with the part that causes it
        _raise_unless_local(error)
    return Copied(await _plain(context, parts), frozenset())


async def _plain(context: Context, parts: Sequence[Part]) -> dict[int, Refusal]:
    """Stores part after part; the refusals by ordinal. What is independent is tried at once before."""
    refusals = {part.ordinal: part.refusal for part in parts if part.refusal is not None}
    readable = [part for part in parts if part.refusal is None]
    if len(readable) > 1 and independent(readable):
        together = [_without_full_url(entry) for part in readable for entry in part.entries]
        if await _processed(context, together) is None:
            return refusals
    for part in readable:
        refusal = await (_processed(context, part.entries) if part.linked else _single(context, part))
        if refusal is not None:
            refusals[part.ordinal] = refusal
    return refusals


async def _processed(context: Context, entries: Sequence[EntryDict]) -> Refusal | None:
    """The entries as a transaction; its refusal, with nothing of it stored."""
    try:
        async with context.conn.transaction():
            await process(context, {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)})
    except Exception as error:  # told in the report
        _raise_unless_local(error)
        return refusal_of(error)
    return None


async def _single(context: Context, part: Part) -> Refusal | None:
    """One entry as the request that it is."""
    try:
        async with context.conn.transaction():
            await dispatched(context, entries_of(context, {"entry": list(part.entries)})[0])
    except Exception as error:  # told in the report
        _raise_unless_local(error)
        return refusal_of(error)
    return None


def independent(parts: Sequence[Part]) -> bool:
    """Whether single entries give the same in one transaction as one after the other.

    Only updates of different ids, or creates, also by one identifier, that no other entry's resource has.
    """
    targets, criteria = set[str](), set[tuple[str, str]]()
    owned: dict[tuple[str, str], int] = {}
    for part in parts:
        if part.linked or len(part.entries) != 1:
            return False
        request, resource = part.entries[0]["request"], part.entries[0].get("resource")
        if not isinstance(resource, dict) or request.keys() - {"method", "url", "ifNoneExist"}:
            return False
        url, wanted = str(request.get("url")), _identifier(request.get("ifNoneExist"))
        if "?" in url or wanted is None or conditional_references(resource):
            return False
        if (request["method"], "/" in url) == ("PUT", True) and url not in targets and not wanted:
            targets.add(url)
        elif (request["method"], "/" in url) == ("POST", False):
            criteria.update({(url, wanted)} if wanted else ())
        else:
            return False
        for owner in {(url.partition("/")[0], text) for text in _identifiers(resource)}:
            owned[owner] = owned.get(owner, 0) + 1
    return not (criteria and targets) and all(owned.get(one, 0) <= 1 for one in criteria)


def _identifier(criteria: object) -> str | None:
    """`system|value` of criteria that ask for one identifier, "" where there are none, None where they are others."""
    if criteria is None:
        return ""
    pairs = parse_qsl(criteria.removeprefix("?"), keep_blank_values=True) if isinstance(criteria, str) else []
    single = len(pairs) == 1 and pairs[0][0] == "identifier" and IDENTIFIER.fullmatch(pairs[0][1])
    return pairs[0][1] if single else None


def _identifiers(resource: EntryDict) -> set[str]:
    listed = resource.get("identifier")
    known = [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, dict)]
    return {f"{one.get('system', '')}|{one.get('value', '')}" for one in known}


def _without_full_url(entry: EntryDict) -> EntryDict:
    """The entry as a batch sees it, in which nothing refers to another entry."""
    return {name: value for name, value in entry.items() if name != "fullUrl"}


def _told(error: Exception) -> Refusal:
    """The error as a refusal; raises Interrupted where it is the database that is gone."""
    refusal = refusal_of(error)
    if refusal.issues[0].code == "transient":
        raise Interrupted("the database went away") from error
    return refusal


def _raise_unless_local(error: Exception) -> None:
    """Raises what concerns the whole transaction: a lost race, which is run again, or a database that is gone."""
    lost_race = isinstance(error, RETRIED) or getattr(error, "sqlstate", None) == VERSION_CONFLICT
    known = database_refusal(error)
    if lost_race or (known is not None and known.issues[0].code == "transient"):
        raise error


def _array(ordinals: Sequence[int]) -> str:
    return "{" + ",".join(map(str, ordinals)) + "}"
