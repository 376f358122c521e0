"""Compartments: which resources belong to a Patient, an Encounter, a Practitioner, a RelatedPerson or a Device.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from collections.abc import Mapping
from functools import lru_cache

from fhir_server.search.parameter import Parameter, Parameters
from profiles.definitions import Definitions


@lru_cache(maxsize=64)
def compartment(definitions: Definitions, parameters: Parameters, code: str) -> Mapping[str, tuple[Parameter, ...]]:
    """For each type in the compartment of `code`, the parameters that lead to the one it belongs to; empty: no such.

    The type itself is a member without parameters: Patient/1 is in its own compartment.
    """
    members: dict[str, tuple[Parameter, ...]] = {}
    for definition in definitions.compartments():
        if definition["code"] != code:
            continue
        for resource in definition.get("resource", ()):
            found = [parameters.get(resource["code"], name) for name in resource.get("param", ())]
            usable = tuple(one for one in found if one is not None and one.type == "reference")
            if usable or resource["code"] == code:
                members[resource["code"]] = usable
    return members
