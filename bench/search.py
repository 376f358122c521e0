"""The search workloads: each of a set of shapes in turn, with how long each of them takes.

https://hl7.org/fhir/R4/search.html
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import msgspec

from bench.client import Connection, Target, Unanswered, request_bytes
from bench.expectation import Expectation, resource, searchset, told
from bench.load import Client, Scenario
from bench.pools import Pools, hits
from bench.shapes import NothingToDraw, Shape

INSTANCES = 100


@dataclass(frozen=True, slots=True)
class Tried:
    """One instance of a shape, asked once and looked at closely: `fault` is "" where the answer is right."""

    shape: str
    path: str
    hits: int
    fault: str


def expected(shape: Shape) -> Expectation:
    """What the answer to a shape has to be."""
    if shape.name == "metadata":
        return resource("CapabilityStatement", 200)
    return searchset if "?" in shape.name else resource(shape.name.partition("/")[0], 200)


def drawn(shapes: Sequence[Shape], pools: Pools, seed: str) -> dict[Shape, list[str]]:
    """Instances of each shape, drawn before the clock runs; a shape that the data has nothing for is left out."""
    random = Random(seed)
    found: dict[Shape, list[str]] = {}
    for shape in shapes:
        with contextlib.suppress(NothingToDraw):
            found[shape] = [shape.path(pools, random) for _ in range(INSTANCES)]
    return found


def scenario(instances: Mapping[Shape, Sequence[str]]) -> Scenario:
    """Every shape once in an order that is another one each time, so that no two clients go in step."""
    shapes = list(instances)
    checks = {shape: expected(shape) for shape in shapes}

    async def each_once(client: Client) -> None:
        for shape in client.random.sample(shapes, len(shapes)):
            await client.ask(shape.name, "GET", client.random.choice(instances[shape]), checks[shape])

    return each_once


async def tried(target: Target, shapes: Sequence[Shape], pools: Pools, seed: str) -> list[Tried]:
    """Each shape once, alone, its answer parsed: the right type, no more than _count, a total where one was asked for."""
    random = Random(seed)
    connection = Connection(target)
    found: list[Tried] = []
    for shape in shapes:
        try:
            path = shape.path(pools, random)
        except NothingToDraw:
            found.append(Tried(shape.name, "", 0, "the data holds nothing to ask for"))
            continue
        once = await _tried(connection, target, shape, path)
        found.append(replace(once, fault=_overlooked(once, pools)) if not (once.fault or once.hits) else once)
    connection.close()
    return found


async def _tried(connection: Connection, target: Target, shape: Shape, path: str) -> Tried:
    try:
        answer = await connection.ask(request_bytes(target, target.lines, "GET", path))
    except Unanswered as error:
        return Tried(shape.name, path, 0, str(error))
    if fault := expected(shape)(answer):
        return Tried(shape.name, path, 0, fault if answer.status == 200 else told(answer))
    if expected(shape) is not searchset:
        return Tried(shape.name, path, 1, "")
    bundle = answer.json()
    entries = [entry for entry in bundle.get("entry", ()) if entry.get("search", {}).get("mode", "match") == "match"]
    return Tried(shape.name, path, hits(answer), _amiss(path, bundle.get("total"), [e["resource"] for e in entries]))


def _overlooked(search: Tried, pools: Pools) -> str:
    """That a full text search found nothing, although a resource that the server listed has the word."""
    kind, mark, word = search.path.partition("?_content=")
    if not mark:
        return ""
    wanted = re.compile(rb"\b%s\b" % word.partition("&")[0].encode(), re.IGNORECASE)
    having = [one["id"] for one in pools.of(kind) if wanted.search(msgspec.json.encode(one))]
    return f"nothing is found, but {kind}/{having[0]} has the word" if having else ""


def _amiss(path: str, total: int | None, found: Sequence[dict[str, object]]) -> str:
    """What is wrong with the content of a searchset."""
    kind, _, query = path.partition("?")
    asked = dict(pair.partition("=")[::2] for pair in query.split("&"))
    if any(one.get("resourceType") != kind for one in found):
        return f"there is something else than {kind} in it"
    if "_count" in asked and len(found) > int(asked["_count"]):
        return f"{len(found)} entries, asked for {asked['_count']}"
    if asked.get("_total") == "accurate" and (total is None or total < len(found)):
        return f"total is {total} with {len(found)} entries"
    return ""
