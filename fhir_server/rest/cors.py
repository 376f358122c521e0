"""CORS: which web pages may call, and what of the answers they may read.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Mapping
from functools import lru_cache

from fhir_server.rest.response import Headers
from fhir_server.settings import Settings

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = (
    "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, "
    "X-Request-Id, X-Requested-With, X-Security-Context"
)
EXPOSED = "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Progress, X-Request-Id"
ANY: Headers = [("access-control-allow-origin", "*"), ("access-control-expose-headers", EXPOSED)]
VARY = ("vary", "Origin")


@lru_cache(maxsize=4)
def _origins(setting: str) -> frozenset[str]:
    return frozenset(origin.strip().rstrip("/") for origin in setting.split(",") if origin.strip())


def cors_headers(settings: Settings, origin: str | None, *, public: bool = False) -> Headers:
    """What an answer to a page of another origin carries; where origins are named, caches must tell them apart.

    `origin`: that of the page, None where none asks; `public`: any page may read it, whatever the settings say.
    """
    if public:
        return ANY
    allowed = _origins(settings.cors_origins)
    if "*" in allowed:
        return ANY if origin is not None else []
    if origin not in allowed:
        return [VARY]
    return [("access-control-allow-origin", origin), ("access-control-expose-headers", EXPOSED), VARY]


def preflight(settings: Settings, headers: Mapping[str, str]) -> Headers:
    """What a browser asks before it sends a request that a form could not have sent."""
    origin = headers.get("origin")
    if origin is None or not {"*", origin} & _origins(settings.cors_origins):
        return []
    return [
        ("access-control-allow-methods", METHODS),
        ("access-control-allow-headers", REQUEST_HEADERS),
        ("access-control-max-age", "86400"),
    ]
