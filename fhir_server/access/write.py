"""What may be written: the version before and the content after are admitted, and hidden elements stay as they were.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from collections.abc import Collection
from typing import Any, Literal

from fhir_server.access.balp import claims_to_be
from fhir_server.access.binary_context import BINARY, contexts
from fhir_server.access.judge import admits
from fhir_server.access.logic import ALL
from fhir_server.access.narrow import missing
from fhir_server.access.policy import PROTECTED
from fhir_server.access.rights import Rights
from fhir_server.json import parse_json
from fhir_server.outcome import refuse
from fhir_server.search.execute import Search
from fhir_server.search.query import Term

Letter = Literal["c", "u", "d"]


def require(rights: Rights, letter: Letter, kind: str) -> None:
    """Raises Refusal (403) where the token has no scope to write anything of the type."""
    if rights.term(letter, kind, "before" if letter == "d" else "after") is None:
        raise missing(rights, letter, kind)


async def check_before(
    rights: Rights, search: Search, letter: Letter, kind: str, resource_id: str, before: bytes | None
) -> None:
    """Refuses (403) to write over a resource that the caller may not write over, in the words of one that does not exist.

    `before` is the text that is stored, None where nothing is stored under the id. Nobody may begin a resource under an id of their own choice who
    may not write to all of the type, for the refusal would tell which ids are taken.
    """
    if letter == "c":
        return
    term = rights.term(letter, kind, "before")
    if term is None:
        raise missing(rights, letter, kind)
    if term == ALL or (before is not None and await admits(search, term, parse_json(before))):
        return
    done = "deleted" if letter == "d" else "updated"
    raise refuse("forbidden", f"{kind}/{resource_id} may not be {done} with this token, if it exists")


async def check_after(
    rights: Rights, search: Search, letter: Letter, kind: str, after: bytes, beside: Collection[str] = ()
) -> None:
    """Refuses (403) content that the caller may not write.

    `beside` are references to what else is written with it, or not at all: the caller may write that.
    """
    term = rights.term(letter, kind, "after")
    if term is None:
        raise missing(rights, letter, kind)
    if kind == BINARY:
        term = _beside(rights, letter, parse_json(after), beside) or term
    if kind == "AuditEvent" and claims_to_be(parse_json(after), rights.library.context.base):
        raise refuse("forbidden", "an AuditEvent may not name this server as its source", "AuditEvent.source")
    if term != ALL and not await admits(search, term, parse_json(after)):
        raise refuse("forbidden", f"this token does not allow to write a {kind} with this content", kind)


def _beside(rights: Rights, letter: Letter, binary: dict[str, Any], beside: Collection[str]) -> Term | None:
    """What must hold for a Binary whose context is written with it; None where that is not so.

    Raises Refusal (403) for a context of which nobody may change anything.
    """
    named = contexts(rights.library.parameters, binary)
    if any(one.partition("/")[0] in PROTECTED for one in named):
        raise refuse("forbidden", "this may not be the context of a Binary", "Binary.securityContext")
    return rights.attached(letter, "after") if not named.isdisjoint(beside) else None


async def may_see(rights: Rights, search: Search, kind: str, content: bytes) -> bool:
    """Whether the caller may see what was written: who may only create or update is not shown what came of it."""
    term = rights.term("rs", kind)
    return term == ALL or (term is not None and await admits(search, term, parse_json(content)))
