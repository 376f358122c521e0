"""The FHIR base as an ASGI application: a request in, an interaction run, its answer out in the format asked for.

https://hl7.org/fhir/R4/http.html. It stands before FastAPI's router, which would cost more than a read does.
"""

import itertools
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fhir_server.context import Context
from fhir_server.json import dump_json
from fhir_server.outcome import Refusal, operation_outcome
from fhir_server.rest.authorization import authenticated
from fhir_server.rest.body import ACCEPT_PATCH
from fhir_server.rest.cors import cors_headers, preflight
from fhir_server.rest.faults import REQUEST_ID, refusal_of
from fhir_server.rest.render import Rendering, accepted, rendered, rendering_of, shaped
from fhir_server.rest.request import Receive, Request, headers_of, read_body, request_of
from fhir_server.rest.response import Headers, Response
from fhir_server.rest.routes import TABLE, allowed, known_shape, respond
from fhir_server.rest.shape import transform_of

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
CLIENT_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
# Every page on the web may read these, whatever origins the settings name.
PUBLIC = frozenset((b"/metadata", b"/.well-known/smart-configuration"))
PLAIN = Rendering()
VARY = (b"vary", b"Accept, Accept-Encoding, Prefer")

log = logging.getLogger("mediconnect.access")


class Endpoint:
    """Answers everything below the FHIR base; `prefix` is the raw path of the base, such as b"/fhir"."""

    def __init__(self, prefix: bytes, context: Callable[[], Context]) -> None:
        self.prefix = prefix
        self.context = context
        self._process = os.urandom(4).hex()  # here, for what is imported is the same in all processes
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, headers = time.perf_counter(), headers_of(scope)
        number = self._request_id(headers)
        REQUEST_ID.set(number)
        context = self.context()
        rendering, response = await self._answer(context, scope, headers, receive)
        public = scope["raw_path"][len(self.prefix) :] in PUBLIC
        more = [("x-request-id", number), *cors_headers(context.settings, headers.get("origin"), public=public)]
        status = await send_response(scope, send, response, rendering, more)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s %d %.1f ms", number, scope["method"], status, (time.perf_counter() - started) * 1000)

    def _request_id(self, headers: Mapping[str, str]) -> str:
        """The client's own id for the request where it is fit for a log, else one of ours."""
        own = headers.get("x-request-id")
        return own if own is not None and CLIENT_ID.fullmatch(own) else f"{self._process}-{next(self._numbers)}"

    async def _answer(
        self, context: Context, scope: Scope, headers: Mapping[str, str], receive: Receive
    ) -> tuple[Rendering, Response]:
        rendering = PLAIN
        try:
            rendering = accepted(headers)
            request = request_of(scope, scope["raw_path"][len(self.prefix) :], headers, context.settings)
            if request.method == "OPTIONS":
                return rendering, _options(context, request)
            context = await authenticated(context, request, peer_of(scope))
            rendering = rendering_of(request)
            if request.method in WITH_BODY:
                transform_of(request)  # refuses before anything is written
                request.body = await read_body(receive, request.headers, context.settings.max_body)
            return rendering, await _on_record(context, request, rendering, scope)
        except Exception as error:  # noqa: BLE001 - the last resort: what nobody foresaw is logged and answered as 500
            return rendering, rendered(_refused(refusal_of(error)), rendering, context, scope)


async def _on_record(context: Context, request: Request, rendering: Rendering, scope: Scope) -> Response:
    """The answer, made while the note of it is on its way to the disk, and given when it is there; a failure likewise."""
    request.awaits = True
    try:
        return rendered(shaped(await respond(context, request), request), rendering, context, scope)
    finally:
        if request.trail is not None:
            await request.trail.kept()


def peer_of(scope: Scope) -> str:
    """The address that the request came from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _refused(refusal: Refusal) -> Response:
    return Response(refusal.status, dump_json(operation_outcome(refusal.issues)), list(refusal.headers), shaped=True)


def _options(context: Context, request: Request) -> Response:
    """Allow, and what a browser's preflight asks. Raises Refusal (404) for a path that means nothing."""
    routes = TABLE[known_shape(context, request)]
    headers = [("allow", allowed(routes)), *preflight(context.settings, request.headers)]
    if "PATCH" in routes:
        headers.append(("accept-patch", ACCEPT_PATCH))
    return Response(204, headers=headers)


async def send_response(scope: Scope, send: Send, response: Response, rendering: Rendering, more: Headers) -> int:
    """Sends status, headers and body; no body for HEAD, 204 and 304."""
    body = response.raw[1] if response.raw is not None else b""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in (*response.headers, *more)
    ]
    if response.raw is not None:
        headers.extend(((b"content-type", response.raw[0].encode("latin-1", "replace")), VARY))
        body, encoding = rendering.compressed(body)
        if encoding:
            headers.append((b"content-encoding", encoding))
    if response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
    return response.status


def accepts(scope: Mapping[str, Any], prefix: bytes) -> bool:
    """Whether a request is for the FHIR base or something below it."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.startswith(prefix) and raw[len(prefix) : len(prefix) + 1] in (b"", b"/")
