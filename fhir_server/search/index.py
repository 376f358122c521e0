"""The index rows of one resource, when it is written: each path is walked once, each search type adds its rows.

https://hl7.org/fhir/R4/search.html#index; worked rows are in docs/implementation/index.md.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from fhir_server.search import collation, local_reference, words
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter, Parameters, is_set_apart
from fhir_server.search.path import Node, Path
from fhir_server.search.types import BY_TYPE, composite, reference, token
from fhir_server.store.rows import Rows

COLUMNS = frozenset(("_id", "_lastUpdated"))
"""Parameters that are columns of the table resource: they have no index rows."""

_Extract = Callable[[Path, list[Node], Rows, int], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """One path, what the search types make of its nodes, and the target types some parameter restricts it to.

    `refers`: it is searched by as a reference, whose rows depend on the base of the server.
    """

    path: Path
    extracts: tuple[_Extract, ...]
    refers: bool
    targets: frozenset[str]

    def add(self, resource: dict[str, Any], rows: Rows, tenant: int, base: str) -> None:
        path = self.path
        nodes = path.nodes(resource)
        if not nodes:
            return
        rows.paths.add(key(tenant, path.resource_type, path.text, "path"))
        for extract_rows in self.extracts:
            extract_rows(path, nodes, rows, tenant)
        if self.refers:
            reference.extract(path, nodes, rows, tenant, base)
        if self.targets:
            for name in self.targets.intersection(_target_type(value) for _, value in nodes):
                rows.paths.add(key(tenant, path.resource_type, path.text, "path", name))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a resource type is indexed: the steps by the JSON property they begin with, so that what is absent costs nothing."""

    parameters: Mapping[str, Parameter]
    by_property: Mapping[str, tuple[_Step, ...]]
    always: tuple[_Step, ...]
    composites: tuple[composite.Place, ...]


_EXTRACTS: Mapping[str, tuple[_Extract, ...]] = {
    **{name: (one.extract,) for name, one in BY_TYPE.items()},
    "token": (token.extract, collation.extract),
    "reference": (),
}
_plans: WeakKeyDictionary[Parameters, dict[str, Plan]] = WeakKeyDictionary()


def extract(resource: dict[str, Any], parameters: Parameters, tenant: int) -> Rows:
    """All index rows of a resource under the parameters of its type; odd JSON gives fewer rows, never an exception.

    `paths` holds the key of every path that has a value, and for a reference also of the target type where a parameter
    is restricted to it (`patient` shares its path with `subject`): what `missing_keys` asks for.
    """
    rows = Rows()
    resource_type = resource.get("resourceType")
    if type(resource_type) is not str:
        return rows
    plan = _plan(parameters, resource_type)
    rows = extract_by(plan, resource, tenant, parameters.base)
    if plan.parameters:
        rows.texts.add(words.vectors(resource))
        rows.tokens |= _contained(resource, tenant)
    if "contained" in resource:
        _add_local(rows, plan, resource, parameters, tenant)
    return rows


def _add_local(rows: Rows, plan: Plan, resource: dict[str, Any], parameters: Parameters, tenant: int) -> None:
    """Adds the rows of contained resources, as chains over local references look for them; they make no shape."""
    inside = local_reference.contained_by_id(resource)
    steps = (one for some in (*plan.by_property.values(), plan.always) for one in some) if inside else ()
    links = {one.path for one in steps if one.refers and not is_set_apart(one.path)}
    found = Rows()
    for link in links:
        for target in local_reference.targets(link.nodes(resource), inside):
            for step in steps_for(_plan(parameters, target["resourceType"]), target):
                if not is_set_apart(step.path):
                    moved = replace(step, path=local_reference.seen_from(link, step.path))
                    moved.add(target, found, tenant, parameters.base)
    rows.tokens |= found.tokens
    rows.references |= found.references
    rows.strings |= found.strings
    rows.dates |= found.dates
    rows.numbers |= found.numbers
    rows.quantities |= found.quantities


def steps_for(plan: Plan, resource: dict[str, Any]) -> Iterable[_Step]:
    """The steps of a plan that a resource with these properties may have values for; one may come twice."""
    for name in resource:
        yield from plan.by_property.get(name, ())
    yield from plan.always


def _contained(resource: dict[str, Any], tenant: int) -> set[int]:
    """The keys that say which types of resources are contained."""
    inside = resource.get("contained")
    kinds = {one.get("resourceType") for one in inside if isinstance(one, dict)} if isinstance(inside, list) else ()
    return {key(tenant, kind, "contained", "in") for kind in kinds if isinstance(kind, str)}


def extract_by(plan: Plan | None, resource: dict[str, Any], tenant: int, base: str = "") -> Rows:
    """The rows of a resource by a plan of its type, on the server at `base`; none without a plan."""
    rows = Rows()
    if plan is None:
        return rows
    for step in steps_for(plan, resource):
        step.add(resource, rows, tenant, base)
    for place in plan.composites:
        if not place.properties.isdisjoint(resource):
            composite.extract(place, resource, rows, tenant)
    return rows


def shape_of(tenant: int, resource_type: str, rows: Rows) -> int:
    """The id of the set of paths that a resource has values for."""
    return key(tenant, resource_type, "", "shape", *map(str, sorted(rows.paths)))


def missing_keys(parameter: Parameter, tenant: int) -> list[int]:
    """The keys of which a resource has at least one in its shape where the parameter has a value there."""
    keys = []
    for path in parameter.roots or parameter.paths:
        forms: list[tuple[str, ...]] = [(name,) for name in _restriction(parameter)] or [()]
        keys += [key(tenant, path.resource_type, path.text, "path", *form) for form in forms]
    return keys


def present(parameter: Parameter, resource: dict[str, Any]) -> bool:
    """Whether the resource has a value for the parameter, in memory: one of `missing_keys` would be in its shape."""
    wanted = _restriction(parameter)
    return any(
        not wanted or _target_type(value) in wanted
        for path in parameter.roots or parameter.paths
        for _, value in path.nodes(resource)
    )


def _restriction(parameter: Parameter) -> tuple[str, ...]:
    """The target types that only some of the path's references may have."""
    return parameter.targets if parameter.restricted else ()


def _plan(parameters: Parameters, resource_type: str) -> Plan:
    """The plan of a type, made anew after a parameter was added to it."""
    plans = _plans.setdefault(parameters, {})
    current = parameters.of(resource_type)
    plan = plans.get(resource_type)
    if plan is None or plan.parameters is not current:
        plan = plans[resource_type] = _made(current)
    return plan


def plan_of(parameter: Parameter) -> Plan:
    """The plan of one parameter by itself."""
    return _made({parameter.code: parameter})


def _made(parameters: Mapping[str, Parameter]) -> Plan:
    steps = _steps(parameters.values())
    by_property: dict[str, list[_Step]] = {}
    for step in steps:
        for name in step.path.properties or ():
            by_property.setdefault(name, []).append(step)
    return Plan(
        parameters,
        {name: tuple(some) for name, some in by_property.items()},
        tuple(step for step in steps if step.path.properties is None),
        composite.places(parameters.values()),
    )


def _steps(parameters: Iterable[Parameter]) -> list[_Step]:
    """One step a path, with each of the search types it is searched by."""
    types: dict[Path, dict[str, None]] = {}
    targets: dict[Path, set[str]] = {}
    for parameter in parameters:
        for single in (parameter, *(component.absolute for component in parameter.components)):
            for path in single.paths if single.code not in COLUMNS else ():
                types.setdefault(path, {})[single.type] = None
                targets.setdefault(path, set()).update(_restriction(single))
        for root in parameter.roots:
            if root.text != root.resource_type:
                types.setdefault(root, {})
    return [
        _Step(
            path,
            tuple(one for name in names for one in _EXTRACTS[name]),
            "reference" in names,
            frozenset(targets.get(path, ())),
        )
        for path, names in types.items()
    ]


def _target_type(reference: Any) -> str:
    """The resource type a Reference leads to: `Patient/1`, `https://…/Patient/1/_history/2`, or its own `type`; else ''."""
    if type(reference) is not dict:
        return ""
    target, stated = reference.get("reference"), reference.get("type")
    if type(target) is str and "/" in target:
        parts = target.split("/")
        at = -4 if len(parts) > 3 and parts[-2] == "_history" else -2
        return parts[at]
    return stated if type(stated) is str else ""
