"""An answer in the format that was asked for: stored JSON as it is, else pretty, XML or a page for people.

https://hl7.org/fhir/R4/http.html#mime-type and #parameters
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.context import Context
from fhir_server.json import dump_pretty, parse_json
from fhir_server.outcome import Refusal, refuse
from fhir_server.rest import html
from fhir_server.rest.negotiation import Format, content_type, wanted_format
from fhir_server.rest.request import Request
from fhir_server.rest.response import Response
from fhir_server.rest.shape import transform_of
from fhir_server.rest.xml import to_xml

# One network packet: below it compressing costs more than it saves.
LEAST_COMPRESSED = 1400
# The fastest level: twice the speed of the default for a few per cent of size.
LEVEL = 1


@dataclass(frozen=True, slots=True)
class Rendering:
    """How the client wants the answer."""

    format: Format = Format.JSON
    pretty: bool = False
    gzip: bool = False
    content_type: str = content_type(Format.JSON)

    def compressed(self, body: bytes) -> tuple[bytes, bytes]:
        """The body, compressed where the client takes it and it is worth it, and the content encoding."""
        if not self.gzip or len(body) < LEAST_COMPRESSED:
            return body, b""
        return gzip.compress(body, LEVEL, mtime=0), b"gzip"


def rendering_of(request: Request) -> Rendering:
    """What Accept, _format, _pretty and Accept-Encoding ask for; 406 for a format there is not."""
    if request.segments[:1] == (".well-known",):
        return Rendering(gzip=_takes_gzip(request.headers.get("accept-encoding", "")))
    named, pretty = request.only("_format"), request.only("_pretty")
    if pretty not in (None, "true", "false"):
        raise refuse("value", f"_pretty={pretty[:80]}: supported are true and false", "_pretty")
    headers = request.headers
    binary = request.segments[:1] == ("Binary",) and named is None
    accept = headers.get("accept") if not binary or _speaks_fhir(headers) else None
    return _rendering(accept, named, pretty == "true", headers.get("accept-encoding", ""))


def accepted(headers: Mapping[str, str]) -> Rendering:
    """What the headers alone ask for, so far as it can be served: for refusals of requests that cannot be read."""
    encodings = headers.get("accept-encoding", "")
    try:
        return _rendering(headers.get("accept"), None, False, encodings)
    except Refusal:
        return Rendering(gzip=_takes_gzip(encodings))


@lru_cache(maxsize=256)
def _rendering(accept: str | None, named: str | None, pretty: bool, encodings: str) -> Rendering:
    wanted = wanted_format(accept, named)
    return Rendering(wanted, pretty, _takes_gzip(encodings), content_type(wanted, accept, named))


def _takes_gzip(encodings: str) -> bool:
    """Whether Accept-Encoding names gzip, with a weight above zero."""
    for coding in encodings.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return re.fullmatch(r"q=0(\.0*)?", weight.replace(" ", "")) is None
    return False


def _speaks_fhir(headers: Mapping[str, str]) -> bool:
    """Whether Accept names a format that a resource can have; for Binary any other content type is legitimate."""
    accept = headers.get("accept", "")
    return "json" in accept or "xml" in accept


def rendered(response: Response, rendering: Rendering, context: Context, scope: Mapping[str, Any]) -> Response:
    """The response with its content as the bytes that go out."""
    if response.content is None:
        response.content = response.outcome
    if response.content is None:
        return response
    plain = rendering.format is Format.JSON and not rendering.pretty
    body = response.content if plain else _formatted(response.content, rendering, context, scope, response)
    response.raw = (rendering.content_type, body)
    return response


def shaped(response: Response, request: Request) -> Response:
    """The response with _summary and _elements applied, where the interaction did not."""
    transform = None if response.shaped or response.content is None else transform_of(request)
    if transform is not None and response.content is not None:
        response.content = transform(response.content)
    return response


def _formatted(
    content: bytes, rendering: Rendering, context: Context, scope: Mapping[str, Any], response: Response
) -> bytes:
    resource = parse_json(content)
    match rendering.format:
        case Format.XML:
            return to_xml(resource, pretty=rendering.pretty)
        case Format.HTML:
            response.headers.extend(html.HEADERS)
            url = context.base + scope["path"].removeprefix("/fhir")
            return html.page(resource, base=context.base, url=url, is_open=context.bearers is None)
        case _:
            return dump_pretty(resource)
