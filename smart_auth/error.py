"""What the OAuth endpoints refuse, with the error codes of the specification.

https://www.rfc-editor.org/rfc/rfc6749#section-5.2
"""

import re

_FORBIDDEN = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class OAuthError(Exception):
    """A refusal: `code` as in "invalid_grant", a description for the client's developer, the HTTP status."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = _FORBIDDEN.sub("?", description)[:400]
        self.status = status

    def body(self) -> dict[str, str]:
        return {"error": self.code, "error_description": self.description}


class Unsafe(Exception):
    """An authorization request that must not be answered by a redirect; the message is shown to the person."""

    def __init__(self, explanation: str, status: int = 400) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.status = status


def invalid_client(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401)


def invalid_grant(description: str) -> OAuthError:
    return OAuthError("invalid_grant", description)


def invalid_request(description: str) -> OAuthError:
    return OAuthError("invalid_request", description)


def invalid_scope(description: str) -> OAuthError:
    return OAuthError("invalid_scope", description)
