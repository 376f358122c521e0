"""One entry of a transaction that writes: its target, by id or by criteria, and what is to become of it.

https://hl7.org/fhir/R4/http.html#trules
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from fhir_server.access.write import Letter, require
from fhir_server.context import Context
from fhir_server.interactions.change import Change, new_id
from fhir_server.interactions.conditional import criteria_of, selecting
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.url import Pairs, split_path, split_query
from fhir_server.interactions.write import check_id
from fhir_server.outcome import Refusal, refuse

LETTERS: Mapping[str, Letter] = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}
RESTFUL = re.compile(r"(.*/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})", re.DOTALL)


@dataclass(slots=True)
class Step:
    """An entry that writes: its target, and what became of the criteria that select it."""

    entry: Entry
    type: str
    id: str  # as the url says; "" where criteria select
    criteria: Pairs | None
    fresh: str  # the id a create uses, chosen once so that a second attempt is the same
    root: str  # the base of a RESTful fullUrl, below which the resource's relative references lead
    found: list[str] = field(default_factory=list)  # the first ids that the criteria select in the store
    matched: str | None = None  # the resource that If-None-Exist found: nothing is written
    changes: list[Change] = field(default_factory=list)

    @property
    def selects(self) -> tuple[str, ...]:
        """Type and criteria, which are the same in whatever order they are written."""
        return self.type, *(part for pair in sorted(self.criteria or ()) for part in pair)

    @property
    def target(self) -> str:
        """The reference to the resource that an entry other than a delete comes to, once that is settled."""
        return f"{self.type}/{self.matched or self.changes[0].id}"


def writes(entry: Entry) -> bool:
    """Whether an entry is a step: neither a read, nor a search, nor an operation."""
    path = entry.url.partition("?")[0]
    return entry.method not in ("GET", "HEAD") and "$" not in path and not path.endswith("_search")


def step_of(context: Context, entry: Entry) -> Step:
    """The step that an entry is. Raises Refusal, with the entry's place, for a target that cannot be."""
    with placed(entry):
        return _parsed(context, entry)


@contextmanager
def placed(entry: Entry) -> Iterator[None]:
    """Refusals inside name the entry."""
    try:
        yield
    except Refusal as refusal:
        raise refusal.at(entry.place) from None


def _parsed(context: Context, entry: Entry) -> Step:
    path, _, query = entry.url.partition("?")
    kind, *ids = split_path(path.encode()) or ("",)
    context.type_code(kind)
    if context.rights is not None:
        require(context.rights, LETTERS[entry.method], kind)
    if len(ids) > 1 or (ids and entry.method == "POST"):
        raise refuse("not-supported", f"{entry.method} {path[:200]} is not possible in a transaction", status=405)
    criteria: Pairs | None = None
    if entry.method == "POST":
        unless = entry.headers.get("if-none-exist")
        criteria = criteria_of(unless, kind) if unless is not None else selecting(split_query(query.encode())) or None
    elif ids:
        check_id(ids[0])
    else:
        criteria = selecting(split_query(query.encode()))
    named = RESTFUL.fullmatch(entry.full_url)
    return Step(entry, kind, ids[0] if ids else "", criteria, new_id(), named[1] or "" if named else "")
