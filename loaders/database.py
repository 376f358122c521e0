"""Units into the database itself: each in one transaction that also records it as done.

docs/loading.md; what one request of a unit means is https://hl7.org/fhir/R4/http.html#transaction and #batch
"""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from fhir_server.context import Context
from fhir_server.interactions.entry import entry_of
from fhir_server.interactions.links import conditional_references
from fhir_server.interactions.transaction import transaction
from fhir_server.outcome import Refusal
from fhir_server.rest.faults import refusal_of
from fhir_server.rest.routes import respond
from fhir_server.rest.system import Entries
from fhir_server.store.faults import database_refusal
from fhir_server.store.race import is_lost
from loaders.copy import Copy
from loaders.unit import WHOLE, Done, EntryDict, Interrupted, Outcome, Part, Unit, outcome_of

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
REQUESTS = Entries(respond, None, None)
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

    def __init__(self, context: Context, load: str | None = None, done: Done | None = None) -> None:
        self.copy = Copy()
        self._context = replace(context, write=self.copy)
        self._load = load
        self._done = done or {}

    async def store(self, units: Sequence[Unit]) -> list[Outcome]:
        """Stores the units in one transaction; what fails as a whole leaves no record and is a failure of every part."""
        try:
            outcomes = await self._context.transact(lambda inner: self._store(inner, units))
        except Exception as error:  # noqa: BLE001 - told in the report; a lost database is raised as Interrupted
            refusal = _told(error)
            return [outcome_of(unit, {p.ordinal: refusal for p in unit.parts}, durable=False) for unit in units]
        self.copy.committed(self._context.shapes)
        return outcomes

    async def _store(self, context: Context, units: Sequence[Unit]) -> list[Outcome]:
        ours = await self._begin(context, units)
        numbered = [(unit, part) for unit in ours for part in unit.parts]
        refusals = await stored(context, [part for _, part in numbered])
        by_unit: dict[str, dict[int, Refusal]] = {unit.name: {} for unit in ours}
        for n, refusal in refusals.items():
            unit, part = numbered[n]
            by_unit[unit.name][part.ordinal] = refusal
        await self._end(context, {name: sorted(found) for name, found in by_unit.items()})
        return [outcome_of(unit, by_unit[unit.name]) for unit in ours]

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


async def stored(context: Context, parts: Sequence[Part]) -> dict[int, Refusal]:
    """Stores the parts inside the transaction under way; the refusals by the part's place in `parts`.

    Single entries that cannot concern each other are stored together, which spares a round trip for each. Where that
    is refused, those that are not valid are set aside and the others are stored together.
    """
    refusals = {n: part.refusal for n, part in enumerate(parts) if part.refusal is not None}
    left = {n: part for n, part in enumerate(parts) if part.refusal is None}
    if len(left) > 1 and independent(list(left.values())) and not await _together(context, list(left.values())):
        return refusals
    if len(left) > 1 and independent(list(left.values())):
        valid = {n: part for n, part in left.items() if _is_valid(context, part)}
        if 0 < len(valid) < len(left) and not await _together(context, list(valid.values())):
            left = {n: part for n, part in left.items() if n not in valid}
    for n, part in left.items():
        refusal = await (_transaction(context, part.entries) if part.linked else _single(context, part))
        if refusal is not None:
            refusals[n] = refusal
    return refusals


async def _together(context: Context, parts: Sequence[Part]) -> Refusal | None:
    """The entries of the parts in one transaction, without fullUrl: in a batch nothing refers to another entry."""
    entries = [entry for part in parts for entry in part.entries]
    return await _transaction(
        context, [{name: value for name, value in entry.items() if name != "fullUrl"} for entry in entries]
    )


async def _transaction(context: Context, entries: Sequence[EntryDict]) -> Refusal | None:
    """The entries as a transaction; its refusal, with nothing of it stored."""
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
    return await _refusal_of(context, transaction(context, bundle, REQUESTS.dispatched, REQUESTS.patch_of, prefer=None))


async def _single(context: Context, part: Part) -> Refusal | None:
    """One entry as the request that it is."""
    try:
        entry = entry_of(context, part.place or WHOLE, part.entries[0])
    except Refusal as refusal:
        return refusal
    return await _refusal_of(context, REQUESTS.dispatched(context, entry))


async def _refusal_of(context: Context, work: Awaitable[object]) -> Refusal | None:
    """The refusal that the work ends with, all that it wrote undone; None where it ends well.

    Raises what concerns the whole transaction: a lost race, which is run again, or a database that is gone.
    """
    try:
        async with context.conn.transaction():
            await work
    except Exception as error:  # noqa: BLE001 - told in the report
        _raise_unless_local(error)
        return refusal_of(error)
    return None


def _is_valid(context: Context, part: Part) -> bool:
    try:
        context.validate(part.entries[0]["resource"])
    except Refusal:
        return False
    return True


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


def _told(error: Exception) -> Refusal:
    """The error as a refusal; raises Interrupted where it is the database that is gone."""
    refusal = refusal_of(error)
    if refusal.issues[0].code == "transient":
        raise Interrupted("the database went away") from error
    return refusal


def _raise_unless_local(error: Exception) -> None:
    known = database_refusal(error)
    if is_lost(error) or (known is not None and known.issues[0].code == "transient"):
        raise error


def _array(ordinals: Sequence[int]) -> str:
    return "{" + ",".join(map(str, ordinals)) + "}"
