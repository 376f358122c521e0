"""Whether the process lives, and whether it can do its work.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from fhir_server.context import Context
from fhir_server.rest.faults import refusal_of

LONGEST = 3.0  # seconds a readiness probe waits for the database


def health_routes(context: Callable[[], Context]) -> APIRouter:
    """`/health/live` and `/health/ready`."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready", summary="The database answers too; 503 names what does not")
    async def ready() -> JSONResponse:
        try:
            async with asyncio.timeout(LONGEST):
                async with context().connection() as conn:
                    await conn.execute("SELECT 1")
        except TimeoutError:
            return JSONResponse({"status": "not ready", "reason": "the database does not answer"}, 503)
        except Exception as error:  # noqa: BLE001 - a probe reports whatever is wrong; refusal_of logs it
            return JSONResponse({"status": "not ready", "reason": refusal_of(error).issues[0].diagnostics}, 503)
        return JSONResponse({"status": "ready"})

    return router
