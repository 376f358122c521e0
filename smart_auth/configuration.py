"""What the authorization server is told about itself: its addresses, the FHIR base it serves, how long things last.

https://www.rfc-editor.org/rfc/rfc8414#section-2
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from smart_auth.scope import Scope, Scopes, parse_scopes

Registration = Literal["closed", "approval", "open"]

PREFIX = "/auth"
CODE_SECONDS = 60
PENDING_SECONDS = 3600
LAUNCH_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Configuration:
    """The facts of one authorization server; lifetimes are seconds.

    `fhir_base` has no slash at the end. `usable` says of a scope with criteria whether the server can apply them.
    `loopback` allows what only development needs: key sets fetched from this machine, by plain HTTP.
    """

    origin: str
    fhir_base: str
    tenant: int
    types: Collection[str]
    access_seconds: int = 900
    system_seconds: int = 300
    refresh_seconds: int = 90 * 86_400
    registration: Registration = "approval"
    loopback: bool = False
    usable: Callable[[Scope], bool] | None = None

    @property
    def issuer(self) -> str:
        return self.origin + PREFIX

    @property
    def secure(self) -> bool:
        """Whether browsers reach the server by HTTPS."""
        return urlsplit(self.origin).scheme == "https"

    def endpoint(self, name: str) -> str:
        """The absolute URL of one of our endpoints, as in "token"."""
        return f"{self.issuer}/{name}"

    def scopes(self, text: str) -> Scopes:
        """The scopes of a string that this server can grant."""
        return parse_scopes(text, self.types, self.usable)
