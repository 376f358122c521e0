"""The endpoints that answer clients rather than browsers: tokens and registration, with CORS and no caching.

https://www.rfc-editor.org/rfc/rfc6749#section-5 and https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth.configuration import PREFIX
from smart_auth.error import OAuthError
from smart_auth.form import LONGEST, TYPE, Form, parameters_of
from smart_auth.server import AuthorizationServer
from smart_auth.store import Busy

UNCACHED = {"cache-control": "no-store", "pragma": "no-cache", "x-content-type-options": "nosniff"}
Answer = Callable[[Form], Mapping[str, Any] | None]


def token_router(server: AuthorizationServer) -> APIRouter:
    """`/auth/token`, `/auth/introspect`, `/auth/revoke` and `/auth/register`."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)
    answers: Mapping[str, Answer] = {
        "/token": server.token.answer,
        "/introspect": server.introspection.answer,
        "/revoke": server.revocation.answer,
    }
    for path, answer in answers.items():
        router.add_api_route(path, _endpoint(server, answer), methods=["POST"])
        router.add_api_route(path, _preflight(server), methods=["OPTIONS"])
    router.add_api_route("/register", _register(server), methods=["POST"])
    return router


def _endpoint(server: AuthorizationServer, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        response = await run_in_threadpool(_answered, answer, request, await _body(request))
        response.headers.update(await run_in_threadpool(_cors, server, request))
        return response

    return endpoint


async def _body(request: Request) -> bytes:
    """The body, or a little more than is allowed of it where it is longer."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            break
    return body


def _answered(answer: Answer, request: Request, body: bytes) -> Response:
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
            raise OAuthError("invalid_request", f"the content type is to be {TYPE}")
        network = request.client.host if request.client else ""
        told = answer(Form(parameters_of(body), request.headers.get("authorization"), network))
    except OAuthError as error:
        return _refused(error)
    except Busy:
        return _busy()
    return Response(status_code=200, headers=UNCACHED) if told is None else JSONResponse(dict(told), 200, UNCACHED)


def _refused(error: OAuthError) -> Response:
    headers = dict(UNCACHED)
    if error.code in ("invalid_token", "insufficient_scope"):
        headers["www-authenticate"] = f'Bearer realm="mediconnect", error="{error.code}"'
    elif error.status == 401:
        headers["www-authenticate"] = 'Basic realm="mediconnect"'
    elif error.status == 429:
        headers["retry-after"] = "60"
    return JSONResponse(error.body(), error.status, headers)


def _busy() -> Response:
    return JSONResponse({"error": "temporarily_unavailable"}, 503, {**UNCACHED, "retry-after": "5"})


def _register(server: AuthorizationServer) -> Callable[[Request], Awaitable[Response]]:
    async def register(request: Request) -> Response:
        return await run_in_threadpool(_registered, server, request, await _body(request))

    return register


def _registered(server: AuthorizationServer, request: Request, body: bytes) -> Response:
    try:
        if len(body) > LONGEST:
            raise OAuthError("invalid_client_metadata", f"the metadata is longer than {LONGEST} bytes", 413)
        network = request.client.host if request.client else ""
        return JSONResponse(server.registration.register(_metadata(body), network), 201, UNCACHED)
    except OAuthError as error:
        return _refused(error)
    except Busy:
        return _busy()


def _metadata(body: bytes) -> Mapping[str, Any]:
    try:
        metadata = json.loads(body)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise OAuthError("invalid_client_metadata", "the metadata is a JSON object")
    return metadata


def _preflight(server: AuthorizationServer) -> Callable[[Request], Response]:
    def preflight(request: Request) -> Response:
        allowed = {
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": "Authorization, Content-Type",
            "access-control-max-age": "600",
        }
        return Response(status_code=204, headers={**_cors(server, request), **allowed})

    return preflight


def _cors(server: AuthorizationServer, request: Request) -> dict[str, str]:
    """Pages that are part of a registered client may read the answer."""
    origin = request.headers.get("origin", "")
    try:
        known = 0 < len(origin) <= 300 and server.clients.has_origin(origin)
    except Busy:
        known = False
    return {"vary": "Origin", **({"access-control-allow-origin": origin} if known else {})}
