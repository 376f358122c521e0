"""Terms put together: all of them, any of them, everything and nothing.

https://hl7.org/fhir/R4/search.html#combining
"""

from collections.abc import Iterable

from fhir_server.search.query import Either, Every, Term

ALL = Every(())
"""What holds for every resource."""


def any_of(terms: Iterable[Term]) -> Term | None:
    """What one of the terms holds for; None, nothing at all, of no terms."""
    found = tuple(dict.fromkeys(terms))
    if not found:
        return None
    if ALL in found:
        return ALL
    return found[0] if len(found) == 1 else Either(found)


def all_of(terms: Iterable[Term | None]) -> Term | None:
    """What all of the terms hold for; None where one of them is."""
    found: dict[Term, None] = {}
    for term in terms:
        if term is None:
            return None
        parts = term.terms if isinstance(term, Every) else (term,)
        found.update(dict.fromkeys(parts))
    return next(iter(found)) if len(found) == 1 else Every(tuple(found))
