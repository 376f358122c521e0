"""An operation: its OperationDefinition, the function that does it, and what a call of it brings along.

https://hl7.org/fhir/R4/operations.html and https://hl7.org/fhir/R4/operationdefinition.html
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.context import Context
from profiles.definitions import r4
from profiles.primitive import PRIMITIVES

Resource = dict[str, Any]
Level = Literal["system", "type", "instance"]
ANY_RESOURCE = frozenset(("Resource", "DomainResource"))
ANY_NAME = "[name]"
CANONICAL = "https://mediconnect.example/OperationDefinition/"
"""In front of the codes of the operations that are our own, their canonicals."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that goes in: how often it may come, and its type, which one with parts has not.

    A part named ANY_NAME stands for parts of whatever names.
    """

    name: str
    min: int
    max: int | None
    type: str | None
    parts: tuple["Parameter", ...] = ()

    @property
    def primitive(self) -> bool:
        return self.type in PRIMITIVES

    @property
    def resource(self) -> bool:
        """Whether its value is a resource."""
        return self.type is not None and (self.type in ANY_RESOURCE or r4().is_resource(self.type))


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter of a call: its value as JSON, a resource, or nothing but parts; `type` is that of the value."""

    name: str
    type: str
    value: Any
    parts: tuple["Argument", ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation: at which type and instance (empty above those levels), with which arguments."""

    type: str = ""
    id: str = ""
    arguments: tuple[Argument, ...] = ()

    def all(self, name: str) -> list[Any]:
        """The values of a parameter, in order."""
        return [one.value for one in self.arguments if one.name == name]

    def one(self, name: str) -> Any:
        """The value of a parameter that may come once; None where it was left out."""
        return next(iter(self.all(name)), None)


Run = Callable[[Context, Call], Awaitable[Resource]]
"""Does what the operation is for and gives the resource that answers; raises Refusal."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An OperationDefinition and the function behind it; `affects_state`: it may be called by POST alone.

    `right` is what a token needs to call it: `token`, none but a good one, where all that it tells or changes is judged
    where it is read or written; one that says nothing is for administrators.
    """

    definition: Mapping[str, Any]
    run: Run
    affects_state: bool
    right: Literal["token", "administer"] = "administer"

    @property
    def code(self) -> str:
        return str(self.definition["code"])

    @property
    def url(self) -> str:
        return str(self.definition["url"])

    @property
    def own(self) -> bool:
        """Whether the definition is ours, and not the specification's."""
        return self.url.startswith(CANONICAL)

    @property
    def summary(self) -> str:
        """The first sentence of the description."""
        return str(self.definition.get("description", self.code)).partition(". ")[0].strip().rstrip(".")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those that go in."""
        listed = self.definition.get("parameter", ())
        return tuple(_parameter(one) for one in listed if one["use"] == "in")

    @property
    def simple(self) -> bool:
        """Whether it can be called by a URL alone: what has to be given is primitive, and nothing changes."""
        return not self.affects_state and all(one.primitive or one.min == 0 for one in self.parameters)

    def is_for(self, resource_type: str) -> bool:
        """Whether it can be called at a type or its instances."""
        listed = self.definition.get("resource", ())
        return resource_type in listed or bool(ANY_RESOURCE.intersection(listed))

    def paths(self) -> Iterator[tuple[Level, str]]:
        """The levels it can be called at, and the paths that are below the base: `[type]/[id]/$validate`."""
        listed = self.definition.get("resource", ())
        types = ("[type]",) if ANY_RESOURCE.intersection(listed) else tuple(listed)
        if self.definition["system"]:
            yield "system", f"${self.code}"
        for name in types:
            if self.definition["type"]:
                yield "type", f"{name}/${self.code}"
            if self.definition["instance"]:
                yield "instance", f"{name}/[id]/${self.code}"


def _parameter(listed: Mapping[str, Any]) -> Parameter:
    most = listed["max"]
    return Parameter(
        listed["name"],
        listed["min"],
        None if most == "*" else int(most),
        listed.get("type"),
        tuple(_parameter(one) for one in listed.get("part", ())),
    )


def specified(identity: str) -> Mapping[str, Any]:
    """The specification's OperationDefinition of this id: Resource-validate."""
    return next(one for one in r4().operations() if one["id"] == identity)


def defined(code: str, description: str, levels: tuple[Level, ...], parameters: list[Resource]) -> Mapping[str, Any]:
    """An OperationDefinition of our own, at the system or at all resource types."""
    title = f"${code}"
    return {
        "resourceType": "OperationDefinition",
        "id": f"mediconnect-{code}",
        "url": CANONICAL + code,
        "name": "".join(part.capitalize() for part in code.split("-")),
        "title": title,
        "status": "active",
        "kind": "operation",
        "publisher": "MediConnect",
        "description": description,
        "code": code,
        **({} if levels == ("system",) else {"resource": ["Resource"]}),
        "system": "system" in levels,
        "type": "type" in levels,
        "instance": "instance" in levels,
        **({"parameter": parameters} if parameters else {}),
    }


def parameter(name: str, use: Literal["in", "out"], bounds: str, kind: str | list[Resource], text: str) -> Resource:
    """A parameter of a definition of our own; `bounds` are as in 0..1, and `kind` is its type or its parts."""
    least, _, most = bounds.partition("..")
    stated = {"name": name, "use": use, "min": int(least), "max": most, "documentation": text}
    return {**stated, "part" if isinstance(kind, list) else "type": kind}
