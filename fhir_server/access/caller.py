"""Who asks: the bearer of a verified access token with the rights it gives, or anybody where the server runs open.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#response-5
"""

from dataclasses import dataclass

from fhir_server.access.rights import Rights
from smart_auth.access_token import AccessToken


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Who asks. Without rights everything is allowed: only the open mode knows such a caller."""

    rights: Rights | None = None

    @property
    def token(self) -> AccessToken | None:
        return self.rights.token if self.rights is not None else None

    @property
    def name(self) -> str:
        """The same for the same client, person and patient: page links are theirs alone."""
        token = self.token
        return "" if token is None else f"{token.client}|{token.account}|{token.patient}"

    @property
    def administers(self) -> bool:
        """Whether the caller may look after the server itself."""
        return self.rights is None or self.rights.administers


ANYBODY = Caller()
