"""One branch of a search expression, compiled to a closure over the JSON of a resource.

https://hl7.org/fhir/R4/search.html#table and https://hl7.org/fhir/R4/fhirpath.html
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_server.search.expression import (
    Branch,
    Comparison,
    Criterion,
    Existence,
    ExtensionOf,
    Item,
    Literal,
    Member,
    NotPlain,
    OfType,
    Step,
    Where,
    written,
    written_condition,
)
from profiles.definitions import Definitions, Field, r4
from profiles.fhirpath import CLIENT_STEPS, Element, FhirPathError, as_json, compile_expression
from profiles.fhirpath.element import type_name as name_of_type

Node = tuple[str, Any]
"""(FHIR type name, JSON value): ('code', 'final'), ('Reference', {…}), ('Patient', {…}) for a resource inside another."""

Nodes = Callable[[dict[str, Any]], list[Node]]
_Collect = Callable[[Any, list[Node]], None]  # adds what the steps yield, from one JSON value of a known type
_Test = Callable[[Any], bool]

_REFERENCES = frozenset(("Reference", "canonical"))
_GRAMMARS = frozenset(("urn:ietf:bcp:13", "urn:ietf:bcp:47"))

MANY = 4  # a choice of more types than this is read by walking the properties there are, not by asking for each


class DeadExpressionError(ValueError):
    """An expression that can never yield anything: an unknown element, or a type that the element cannot have."""


@dataclass(frozen=True, slots=True)
class Path:
    """What index rows are kept under: one branch of a union, for one resource type, in one normal form.

    `text` begins with the resource type, save for a component of a composite, which begins below the composite's root.
    `types` are the FHIR types that `nodes` can yield; it takes a resource (a component: the root's JSON value, or the
    resource where `from_resource`), never raises, and yields nothing for JSON that is not as R4 defines it.
    `targets` are the resource types its references may lead to, () for any or where it has none.
    `properties` are the JSON properties of the resource that are read, without which there is nothing; None: it must always
    be asked.
    """

    resource_type: str
    text: str
    types: tuple[str, ...]
    nodes: Nodes = field(compare=False, repr=False)
    properties: frozenset[str] | None = None
    from_resource: bool = False
    binding: str | None = None
    targets: tuple[str, ...] = ()

    @property
    def code_system(self) -> str | None:
        """The one system all codes of a `code`, Coding or CodeableConcept path are from: its binding names no other.

        None elsewhere, and for languages and media types: their codes are made by a grammar, not taken from a list.
        """
        return None if self.binding is None else _only_system(self.binding)


def read_by(paths: Iterable[Path]) -> frozenset[str] | None:
    """The properties of the resource that any of the paths reads; None where one does not tell."""
    several = [path.properties for path in paths]
    return None if None in several else frozenset(name for names in several for name in names or ())


def compile_branch(resource_type: str, starts: Sequence[str], branch: Branch, definitions: Definitions) -> Path:
    """The path of a branch that starts at a structure: the resource type itself, or the types of a composite's roots.

    Raises NotPlain where the branch goes below a primitive or an unknown resource, DeadExpressionError where it is wrong.
    """
    compiled = [_compile(start, branch, definitions) for start in starts]
    collects = [collect for collect, _ in compiled]
    walks = [walk for _, walk in compiled]
    if all(walk.same(walks[0]) for walk in walks):
        del collects[1:]
    at_resource = tuple(starts) == (resource_type,) and not branch.from_resource
    shown = Branch((Member(resource_type), *branch.steps)) if at_resource else branch
    bindings = {walk.binding for walk in walks}
    return Path(
        resource_type,
        written((shown,)),
        tuple(dict.fromkeys(name for walk in walks for name in walk.types)),
        _direct(branch, walks[0], definitions) or _nodes(collects),
        walks[0].properties if at_resource and not _asks_first(branch) else None,
        branch.from_resource,
        bindings.pop() if len(bindings) == 1 else None,
        _common_targets(target for walk in walks for target in walk.targets),
    )


def _asks_first(branch: Branch) -> bool:
    """Whether criteria decide about the resource itself, by whatever properties they name."""
    return bool(branch.steps) and isinstance(branch.steps[0], Where)


def compile_condition(resource_type: str, criteria: tuple[Criterion, ...], definitions: Definitions) -> Path:
    """The path of an expression that is true or false: it yields one boolean for every resource."""
    tests = [_test(definitions, resource_type, criterion) for criterion in criteria]

    def nodes(resource: dict[str, Any]) -> list[Node]:
        return [("boolean", all(test(resource) for test in tests))]

    text = written_condition(tuple(_rooted(resource_type, criterion) for criterion in criteria))
    return Path(resource_type, text, ("boolean",), nodes)


def compile_general(resource_type: str, text: str) -> Path:
    """The path of an expression that only a general FHIRPath engine understands; its types are not known beforehand.

    Where the expression does not fit a resource, or takes too long, the path yields nothing. Raises DeadExpressionError.
    """
    try:
        expression = compile_expression(text, on=resource_type)
    except FhirPathError as error:
        raise DeadExpressionError(error.message) from None

    def nodes(resource: dict[str, Any]) -> list[Node]:
        try:
            items = expression.items(resource, limit=CLIENT_STEPS)
        except FhirPathError:
            return []
        return [node for node in map(_node, items) if node[1] is not None]

    return Path(resource_type, text, (), nodes)


def _node(item: Any) -> Node:
    """An element with its type, or a System value with the FHIR type that is its like."""
    if isinstance(item, Element):
        return item.shape.name, item.value
    named = name_of_type(item).name
    return named if named == "Quantity" else named[:1].lower() + named[1:], as_json(item)


def _rooted(resource_type: str, criterion: Criterion) -> Criterion:
    branches = tuple(Branch((Member(resource_type), *branch.steps)) for branch in criterion.branches)
    match criterion:
        case Comparison(_, literal, equal):
            return Comparison(branches, literal, equal)
        case Existence(_, exists):
            return Existence(branches, exists)


def _compile(start: str, branch: Branch, definitions: Definitions) -> "tuple[_Collect, _Walk]":
    walk = _Walk(definitions)
    collect = walk.collect(start, branch.steps, None)
    if collect is None:
        raise DeadExpressionError(f"{start}.{written((branch,))} cannot yield anything")
    return collect, walk


def _direct(branch: Branch, walk: "_Walk", definitions: Definitions) -> Nodes | None:
    """The closure for one property of one complex type, the most frequent of all: it costs half of the general one."""
    properties = walk.properties or ()
    if len(branch.steps) > 1 or len(properties) != 1 or walk.types[0] in (*definitions.primitive_types, "Resource"):
        return None
    (name,), kind = properties, walk.types[0]

    def nodes(resource: dict[str, Any]) -> list[Node]:
        value = resource.get(name)
        if type(value) is list:
            out: list[Node] = []
            for item in value:
                if type(item) is dict:
                    out.append((kind, item))  # noqa: PERF401 - a comprehension costs a frame, more than the few items
            return out
        return [(kind, value)] if type(value) is dict else []

    return nodes


def _nodes(collects: list[_Collect]) -> Nodes:
    if len(collects) == 1:
        collect = collects[0]

        def nodes(resource: dict[str, Any]) -> list[Node]:
            out: list[Node] = []
            collect(resource, out)
            return out

        return nodes

    def union(resource: dict[str, Any]) -> list[Node]:
        out: list[Node] = []
        for collect in collects:
            collect(resource, out)
        return out

    return union


class _Walk:
    """One walk along the steps of a branch through the definitions; it notes at which fields the branch ends."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self.types: list[str] = []
        self.properties: frozenset[str] | None = None
        self.targets: set[tuple[str, ...]] = set()
        self._bindings: set[str | None] = set()

    @property
    def binding(self) -> str | None:
        """The value set of the codes the branch ends in, where there is one that they must be from."""
        return next(iter(self._bindings)) if len(self._bindings) == 1 and len(self.types) == 1 else None

    def same(self, other: "_Walk") -> bool:
        return (self.types, self.properties) == (other.types, other.properties)

    def collect(self, type_name: str, steps: tuple[Step, ...], last: Field | None) -> _Collect | None:
        """The closure for the steps from a value of the type; None where they cannot yield anything."""
        if not steps:
            return self._end(type_name, last)
        match steps[0]:
            case Member(name):
                return self._member(type_name, name, steps[1:])
            case OfType(wanted) if type_name == "Resource" and wanted != "Resource":
                return _then(_is_a(wanted), self.collect(wanted, steps[1:], last))
            case OfType(wanted):
                return self.collect(type_name, steps[1:], last) if wanted == type_name else None
            case ExtensionOf(url):
                return self.collect(type_name, (Member("extension"), _url_is(url), *steps[1:]), last)
            case Where(criteria):
                tests = [_test(self._definitions, type_name, criterion) for criterion in criteria]
                inner = self.collect(type_name, steps[1:], last)
                return functools.reduce(lambda made, test: _then(test, made), reversed(tests), inner)
            case Item():
                raise NotPlain("a position at the start")

    def _end(self, type_name: str, last: Field | None) -> _Collect:
        if type_name not in self.types:
            self.types.append(type_name)
        self._bindings.add(_binding(last))
        if type_name in _REFERENCES:
            self.targets.add(last.targets if last is not None else ())
        return _resource if type_name == "Resource" else functools.partial(_append, type_name)

    def _member(self, type_name: str, name: str, rest: tuple[Step, ...]) -> _Collect | None:
        fields = self._fields(type_name, name)
        if self.properties is None:
            self.properties = frozenset(one.name for one in fields)
        at = next((at for at, step in enumerate(rest) if isinstance(step, Item)), None)
        if at is None:
            return _any([self._property(one, rest) for one in fields])
        return self._item(type_name, (Member(name), *rest[:at]), rest[at:])

    def _property(self, one: Field, rest: tuple[Step, ...]) -> tuple[str, _Collect] | None:
        collect = self.collect(one.type, rest, one)
        if collect is None:
            return None
        if not one.primitive:
            return one.name, _objects(one.name, collect)
        return one.name, _scalars(one.name, one.type, collect)

    def _item(self, type_name: str, before: tuple[Step, ...], rest: tuple[Step, ...]) -> _Collect | None:
        """The steps before a position, gathered; then the one at the position, and the steps behind it."""
        start, walk = rest[0], _Walk(self._definitions)
        gather = walk.collect(type_name, before, None)
        if gather is None or not isinstance(start, Item):
            return None
        if len(walk.types) != 1:
            raise NotPlain("a position among several types")
        inner = self.collect(walk.types[0], rest[1:], None)
        return None if inner is None else functools.partial(_at, gather, start.index, inner)

    def _fields(self, type_name: str, name: str) -> list[Field]:
        if type_name in self._definitions.primitive_types:
            raise NotPlain(f"'{name}' below the primitive type {type_name}")
        fields = self._definitions.structure(type_name).fields
        found = [one for one in fields.values() if name in (one.element, one.name)]
        if not found and type_name == "Resource":
            raise NotPlain(f"'{name}' of a resource of any type")
        if not found:
            raise DeadExpressionError(f"{type_name} has no element '{name}'")
        return found


def _common_targets(targets: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All of the fields' targets; any where one of them may lead anywhere."""
    several = set(targets)
    return () if () in several else tuple(sorted({name for one in several for name in one}))


def _binding(last: Field | None) -> str | None:
    if last is None or last.type not in ("code", "Coding", "CodeableConcept"):
        return None
    return last.binding if last.strength == "required" else last.max_binding


# --- closures: each takes one JSON value, believed to be of a type, and the list to add to -------------------------------------


def _append(type_name: str, value: Any, out: list[Node]) -> None:
    out.append((type_name, value))


def _resource(value: Any, out: list[Node]) -> None:
    type_name = value.get("resourceType")
    if type(type_name) is str:
        out.append((type_name, value))


def _objects(name: str, collect: _Collect) -> _Collect:
    """The property, an object or an array of them, each passed on."""
    if isinstance(collect, functools.partial) and collect.func is _append:
        return _end_objects(name, collect.args[0])

    def read(node: Any, out: list[Node]) -> None:
        value = node.get(name)
        if type(value) is dict:
            collect(value, out)
        elif type(value) is list:
            for item in value:
                if type(item) is dict:
                    collect(item, out)

    return read


def _end_objects(name: str, type_name: str) -> _Collect:
    """As `_objects` where the branch ends: the call for each value is saved."""

    def read(node: Any, out: list[Node]) -> None:
        value = node.get(name)
        if type(value) is dict:
            out.append((type_name, value))
        elif type(value) is list:
            out += [(type_name, item) for item in value if type(item) is dict]

    return read


def _scalars(name: str, type_name: str, collect: _Collect) -> _Collect:
    """The property of a primitive type, one or an array; values of another JSON type are left out."""
    fits = _FITS.get(type_name, _is_text)

    def read(node: Any, out: list[Node]) -> None:
        value = node.get(name)
        if value is None:
            return
        if type(value) is list:
            for item in value:
                if fits(item):
                    collect(item, out)
        elif fits(value):
            collect(value, out)

    return read


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_boolean(value: Any) -> bool:
    return type(value) is bool


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) is int or isinstance(value, Decimal)


_FITS: dict[str, _Test] = {
    "boolean": _is_boolean,
    "integer": _is_integer,
    "positiveInt": _is_integer,
    "unsignedInt": _is_integer,
    "decimal": _is_number,
}


def _any(made: list[tuple[str, _Collect] | None]) -> _Collect | None:
    """The properties of a choice, of which a resource has one."""
    reads = dict(one for one in made if one is not None)
    if len(reads) <= 1:
        return next(iter(reads.values()), None)
    several = tuple(reads.values())

    def ask_each(node: Any, out: list[Node]) -> None:
        for read in several:
            read(node, out)

    def walk(node: Any, out: list[Node]) -> None:
        for name in node:
            read = reads.get(name)
            if read is not None:
                read(node, out)

    return walk if len(several) > MANY else ask_each


def _at(gather: _Collect, index: int, collect: _Collect, node: Any, out: list[Node]) -> None:
    found: list[Node] = []
    gather(node, found)
    if index < len(found):
        collect(found[index][1], out)


def _then(test: _Test, collect: _Collect | None) -> _Collect | None:
    if collect is None:
        return None

    def read(node: Any, out: list[Node]) -> None:
        if test(node):
            collect(node, out)

    return read


def _is_a(resource_type: str) -> _Test:
    return lambda node: node.get("resourceType") == resource_type


def _url_is(url: str) -> Where:
    return Where((Comparison((Branch((Member("url"),)),), url, equal=True),))


def _test(definitions: Definitions, type_name: str, criterion: Criterion) -> _Test:
    collects = [_compile(type_name, branch, definitions)[0] for branch in criterion.branches]
    simple = _simple(definitions, type_name, criterion)
    if simple is not None:
        return simple
    nodes = _nodes(collects)
    match criterion:
        case Existence(_, exists):
            return lambda node: bool(nodes(node)) == exists
        case Comparison(_, literal, equal):
            return lambda node: bool(found := nodes(node)) and _equals(found, literal) == equal


def _simple(definitions: Definitions, type_name: str, criterion: Criterion) -> _Test | None:
    """`system = 'phone'` as one look into the object."""
    match criterion:
        case Comparison((Branch((Member(name),), (), False),), str() as literal, True):
            one = definitions.structure(type_name).fields.get(name)
            if one is not None and one.primitive and not one.repeats:
                return lambda node: bool(node.get(name) == literal)
    return None


def _equals(found: list[Node], literal: Literal) -> bool:
    """One value, equal to the literal and of its kind: in Python True is also 1."""
    value = found[0][1]
    return len(found) == 1 and bool(value == literal) and isinstance(value, bool) == isinstance(literal, bool)


@functools.cache
def _only_system(value_set: str) -> str | None:
    systems = _systems(value_set)
    return next(iter(systems)) if len(systems) == 1 and not systems & _GRAMMARS else None


def _systems(value_set: str) -> frozenset[str]:
    """The systems a value set includes codes of, as its definition says, without expanding it."""
    found = r4().value_set(value_set) or {}
    systems: set[str] = set()
    for include in found.get("compose", {}).get("include", ()):
        if "system" in include:
            systems.add(include["system"])
        for other in include.get("valueSet", ()):
            systems |= _systems(other)
    return frozenset(systems)
