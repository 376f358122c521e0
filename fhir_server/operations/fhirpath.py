"""`$fhirpath`: an expression tried out on a resource that is sent, or on a stored one.

https://hl7.org/fhirpath/N1/ and https://hl7.org/fhir/R4/fhirpath.html; the parameters are those that the FHIRPath community's
tools agreed on, so that any of them can be pointed at this server.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from fhir_server.context import Context
from fhir_server.json import dump_json, parse_json
from fhir_server.operations.arguments import value_types
from fhir_server.operations.operation import ANY_NAME, Argument, Call, Operation, Resource, defined, parameter
from fhir_server.outcome import Refusal, refuse
from fhir_server.packages import Packages
from fhir_server.sight import stored
from profiles import narrative
from profiles.criterion import is_in, resolved
from profiles.fhirpath.element import Element, root, type_name
from profiles.fhirpath.error import FhirPathError, TooCostly
from profiles.fhirpath.evaluation import Host, Items
from profiles.fhirpath.expression import CLIENT_STEPS, Expression, as_json, compile_expression
from profiles.fhirpath.model import shape
from profiles.primitive import PRIMITIVES, fault

MOST_SECONDS = 2.0  # of all evaluations of a call together
MOST_BYTES = 8 * 1024 * 1024  # of what they find
MOST_ITEMS = 10_000
LAB = "http://fhir.forms-lab.com/StructureDefinition/"
"""In front of the names of the extensions that say where a value stands, and carry one that no value[x] can."""

Part = dict[str, Any]
_SYSTEM = {"Boolean": "boolean", "String": "string", "Integer": "integer", "Decimal": "decimal", "Date": "date"}
_SYSTEM |= {"DateTime": "dateTime", "Time": "time", "Quantity": "Quantity"}


async def fhirpath(context: Context, call: Call) -> Resource:
    """Parameters with a `result` for the resource, or for each item of the context expression.

    Raises Refusal for an expression that cannot be read or evaluated, or takes too long; the issue says why and where.
    """
    sent = call.one("resource")
    resource = sent if sent is not None or not call.id else await _stored(context, call)
    packages = context.packages
    # In a thread: what an expression may take in all is little, but more than other requests should wait for.
    return await asyncio.to_thread(_answer, packages, call, resource, sent)


async def _stored(context: Context, call: Call) -> Resource:
    kept = await stored(context, call.type, call.id)
    if kept is None or kept.content is None:
        code, word = ("not-found", "is not known") if kept is None else ("deleted", "was deleted")
        raise refuse(code, f"{call.type}/{call.id} {word}")
    return parse_json(kept.content)


def _answer(packages: Packages, call: Call, resource: Resource | None, sent: Resource | None) -> Resource:
    text, within = call.one("expression"), call.one("context")
    told: list[Part] = [{"name": "evaluator", "valueString": f"MediConnect {version('mediconnect')} (R4)"}]
    told.append({"name": "expression", "valueString": text})
    if within is not None:
        told.append({"name": "context", "valueString": within})
    if sent is not None:
        told.append({"name": "resource", "resource": sent})
    evaluation = Evaluation(packages, _variables(call))
    start = Element({}, shape("Resource")) if resource is None else root(resource)
    try:
        results = list(evaluation.results(text, within, start, names_checked=call.one("validate") is True))
    except FhirPathError as error:
        raise _refusal(error) from None
    return {
        "resourceType": "Parameters",
        "id": "fhirpath",
        "parameter": [{"name": "parameters", "part": told}, *results],
    }


def _refusal(error: FhirPathError) -> Refusal:
    if isinstance(error, TooCostly):
        return refuse("too-costly", str(error)[:2000], "expression", status=422)
    return refuse("invalid", str(error)[:2000], "expression", status=400)


def _variables(call: Call) -> dict[str, Any]:
    """What the expression may name by %: typed elements."""
    found: dict[str, Any] = {}
    for one in _parts(call.arguments):
        kind = (
            str(one.value.get("resourceType"))
            if isinstance(one.value, dict) and "resourceType" in one.value
            else one.type
        )
        found[one.name] = Element(one.value, shape(kind))
    return found


def _parts(arguments: Iterable[Argument]) -> Iterator[Argument]:
    for one in arguments:
        if one.name == "variables":
            yield from (part for part in one.parts if part.value is not None)


class Evaluation:
    """The evaluations of one call, which share what they may take: time, items, and the size of what is found."""

    def __init__(self, packages: Packages, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._until = time.monotonic() + MOST_SECONDS
        self._items = 0
        self._bytes = 0
        self._traced: list[tuple[str, Items]] = []
        registry = packages.registry
        self._host = Host(
            resolve=resolved,
            member_of=lambda value, url: None if (codes := registry.codes(url)) is None else is_in(value, codes),
            html_checks=lambda div: narrative.fault(div) is None,
            trace=lambda name, items: self._traced.append((name, items)),
        )

    def results(self, text: str, within: str | None, start: Element, *, names_checked: bool) -> Iterator[Part]:
        """A part for the resource, or one for each item of the context."""
        expression = _compiled(text, start if names_checked and within is None else None)
        if within is None:
            yield self._result(expression, start, {})
            return
        for item in self._evaluated(_compiled(within, start if names_checked else None), start):
            if not isinstance(item, Element):
                raise FhirPathError("the context is made of elements of the resource", within)
            yield self._result(expression, item, {"valueString": item.path()})

    def _result(self, expression: Expression, start: Element, place: Part) -> Part:
        self._traced.clear()
        parts = [self._part(item) for item in self._evaluated(expression, start)]
        parts += [
            {"name": "trace", "valueString": name, "part": [self._part(item) for item in items]}
            if items
            else {"name": "trace", "valueString": name}
            for name, items in self._traced
        ]
        return {"name": "result", **place, **({"part": parts} if parts else {})}

    def _evaluated(self, expression: Expression, start: Element) -> Items:
        if time.monotonic() > self._until:
            raise TooCostly(f"given up after {MOST_SECONDS} s")
        return expression.items(start, variables=self._variables, host=self._host, limit=CLIENT_STEPS)

    def _part(self, item: Any) -> Part:
        self._items += 1
        if self._items > MOST_ITEMS:
            raise TooCostly(f"more than {MOST_ITEMS} items are found")
        part = part_of(item)
        self._bytes += len(dump_json(part))
        if self._bytes > MOST_BYTES:
            raise TooCostly(f"more than {MOST_BYTES} bytes are found")
        return part


def _compiled(text: str, start: Element | None) -> Expression:
    """Compiled anew each time: what clients send shall not push what the server needs out of the cache."""
    return compile_expression.__wrapped__(text, on=start.shape.name if start is not None else None)


def part_of(item: Any) -> Part:
    """An item with its type as name, its value, and, of an element, its path."""
    if not isinstance(item, Element):
        kind = _SYSTEM.get(type_name(item).name, "")
        return _typed(_outside_integer(kind, item), as_json(item), None)
    part = _typed(item.shape.name, item.value, item.extra, resource=item.shape.kind == "resource")
    if item.parent is None:
        return part
    path = {"url": f"{LAB}resource-path", "valueString": item.path()}
    return {"name": part.pop("name"), "extension": [path, *part.pop("extension", ())], **part}


def _outside_integer(kind: str, item: Any) -> str:
    """FHIR's integers have 32 bits, FHIRPath's may have more."""
    return "decimal" if kind == "integer" and fault(PRIMITIVES["integer"], item) is not None else kind


def _typed(kind: str, value: Any, extra: Any, *, resource: bool = False) -> Part:
    if resource:
        return {"name": kind, "resource": value}
    if value == "":
        return {"name": "empty-string"}
    key = f"value{kind[:1].upper()}{kind[1:]}"
    if kind in PRIMITIVES and (value is None or fault(PRIMITIVES[kind], value) is None):
        part = {"name": kind} if value is None else {"name": kind, key: value}
        return {**part, f"_{key}": extra} if extra else part
    if key in value_types() and isinstance(value, dict):
        return {"name": kind, key: value}
    text = dump_json(value).decode() if not isinstance(value, str | Decimal) else str(value)
    return {"name": kind or "unknown", "extension": [{"url": f"{LAB}json-value", "valueString": text}]}


_VALUES = [parameter(ANY_NAME, "in", "0..*", "Element", "The value of the variable of that name, or a resource.")]
_TOLD = [
    parameter("evaluator", "out", "1..1", "string", "This server."),
    parameter("expression", "out", "1..1", "string", "As it was sent."),
    parameter("context", "out", "0..1", "string", "As it was sent."),
    parameter("resource", "out", "0..1", "Resource", "As it was sent."),
]
_ITEMS = [
    parameter(ANY_NAME, "out", "0..*", "Element", "An item, by the name of its type; trace, what trace() was told.")
]
_PARAMETERS = [
    parameter("expression", "in", "1..1", "string", "The expression."),
    parameter(
        "resource", "in", "0..1", "Resource", "What it is evaluated on; else the stored resource, at an instance."
    ),
    parameter(
        "context", "in", "0..1", "string", "An expression for the items the other one is evaluated on, one by one."
    ),
    parameter("variables", "in", "0..*", _VALUES, "The values that the expression may name: %name."),
    parameter("validate", "in", "0..1", "boolean", "Whether names that the type does not have are errors."),
    parameter("terminologyserver", "in", "0..1", "string", "Not used: value sets come from the installed packages."),
    parameter("parameters", "out", "1..1", _TOLD, "What was evaluated, and by what."),
    parameter(
        "result", "out", "0..*", _ITEMS, "The path of the context item, if there is a context; the items found, typed."
    ),
]
_DEFINITION = defined(
    "fhirpath",
    "Evaluates a FHIRPath expression on a resource that is sent, or on a stored one. It is bounded in time, steps and size.",
    ("system", "instance"),
    _PARAMETERS,
)
FHIRPATH = Operation(_DEFINITION, fhirpath, affects_state=False, right="token")
