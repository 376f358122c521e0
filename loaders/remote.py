"""Units to any FHIR server over HTTP: transactions as they are, everything else in batches.

https://hl7.org/fhir/R4/http.html#transaction
"""

import json
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from fhir_server.json import dump_json
from fhir_server.outcome import Issue, Refusal, refuse
from loaders.unit import Interrupted, Outcome, Part, Unit, outcome_of

HEADERS = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}
TIMEOUT = 600.0
ATTEMPTS = 6
LONGEST_WAIT = 60
BUSY = frozenset((429, 503))


class Server:
    """A FHIR server as the target of a load, by its base URL; a connection is kept open."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url.rstrip("/"))
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ValueError(f"{url} is not the base URL of a FHIR server, such as http://127.0.0.1:8080/fhir")
        self._connection = self._connected()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    async def store(self, units: Sequence[Unit]) -> list[Outcome]:
        """Stores the units; raises Interrupted where the server does not answer."""
        return [outcome_of(unit, self._refusals(unit.parts)) for unit in units]

    def get(self, url: str) -> dict[str, Any]:
        """The resource at a URL, absolute or below the base; raises the Refusal that the server answers with."""
        absolute = urlsplit(url)
        path = f"{absolute.path}?{absolute.query}" if absolute.scheme else f"{self._parts.path}/{url}"
        status, answer = self._requested("GET", path, None)
        if status >= 400:
            raise refusal_in(status, answer)
        return answer

    def _refusals(self, parts: Sequence[Part]) -> dict[int, Refusal]:
        refusals = {part.ordinal: part.refusal for part in parts if part.refusal is not None}
        readable = [part for part in parts if part.refusal is None]
        for linked, some in groupby(readable, lambda part: part.linked):
            for group in [[part] for part in some] if linked else [list(some)]:
                refusals |= self._sent(group, "transaction" if linked else "batch")
        return refusals

    def _sent(self, parts: Sequence[Part], kind: str) -> dict[int, Refusal]:
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry for part in parts for entry in part.entries]}
        status, answer = self._requested("POST", self._parts.path or "/", dump_json(bundle))
        if status >= 400:
            refusal = refusal_in(status, answer)
            return {part.ordinal: refusal for part in parts}
        if kind == "transaction":
            return {}
        return self._refused_entries(parts, answer.get("entry", []))

    def _refused_entries(self, parts: Sequence[Part], answers: Sequence[Mapping[str, Any]]) -> dict[int, Refusal]:
        if len(answers) != len(parts):
            refusal = refuse("exception", f"{len(parts)} entries were sent, {len(answers)} were answered")
            return {part.ordinal: refusal for part in parts}
        refusals = {}
        for part, answer in zip(parts, answers, strict=True):
            response = answer.get("response", {})
            status = int(str(response.get("status", "500"))[:3])
            if status >= 400:
                refusals[part.ordinal] = refusal_in(status, response.get("outcome", {}))
        return refusals

    def _requested(self, method: str, path: str, body: bytes | None) -> tuple[int, dict[str, Any]]:
        """Status and body; a server that says it is busy is asked again, as late as it wishes."""
        for attempt in range(1, ATTEMPTS):
            status, wait, text = self._answered(method, path, body)
            if status not in BUSY:
                return status, _object(text)
            time.sleep(min(int(wait), LONGEST_WAIT) if wait.isdecimal() else attempt)
        status, _, text = self._answered(method, path, body)
        return status, _object(text)

    def _answered(self, method: str, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        """Status, Retry-After and body."""
        try:
            self._connection.request(method, path, body, HEADERS)
            response = self._connection.getresponse()
            return response.status, response.getheader("Retry-After", ""), response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise Interrupted(f"{self._parts.netloc} does not answer: {error}") from error

    def _connected(self) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        assert self._parts.hostname is not None
        return kind(self._parts.hostname, self._parts.port, timeout=TIMEOUT)


def refusal_in(status: int, outcome: Mapping[str, Any]) -> Refusal:
    """The refusal that an OperationOutcome tells of; its issues as far as they are well-formed."""
    issues = []
    for issue in outcome.get("issue", []) if isinstance(outcome.get("issue"), list) else []:
        text = issue.get("diagnostics") or issue.get("details", {}).get("text", "")
        issues.append(Issue(issue.get("code", "processing"), text, tuple(issue.get("expression", ()))))
    return Refusal(issues or [Issue("processing", f"the server answered {status}")], status=status)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
