"""The parameters of a request to an OAuth endpoint: each at most once, bounded in number and length.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from smart_auth.error import OAuthError, invalid_request

LONGEST = 64 * 1024
MOST = 50
TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """What a client sent: its parameters, its Authorization header, the address it came from."""

    parameters: Mapping[str, str]
    authorization: str | None = None
    network: str = ""

    def get(self, name: str) -> str | None:
        """A parameter; one without a value counts as left out, as RFC 6749 wants."""
        return self.parameters.get(name) or None

    def need(self, name: str) -> str:
        """A parameter that must be there. Raises OAuthError (invalid_request)."""
        value = self.get(name)
        if value is None:
            raise invalid_request(f"{name} is missing")
        return value


def parameters_of(text: bytes) -> dict[str, str]:
    """The parameters of a query or of a form's body. Raises OAuthError (invalid_request)."""
    if len(text) > LONGEST:
        raise OAuthError("invalid_request", "the request is too long", 413)
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST)
    except ValueError:
        raise invalid_request("the parameters are malformed, or too many") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        twice = next(name for name in parameters if [pair[0] for pair in pairs].count(name) > 1)
        raise invalid_request(f"{twice[:50]} is given more than once")
    if any("\0" in text for pair in pairs for text in pair):
        raise invalid_request("a parameter holds a null character")
    return parameters


def bearer_of(authorization: str | None) -> str | None:
    """The token of an Authorization header of the Bearer scheme."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
