"""Criteria of a scope or a policy, which are written as a search and hold for the resources that the search would find.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#finer-grained-resource-constraints-using-search-parameters
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fhir_server.access.belonging import belongs
from fhir_server.access.logic import all_of
from fhir_server.outcome import Refusal
from fhir_server.search.parameter import Parameters
from fhir_server.search.query import Term
from fhir_server.search.term import Terms
from fhir_server.search.types.context import Context
from profiles.definitions import Definitions

PLACEHOLDER = re.compile(r"\{([A-Za-z.]+)\}")
FIT = re.compile(r"[A-Za-z0-9.\-_/]{1,200}")  # ids and references: nothing that a search would read as its own
KNOWN = frozenset(("patient", "fhirUser", "fhirUser.id", "account"))

log = logging.getLogger("mediconnect.access")


@dataclass(frozen=True, slots=True)
class Library:
    """What criteria are read with: the definitions, the search parameters and the server's base."""

    definitions: Definitions
    parameters: Parameters
    context: Context = field(default_factory=Context)

    def term(self, resource_type: str, pairs: Iterable[tuple[str, str]]) -> Term | None:
        """What resources of the type must fulfil; None, nothing at all, where the criteria cannot be used with it.

        Criteria that cannot be used deny, for who wrote them meant to narrow something.
        """
        terms = Terms(self.parameters, self.context)
        try:
            return all_of([terms.term((resource_type,), name, value) for name, value in pairs])
        except Refusal as refusal:
            log.debug("criteria that cannot be used with %s: %s", resource_type, refusal)
            return None

    def belongs(self, target: str, resource_type: str) -> Term | None:
        """What of a type belongs to the target: access/belonging.py."""
        return belongs(self.definitions, self.parameters, target, resource_type)


def pairs_of(text: str) -> tuple[tuple[str, str], ...]:
    """The names and values of `status=final&category=laboratory`."""
    return tuple(parse_qsl(text, keep_blank_values=True))


def filled(text: str, known: Mapping[str, str | None]) -> str | None:
    """The text with each placeholder replaced; None where the caller has nothing to put there, or nothing fit for it."""
    values = {name: known.get(name) for name in placeholders(text)}
    if not all(value and FIT.fullmatch(value) for value in values.values()):
        return None
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def placeholders(text: str) -> list[str]:
    """The names in braces."""
    return PLACEHOLDER.findall(text)
