"""The query string as a Query: strict, or lenient with what was ignored written down.

https://hl7.org/fhir/R4/search.html#Introduction and #modifiers, #chaining, #has, #return
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fhir_server.outcome import Refusal, did_you_mean, refuse
from fhir_server.search.parameter import Parameter, Parameters
from fhir_server.search.query import Chain, Clause, Has, Include, Missing, Query, Sort, Term
from fhir_server.search.types import BY_TYPE
from fhir_server.search.types.context import Context

T = TypeVar("T", bound=str)

# What shapes the answer and is read elsewhere: by the page, or by the negotiation of the format.
OPTIONS = frozenset(("_format", "_pretty", "_cursor", "_explain"))
RESULT = frozenset(
    ("_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements", "_contained", "_containedType")
)
MODIFIED_BY_ITERATE = frozenset(("_include", "_revinclude"))
NEGATIONS = {"not": None, "not-in": "in"}
MOST_CHAIN_LINKS = 8
MOST_VALUES = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds a server sets on a page."""

    page_size: int = 20
    max_page_size: int = 1000


def parse(
    types: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    parameters: Parameters,
    context: Context,
    *,
    lenient: bool = False,
    limits: Limits = Limits(),
) -> Query:
    """The Query of a search over `types` (none: all types).

    Raises a 400 refusal that says what is supported where a parameter, modifier, prefix or value is not understood;
    with `lenient` such a parameter is left out and told in Query.ignored.
    """
    reader = _Reader(tuple(types), parameters, context, limits)
    query = Query(tuple(types), count=limits.page_size)
    ignored: list[str] = []
    for name, value in pairs:
        if name in OPTIONS or (value == "" and name not in RESULT):
            continue
        try:
            query = replace(reader.read(query, name, value), applied=(*query.applied, (name, value)))
        except Refusal as refusal:
            if not lenient:
                raise
            ignored.append(refusal.issues[0].diagnostics)
    return replace(query, ignored=tuple(ignored))


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that no backslash escapes; the escapes stay in."""
    if separator not in text:
        return [text]
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


@dataclass(frozen=True, slots=True)
class _Reader:
    types: tuple[str, ...]
    parameters: Parameters
    context: Context
    limits: Limits

    def read(self, query: Query, name: str, value: str) -> Query:
        code = name.partition(":")[0]
        if code not in RESULT:
            return replace(query, terms=(*query.terms, self.term(self.types, name, value)))
        if code in MODIFIED_BY_ITERATE:
            include = self.include(name, value, reverse=code == "_revinclude")
            return replace(query, includes=(*query.includes, include))
        if ":" in name:
            raise refuse("invalid", f"'{code}' takes no modifier, '{name}' has one", name)
        return self.result(query, code, value)

    def result(self, query: Query, code: str, value: str) -> Query:
        match code:
            case "_sort":
                return replace(query, sort=tuple(self.sort(key) for key in value.split(",") if key))
            case "_count":
                return replace(query, count=min(_whole(code, value), self.limits.max_page_size))
            case "_elements":
                return replace(query, elements=tuple(part.strip() for part in value.split(",") if part.strip()))
            case "_total":
                return replace(query, total=_one_of(code, value, ("none", "estimate", "accurate")))
            case "_summary":
                return replace(query, summary=_one_of(code, value, ("true", "text", "data", "count", "false")))
            case _:
                _one_of(code, value, ("false",) if code == "_contained" else ("container",))
                return query

    def sort(self, text: str) -> Sort:
        descending = text.startswith("-")
        return Sort(self.parameter(self.types, text.removeprefix("-")), descending)

    def include(self, name: str, value: str, *, reverse: bool) -> Include:
        _, _, modifier = name.partition(":")
        if modifier not in ("", "iterate", "recurse"):
            raise refuse("invalid", f"'{name}': the only modifier of an include is ':iterate'", name)
        if value == "*":
            return Include("*", None, None, bool(modifier), reverse)
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if not code:
            raise refuse("value", f"{name}={value}: write it as Type:parameter or Type:parameter:Target", name)
        for kind in (source, target):
            self.known_type(kind, name) if kind else None
        parameter = None if code == "*" else self.reference((source,), code)
        return Include(source, parameter, target or None, bool(modifier), reverse)

    def known_type(self, kind: str, name: str) -> None:
        if kind not in self.parameters.resource_types:
            close = did_you_mean(kind, self.parameters.resource_types)
            raise refuse("value", f"{name}: '{kind}' is not a resource type{close}", name)

    def term(self, types: tuple[str, ...], name: str, value: str, links: int = 0) -> Term:
        """The term of one `name=value`, chains and _has included."""
        if links > MOST_CHAIN_LINKS:
            raise refuse("too-costly", f"{name}: a chain may have {MOST_CHAIN_LINKS} links", name, status=400)
        if name.startswith("_has:"):
            return self.has(types, name, value, links)
        link, dot, rest = name.partition(".")
        if dot:
            return self.chain(types, link, rest, value, links)
        code, _, modifier = name.partition(":")
        return self.clause(self.parameter(types, code), modifier or None, name, value)

    def has(self, types: tuple[str, ...], name: str, value: str, links: int) -> Has:
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            raise refuse("invalid", f"'{name}': write it as _has:Type:reference:parameter", name)
        _, kind, code, rest = parts
        self.known_type(kind, name)
        parameter = self.reference((kind,), code)
        if types and parameter.targets and not set(types) & set(parameter.targets):
            raise refuse("invalid", f"'{name}': {kind}.{code} never refers to {' or '.join(types)}", name)
        return Has(kind, parameter, self.term((kind,), rest, value, links + 1))

    def chain(self, types: tuple[str, ...], link: str, rest: str, value: str, links: int) -> Chain:
        code, _, kind = link.partition(":")
        parameter = self.reference(types, code)
        if kind:
            self.known_type(kind, link)
            targets: tuple[str, ...] = (kind,)
        else:
            targets = parameter.targets or self.parameters.resource_types
        found, problems = [], []
        for target in targets:
            try:
                found.append((target, self.term((target,), rest, value, links + 1)))
            except Refusal as refusal:
                problems.append(refusal)
        if not found:
            raise problems[0]
        return Chain(parameter, tuple(found))

    def clause(self, parameter: Parameter, modifier: str | None, name: str, value: str) -> Term:
        if modifier == "missing":
            return Missing(parameter, _one_of(name, value, ("true", "false")) == "true")
        kind = BY_TYPE[parameter.type]
        negated = modifier in NEGATIONS and modifier in kind.MODIFIERS
        texts = split(value, ",")
        if len(texts) > MOST_VALUES:
            raise refuse("too-costly", f"{name}: at most {MOST_VALUES} values", name, status=400)
        meaning = NEGATIONS[modifier] if negated and modifier else modifier
        values = tuple(kind.parse(parameter, meaning, text, self.context) for text in texts)
        return Clause(parameter, meaning, values, negated)

    def parameter(self, types: tuple[str, ...], code: str) -> Parameter:
        """The parameter `code`, which must be the same kind of thing for all the types."""
        kinds = types or ("Resource",)
        for kind in kinds:
            found = self.parameters.get(kind, code)
            if found is None:
                known = self.parameters.of(kind)
                hint = did_you_mean(code, known) or f"; known are {', '.join(sorted(known))}"
                raise refuse("not-supported", f"unknown search parameter '{code}' on {kind}{hint}", code)
        found = self.parameters.get(kinds[0], code)
        assert found is not None
        return found

    def reference(self, types: tuple[str, ...], code: str) -> Parameter:
        parameter = self.parameter(types, code)
        if parameter.type != "reference":
            raise refuse("invalid", f"'{code}' is a {parameter.type} parameter; only references can be followed", code)
        return parameter


def _whole(code: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise refuse("value", f"{code}={value}: a whole number is needed", code)
    return int(value)


def _one_of(code: str, value: str, choices: tuple[T, ...]) -> T:
    for choice in choices:
        if value == choice:
            return choice
    raise refuse("value", f"{code}={value}: supported are {', '.join(choices)}{did_you_mean(value, choices)}", code)


