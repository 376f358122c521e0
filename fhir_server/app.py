"""The one place where the parts meet: settings, definitions, pool and routes become an ASGI application.

https://hl7.org/fhir/R4/http.html; the pages beside the FHIR base are FastAPI's, the base itself is rest/endpoint.py.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from fhir_server.context import Context
from fhir_server.packages import Packages
from fhir_server.rest.endpoint import Endpoint, accepts
from fhir_server.rest.guard import Authority, guarded
from fhir_server.rest.health import health_routes
from fhir_server.rest.openapi import openapi
from fhir_server.search.parameter import r4_parameters
from fhir_server.search.reindex import Reindex
from fhir_server.settings import Settings
from fhir_server.smart import authorized
from fhir_server.store.changes import KnownShapes
from fhir_server.store.pool import Pool
from fhir_server.store.resources import Types
from fhir_server.store.shared import Shared
from fhir_server.validation import Validation
from profiles.definitions import r4

PREFIX = b"/fhir"
TENANT = 1  # the one tenant there is so far; every key and row carries it


@dataclass(frozen=True, slots=True)
class Application:
    """The FHIR base, and beside it the pages of FastAPI: documentation and health."""

    pages: FastAPI
    fhir: Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and accepts(scope, PREFIX):
            await self.fhir(scope, receive, send)
        else:
            await self.pages(scope, receive, send)


def create_app(settings: Settings | None = None, *, authority: Authority | None = None) -> Application:
    """The application; its database is MEDICONNECT_DATABASE_URL, migrated already.

    `authority` tells which access tokens are good, in place of the server's own authorization server.
    """
    settings = settings or Settings()
    logging.getLogger("mediconnect").setLevel(settings.log_level.upper())

    @asynccontextmanager
    async def lifespan(pages: FastAPI) -> AsyncIterator[None]:
        pool = pool_of(settings)
        await pool.open()
        try:
            context = await context_of(settings, pool)
            keeping = asyncio.create_task(
                Reindex(pool, context.tenant, context.parameters, context.types, context.shapes).keep()
            )
            async with _secured(context, authority, pages) as pages.state.context:
                yield
            keeping.cancel()
        finally:
            await pool.close()

    # The documentation page brings its scripts along: a hospital's network may reach nothing outside.
    pages: FastAPI = FastAPIOffline(redoc_url=None, title="MediConnect", lifespan=lifespan)
    pages.include_router(health_routes(lambda: pages.state.context))
    pages.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    pages.openapi = lambda: openapi(settings)  # type: ignore[method-assign]  # FastAPI's documented way to replace it
    return Application(pages, Endpoint(PREFIX, lambda: pages.state.context))


def _secured(context: Context, authority: Authority | None, pages: FastAPI) -> AbstractAsyncContextManager[Context]:
    """The context of a server that asks for tokens, those of the authority where one is given; or of one that runs open."""
    if authority is not None:
        return guarded(context, authority, pool_of(context.settings, size=2))
    if context.settings.security == "open":
        return nullcontext(context)
    return authorized(context, pool_of(context.settings, size=2), pages.include_router)


def pool_of(settings: Settings, size: int = 0) -> Pool:
    """The pool of one process, not yet open; of another size than the setting's where one is given."""
    return Pool(
        settings.database_url,
        tenant=TENANT,
        size=size or settings.pool_size,
        timeout=settings.pool_timeout,
        statement_timeout=settings.statement_timeout,
    )


async def context_of(settings: Settings, pool: Pool) -> Context:
    """What the interactions of this process work with; the pool is open."""
    async with pool.connection() as conn:
        types = await Types.load(conn)
        row = await (await conn.execute("SELECT value FROM secret WHERE name = 'page'")).fetchone()
    assert row is not None, "written by migrate"
    packages = Packages(settings.data_dir / "packages")
    shapes = KnownShapes()
    return Context(
        settings=settings,
        definitions=r4(),
        parameters=r4_parameters().copy(settings.fhir_base),
        validate=Validation(settings, packages),
        pool=pool,
        shared=Shared(pool, TENANT, shapes),
        types=types,
        shapes=shapes,
        packages=packages,
        page_key=bytes(row[0]),
        tenant=TENANT,
        base=settings.fhir_base,
    )
