"""Binary.securityContext: the resource that decides in place of a Binary who may read and write it.

https://hl7.org/fhir/R4/binary.html#rest
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.search.match import targets
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.query import Chain, Missing, Term

BINARY = "Binary"
_DEFINITION = {
    "resourceType": "SearchParameter",
    "url": "urn:mediconnect:binary-security-context",
    "code": "security-context",
    "base": [BINARY],
    "type": "reference",
    "expression": "Binary.securityContext",
}


@lru_cache(maxsize=16)
def parameter(parameters: Parameters) -> Parameter:
    """The way to the context. No index has it: it is looked for in a Binary that is at hand, and never searched by."""
    (found,) = parameters.read(dict(_DEFINITION))
    return found


def without_context(parameters: Parameters) -> Term:
    """That a Binary stands for itself."""
    return Missing(parameter(parameters), missing=True)


def with_context(parameters: Parameters, seen: Iterable[tuple[str, Term]]) -> Term:
    """That the context of a Binary is one of these: a type, and what holds for it. One that is nowhere to be found is not."""
    return Chain(parameter(parameters), tuple(seen))


def contexts(parameters: Parameters, binary: Mapping[str, Any]) -> set[str]:
    """The context of a Binary as a relative reference, and without its version where it names one; empty without one."""
    return targets(parameter(parameters), dict(binary), parameters.base)
