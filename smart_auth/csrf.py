"""That a form was sent by a page of ours in the same browser: a token in the form that only its cookie fits.

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256

LABEL = b"csrf"


def csrf_token(key: bytes, browser: str, session: str) -> str:
    """The token of the forms shown to this browser, other before and after signing in (`session`: the cookie, or empty)."""
    return hmac.new(key, b"\0".join((LABEL, browser.encode(), session.encode())), sha256).hexdigest()


def is_ours(key: bytes, browser: str, session: str, token: str) -> bool:
    """Whether the token came with a page that was shown to this browser; never without its cookie."""
    wanted = csrf_token(key, browser, session)
    return bool(browser) and hmac.compare_digest(wanted.encode(), token.encode())


def is_same_site(headers: Mapping[str, str], origin: str) -> bool:
    """Whether the browser says that a page of `origin` sent this, or says nothing.

    Browsers set both headers themselves. `Origin: null` is what a page with `Referrer-Policy: no-referrer` sends.
    """
    site = headers.get("sec-fetch-site", "same-origin")
    sender = headers.get("origin", "null")
    return site in {"same-origin", "none"} and sender in {"null", origin}
