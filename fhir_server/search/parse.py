"""The query string as a Query: strict, or lenient with what was ignored written down.

https://hl7.org/fhir/R4/search.html#Introduction and #errors
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fhir_server.outcome import Refusal, refuse
from fhir_server.search import registration
from fhir_server.search.parameter import Parameters
from fhir_server.search.query import Query, Term
from fhir_server.search.result import OPTIONS, RESULT, read
from fhir_server.search.term import Terms, Usable
from fhir_server.search.types.context import Context

__all__ = ["OPTIONS", "RESULT", "Limits", "parse"]

MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds a server sets on a page."""

    page_size: int = 20
    max_page_size: int = 1000


def parse(
    types: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    parameters: Parameters,
    context: Context,
    *,
    lenient: bool = False,
    limits: Limits = Limits(),
    usable: Usable | None = None,
) -> Query:
    """The Query of a search over `types` (none: all types).

    Raises a 400 refusal that says what is supported where a parameter, modifier, prefix or value is not understood;
    with `lenient` such a parameter is left out and told in Query.ignored.
    """
    terms = Terms(parameters, context, usable or partial(registration.usable, parameters))
    kinds = tuple(types)
    shape: dict[str, Any] = {"count": limits.page_size}
    found: list[Term] = []
    applied: list[tuple[str, str]] = []
    ignored: list[str] = []
    pairs = [pair for pair in pairs if pair[0] not in OPTIONS]
    if len(pairs) > MOST_PARAMETERS:
        raise refuse(
            "too-costly", f"a search has at most {MOST_PARAMETERS} parameters, this has {len(pairs)}", status=400
        )
    for name, value in pairs:
        code = name.partition(":")[0]
        if value == "" and code not in RESULT:
            continue
        try:
            if code in RESULT:
                shape |= read(shape, kinds, terms, name, value, limits.max_page_size)
            else:
                found.append(terms.term(kinds, name, value))
            applied.append((name, value))
        except Refusal as refusal:
            if not lenient:
                raise
            ignored.append(refusal.issues[0].diagnostics)
    return Query(kinds, tuple(found), applied=tuple(applied), ignored=tuple(ignored), **shape)
