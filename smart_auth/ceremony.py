"""The ceremonies of WebAuthn: what goes to the browser, and what its answer proves.

https://www.w3.org/TR/webauthn-3/#sctn-rp-operations. Apart from passkey.py, for the library takes a fifth of a second to import,
which is to be no part of a start: only who uses a passkey needs it. Challenges and what the browser answers are base64url and JSON.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from smart_auth.passkey import InvalidPasskey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made:
    """A new passkey."""

    credential: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Claim:
    """An answer whose signature is still to be looked at: of which passkey it is, and of whom, where it says."""

    credential: bytes
    user: bytes | None


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What passes between the server and a browser. Passkeys are bound to the host; `origin` is that of the pages."""

    host: str
    origin: str

    def registration(self, product: str, user: tuple[bytes, str, str], known: Sequence[bytes]) -> tuple[str, str]:
        """The options to make a passkey for a user (id, name, name to show) with none of the known ones, and the challenge."""
        id_, name, shown = user
        options = generate_registration_options(
            rp_id=self.host,
            rp_name=product,
            user_id=id_,
            user_name=name,
            user_display_name=shown,
            exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        return options_to_json(options), bytes_to_base64url(options.challenge)

    def registered(self, challenge: str, answer: str) -> Made:
        """The passkey that a browser has made. Raises InvalidPasskey."""
        made = _proven(
            lambda: verify_registration_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self.host,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        )
        return Made(made.credential_id, made.credential_public_key, made.sign_count)

    def authentication(self) -> tuple[str, str]:
        """The options to sign in by any passkey of the host, and the challenge."""
        options = generate_authentication_options(
            rp_id=self.host, user_verification=UserVerificationRequirement.REQUIRED
        )
        return options_to_json(options), bytes_to_base64url(options.challenge)

    def claimed(self, answer: str) -> Claim:
        """Whose answer it claims to be. Raises InvalidPasskey."""
        sent = _proven(lambda: parse_authentication_credential_json(answer))
        return Claim(sent.raw_id, sent.response.user_handle)

    def authenticated(self, challenge: str, answer: str, public_key: bytes, sign_count: int) -> int:
        """The new count of signatures, where the answer was signed by the passkey of this key. Raises InvalidPasskey."""
        proof = _proven(
            lambda: verify_authentication_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self.host,
                expected_origin=self.origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
        )
        return proof.new_sign_count


def _proven(look: Callable[[], T]) -> T:
    try:
        return look()
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise InvalidPasskey(type(error).__name__) from error
