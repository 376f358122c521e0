"""Validation as the server calls it: the issues of a resource as those of an OperationOutcome.

https://hl7.org/fhir/R4/validation.html
"""

import functools
from typing import Any

from fhir_server.outcome import Issue
from profiles.definitions import r4
from profiles.validator import Level, Validator


@functools.cache
def _validator() -> Validator:
    return Validator(r4())


def structural_issues(resource: dict[str, Any]) -> list[Issue]:
    """What is not FHIR JSON of R4: elements, kinds, cardinalities, formats, choices, contained, narrative."""
    return _issues(resource, "structure")


def base_issues(resource: dict[str, Any]) -> list[Issue]:
    """The same and required bindings, types of reference targets and invariants; warnings are among them."""
    return _issues(resource, "base")


def _issues(resource: dict[str, Any], level: Level) -> list[Issue]:
    return [
        Issue(issue.code, issue.text, (issue.location,) if issue.location else (), issue.severity)
        for issue in _validator().validate(resource, level)
    ]
