"""One error path: exceptions carry an issue, one table maps issue types to a status, and all end as OperationOutcome.

https://hl7.org/fhir/R4/operationoutcome.html and https://hl7.org/fhir/R4/valueset-issue-type.html
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Status per issue type, where nothing more precise was said by who raised it (https://hl7.org/fhir/R4/http.html#Status-Codes).
STATUS: dict[str, int] = {
    "invalid": 400,
    "structure": 400,
    "required": 400,
    "value": 400,
    "invariant": 422,
    "code-invalid": 422,
    "business-rule": 422,
    "security": 403,
    "login": 401,
    "unknown": 401,
    "expired": 401,
    "forbidden": 403,
    "suppressed": 403,
    "extension": 422,
    "processing": 400,
    "not-supported": 400,
    "not-found": 404,
    "multiple-matches": 412,
    "duplicate": 409,
    "deleted": 410,
    "too-long": 413,
    "conflict": 409,
    "lock-error": 409,
    "transient": 503,
    "timeout": 503,
    "too-costly": 503,
    "throttled": 429,
    "exception": 500,
    "no-store": 507,
    "incomplete": 500,
    "informational": 200,
}

# What breaks a rule of a profile, whatever its issue type: it is R4, so 400 would say too much.
UNPROCESSABLE = 422
ERRORS = frozenset(("error", "fatal"))


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome: severity, type code, a sentence a person can act on, FHIRPath locations."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"

    def as_dict(self) -> dict[str, Any]:
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "diagnostics": self.diagnostics}
        if self.expression:
            issue["expression"] = list(self.expression)
        return issue


class Refusal(Exception):
    """A request that is answered with an OperationOutcome; headers go out with it.

    `status` overrides the table, for the few cases in which HTTP says more than the issue type does.
    """

    def __init__(
        self,
        issues: Issue | Sequence[Issue],
        *,
        status: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.issues: tuple[Issue, ...] = (issues,) if isinstance(issues, Issue) else tuple(issues)
        first = next((issue for issue in self.issues if issue.severity in ERRORS), self.issues[0])
        self.status = status if status is not None else STATUS[first.code]
        self.headers: tuple[tuple[str, str], ...] = tuple(headers)
        super().__init__("; ".join(issue.diagnostics for issue in self.issues))

    def at(self, place: str) -> "Refusal":
        """The same refusal as it is told about a part of a Bundle: `Bundle.entry[3]`."""
        issues = [
            Issue(
                issue.code,
                f"{place}: {issue.diagnostics}",
                tuple(f"{place}.resource.{part}" for e in issue.expression if (part := e.partition(".")[2]))
                or (place,),
                issue.severity,
            )
            for issue in self.issues
        ]
        return Refusal(issues, status=self.status, headers=self.headers)


def refuse(code: str, diagnostics: str, *expression: str, status: int | None = None) -> Refusal:
    """A refusal with one issue, to be raised; `expression` says where in the resource or request it is."""
    return Refusal(Issue(code, diagnostics, expression), status=status)


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource as a dict."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_dict() for issue in issues]}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'name'?"` where something known is close, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
