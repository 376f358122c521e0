"""The two cookies of the pages: one that tells browsers apart, for a year, and one that says who is signed in.

https://www.rfc-editor.org/rfc/rfc6265#section-4.1 and https://owasp.org/www-community/controls/SecureCookieAttribute
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from smart_auth.cipher import digest, new_secret

YEAR = 365 * 24 * 3600
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser's cookies say: `id` is its own random value (made now where `is_new`), `session` that of a session or empty."""

    id: str
    session: str = ""
    is_new: bool = False

    @property
    def hash(self) -> bytes:
        """What is kept of a browser's own value, such as with an authorization that only it may go on with."""
        return digest(self.id)


def browser_of(cookies: Mapping[str, str], *, secure: bool) -> Browser:
    """The browser that sent these cookies; one without the first gets a new value, to be set with `set_browser`."""
    known, session = (_sent(cookies, name, secure) for name in ("browser", "session"))
    return Browser(known or new_secret(), session, is_new=not known)


def set_browser(response: Response, browser: Browser, *, secure: bool) -> None:
    """Sets or renews the cookie that tells the browser apart."""
    _set(response, "browser", browser.id, secure, YEAR)


def set_session(response: Response, cookie: str, *, secure: bool) -> None:
    """Sets the cookie of a session; it is gone when the browser is closed."""
    _set(response, "session", cookie, secure, None)


def clear_session(response: Response, *, secure: bool) -> None:
    _set(response, "session", "", secure, 0)


def session_cookie(cookies: Mapping[str, str]) -> str:
    """The value of the session cookie, whether it was set over TLS or not; empty where there is none."""
    return _sent(cookies, "session", secure=True) or _sent(cookies, "session", secure=False)


def cookie_name(name: str, *, secure: bool) -> str:
    """Over TLS no other host of the domain and no plain connection can set a cookie of this name."""
    return f"__Host-mediconnect-{name}" if secure else f"mediconnect-{name}"


def _sent(cookies: Mapping[str, str], name: str, secure: bool) -> str:
    value = cookies.get(cookie_name(name, secure=secure), "")
    return value if 40 <= len(value) <= _LONGEST and value.isascii() and value.isprintable() else ""


def _set(response: Response, name: str, value: str, secure: bool, age: int | None) -> None:
    response.set_cookie(
        cookie_name(name, secure=secure), value, max_age=age, path="/", secure=secure, httponly=True, samesite="lax"
    )
