"""The text of an expression as tokens.

https://hl7.org/fhirpath/N1/#lexical-elements
"""

import re
from dataclasses import dataclass

from profiles.fhirpath.error import FhirPathError

_DATE = r"\d{4}(?:-\d\d(?:-\d\d)?)?"
_TIME = r"\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?"
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+|//[^\n]*|/\*.*?\*/)
    | (?P<time>@T{_TIME})
    | (?P<datetime>@{_DATE}T(?:{_TIME}(?:Z|[+-]\d\d:\d\d)?)?)
    | (?P<date>@{_DATE})
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<quoted>`(?:[^`\\]|\\.)*`)
    | (?P<variable>%(?:[A-Za-z_]\w*|`(?:[^`\\]|\\.)*`|'(?:[^'\\]|\\.)*'))
    | (?P<special>\$(?:this|index|total)\b)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<symbol><=|>=|!=|!~|[-+*/&|=~<>.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/", "'": "'", '"': '"', "`": "`"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (a group of the grammar above, or 'end'), its text without delimiters, and where it begins."""

    kind: str
    text: str
    at: int


def tokens(expression: str) -> list[Token]:
    """The tokens of an expression without white space and comments, closed by one of kind 'end'; raises FhirPathError."""
    found: list[Token] = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        unfinished = match is not None and match[0] == "/" and expression.startswith("/*", at)
        if match is None or unfinished:
            raise FhirPathError(f"cannot read {expression[at : at + 12]!r} at character {at + 1}", expression)
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, _content(kind, match[0], expression), at))
        at = match.end()
    found.append(Token("end", "", at))
    return found


def _content(kind: str, text: str, expression: str) -> str:
    """The text of a token without its delimiters, escapes resolved."""
    match kind:
        case "string" | "quoted":
            return _unescape(text[1:-1], expression)
        case "variable":
            return _unescape(text[2:-1], expression) if text[1] in "`'" else text[1:]
        case "date" | "datetime" | "time" | "special":
            return text[1:]
        case _:
            return text


def _unescape(text: str, expression: str) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5 and not "d800" <= escape[1:].lower() <= "dfff":
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise FhirPathError(f"\\{escape} is no escape sequence", expression)
        return _ESCAPES[escape]

    return _ESCAPE.sub(one, text) if "\\" in text else text
