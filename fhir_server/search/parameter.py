"""The registry of search parameters: for each resource type what may be asked, and by which paths it is answered.

https://hl7.org/fhir/R4/searchparameter.html and https://hl7.org/fhir/R4/searchparameter-registry.html
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fhir_server.outcome import Refusal, refuse
from fhir_server.search.expression import (
    Branch,
    Condition,
    Criterion,
    ExtensionOf,
    Member,
    NotPlain,
    OfType,
    Step,
    parse,
    split_union,
)
from fhir_server.search.path import DeadExpressionError, Node, Path, compile_branch, compile_condition, compile_general
from profiles.definitions import Definitions, r4

__all__ = ["Component", "Node", "Parameter", "Parameters", "Path", "r4_parameters"]

TYPES = frozenset({"number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special"})
ABSTRACT = ("Resource", "DomainResource")
NOT_DOMAIN = frozenset({"Binary", "Bundle", "Parameters"})

_SEARCH_PARAMETER = "http://hl7.org/fhir/SearchParameter/"
# Examples of the specification that came with its package; one of them would make Condition.subject an Organization.
_EXAMPLES = frozenset(_SEARCH_PARAMETER + name for name in ("example", "example-extension", "example-reference"))
_EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def _errata() -> dict[str, dict[str, Any]]:
    """Members that replace those of R4's definitions where it publishes no expression but an XPath, or a wrong one."""
    maiden_name = f"Patient.extension('{_EXTENSION}patient-mothersMaidenName')"
    repaired: dict[str, dict[str, Any]] = {
        "patient-extensions-Patient-birthOrderBoolean": {"expression": "Patient.multipleBirth"},
        "patient-extensions-Patient-mothersMaidenName": {"expression": maiden_name},
        # The expressions of its two components are exchanged: relatesto is the reference.
        "DocumentReference-relationship": {
            "component": [
                {"definition": _SEARCH_PARAMETER + "DocumentReference-relatesto", "expression": "target"},
                {"definition": _SEARCH_PARAMETER + "DocumentReference-relation", "expression": "code"},
            ]
        },
    }
    elements = {
        "author": "author",
        "keyword": "keyWord",
        "workflow": "workflowStatus",
        "effective": "effectiveDate",
        "end": "expirationDate",
    }
    for base in ("CodeSystem", "ValueSet"):
        for code, element in elements.items():
            expression = f"{base}.extension('{_EXTENSION}{base.lower()}-{element}')"
            repaired[f"{base.lower()}-extensions-{base}-{code}"] = {"base": [base], "expression": expression}
    return {_SEARCH_PARAMETER + name: members for name, members in repaired.items()}


_ERRATA = _errata()


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a composite; `parameter` has paths below the composite's root.

    `absolute` is the same with paths from the resource, for those roots that are the resource itself; else without paths.
    """

    code: str
    parameter: "Parameter"
    absolute: "Parameter"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter as one resource type has it; without paths it is one that no index answers (`_text`, `_filter`).

    `targets` are the resource types a reference may lead to, () for any; `restricted` where only some of the references on
    the paths lead there, as a criterion with resolve() says. `roots` and `components` are those of a composite.
    """

    resource_type: str
    code: str
    type: str
    url: str
    paths: tuple[Path, ...]
    targets: tuple[str, ...] = ()
    restricted: bool = False
    roots: tuple[Path, ...] = ()
    components: tuple[Component, ...] = ()


class Parameters:
    """The parameters of every resource type, compiled when a type is first asked for.

    `base` is the FHIR base of the server that indexes by them: a reference below it is one to a resource of its own.
    """

    def __init__(self, definitions: Definitions, parameters: Iterable[dict[str, Any]], base: str = "") -> None:
        self.base = base
        self._definitions = definitions
        self._by_base: dict[str, dict[str, dict[str, Any]]] = {}
        self._by_url: dict[str, dict[str, Any]] = {}
        self._types: dict[str, Mapping[str, Parameter]] = {}
        self._branches: dict[tuple[str, tuple[Step, ...]], Path] = {}
        for definition in parameters:
            if definition["url"] not in _EXAMPLES:
                self._register(_repaired(definition))

    @property
    def resource_types(self) -> tuple[str, ...]:
        """All resource types there are, sorted."""
        return self._definitions.resource_types

    def get(self, resource_type: str, code: str) -> Parameter | None:
        """The parameter of this name, None where the type has none."""
        return self.of(resource_type).get(code)

    def of(self, resource_type: str) -> Mapping[str, Parameter]:
        """All parameters of a resource type by code, those of every resource included; the same object until one is added.

        An unknown type has none.
        """
        found = self._types.get(resource_type)
        if found is None:
            made = (self._build(resource_type, one) for one in self._definitions_of(resource_type))
            found = self._types[resource_type] = MappingProxyType({one.code: one for one in made})
        return found

    def copy(self, base: str | None = None) -> "Parameters":
        """The same parameters as another registry, perhaps of a server at `base`: what is added to it is not added here."""
        made = Parameters(self._definitions, (), self.base if base is None else base)
        made._by_base = {base: dict(known) for base, known in self._by_base.items()}
        made._by_url = dict(self._by_url)
        made._types = dict(self._types)
        made._branches = dict(self._branches)
        return made

    def add(self, definition: dict[str, Any]) -> tuple[Parameter, ...]:
        """Register a SearchParameter resource, in place of one with the same url; what it gives for each of its types.

        A member `generation`, if there is one, sets its paths apart from others with the same expression.

        Raises Refusal (422) with the expression of the fault and changes nothing, where it is not one that can be indexed.
        """
        made = self.read(definition)
        known = [one.resource_type for one in made]
        for resource_type in known:
            self._check_code(resource_type, definition)
        self.remove(definition["url"])
        self._register(definition)
        self._types = {name: one for name, one in self._types.items() if name not in known}
        return made

    def read(self, definition: dict[str, Any]) -> tuple[Parameter, ...]:
        """What a SearchParameter resource gives for each of its types, by name; nothing is registered.

        Raises Refusal (422) as `add` does, but for a code that is taken.
        """
        _check(definition, self._definitions)
        known = sorted({one for base in definition["base"] for one in self._resource_types(base)})
        return tuple(self._compiled(resource_type, definition) for resource_type in known)

    def remove(self, url: str) -> None:
        """Forget the parameter with this url; nothing where there is none."""
        definition = self._by_url.pop(url, None)
        for base in definition["base"] if definition else ():
            self._by_base[base] = {code: one for code, one in self._by_base[base].items() if one["url"] != url}
            for name in self._resource_types(base):
                self._types.pop(name, None)

    def _check_code(self, resource_type: str, definition: dict[str, Any]) -> None:
        for other in self._definitions_of(resource_type):
            if other["code"] == definition["code"] and other["url"] != definition["url"]:
                text = f"{resource_type} has a search parameter '{definition['code']}' already: {other['url']}"
                raise _unusable("duplicate", text, "code")

    def _register(self, definition: dict[str, Any]) -> None:
        self._by_url[definition["url"]] = definition
        for base in definition.get("base", ()):
            self._by_base.setdefault(base, {})[definition["code"]] = definition

    def _resource_types(self, base: str) -> tuple[str, ...]:
        if base not in ABSTRACT:
            return (base,)
        return tuple(name for name in self._definitions.resource_types if base == "Resource" or name not in NOT_DOMAIN)

    def _definitions_of(self, resource_type: str) -> Iterator[dict[str, Any]]:
        if not self._definitions.is_resource(resource_type):
            return
        for base in (*ABSTRACT, resource_type):
            if base != "DomainResource" or resource_type not in NOT_DOMAIN:
                yield from self._by_base.get(base, {}).values()

    def _compiled(self, resource_type: str, definition: dict[str, Any]) -> Parameter:
        """As `_build`, with the errors of an expression that a client sent."""
        try:
            parameter = self._build(resource_type, definition)
        except (DeadExpressionError, NotPlain) as error:
            raise _unusable("value", f"unusable expression: {error}", "expression") from None
        if not parameter.paths and not parameter.roots:
            text = f"the expression '{definition.get('expression', '')}' says nothing about {resource_type}"
            raise _unusable("value", text, "expression")
        return parameter

    def _build(self, resource_type: str, definition: dict[str, Any]) -> Parameter:
        expression = definition.get("expression", "")
        made = tuple(self._operands(resource_type, expression)) if expression else ()
        made = tuple((_set_apart(path, definition), targets) for path, targets in made)
        paths = tuple(dict.fromkeys(path for path, _ in made))
        parameter = Parameter(resource_type, definition["code"], definition["type"], definition["url"], paths)
        if definition["type"] == "composite":
            components = tuple(self._component(resource_type, paths, one) for one in definition.get("component", ()))
            return replace(parameter, paths=(), roots=paths, components=components)
        targets, restricted = _targets(definition, paths, [targets for _, targets in made])
        return replace(parameter, targets=targets, restricted=restricted)

    def _component(self, resource_type: str, roots: tuple[Path, ...], component: dict[str, Any]) -> Component:
        definition = self._by_url.get(component["definition"].partition("|")[0])
        if definition is None:
            raise DeadExpressionError(f"no search parameter {component['definition']} is known")
        branches = [self._in_r4(one) for one in _component_branches(component["expression"])]
        inner = tuple(name for root in roots for name in root.types)
        if not inner:
            raise DeadExpressionError("the roots of a composite must be plain paths")
        below = tuple(self._below(resource_type, inner, branch) for branch in branches)
        at_resource = any(root.text == resource_type for root in roots)
        absolute = tuple(self._path(resource_type, branch) for branch in branches) if at_resource else ()
        targets, restricted = _targets(definition, below, [branch.targets for branch in branches])
        one = Parameter(
            resource_type, definition["code"], definition["type"], definition["url"], below, targets, restricted
        )
        return Component(one.code, one, replace(one, paths=absolute))

    def _below(self, resource_type: str, roots: tuple[str, ...], branch: Branch) -> Path:
        """The path of a composite's component: its text does not begin with the resource type."""
        if roots == (resource_type,) and not branch.from_resource:
            path = self._path(resource_type, branch)
            return replace(path, text=path.text.removeprefix(resource_type + "."))
        starts = (resource_type,) if branch.from_resource else roots
        return compile_branch(resource_type, starts, branch, self._definitions)

    def _operands(self, resource_type: str, expression: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """The paths of a union that are about this resource type, each with the types its target must have."""
        for operand in split_union(expression):
            if not _is_about(resource_type, operand):
                continue
            try:
                match parse(operand):
                    case Condition(criteria):
                        yield self._condition(resource_type, criteria), ()
                    case branches:
                        for branch in _below_type(resource_type, branches):
                            yield self._path(resource_type, self._in_r4(branch)), branch.targets
            except NotPlain:
                yield compile_general(resource_type, " ".join(operand.split())), ()

    def _path(self, resource_type: str, branch: Branch) -> Path:
        """The one path of this text: parameters that share a branch share it, and so its rows."""
        found = self._branches.get((resource_type, branch.steps))
        if found is None:
            made = compile_branch(resource_type, (resource_type,), branch, self._definitions)
            found = self._branches[resource_type, branch.steps] = made
        return found

    def _condition(self, resource_type: str, criteria: tuple[Criterion, ...]) -> Path:
        rooted = tuple(_rooted(resource_type, criterion) for criterion in criteria)
        return compile_condition(resource_type, rooted, self._definitions)

    def _in_r4(self, branch: Branch) -> Branch:
        """The branch with types as R4 spells them (one of its own definitions says DateTime) and extensions by value."""
        steps = [
            replace(step, type=self._spelling(step.type)) if isinstance(step, OfType) else step for step in branch.steps
        ]
        if steps and isinstance(steps[-1], ExtensionOf):
            steps.append(Member("value"))
        return replace(branch, steps=tuple(steps))

    def _spelling(self, type_name: str) -> str:
        return type_name if type_name in self._definitions.types else self._spellings.get(type_name.lower(), type_name)

    @functools.cached_property
    def _spellings(self) -> dict[str, str]:
        return {name.lower(): name for name in self._definitions.types}


def _repaired(definition: dict[str, Any]) -> dict[str, Any]:
    return {**definition, **_ERRATA.get(definition["url"], {})}


def _set_apart(path: Path, definition: dict[str, Any]) -> Path:
    """The path under a text of its own, where the definition has a generation and the path is not the resource itself."""
    if "generation" not in definition or path.text == path.resource_type:
        return path
    return replace(path, text=f"{path.text} #{definition['generation']}")


def is_set_apart(path: Path) -> bool:
    """Whether the path is that of a SearchParameter of one's own: a job of its own makes its rows."""
    return re.search(r" #\d+\Z", path.text) is not None


def _is_about(resource_type: str, operand: str) -> bool:
    """Whether the operand begins with this type, or with an element; spares reading what is about other types."""
    head = re.match(r"[(\s]*(\w*)", operand)
    name = head[1] if head else ""
    return name in (resource_type, *ABSTRACT) or not name[:1].isupper()


def _component_branches(expression: str) -> tuple[Branch, ...]:
    match parse(expression):
        case Condition():
            raise NotPlain(f"a condition as component of a composite: {expression}")
        case branches:
            return branches


def _below_type(resource_type: str, branches: Iterable[Branch]) -> Iterator[Branch]:
    """The branches that are about the type, without its name in front."""
    for branch in branches:
        match branch.steps:
            case (Member(name), *rest) if name in (resource_type, *ABSTRACT):
                yield replace(branch, steps=tuple(rest))
            case (Member(name), *_) if name[:1].isupper():
                continue
            case _:
                yield branch


def _rooted(resource_type: str, criterion: Criterion) -> Criterion:
    return replace(criterion, branches=tuple(_below_type(resource_type, criterion.branches)))


def _targets(
    definition: dict[str, Any], paths: Iterable[Path], restrictions: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], bool]:
    """The types a reference may lead to, and whether resolve() says so, in every branch.

    Else they are those of the definition which the elements allow: the parameter `patient` that many types share names
    Group, and Immunization.patient is a Patient all the same.
    """
    if restrictions and all(restrictions):
        return tuple(dict.fromkeys(name for targets in restrictions for name in targets)), True
    stated = tuple(definition.get("target", ()))
    allowed = {name for path in paths for name in path.targets or ("Resource",)}
    if not allowed or "Resource" in allowed:
        return stated, False
    return tuple(name for name in stated if name in allowed) or tuple(sorted(allowed)), False


def _check(definition: dict[str, Any], definitions: Definitions) -> None:
    """That the members which registering relies on are there, and of their kind."""
    for member in ("url", "code", "type", "expression"):
        if not isinstance(definition.get(member), str) or not definition[member]:
            raise _unusable("required", f"a SearchParameter needs '{member}' to be used", member)
    if definition["type"] not in TYPES:
        raise _unusable("value", f"'{definition['type']}' is no search parameter type", "type")
    bases = definition.get("base")
    if not isinstance(bases, list) or not bases:
        raise _unusable("required", "a SearchParameter needs 'base' to be used", "base")
    for base in bases:
        if base not in ABSTRACT and not (isinstance(base, str) and definitions.is_resource(base)):
            raise _unusable("value", f"'{base}' is no resource type", "base")
    if definition["type"] == "composite" and not _has_components(definition.get("component")):
        raise _unusable("required", "a composite needs components with definition and expression", "component")


def _has_components(components: Any) -> bool:
    return (
        isinstance(components, list)
        and len(components) > 1
        and all(
            isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("definition", "expression"))
            for one in components
        )
    )


def _unusable(code: str, text: str, member: str) -> Refusal:
    return refuse(code, text, f"SearchParameter.{member}", status=422)


@functools.cache
def r4_parameters() -> Parameters:
    """The registry of the parameters FHIR R4 defines; one a process."""
    definitions = r4()
    return Parameters(definitions, definitions.search_parameters())
