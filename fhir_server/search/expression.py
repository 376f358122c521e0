"""The expressions of search parameters, read into branches of plain steps: members, types, criteria, positions, extensions.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

Literal = str | int | bool


@dataclass(frozen=True, slots=True)
class Member:
    """`.name`: the element of that name; every type of a choice."""

    name: str


@dataclass(frozen=True, slots=True)
class OfType:
    """`.ofType(Quantity)`, `.as(Quantity)`, `as Quantity`: what is exactly of that type."""

    type: str


@dataclass(frozen=True, slots=True)
class ExtensionOf:
    """`.extension('url')`: the extensions with that url."""

    url: str


@dataclass(frozen=True, slots=True)
class Item:
    """`[0]`, `.first()`: one of all that the steps before it yield."""

    index: int


@dataclass(frozen=True, slots=True)
class Where:
    """`.where(a = 'b' and c.exists())`: those that meet all criteria."""

    criteria: "tuple[Criterion, ...]"


Step = Member | OfType | ExtensionOf | Item | Where


@dataclass(frozen=True, slots=True)
class Branch:
    """One operand of a union: steps from the resource, or from the element a criterion or component is about.

    `targets` are the types of `.where(resolve() is Patient)`, which restrict a reference's target and are no step.
    """

    steps: tuple[Step, ...] = ()
    targets: tuple[str, ...] = ()
    from_resource: bool = False  # written with %resource: starts at the resource even inside an element

    def then(self, step: Step) -> "Branch":
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a.b = 'c'`; like FHIRPath it is neither true nor false where the left side has nothing."""

    branches: tuple[Branch, ...]
    literal: Literal
    equal: bool


@dataclass(frozen=True, slots=True)
class Existence:
    """`a.b.exists()`, `a.b.exists().not()`, `a.b.empty()`."""

    branches: tuple[Branch, ...]
    exists: bool


Criterion = Comparison | Existence


@dataclass(frozen=True, slots=True)
class Condition:
    """`deceased.exists() and deceased != false`: criteria that must all be met; true or false."""

    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class _Resolution:
    """`resolve()`, and with types `resolve() is Patient`."""

    types: tuple[str, ...] = ()


_Part = tuple[Branch, ...] | Condition | _Resolution

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>-?\d+)(?![\d.])|(?P<name>[%$]?[A-Za-z_]\w*)|`(?P<quoted>[^`]+)`"
    r"|(?P<symbol>!=|[.()\[\]|=]))"
)
_MARK = re.compile(r"'(?:[^'\\]|\\.)*'|[()|]")
_MOST_NESTED = 16  # parentheses inside each other that this descent takes on; the general engine has a bound of its own
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


class NotPlain(ValueError):
    """The expression is none of the plain ones read here; a general FHIRPath engine may still understand it."""


def parse(text: str) -> tuple[Branch, ...] | Condition:
    """The branches of a union, or a condition.

    Raises NotPlain, which names the first thing that is not plain.
    """
    return _Reader(text).whole()


def split_union(text: str) -> Iterator[str]:
    """The operands of the union at the top level of an expression, as they are written."""
    depth = start = 0
    for mark in _MARK.finditer(text) if "|" in text else ():
        match mark[0]:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case "|" if depth == 0:
                yield text[start : mark.start()].strip()
                start = mark.end()
    yield text[start:].strip()


class _Reader:
    """Recursive descent over the tokens; what is read is distributed over unions, so that a branch has none inside."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        steps = ({"(": 1, ")": -1}.get(token, 0) for token in self._tokens)
        if max(accumulate(steps), default=0) > _MOST_NESTED:
            raise NotPlain(f"more than {_MOST_NESTED} parentheses inside each other")

    def whole(self) -> tuple[Branch, ...] | Condition:
        part = self._conjunction()
        if self._at < len(self._tokens):
            raise NotPlain(f"'{self._tokens[self._at]}' in {self._text}")
        if isinstance(part, _Resolution):
            raise NotPlain(f"resolve() in {self._text}")
        return part

    def _conjunction(self) -> _Part:
        part = self._comparison()
        while self._take("and"):
            part = Condition(self._criteria(part) + self._criteria(self._comparison()))
        while isinstance(part, _Resolution) and self._take("or"):
            other = self._comparison()
            if not isinstance(other, _Resolution):
                raise NotPlain(f"'or' in {self._text}")
            part = _Resolution(part.types + other.types)
        return part

    def _criteria(self, part: _Part) -> tuple[Criterion, ...]:
        if isinstance(part, Condition):
            return part.criteria
        raise NotPlain(f"a criterion that is no comparison in {self._text}")

    def _comparison(self) -> _Part:
        left = self._union()
        for symbol in ("=", "!="):
            if isinstance(left, tuple) and self._take(symbol):
                return Condition((Comparison(left, self._literal(), symbol == "="),))
        return left

    def _union(self) -> _Part:
        part = self._typed()
        while self._take("|"):
            other = self._typed()
            if not isinstance(part, tuple) or not isinstance(other, tuple):
                raise NotPlain(f"a union with a condition in {self._text}")
            part += other
        return part

    def _typed(self) -> _Part:
        part = self._path()
        if isinstance(part, _Resolution):
            if not self._take("is"):
                raise NotPlain(f"resolve() in {self._text}")
            return _Resolution((self._type(),))
        if isinstance(part, tuple) and self._take("as"):
            step = OfType(self._type())
            return tuple(branch.then(step) for branch in part)
        return part

    def _path(self) -> _Part:
        part = self._primary()
        while True:
            if self._take("."):
                part = self._invocation(part, self._next())
            elif self._take("["):
                part = self._item(part, self._literal())
                self._expect("]")
            else:
                return part

    def _primary(self) -> _Part:
        match self._next():
            case "(":
                part = self._union()
                self._expect(")")
                return part
            case "%resource":
                return (Branch(from_resource=True),)
            case "$this":
                return (Branch(),)
            case name:
                return self._invocation((Branch(),), name)

    def _invocation(self, part: _Part, name: str) -> _Part:
        called = self._take("(")
        if called and name == "not":
            self._expect(")")
            return self._negated(part)
        if not isinstance(part, tuple) or not re.match(r"\w", name):
            raise NotPlain(f"'{name}' in {self._text}")
        if not called:
            return _each(part, Member(name))
        made = self._function(part, name)
        self._expect(")")
        return made

    def _negated(self, part: _Part) -> Condition:
        match part:
            case Condition((Existence() as one,)):
                return Condition((replace(one, exists=not one.exists),))
        raise NotPlain(f"not() in {self._text}")

    def _function(self, part: tuple[Branch, ...], name: str) -> _Part:
        match name:
            case "as" | "ofType":
                return _each(part, OfType(self._type()))
            case "where":
                return self._where(part)
            case "exists" | "empty":
                found = part if self._peek(")") else self._where(part)
                return Condition((Existence(found, name == "exists"),))
            case "extension":
                return _each(part, ExtensionOf(self._url()))
            case "hasExtension":
                return Condition((Existence(_each(part, ExtensionOf(self._url())), exists=True),))
            case "first":
                return self._item(part, 0)
            case "resolve" if part == (Branch(),):
                return _Resolution()
        raise NotPlain(f"{name}() in {self._text}")

    def _where(self, part: tuple[Branch, ...]) -> tuple[Branch, ...]:
        match self._conjunction():
            case _Resolution(types):
                return tuple(replace(branch, targets=types) for branch in part)
            case Condition(criteria):
                return _each(part, Where(criteria))
        raise NotPlain(f"where() without a comparison in {self._text}")

    def _item(self, part: _Part, index: Literal) -> tuple[Branch, ...]:
        if not isinstance(part, tuple) or len(part) != 1 or type(index) is not int or index < 0:
            raise NotPlain(f"[{index}] in {self._text}")
        return _each(part, Item(index))

    def _url(self) -> str:
        url = self._literal()
        if isinstance(url, str):
            return url
        raise NotPlain(f"extension({url}) in {self._text}")

    def _type(self) -> str:
        name = self._next()
        return self._next() if name in ("FHIR", "System") and self._take(".") else name

    def _literal(self) -> Literal:
        token = self._next()
        if token[0] == "'":
            return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token[1:-1])
        if token in ("true", "false"):
            return token == "true"
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        raise NotPlain(f"'{token}' in {self._text}")

    def _peek(self, token: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] == token

    def _take(self, token: str) -> bool:
        found = self._peek(token)
        self._at += found
        return found

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise NotPlain(f"{self._text} ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise NotPlain(f"'{token}' is missing in {self._text}")


def _tokens(text: str) -> Iterator[str]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotPlain(f"'{text[at:].strip()[:12]}' in {text}")
        yield found["quoted"] or found[0].strip()
        at = found.end()


def _each(part: tuple[Branch, ...], step: Step) -> tuple[Branch, ...]:
    return tuple(branch.then(step) for branch in part)


def written(branches: tuple[Branch, ...]) -> str:
    """The union in one normal form, which `parse` reads back; the restriction of targets is left out."""
    return " | ".join(_written_branch(branch) for branch in branches)


def written_condition(criteria: tuple[Criterion, ...]) -> str:
    """The criteria in one normal form, which `parse` reads back."""
    return " and ".join(_written_criterion(criterion) for criterion in criteria)


def _written_branch(branch: Branch) -> str:
    start = "%resource" if branch.from_resource else ""
    return (start + "".join(_written_step(step) for step in branch.steps)).removeprefix(".") or "$this"


def _written_step(step: Step) -> str:
    match step:
        case Member(name):
            return "." + name
        case OfType(type_name):
            return f".ofType({type_name})"
        case ExtensionOf(url):
            return f".extension({_written_literal(url)})"
        case Item(index):
            return f"[{index}]"
        case Where(criteria):
            return f".where({written_condition(criteria)})"


def _written_criterion(criterion: Criterion) -> str:
    left = written(criterion.branches)
    left = f"({left})" if len(criterion.branches) > 1 else left
    match criterion:
        case Comparison(_, literal, equal):
            return f"{left}{'=' if equal else '!='}{_written_literal(literal)}"
        case Existence(_, exists):
            return f"{left}.{'exists' if exists else 'empty'}()"


def _written_literal(literal: Literal) -> str:
    if isinstance(literal, str):
        return "'" + literal.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(literal).lower()
