"""Identities inside a transaction: what an entry is called by the others, and which resource that comes to.

https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
"""

import asyncio
from collections.abc import Iterator, Sequence, Set

from fhir_server.context import Context
from fhir_server.interactions.change import TURN
from fhir_server.interactions.conditional import criteria_of, find_each, query_of
from fhir_server.interactions.links import conditional_references
from fhir_server.interactions.step import RESTFUL, Step, placed
from fhir_server.outcome import refuse

Targets = Set[tuple[str, str]]


def identities(steps: Sequence[Step]) -> dict[str, str]:
    """Temporary and stated identities of the entries, and the references they become.

    Raises Refusal (400, duplicate) where two entries share a fullUrl.
    """
    mapping: dict[str, str] = {}
    for step in steps:
        if step.entry.method == "DELETE":
            continue
        for identity in _called(step):
            mapping.setdefault(identity, step.target)
            if step.changes and step.changes[0].fresh:
                mapping.setdefault(f"{identity}/_history/", f"{step.target}/_history/1")
        place, url = step.entry.place, step.entry.full_url
        if url and mapping[url] != step.target:
            raise refuse("duplicate", f"{place}.fullUrl is that of another entry", f"{place}.fullUrl", status=400)
    return mapping


def _called(step: Step) -> Iterator[str]:
    """What other entries may call the resource: its fullUrl; where the server names it, also type and id at its source."""
    url = step.entry.full_url
    if url:
        yield url
    if step.entry.method == "POST" or step.criteria is not None:
        if named := RESTFUL.fullmatch(url):
            yield named[2]
        elif not url and isinstance(stated := (step.entry.resource or {}).get("id"), str):
            yield f"{step.type}/{stated}"


async def resolve_conditional_references(
    context: Context, steps: Sequence[Step], mapping: dict[str, str], deleted: Targets
) -> None:
    """Adds references of the form `Type?criteria` to the mapping.

    Each must select exactly one resource, of the store (without what the Bundle deletes) or of an entry with the same
    criteria. Raises Refusal (412), with the place of the entry.
    """
    made = {one.selects: one.target for one in steps if one.criteria is not None and one.entry.method != "DELETE"}
    sought: dict[str, Step] = {}
    queries = []
    for n, step in enumerate(steps, 1):
        if n % TURN == 0:
            await asyncio.sleep(0)  # other requests get their turn
        for text in _conditional(step):
            if text in mapping or text in sought:
                continue
            with placed(step.entry):
                kind, pairs = text.partition("?")[0], criteria_of(text)
                if target := made.get((kind, *(part for pair in sorted(pairs) for part in pair))):
                    mapping[text] = target
                else:
                    queries.append(await query_of(context, kind, pairs))
                    sought[text] = step
    found = await find_each(context, queries, 2 + len(deleted))
    for (text, step), ids in zip(sought.items(), found, strict=True):
        mapping[text] = _only(text, step, ids, deleted)


def _conditional(step: Step) -> list[str]:
    resources = [change.resource for change in step.changes if change.resource is not None]
    return sorted(text for resource in resources for text in conditional_references(resource))


def _only(text: str, step: Step, ids: Sequence[str], deleted: Targets) -> str:
    """The reference to the one resource that a conditional reference selects."""
    kind, place = text.partition("?")[0], step.entry.place
    left = [one for one in ids if (kind, one) not in deleted]
    if len(left) != 1:
        how = "more than one resource" if left else "nothing"
        code = "multiple-matches" if left else "not-found"
        raise refuse(code, f"{place}: the conditional reference {text[:300]} selects {how}", place, status=412)
    return f"{kind}/{left[0]}"
