"""The index rows of one resource, when it is written: each path is walked once, each search type adds its rows.

https://hl7.org/fhir/R4/search.html#index; worked rows are in docs/implementation/index.md.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from fhir_server.search import collation, local_reference, words
from fhir_server.search.key import key
from fhir_server.search.parameter import Parameter, Parameters, is_set_apart
from fhir_server.search.path import Node, Path, read_by
from fhir_server.search.types import BY_TYPE, composite, reference
from fhir_server.search.types.extractor import Extractor
from fhir_server.store.rows import Rows

COLUMNS = frozenset(("_id", "_lastUpdated"))
"""Parameters that are columns of the table resource: they have no index rows."""

T = TypeVar("T")
Add = Callable[[dict[str, Any], Rows], None]
"""Adds the rows of one path, or of one composite, of a resource."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One path, the search types it is searched by, and the target types some parameter restricts it to."""

    path: Path
    types: tuple[str, ...]
    targets: frozenset[str]
    set_apart: bool

    @property
    def refers(self) -> bool:
        """Whether it is searched by as a reference, whose rows depend on the base of the server."""
        return "reference" in self.types


@dataclass(frozen=True, slots=True)
class Part:
    """What adds all rows of one path, and what adds to `paths` alone, that there are some; `properties` are those of the path.

    `keys`: whatever it may add to `paths`.
    """

    properties: frozenset[str] | None
    add: Add
    mark: Add
    keys: frozenset[int]


@dataclass(frozen=True, slots=True)
class Adding:
    """How resources of a type are indexed for one tenant: what adds rows by the JSON property it begins with.

    So what is absent costs nothing. `parts` are the same by path, and `touched` which of them begin with a property; those that tell of
    none are under the name "". `composites` each come with the properties that they need one of,
    and those they depend on, None where that is not known. `links` are the properties that references stand in, from which
    chains go on into contained resources; None where they may stand anywhere. `inside` are the steps of contained resources by the
    path that leads to them and their type, each with the plan it was made from.
    """

    parts: tuple[Part, ...]
    touched: Mapping[str, tuple[int, ...]]
    by_property: Mapping[str, tuple[Add, ...]]
    always: tuple[Add, ...]
    composites: tuple[tuple[frozenset[str], frozenset[str] | None, Add], ...]
    links: frozenset[str] | None
    inside: dict[tuple[str, str], tuple["Plan", Mapping[str, tuple[Add, ...]]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a resource type is indexed: its paths, and for each tenant and base what adds their rows, made when first needed."""

    parameters: Mapping[str, Parameter]
    steps: tuple[_Step, ...]
    composites: tuple[composite.Place, ...]
    links: tuple[Path, ...]  # references, from which chains go on into contained resources
    made: dict[tuple[int, str], Adding]


_MOST_TENANTS = 64  # for which a plan keeps what it has made
_plans: WeakKeyDictionary[Parameters, dict[str, Plan]] = WeakKeyDictionary()


def extract(resource: dict[str, Any], parameters: Parameters, tenant: int) -> Rows:
    """All index rows of a resource under the parameters of its type; odd JSON gives fewer rows, never an exception.

    `paths` holds the key of every path that has a value, and for a reference also of the target type where a parameter
    is restricted to it (`patient` shares its path with `subject`): what `missing_keys` asks for.
    """
    resource_type = resource.get("resourceType")
    if type(resource_type) is not str:
        return Rows()
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
    known = _adding(plan, tenant, parameters.base).inside
    found = Rows()
    for link in plan.links if inside else ():
        for target in local_reference.targets(link.nodes(resource), inside):
            kind = target["resourceType"]
            there = _plan(parameters, kind)
            made = known.get((link.text, kind))
            if made is None or made[0] is not there:
                made = known[link.text, kind] = there, _seen_from(link, there, tenant, parameters.base)
            for add in itertools.chain(*(made[1].get(name, ()) for name in ("", *target))):
                add(target, found)
    rows.tokens |= found.tokens
    rows.references |= found.references
    rows.strings |= found.strings
    rows.dates |= found.dates
    rows.numbers |= found.numbers
    rows.quantities |= found.quantities


def _seen_from(link: Path, plan: Plan, tenant: int, base: str) -> Mapping[str, tuple[Add, ...]]:
    """What adds the rows of a contained resource behind a reference, by property; what is always asked by the name ""."""
    steps = [
        (step.path.properties or ("",), replace(step, path=local_reference.seen_from(link, step.path)))
        for step in plan.steps
        if not step.set_apart
    ]
    return _by_property((names, _adder(step, tenant, base)) for names, step in steps)


def _contained(resource: dict[str, Any], tenant: int) -> set[int]:
    """The keys that say which types of resources are contained."""
    inside = resource.get("contained")
    kinds = [one.get("resourceType") for one in inside if isinstance(one, dict)] if isinstance(inside, list) else ()
    return {key(tenant, kind, "contained", "in") for kind in kinds if isinstance(kind, str)}


def extract_by(plan: Plan | None, resource: dict[str, Any], tenant: int, base: str = "") -> Rows:
    """The rows of a resource by a plan of its type, on the server at `base`; none without a plan."""
    rows = Rows()
    if plan is None:
        return rows
    adding = _adding(plan, tenant, base)
    by_property = adding.by_property
    for name in resource:
        for add in by_property.get(name, ()):
            add(resource, rows)
    for add in adding.always:
        add(resource, rows)
    for properties, _, add in adding.composites:
        if not properties.isdisjoint(resource):
            add(resource, rows)
    return rows


def _adding(plan: Plan, tenant: int, base: str) -> Adding:
    found = plan.made.get((tenant, base))
    if found is None:
        if len(plan.made) >= _MOST_TENANTS:
            plan.made.clear()
        parts = tuple(_part(step, tenant, base) for step in plan.steps)
        found = plan.made[tenant, base] = Adding(
            parts,
            _by_property((part.properties or ("",), n) for n, part in enumerate(parts)),
            _by_property((part.properties, part.add) for part in parts if part.properties is not None),
            tuple(part.add for part in parts if part.properties is None),
            tuple((place.properties, place.reads, composite.extractor(place, tenant)) for place in plan.composites),
            read_by(plan.links),
            {},
        )
    return found


def _by_property(made: Iterable[tuple[Iterable[str], T]]) -> Mapping[str, tuple[T, ...]]:
    found: dict[str, tuple[T, ...]] = {}
    for names, one in made:
        for name in names:
            found[name] = (*found.get(name, ()), one)
    return found


def _part(step: _Step, tenant: int, base: str) -> Part:
    marks = (_target_types(step, tenant),) if step.targets else ()
    keys = frozenset((_present(step, tenant), *_targets_present(step, tenant).values()))
    return Part(step.path.properties, _adder(step, tenant, base), _adding_by(step, tenant, marks), keys)


def _adder(step: _Step, tenant: int, base: str) -> Add:
    """What adds all rows of a step, and to `paths` that it has a value."""
    return _adding_by(step, tenant, tuple(_extractors(step, tenant, base)))


def _adding_by(step: _Step, tenant: int, extractors: tuple[Extractor, ...]) -> Add:
    nodes_of, present = step.path.nodes, _present(step, tenant)

    def add(resource: dict[str, Any], rows: Rows) -> None:
        nodes = nodes_of(resource)
        if nodes:
            rows.paths.add(present)
            for extract in extractors:
                extract(nodes, rows)

    return add


def _present(step: _Step, tenant: int) -> int:
    """What stands in `paths` where the step has a value."""
    return key(tenant, step.path.resource_type, step.path.text, "path")


def _targets_present(step: _Step, tenant: int) -> dict[str, int]:
    """What stands in `paths` where a reference leads to one of the types that some parameter is restricted to."""
    return {name: key(tenant, step.path.resource_type, step.path.text, "path", name) for name in step.targets}


def _extractors(step: _Step, tenant: int, base: str) -> Iterator[Extractor]:
    for name in step.types:
        if name == "reference":
            yield reference.extractor(step.path, tenant, base)
        else:
            yield BY_TYPE[name].extractor(step.path, tenant)
        sorted_by = collation.extractor(step.path, tenant) if name == "token" else None
        if sorted_by is not None:
            yield sorted_by
    if step.targets:
        yield _target_types(step, tenant)


def _target_types(step: _Step, tenant: int) -> Extractor:
    """Adds to `paths` which of the types that some parameter is restricted to the references lead to."""
    known = _targets_present(step, tenant)

    def extract(nodes: list[Node], rows: Rows) -> None:
        for _, value in nodes:
            found = known.get(_target_type(value))
            if found is not None:
                rows.paths.add(found)

    return extract


def shape_of(tenant: int, resource_type: str, rows: Rows) -> int:
    """The id of the set of paths that a resource has values for."""
    return _shape(tenant, resource_type, frozenset(rows.paths))


@lru_cache(maxsize=4096)
def _shape(tenant: int, resource_type: str, paths: frozenset[int]) -> int:
    return key(tenant, resource_type, "", "shape", *map(str, sorted(paths)))


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


def adding_of(parameters: Parameters, resource_type: str, tenant: int) -> Adding:
    """How resources of a type are indexed for a tenant."""
    return _adding(_plan(parameters, resource_type), tenant, parameters.base)


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
    steps = tuple(_steps(parameters.values()))
    links = dict.fromkeys(step.path for step in steps if step.refers and not step.set_apart)
    return Plan(parameters, steps, tuple(composite.places(parameters.values())), tuple(links), {})


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
        _Step(path, tuple(names), frozenset(targets.get(path, ())), is_set_apart(path)) for path, names in types.items()
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
