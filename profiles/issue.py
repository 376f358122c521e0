"""What validation finds: one issue with its place, and the list that stops growing before it becomes a burden.

https://hl7.org/fhir/R4/operationoutcome.html and https://hl7.org/fhir/R4/valueset-issue-type.html
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LIMIT = 100
"""More issues than this help nobody; a closing note says that there were more."""
_LONGEST = 100  # of a word that may be a slip of the pen; comparing takes time by its square


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong, or worth a remark, at one place of a resource.

    `severity` is error, warning or information; `code` an issue type of FHIR (structure, required, value, code-invalid,
    invariant …); `text` a sentence a person can act on; `location` a FHIRPath such as `Patient.name[0].given[1]`, in which
    a choice goes by its common name (`Observation.value`); `key` the constraint that was broken, empty for other rules.
    """

    severity: str
    code: str
    text: str
    location: str
    key: str = ""


class TooMany(Exception):
    """LIMIT issues are found: the rest of the resource need not be looked at."""


class Findings:
    """The issues of one validation, in the order of the resource; adding one too many raises TooMany."""

    __slots__ = ("issues",)

    def __init__(self) -> None:
        self.issues: list[Issue] = []

    def add(self, code: str, text: str, location: str, severity: str = "error", key: str = "") -> None:
        if len(self.issues) >= LIMIT:
            note = f"only the first {LIMIT} issues are listed; there are more"
            self.issues.append(Issue("information", "informational", note, location.partition(".")[0]))
            raise TooMany
        self.issues.append(Issue(severity, code, text, location, key))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'name'?` where something known is close, else an empty string."""
    if len(word) > _LONGEST:
        return ""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: an object, an array, a string, a boolean, a number, null."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case dict():
            return "an object"
        case list():
            return "an array"
        case _:
            return "a number"


def shown(value: Any) -> str:
    """A value as a sentence quotes it: on one line, in quotes, shortened."""
    text = str(value) if not isinstance(value, str) else "".join(c if c.isprintable() else "�" for c in value[:81])
    return f"'{text[:80]}…'" if len(text) > 80 else f"'{text}'"
