"""One `name=value` of a query as a term: clauses with modifiers, chains, `_has`, and the parameters that are none of a type.

https://hl7.org/fhir/R4/search.html#modifiers, #chaining, #has and #all
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.outcome import Refusal, did_you_mean, refuse
from fhir_server.search import text
from fhir_server.search.filter import is_final, parse_filter
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.query import Chain, Clause, Either, Has, Listed, Missing, Term, Words
from fhir_server.search.types import BY_TYPE, token
from fhir_server.search.types.context import Context
from fhir_server.search.types.escape import split, unescape
from fhir_server.search.types.reference import localised

NEGATIONS = {"not": None, "not-in": "in"}
MOST_CHAIN_LINKS = 8
MOST_VALUES = 1000
MOST_TEXTS = 20  # alternatives of _text and _content
# Of one query in all: a chain without types makes terms for every type that it may lead to.
MOST_TERMS = 2000
MOST_VALUES_IN_ALL = 2000
TARGETS_OF_A_VALUE = 16  # so many targets of a reference count as one value
# What a parameter that is a column of the table of resources may be asked by, beside :missing.
COLUMN_MODIFIERS: dict[str, tuple[str, ...]] = {"_id": ("not",), "_lastUpdated": ()}

Usable = Callable[[str, str], None]


def always_usable(resource_type: str, code: str) -> None:
    """Every parameter of the registry may be searched by."""


@dataclass(slots=True)
class Spent:
    """What the terms of one query have come to so far."""

    terms: int = 0
    values: int = 0
    codes: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """Reads terms; `usable` raises the refusal of a parameter that may not be searched by yet."""

    parameters: Parameters
    context: Context
    usable: Usable = always_usable
    spent: Spent = field(default_factory=Spent, compare=False)

    def term(self, types: tuple[str, ...], name: str, value: str, links: int = 0) -> Term:
        """The term of one `name=value`. Raises a 400 refusal that says what is supported."""
        if links > MOST_CHAIN_LINKS:
            raise refuse("too-costly", f"{name}: a chain may have {MOST_CHAIN_LINKS} links", name, status=400)
        self.spend(name)
        if name.startswith("_has:"):
            return self.has(types, name, value, links)
        link, dot, rest = name.partition(".")
        if dot:
            return self.chain(types, link, rest, value, links)
        code, _, modifier = name.partition(":")
        if code not in _SPECIAL and code != "_filter":
            return self.clause(types, code, modifier or None, value)
        if modifier:
            raise refuse("invalid", f"'{code}' takes no modifier, '{name}' has one", name)
        return parse_filter(self, types, value) if code == "_filter" else _SPECIAL[code](value, self.context)

    def spend(self, name: str) -> None:
        """Counts one term more. Raises the refusal of a query that has too many."""
        self.spent.terms += 1
        if self.spent.terms > MOST_TERMS:
            text_ = f"{name[:80]}: more than {MOST_TERMS} terms; name the type of each link, as in subject:Patient.name"
            raise refuse("too-costly", text_, name[:80], status=400)

    # --- joins --------------------------------------------------------------------------------------------------------

    def has(self, types: tuple[str, ...], name: str, value: str, links: int) -> Has:
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            raise refuse("invalid", f"'{name}': write it as _has:Type:reference:parameter", name)
        _, kind, code, rest = parts
        self.known_type(kind, name)
        parameter = self.reference((kind,), code)
        if (
            types
            and parameter.targets
            and "Resource" not in parameter.targets
            and not set(types) & set(parameter.targets)
        ):
            text_ = f"'{name[:200]}': {kind}.{code} never refers to {' or '.join(types)}"
            raise refuse("invalid", text_, name[:200])
        return Has(kind, parameter, self.term((kind,), rest, value, links + 1))

    def chain(self, types: tuple[str, ...], link: str, rest: str, value: str, links: int) -> Chain:
        code, _, kind = link.partition(":")
        parameter = self.reference(types, code)
        found, problems = [], []
        for target in self.targets(parameter, kind, link):
            try:
                found.append((target, self.term((target,), rest, value, links + 1)))
            except Refusal as refusal:
                if is_final(refusal):
                    raise
                problems.append(refusal)
        if not found:
            raise problems[0]
        return Chain(parameter, tuple(found))

    def targets(self, parameter: Parameter, kind: str, link: str) -> tuple[str, ...]:
        """The types a link leads to: the one that is named, else all that the parameter allows."""
        anything = not parameter.targets or "Resource" in parameter.targets
        if not kind:
            return self.parameters.resource_types if anything else parameter.targets
        self.known_type(kind, link)
        if not anything and kind not in parameter.targets:
            known = ", ".join(parameter.targets)
            raise refuse("invalid", f"'{link}': '{parameter.code}' never refers to {kind}, only to {known}", link)
        return (kind,)

    def known_type(self, kind: str, name: str) -> None:
        if kind not in self.parameters.resource_types:
            close = did_you_mean(kind, self.parameters.resource_types)
            raise refuse("value", f"{name}: '{kind}' is not a resource type{close}", name)

    # --- clauses ------------------------------------------------------------------------------------------------------

    def clause(self, types: tuple[str, ...], code: str, modifier: str | None, value: str) -> Term:
        """A parameter with its alternatives; of several types, one clause for all of them where that is possible."""
        found = self.each(types, code)
        if any(one.type == "composite" for one in found) and len(found) > 1:
            return Either(tuple(self._clause(one, modifier, value) for one in found))
        return self._clause(merged(found), modifier, value)

    def _clause(self, parameter: Parameter, modifier: str | None, value: str) -> Term:
        name = parameter.code if modifier is None else f"{parameter.code}:{modifier}"
        if modifier == "missing":
            return Missing(parameter, _truth(name, value))
        columns = COLUMN_MODIFIERS.get(parameter.code)
        if columns is not None and modifier is not None and modifier not in columns:
            known = ", ".join(f":{one}" for one in (*columns, "missing"))
            raise refuse("invalid", f"'{name}': '{parameter.code}' has the modifiers {known}", name)
        kind = BY_TYPE[parameter.type]
        negated = modifier in NEGATIONS and modifier in kind.MODIFIERS
        meaning = NEGATIONS[modifier] if negated and modifier else modifier
        values = tuple(kind.parse(parameter, meaning, one, self.context) for one in alternatives(name, value))
        self._spend_values(name, parameter, values)
        self._spend_codes(name, parameter, values)
        if parameter.code == "_id" and any(one.system for one in values):
            raise refuse("value", f"{name}={value}: an id has no system", name)
        return Clause(parameter, meaning, values, negated)

    def _spend_values(self, name: str, parameter: Parameter, values: Sequence[Any]) -> None:
        """Counts values; an id that may be of any type stands for many."""
        weights = (len(one.targets) // TARGETS_OF_A_VALUE for one in values if parameter.type == "reference")
        self.spent.values += len(values) + sum(weights)
        if self.spent.values > MOST_VALUES_IN_ALL:
            text_ = (
                f"{name}: more than {MOST_VALUES_IN_ALL} values in all; name the types of references, as in Patient/1"
            )
            raise refuse("too-costly", text_, name, status=400)

    def _spend_codes(self, name: str, parameter: Parameter, values: Sequence[Any]) -> None:
        """Counts the codes that value sets and hierarchies stand for."""
        expansions = [one.expansion for one in values if isinstance(one, token.Value) and one.expansion is not None]
        found = sum(map(len, expansions)) * len(parameter.paths)
        self.spent.codes += found
        if self.spent.codes > self.context.most_codes:
            text_ = (
                f"{name}: {found} codes are to be looked for, one search may look for {self.context.most_codes}"
                " (MEDICONNECT_MAX_SEARCH_CODES); name a smaller value set or a narrower code"
            )
            raise refuse("too-costly", text_, name, status=400)

    # --- parameters ---------------------------------------------------------------------------------------------------

    def each(self, types: tuple[str, ...], code: str) -> list[Parameter]:
        """The parameter as each of the types has it; of no types, as every type has it that knows it.

        Raises a refusal where a type does not know it, or where it is of another search type there.
        """
        found: list[Parameter] = []
        for kind in types or self.parameters.resource_types:
            one = self.parameters.get(kind, code)
            if one is None and (types or not code.startswith("_")):
                raise self._unknown(types, kind, code)
            if one is not None:
                self.usable(kind, code)
                found.append(one)
        if not found:
            raise self._unknown(types, "Basic", code)
        other = next((one for one in found if one.type != found[0].type), None)
        if other is not None:
            first = found[0]
            text_ = f"'{code}' is a {first.type} on {first.resource_type} and a {other.type} on {other.resource_type}"
            raise refuse("invalid", f"{text_}: search them one type at a time", code)
        return found

    def parameter(self, types: tuple[str, ...], code: str) -> Parameter:
        """The parameter, with the paths it has in each of the types."""
        return merged(self.each(types, code))

    def reference(self, types: tuple[str, ...], code: str) -> Parameter:
        """A parameter that leads to other resources."""
        parameter = self.parameter(types, code)
        if parameter.type != "reference":
            raise refuse("invalid", f"'{code}' is a {parameter.type} parameter; only references can be followed", code)
        return parameter

    def _unknown(self, types: tuple[str, ...], kind: str, code: str) -> Refusal:
        if not types:
            known = [one for one in self.parameters.of("Basic") if one.startswith("_")]
            return refuse("not-supported", f"'{code}' is not a parameter of all types{_hint(code, known)}", code)
        known = [one for one in self.parameters.of(kind) if one != "_query"]
        return refuse("not-supported", f"unknown search parameter '{code}' on {kind}{_hint(code, known)}", code)


def _hint(code: str, known: Sequence[str]) -> str:
    every = [*known, "_has", "_list", "_sort", "_count", "_include", "_revinclude", "_summary", "_elements", "_total"]
    return did_you_mean(code, every) or f"; known are {', '.join(sorted(known))}"


def merged(parameters: Sequence[Parameter]) -> Parameter:
    """Parameters of several types as one with the paths of all: paths carry their type, so nothing is confused."""
    if len(parameters) == 1:
        return parameters[0]
    first = parameters[0]
    anything = any(not one.targets for one in parameters)
    return replace(
        first,
        paths=tuple(path for one in parameters for path in one.paths),
        targets=() if anything else tuple(dict.fromkeys(name for one in parameters for name in one.targets)),
        restricted=all(one.restricted for one in parameters),
        roots=tuple(root for one in parameters for root in one.roots),
    )


def alternatives(name: str, value: str, most: int = MOST_VALUES) -> list[str]:
    """The values between commas, escapes still in them. Raises the refusal (400) of more than `most`."""
    found = split(value, ",")
    if len(found) > most:
        raise refuse("too-costly", f"{name}: at most {most} values", name, status=400)
    return found


def _truth(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise refuse("value", f"{name}={value}: write true or false", name)
    return value == "true"


# --- parameters of no particular type ------------------------------------------------------------------------------------


def _list(value: str, context: Context) -> Term:
    """`_list=42`, or several; the functional lists ($current-allergies, …) are none that this server keeps."""
    lists = []
    for one in alternatives("_list", value):
        target = localised(unescape(one), context.base)
        target = target if "/" in target else f"List/{target}"
        if target.startswith("List/$") or not target.startswith("List/"):
            raise refuse("not-supported", f"_list={one}: write the id of a List resource", "_list")
        lists.append(target)
    return Listed(tuple(lists))


def _text(value: str, context: Context) -> Term:  # noqa: ARG001 - as the others of the table
    return Words(
        tuple(text.parse("_text", unescape(one)) for one in alternatives("_text", value, MOST_TEXTS)), narrative=True
    )


def _content(value: str, context: Context) -> Term:  # noqa: ARG001 - as the others of the table
    return Words(
        tuple(text.parse("_content", unescape(one)) for one in alternatives("_content", value, MOST_TEXTS)),
        narrative=False,
    )


def _query(value: str, context: Context) -> Term:  # noqa: ARG001 - as the others of the table
    raise refuse("not-supported", f"_query={value}: this server defines no named queries", "_query")


def _type(value: str, context: Context) -> Term:
    raise refuse("invalid", f"_type={value}: for searches over several types, at the base {context.base}", "_type")


_SPECIAL: dict[str, Callable[[str, Context], Term]] = {
    "_list": _list,
    "_text": _text,
    "_content": _content,
    "_query": _query,
    "_type": _type,
}
