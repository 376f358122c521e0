"""The endpoints of the authorization server below /auth: pages, tokens, discovery and launches from other systems.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html and https://www.rfc-editor.org/rfc/rfc8414#section-3
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth.access_token import AccessToken
from smart_auth.configuration import PREFIX
from smart_auth.error import OAuthError, invalid_request
from smart_auth.event import Event
from smart_auth.launch import launch_of, with_patient
from smart_auth.pages.router import pages_router
from smart_auth.scope import LAUNCH
from smart_auth.server import AuthorizationServer
from smart_auth.store import Busy
from smart_auth.style import NAME, STYLE
from smart_auth.token_routes import token_router
from smart_auth.well_known import openid_configuration

LONGEST_BODY = 64 * 1024
# What every page on the web may read.
PUBLIC = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}
FRESH = {**PUBLIC, "cache-control": "public, max-age=300"}
UNCACHED = {"cache-control": "no-store", "pragma": "no-cache"}


def auth_router(server: AuthorizationServer) -> APIRouter:
    """All endpoints; the SMART configuration itself stands below the FHIR base."""
    router = APIRouter(include_in_schema=False)
    router.include_router(pages_router(server.site))
    router.include_router(token_router(server))
    documents: Mapping[str, Callable[[], Mapping[str, Any]]] = {
        "/.well-known/openid-configuration": lambda: openid_configuration(server.configuration),
        "/jwks": server.keys.jwks,
        f"/{NAME}": lambda: STYLE,
    }
    for path, content in documents.items():
        router.add_api_route(PREFIX + path, _document(content), methods=["GET"])
    router.add_api_route(f"{PREFIX}/launch", _launch(server), methods=["POST"])
    return router


def _document(content: Callable[[], Mapping[str, Any]]) -> Callable[[], Response]:
    def document() -> Response:
        try:
            return JSONResponse(dict(content()), headers=FRESH)
        except Busy:
            return JSONResponse({"error": "temporarily_unavailable"}, 503, {**PUBLIC, "retry-after": "5"})

    return document


def _launch(server: AuthorizationServer) -> Callable[[Request], Any]:
    async def launch(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                break
        network = request.client.host if request.client else ""
        return await run_in_threadpool(_launched, server, request.headers.get("authorization"), body, network)

    return launch


def _launched(server: AuthorizationServer, authorization: str | None, body: bytes, network: str) -> Response:
    """An app started by another system that knows what is open: a portal with its user's token, or a system with its own."""
    claims: AccessToken | None = None
    try:
        claims = _bearer(server, authorization)
        # A person starts apps for patients they may open; a system for whomever, for the one who signs in is asked again.
        roles = claims.roles if claims.account is not None else None
        launch = with_patient(
            launch_of(_object(body), claims.account), server.site.people, claims.fhir_user or "", roles
        )
        id_, address = server.decisions.launch(launch)
    except OAuthError as error:
        client = claims.client if claims else None
        server.journal.note(Event("launch", "failure", client, network=network, detail=error.code))
        challenge = {"www-authenticate": f'Bearer error="{error.code}"'} if error.status in (401, 403) else {}
        return JSONResponse(error.body(), error.status, {**UNCACHED, **challenge})
    except Busy:
        return JSONResponse({"error": "temporarily_unavailable"}, 503, {**UNCACHED, "retry-after": "5"})
    server.journal.note(
        Event("launch", "success", claims.client, claims.account, claims.fhir_user, network, launch.client)
    )
    told = {"launch": id_, "iss": server.configuration.fhir_base, "url": address}
    return JSONResponse(told, 201, UNCACHED)


def _bearer(server: AuthorizationServer, authorization: str | None) -> AccessToken:
    scheme, _, token = (authorization or "").partition(" ")
    claims = server.introspection.tokens.good(token.strip()) if scheme.lower() == "bearer" else None
    if claims is None:
        raise OAuthError("invalid_token", "a launch needs an access token", 401)
    if LAUNCH not in claims.scopes:
        raise OAuthError("insufficient_scope", f"a launch needs the scope {LAUNCH}", 403)
    return claims


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body) if len(body) <= LONGEST_BODY else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise invalid_request("the body is a JSON object of at most 64 KiB")
    return value
