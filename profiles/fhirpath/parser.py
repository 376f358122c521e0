"""An expression's text as a syntax tree, by precedence climbing.

https://hl7.org/fhirpath/N1/#operator-precedence
"""

from decimal import Decimal

from profiles.fhirpath.error import FhirPathError
from profiles.fhirpath.lexer import Token, tokens
from profiles.fhirpath.quantity import CALENDAR, Quantity
from profiles.fhirpath.syntax import Binary, Call, Index, Literal, Member, Polarity, Special, Tree, TypeTest, Variable
from profiles.fhirpath.temporal import Temporal

MAX_LENGTH = 20_000
MAX_DIGITS = 400
# Each level costs a few frames of Python's stack, when compiling and when evaluating.
MAX_DEPTH = 120

# Binding powers: the larger, the tighter.
_POWER = {
    "implies": 1, "or": 2, "xor": 2, "and": 3, "in": 4, "contains": 4, "=": 5, "~": 5, "!=": 5, "!~": 5,
    "<": 6, ">": 6, "<=": 6, ">=": 6, "|": 7, "is": 8, "as": 8, "+": 9, "-": 9, "&": 9,
    "*": 10, "/": 10, "div": 10, "mod": 10, ".": 12, "[": 12,
}  # fmt: skip
_POLARITY = 11
_RESERVED = {"and", "or", "xor", "implies", "div", "mod", "true", "false"}


def parse(expression: str) -> Tree:
    """The syntax tree of an expression; raises FhirPathError with the place where it stops to make sense."""
    if len(expression) > MAX_LENGTH:
        raise FhirPathError(f"longer than {MAX_LENGTH} characters", expression[:200] + "…")
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = tokens(expression)
        self._at = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._tree(0)
        if self._now.kind != "end":
            raise self._unexpected()
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._now
        self._at += 1
        return token

    def _symbol(self, *texts: str) -> bool:
        """Whether the token at hand is one of these symbols; it is taken if so."""
        if self._now.kind == "symbol" and self._now.text in texts:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._symbol(text):
            raise self._unexpected(f"'{text}' is expected")

    def _unexpected(self, wanted: str = "") -> FhirPathError:
        token = self._now
        what = "the end" if token.kind == "end" else repr(token.text)
        hint = f"; {wanted}" if wanted else ""
        return FhirPathError(f"unexpected {what} at character {token.at + 1}{hint}", self._expression)

    def _deeper(self, levels: int) -> None:
        if self._depth + levels > MAX_DEPTH:
            raise FhirPathError(f"nested deeper than {MAX_DEPTH} levels", self._expression)

    def _tree(self, power: int) -> Tree:
        """The longest tree at hand whose operators bind tighter than `power`."""
        self._depth += 1
        self._deeper(0)
        tree = self._operand()
        levels = 0
        while True:
            token = self._now
            binding = _POWER.get(token.text, 0) if token.kind in ("symbol", "word") else 0
            if binding <= power:
                self._depth -= 1
                return tree
            levels += 1
            self._deeper(levels)
            self._at += 1
            tree = self._infix(tree, token.text, binding)

    def _infix(self, left: Tree, operator: str, binding: int) -> Tree:
        match operator:
            case ".":
                return self._invocation(left)
            case "[":
                index = self._tree(0)
                self._expect("]")
                return Index(left, index)
            case "is" | "as":
                return TypeTest(operator, left, *self._type_name())
            case _:
                return Binary(operator, left, self._tree(binding))

    def _type_name(self) -> tuple[str, str]:
        """A type as it is written after is and as: namespace (perhaps empty) and name."""
        name = self._identifier()
        return (name, self._identifier()) if self._symbol(".") else ("", name)

    def _identifier(self, *, after_point: bool = False) -> str:
        """A name; after a point a reserved word is one too (Patient.text.div), since nothing else can stand there."""
        token = self._now
        if token.kind == "quoted" or (token.kind == "word" and (after_point or token.text not in _RESERVED)):
            return self._next().text
        raise self._unexpected("a name is expected")

    def _operand(self) -> Tree:
        token = self._now
        match token.kind, token.text:
            case (("number" | "string" | "date" | "datetime" | "time"), _):
                return Literal((self._literal(self._next()),))
            case "word", "true" | "false":
                return Literal((self._next().text == "true",))
            case "variable", _:
                return Variable(self._next().text)
            case "symbol", "+" | "-":
                return Polarity(self._next().text, self._tree(_POLARITY))
            case "symbol", "(" | "{":
                return self._bracketed(self._next().text)
            case _:
                return self._invocation(None)

    def _bracketed(self, opening: str) -> Tree:
        if opening == "{":
            self._expect("}")
            return Literal(())
        tree = self._tree(0)
        self._expect(")")
        return tree

    def _invocation(self, source: Tree | None) -> Tree:
        if self._now.kind == "special":
            if source is not None:
                raise self._unexpected()
            return Special(self._next().text)
        name = self._identifier(after_point=source is not None)
        if not self._symbol("("):
            return Member(source, name)
        arguments: list[Tree] = []
        if not self._symbol(")"):
            arguments.append(self._tree(0))
            while self._symbol(","):
                arguments.append(self._tree(0))
            self._expect(")")
        return Call(source, name, tuple(arguments))

    def _literal(self, token: Token) -> object:
        match token.kind:
            case "string":
                return token.text
            case "number" if len(token.text) > MAX_DIGITS:
                raise FhirPathError(f"a number of more than {MAX_DIGITS} digits", self._expression)
            case "number":
                number = Decimal(token.text) if "." in token.text else int(token.text)
                return self._quantity(number)
            case kind:
                value = Temporal.parse(token.text, {"date": "Date", "datetime": "DateTime", "time": "Time"}[kind])
                if value is None:
                    raise FhirPathError(f"there is no such {kind}: @{token.text}", self._expression)
                return value

    def _quantity(self, number: Decimal | int) -> object:
        """The number at hand, or the quantity where a unit follows: 4 'mg', 4 days."""
        token = self._now
        if token.kind == "string":
            return Quantity(Decimal(number), self._next().text)
        if token.kind == "word" and token.text in CALENDAR:
            return Quantity(Decimal(number), CALENDAR[self._next().text], calendar=True)
        return number
