"""Hidden and read-only elements: what does not go out, is not searched by, and is kept as it was when others are written.

https://hl7.org/fhir/R4/security.html#6.1.0.4
"""

import re
from collections.abc import Callable, Collection
from typing import Any

from fhir_server.access.rights import Rights
from fhir_server.json import dump_json, parse_json
from fhir_server.outcome import refuse
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.path import Path
from fhir_server.search.registration import usable as registered

Resource = dict[str, Any]
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_STEP = re.compile(r"[A-Za-z]+")


def without(resource: Resource, hidden: Collection[str]) -> Resource:
    """The resource without its hidden elements, marked as a part where it had any."""
    kept = {name: value for name, value in resource.items() if name.removeprefix("_") not in hidden}
    if len(kept) == len(resource):
        return resource
    meta = kept.get("meta") or {}
    kept["meta"] = {**meta, "tag": [*meta.get("tag", ()), dict(SUBSETTED)]}
    return kept


def shown(rights: Rights, content: bytes) -> bytes:
    """The text of a resource as the bearer may see it."""
    if not rights.hides:
        return content
    resource = parse_json(content)
    seen = without(resource, rights.hidden(str(resource.get("resourceType"))))
    return content if seen is resource else dump_json(seen)


def patched(rights: Rights, kind: str, patch: Callable[[Resource], Resource]) -> Callable[[Resource], Resource]:
    """The patch of what the bearer sees; a patch could otherwise test what is hidden."""
    hidden = rights.hidden(kind)
    if not hidden:
        return patch
    return lambda before: patch({name: one for name, one in before.items() if name.removeprefix("_") not in hidden})


def completed(rights: Rights, kind: str, before: bytes | None, after: Resource) -> Resource:
    """What is to be stored in place of a text: with the hidden elements as they were, which the bearer could not send.

    Raises Refusal (403) where hidden elements are sent, or read-only ones are another than before.
    """
    hidden, read_only = rights.hidden(kind), rights.read_only(kind) if before is not None else frozenset()
    if not hidden and not read_only:
        return after
    old = parse_json(before) if before is not None else {}
    for name in after:
        if name.removeprefix("_") in hidden:
            raise refuse("forbidden", f"{kind}.{name} is hidden from the roles of this token", f"{kind}.{name}")
    for name in read_only:
        for member in (name, f"_{name}"):
            if old.get(member) != after.get(member):
                raise refuse("forbidden", f"{kind}.{name} may not be changed with this token", f"{kind}.{name}")
    kept = {name: value for name, value in old.items() if name.removeprefix("_") in hidden}
    return {**after, **kept} if kept else after


# --- searching -----------------------------------------------------------------------------------------------------------


def usable(rights: Rights, parameters: Parameters) -> Callable[[str, str], None]:
    """Raises the refusal (403) of a parameter that would tell of hidden elements, or (400) of one without an index yet."""

    def check(resource_type: str, code: str) -> None:
        found = parameters.get(resource_type, code)
        if found is not None and tells(found, rights.hidden(resource_type)):
            raise refuse("forbidden", f"{resource_type} may not be searched by '{code}' with this token", code)
        registered(parameters, resource_type, code)

    return check


def hidden_references(rights: Rights, parameters: Parameters) -> frozenset[tuple[str, str]]:
    """Type and code of the parameters that lead out of hidden elements: no include follows them."""
    return frozenset(
        (kind, code)
        for kind in rights.hidden_types()
        for code, one in parameters.of(kind).items()
        if one.type == "reference" and tells(one, rights.hidden(kind))
    )


def tells(parameter: Parameter, hidden: Collection[str]) -> bool:
    """Whether a parameter has values from hidden elements."""
    if not hidden:
        return False
    if parameter.code in ("_text", "_content"):
        return True
    paths = [*parameter.paths, *parameter.roots]
    for component in parameter.components:
        paths.extend((*component.absolute.paths, *component.parameter.paths))
    return any(_element(path) in hidden or _element(path) == "" for path in paths)


def _element(path: Path) -> str:
    """The element at the top of a path: `name` of `Patient.name.given`, `value` of `(Observation.value as Quantity)`."""
    steps = [one for one in _STEP.findall(path.text) if one not in ("as", "ofType", "where")]
    return steps[1] if len(steps) > 1 and steps[0] in (path.resource_type, "Resource", "DomainResource") else ""
