"""What happens at the authorization server that must be on record.

https://profiles.ihe.net/ITI/BALP/ (audit patterns for authorization decisions)
"""

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal[
    "login", "logout", "token", "refresh", "revoke", "denied", "register", "consent", "launch", "account", "introspect",
    "keys", "policy",
]  # fmt: skip
Outcome = Literal["success", "failure"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `network` is the address it came from; `detail` carries neither health data nor secrets.

    `operator` is who did it at the server's own terminal, by their account of the operating system, and `network` that
    machine's name; empty for what came over the network.
    """

    kind: Kind
    outcome: Outcome
    client: str | None = None
    account: str | None = None
    fhir_user: str | None = None
    network: str = ""
    detail: str = ""
    operator: str = ""


class Journal(Protocol):
    """Keeps events; called from worker threads, and returns when the event is sure to be kept."""

    def note(self, event: Event) -> None: ...


class NoJournal:
    """Keeps nothing: for the open mode and for tests."""

    def note(self, event: Event) -> None:
        del event
