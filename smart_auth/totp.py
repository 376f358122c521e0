"""The second factor by an authenticator app: secrets, their QR code, codes that count once, and recovery codes.

https://www.rfc-editor.org/rfc/rfc6238#section-5.2
"""

import hmac
import io
import secrets
import string

import pyotp
import segno

SECONDS = 30
ISSUER = "MediConnect"
RECOVERY_CODES = 10
# Without the letters that are mistaken for digits; four groups of four are 80 bits.
_ALPHABET = "".join(sorted(set(string.ascii_lowercase + string.digits) - set("ilou")))


def new_secret() -> str:
    """160 random bits in base32, as authenticator apps take them."""
    return pyotp.random_base32(32)


def provisioning_uri(secret: str, email: str) -> str:
    """What the QR code holds: otpauth://totp/…"""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def qr_code(uri: str) -> str:
    """The URI as an SVG element without a style of its own: dark modules are one path of class `qr`."""
    out = io.BytesIO()
    code = segno.make(uri, error="m", micro=False)
    code.save(out, kind="svg", xmldecl=False, svgns=True, border=2, svgclass="qr", lineclass="qr-dark", omitsize=True)
    return out.getvalue().decode().strip()


def accepted_step(secret: str, code: str, now: float, last: int | None) -> int | None:
    """The time step whose code this is, or None; one before and one after now are taken, none up to `last` ever again."""
    digits = code.replace(" ", "")
    if len(digits) != 6 or not (digits.isascii() and digits.isdecimal()):
        return None
    totp, here = pyotp.TOTP(secret), int(now) // SECONDS
    found = [step for step in (here - 1, here, here + 1) if hmac.compare_digest(totp.generate_otp(step), digits)]
    return max((step for step in found if last is None or step > last), default=None)


def new_recovery_codes() -> list[str]:
    """Codes for the day the telephone is lost, in groups of four; each is good for one sign-in."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4)) for _ in range(RECOVERY_CODES)
    ]


def normal_recovery_code(text: str) -> str | None:
    """The code as it is kept, however it was typed; None where it cannot be one."""
    letters = text.lower().replace("-", "").replace(" ", "")
    if len(letters) != 16 or not set(letters) <= set(_ALPHABET):
        return None
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))
