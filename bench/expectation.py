"""What a right answer is: a status alone is none, so the body is looked at as far as that costs next to nothing.

https://hl7.org/fhir/R4/http.html; an expectation gives "" for a right answer, else what is wrong with it.
"""

import re
from collections.abc import Callable

from bench.client import Answer

Expectation = Callable[[Answer], str]

DIAGNOSTICS = re.compile(rb'"diagnostics"\s*:\s*"((?:[^"\\]|\\.)*)"')
SEEN = 300  # bytes at the front of a body in which a server names the type


def status(*codes: int) -> Expectation:
    """One of the statuses."""

    def check(answer: Answer) -> str:
        return "" if answer.status in codes else told(answer)

    return check


def resource(kind: str, *codes: int, has: bytes = b"") -> Expectation:
    """One of the statuses with a resource of the type, in whose text `has` occurs."""
    named = f'"{kind}"'.encode()

    def check(answer: Answer) -> str:
        if answer.status not in codes:
            return told(answer)
        body = answer.content
        if named not in body:
            return f"{answer.status}, but no {kind}"
        return "" if has in body else f"{answer.status}, but without what was asked for"

    return check


def searchset(answer: Answer) -> str:
    """200 with a Bundle of type searchset."""
    if answer.status != 200:
        return told(answer)
    front = answer.content[:SEEN]
    return "" if b'"Bundle"' in front and b'"searchset"' in front else "200, but no searchset"


def transaction_response(entries: int) -> Expectation:
    """200 with a Bundle that answers every entry with 200, 201 or 204."""

    def check(answer: Answer) -> str:
        if answer.status != 200:
            return told(answer)
        body = answer.content
        if b"-response" not in body[:SEEN]:
            return "200, but no transaction-response"
        right = body.count(b'"status":"20') + body.count(b'"status": "20') + body.count(b'"status" : "20')
        return "" if right >= entries else f"{right} of {entries} entries were answered with success"

    return check


def told(answer: Answer) -> str:
    """A wrong status with the first sentence of the outcome, which tells more."""
    body = answer.content
    found = DIAGNOSTICS.search(body)
    text = found[1][:200] if found else body[:120]
    return f"{answer.status} {text.decode(errors='replace')}".strip()
