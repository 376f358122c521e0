"""Moments as they are written: in a resource, and in the headers of HTTP.

https://hl7.org/fhir/R4/datatypes.html#instant and https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7. What is written in a second, and what is
read again and again, has the same text but for the fraction, so that of a second is made once.
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

SECONDS = 4096
"""Of which the texts are kept."""


def instant(moment: datetime) -> str:
    """The instant as it stands in meta.lastUpdated: UTC with milliseconds."""
    return f"{_iso(int(moment.timestamp() // 1))}.{moment.microsecond // 1000:03d}Z"


def http_date(moment: datetime) -> str:
    """The moment as HTTP writes it, whole seconds."""
    return _http(int(moment.timestamp() // 1))


@lru_cache(maxsize=SECONDS)
def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=SECONDS)
def _http(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)
