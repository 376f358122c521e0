"""If-Match, If-None-Match, If-Modified-Since: conditions of a request that its headers carry.

https://hl7.org/fhir/R4/http.html#concurrency and #cread; https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from fhir_server.etag import versions_of


def if_match(headers: Mapping[str, str]) -> tuple[str, ...] | None:
    """The versions of which one must be current, `("*",)` for any; None where nothing is asked for."""
    text = headers.get("if-match")
    return None if text is None else versions_of(text, "If-Match")


def if_none_match_any(headers: Mapping[str, str]) -> bool:
    """Whether the resource must not exist yet (`If-None-Match: *`)."""
    return headers.get("if-none-match", "").strip() == "*"


def is_conditional(headers: Mapping[str, str]) -> bool:
    """Whether a read asks for what the client does not have yet."""
    return "if-none-match" in headers or "if-modified-since" in headers


def not_modified(headers: Mapping[str, str], version: int, written: datetime) -> bool:
    """Whether the client has this version already (conditional read). If-None-Match outranks If-Modified-Since."""
    tags = headers.get("if-none-match")
    if tags is not None:
        return bool({"*", str(version)} & set(versions_of(tags, "If-None-Match")))
    since = headers.get("if-modified-since")
    return since is not None and _not_since(since, written)


def _not_since(since: str, written: datetime) -> bool:
    """HTTP dates have whole seconds, so the fraction of `written` does not count; the instants of entries are exact."""
    try:
        if since[10:11] == "T":
            return written <= datetime.fromisoformat(since)
        moment = parsedate_to_datetime(since)
    except (ValueError, OverflowError):
        return False  # RFC 9110: a date that is none is ignored
    return moment.tzinfo is not None and written.replace(microsecond=0) <= moment
