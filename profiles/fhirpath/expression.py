"""Compiled expressions: kept by their text, evaluated on resources and on elements inside them.

https://hl7.org/fhirpath/N1/ and https://hl7.org/fhir/R4/fhirpath.html
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import DecimalException
from typing import Any

from profiles.fhirpath.check import check
from profiles.fhirpath.compiler import compile_tree
from profiles.fhirpath.element import Element, TypeName, root
from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.evaluation import NO_HOST, NO_VARIABLES, Code, Environment, Host, Items, Scope, truth
from profiles.fhirpath.parser import parse
from profiles.fhirpath.quantity import Quantity
from profiles.fhirpath.syntax import Member, Special, Tree
from profiles.fhirpath.temporal import Temporal

CLIENT_STEPS = 100_000
"""A limit for expressions that come from clients: about a fifth of a second."""
MOST_STEPS = 1_000_000
"""The limit of an evaluation that says nothing else: about a second. None, for expressions one knows, counts nothing."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; every method raises FhirPathError where its data does not fit."""

    text: str
    tree: Tree = field(repr=False)
    code: Code = field(repr=False)

    def items(
        self,
        context: Element | dict[str, Any],
        *,
        variables: Mapping[str, Any] = NO_VARIABLES,
        host: Host = NO_HOST,
        limit: int | None = MOST_STEPS,
    ) -> Items:
        """The result as a list of elements (which know their type and place) and of System values.

        System values are bool, int, Decimal, str, Temporal, Quantity and TypeName. `variables` are %names without the
        sign; `limit` bounds the number of steps and raises TooCostly; of an expression of a client CLIENT_STEPS are plenty.
        """
        start: Items = [context if isinstance(context, Element) else root(context)]
        environment = Environment(start, variables, host, limit)
        try:
            return self.code(Scope(start, environment))
        except FhirPathError as error:
            error.expression = error.expression or self.text
            raise
        except RecursionError:
            raise FhirPathError("nested too deeply", self.text) from None
        except (DecimalException, OverflowError):
            raise FhirPathError("a number is beyond what can be calculated with", self.text) from None

    def parent(self) -> "tuple[Expression, str] | None":
        """Of a path that ends in a name: the expression before it, and the name; None for any other."""
        match self.tree:
            case Member(None, name):
                return Expression("$this", Special("this"), compile_tree(Special("this"))), name
            case Member(source, name) if source is not None:
                return Expression(self.text, source, compile_tree(source, strict=True)), name
            case _:
                return None

    def evaluate(
        self,
        context: Element | dict[str, Any],
        *,
        variables: Mapping[str, Any] = NO_VARIABLES,
        host: Host = NO_HOST,
        limit: int | None = MOST_STEPS,
    ) -> list[Any]:
        """The result as JSON values: of an element its own, dates as text, a System.Quantity as FHIR's Quantity."""
        return [as_json(item) for item in self.items(context, variables=variables, host=host, limit=limit)]

    def holds(
        self,
        context: Element | dict[str, Any],
        *,
        variables: Mapping[str, Any] = NO_VARIABLES,
        host: Host = NO_HOST,
        limit: int | None = MOST_STEPS,
    ) -> bool:
        """Whether a constraint is met: the result is true; an empty result is not."""
        return truth(self.items(context, variables=variables, host=host, limit=limit)) is True


def as_json(item: Any) -> Any:
    """An item as JSON value: dict, str, bool, int or Decimal; None for a primitive that has extensions only."""
    match item:
        case Element():
            return item.value
        case Temporal():
            return str(item)
        case Quantity() if item.calendar:
            return {"value": item.value, "unit": item.unit}
        case Quantity():
            return {"value": item.value, "system": "http://unitsofmeasure.org", "code": item.unit}
        case TypeName():
            return {"namespace": item.namespace, "name": item.name}
        case _:
            return item


@functools.lru_cache(maxsize=8192)
def compile_expression(text: str, *, on: str | None = None, strict: bool = False) -> Expression:
    """An expression, compiled once and kept.

    With `on`, the name of the type it starts from (Patient), its names and types are checked against the definitions:
    an unknown element is an error then, not an empty result. `strict` has `as` refuse more than one item, as FHIRPath
    says; R4's own invariants and search parameters were written for `as` that picks. Raises FhirPathError.
    """
    try:
        tree = parse(text)
        code = compile_tree(tree, strict=strict)
        if on is not None:
            check(tree, on)
    except FhirPathError as error:
        error.expression = error.expression or text
        raise
    return Expression(text, tree, code)


def evaluate(
    resource: Element | dict[str, Any],
    expression: str,
    *,
    variables: Mapping[str, Any] = NO_VARIABLES,
    host: Host = NO_HOST,
    limit: int | None = MOST_STEPS,
) -> list[Any]:
    """The JSON values an expression finds in a resource; raises FhirPathError."""
    return compile_expression(expression).evaluate(resource, variables=variables, host=host, limit=limit)
