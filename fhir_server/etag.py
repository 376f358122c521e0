"""ETags of versions, in the weak form that FHIR uses.

https://hl7.org/fhir/R4/http.html#versioning
"""

import re

from fhir_server.outcome import refuse

ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*|\s*([A-Za-z0-9\-.]+)\s*')


def etag(version: int) -> str:
    """The weak ETag of a version."""
    return f'W/"{version}"'


def version_of(text: str, where: str) -> str:
    """The version id of an ETag: `W/"3"`, `"3"` or a bare 3; `where` names the header for the refusal."""
    found = ETAG.fullmatch(text)
    if found is None:
        raise refuse("invalid", f'{where}: {text[:80]} is not one ETag; write it as W/"3"')
    return found[1] if found[1] is not None else found[2]


def versions_of(text: str, where: str) -> tuple[str, ...]:
    """The version ids of a list of ETags, `("*",)` for the asterisk that stands for any."""
    return ("*",) if text.strip() == "*" else tuple(version_of(one, where) for one in text.split(","))
