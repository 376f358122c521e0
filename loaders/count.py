"""`mediconnect load --check PATH…`: whether a server holds what the files hold, and whether its links lead somewhere.

https://hl7.org/fhir/R4/http.html#trules says which links a transaction rewrites; the strings it leaves alone, such as
Identifier.value, are counted apart.
"""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.access.balp import claims_to_be
from fhir_server.context import Context
from fhir_server.interactions.links import LINK, REFERENCE, actions
from fhir_server.json import dump_json
from fhir_server.outcome import Refusal
from fhir_server.search.types.reference import localised
from fhir_server.settings import Settings
from fhir_server.store.embedded import database
from fhir_server.store.packed import unpacked
from loaders.remote import Server
from loaders.source import files, survey, tasks
from loaders.unit import EntryDict, Part
from loaders.worker import opened_context, units_of

URN = "urn:uuid:"
LITERAL = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?", re.DOTALL)
PAGE = 1000
CONTENTS = """
SELECT r.pk, t.name, r.id, v.content
FROM resource r
JOIN version v ON v.pk = r.pk AND v.version = r.version
JOIN resource_type t ON t.code = r.type
WHERE r.tenant = $1 AND r.pk > $2 AND NOT r.deleted ORDER BY r.pk LIMIT $3
"""

Content = tuple[str, str, bytes]
"""Type, id and text of a resource."""


@dataclass(slots=True)
class Stored:
    """What a server holds: resources by type, and where its links lead."""

    counts: Counter[str] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)
    references: Counter[str] = field(default_factory=Counter)  # relative literal references, by what they lead to
    conditional: int = 0  # references of the form Type?criteria
    urn_references: int = 0
    urn_links: int = 0  # elements of type uri, url, canonical, oid, uuid
    urn_strings: int = 0  # everything else, which the rules of transactions leave alone

    def add(self, resource_type: str, resource_id: str, text: bytes, base: str) -> None:
        """Takes in one resource of the server at `base`; its own audit trail is nothing that was loaded."""
        resource = msgspec.json.decode(text)
        if resource_type == "AuditEvent" and claims_to_be(resource, base):
            return
        self.counts[resource_type] += 1
        self.known.add(f"{resource_type}/{resource_id}")
        urns = 0
        for action, link in links(resource):
            if link.startswith(URN):
                urns += 1
                self.urn_references += action == REFERENCE
                self.urn_links += action == LINK
            elif action == REFERENCE:
                self._refer(localised(link, base))
        self.urn_strings += text.count(URN.encode()) - urns

    def _refer(self, link: str) -> None:
        if literal := LITERAL.fullmatch(link):
            self.references[literal[1]] += 1
        elif "?" in link and "://" not in link:
            self.conditional += 1

    def dangling(self) -> Counter[str]:
        """The references that lead to nothing, by what they name."""
        return Counter({target: count for target, count in self.references.items() if target not in self.known})


def links(value: dict[str, Any], structure: str | None = None) -> Iterator[tuple[str, str]]:
    """The links in a resource (or element of `structure`), each with what it is: REFERENCE or LINK."""
    name = structure if structure is not None and structure != "Resource" else value.get("resourceType", "Element")
    known = actions(name)
    for key, item in value.items():
        action = known.get(key)
        for one in (item if isinstance(item, list) else [item]) if action is not None else ():
            if isinstance(one, str) and action in (REFERENCE, LINK):
                yield str(action), one
            elif isinstance(one, dict) and action not in (REFERENCE, LINK):
                yield from links(one, str(action))


def expected(paths: Iterable[Path], max_depth: int) -> Counter[str]:
    """How many resources of each type the files make, loaded once into an empty server.

    What is created by the same criteria, or updated under the same id, is one resource.
    """
    counts: Counter[str] = Counter()
    named: set[tuple[str, str]] = set()
    for task in tasks(survey(path) for path in files(paths)):
        for part in (part for unit in units_of(task, max_depth) for part in unit.parts):
            for kind, name in _made(part):
                counts[kind] += not name or (kind, name) not in named
                named.add((kind, name))
    return counts


def _made(part: Part) -> Iterator[tuple[str, str]]:
    """Type and name of what each entry makes; "" for what is new each time."""
    for entry in part.entries:
        yield from _made_by(entry)


def _made_by(entry: EntryDict) -> Iterator[tuple[str, str]]:
    request = entry["request"]
    url = str(request.get("url", ""))
    match request["method"]:
        case "POST" if isinstance(entry.get("resource"), dict) and "$" not in url:
            yield url, str(request.get("ifNoneExist", ""))
        case "PUT":
            kind, _, name = url.partition("?" if "?" in url else "/")
            yield kind, name


async def in_database(context: Context) -> AsyncIterator[Content]:
    """Every current resource of a database."""
    last = 0
    async with context.connection() as conn:
        while True:
            cursor = await conn.execute(CONTENTS, (context.tenant, last, PAGE), binary=True)
            rows = await cursor.fetchall()
            for pk, kind, resource_id, stored in rows:
                last = pk
                yield kind, resource_id, unpacked(stored)
            if len(rows) < PAGE:
                return


def on_server(server: Server, types: Iterable[str]) -> Iterator[Content]:
    """Every resource of these types that a server lets us search."""
    for kind in types:
        url = f"{kind}?_count={PAGE}"
        while url:
            bundle = server.get(url)
            for entry in bundle.get("entry", []):
                resource = entry["resource"]
                yield resource["resourceType"], resource["id"], dump_json(resource)
            url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), "")


def compare(paths: Sequence[Path], settings: Settings, server: str = "") -> int:
    """Prints the comparison; the exit code: 0 where all is as it should be, 1 where not, 2 where nothing can be compared."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"mediconnect: there is no {missing[0]}", file=sys.stderr)
        return 2
    wanted = expected(paths, settings.max_depth)
    try:
        stored = _on_server(server) if server else _in_database(settings)
    except Refusal as refusal:
        print(f"mediconnect: {server} refuses: {refusal}", file=sys.stderr)
        return 2
    return _told(wanted, stored)


def _in_database(settings: Settings) -> Stored:
    async def taken(url: str) -> Stored:
        stored = Stored()
        async with opened_context(Settings(database_url=url, pool_size=1)) as context:
            async for kind, resource_id, text in in_database(context):
                stored.add(kind, resource_id, text, context.base)
        return stored

    with database(settings.data_dir, settings.database_url) as url:
        return asyncio.run(taken(url))


def _on_server(url: str) -> Stored:
    stored = Stored()
    with closing(Server(url)) as server:
        statement = server.get("metadata")
        types = [one["type"] for rest in statement.get("rest", []) for one in rest.get("resource", [])]
        for kind, resource_id, text in on_server(server, types):
            stored.add(kind, resource_id, text, url.rstrip("/"))
    return stored


def _told(wanted: Counter[str], stored: Stored) -> int:
    print(f"{'type':<32}{'files':>10}{'server':>10}")
    different = 0
    for kind in sorted(wanted.keys() | stored.counts.keys()):
        files_have, server_has = wanted[kind], stored.counts[kind]
        different += files_have != server_has
        note = "" if files_have == server_has else f"  {server_has - files_have:+,}"
        print(f"{kind:<32}{files_have:>10,}{server_has:>10,}{note}")
    print(f"{'all':<32}{wanted.total():>10,}{stored.counts.total():>10,}")
    dangling = stored.dangling()
    print(f"references {stored.references.total():,}, of which {dangling.total():,} dangle")
    for target, count in dangling.most_common(10):
        print(f"  {target} ({count})")
    print(f"conditional references left {stored.conditional:,}")
    print(f"{URN} left in references {stored.urn_references:,}, in other links {stored.urn_links:,}")
    print(f"{URN} in strings, which are identities of their own and stay: {stored.urn_strings:,}")
    wrong = different or dangling or stored.conditional or stored.urn_references or stored.urn_links
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(compare([Path(argument) for argument in sys.argv[1:]], Settings()))
